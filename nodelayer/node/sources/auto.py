"""Where a release's files come from: nodejs.org, npm, or whichever of the two has it."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from nodelayer.architecture import Architecture
from nodelayer.errors import (
    InvalidInputError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.node.sources.base import NodeFiles, SourceRecord
from nodelayer.node.sources.nodejs_org import NodejsOrg
from nodelayer.node.sources.npm import Npm
from nodelayer.node.versions import Release, check_spec, exact, resolve, spec_from_files
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

__all__ = ["Auto", "NodeFiles", "Source", "SourceRecord", "open_source", "resolve_spec"]

SOURCES = ("auto", "nodejs.org", "npm")


class Source(Protocol):
    """Gives releases. Every method raises NodelayerError."""

    name: str

    def releases(self, architecture: Architecture, /) -> Sequence[Release]: ...

    def fetch(self, version: str, architecture: Architecture, /) -> NodeFiles: ...


class CachingSource(Source, Protocol):
    """A source that can say without the network whether it fetched a release before."""

    def cached(self, version: str, architecture: Architecture, /) -> NodeFiles | None: ...


class Auto:
    """What is cached, else nodejs.org, else npm where nodejs.org or its keys cannot be reached.

    Says in one line, once, that it turned to npm. What nodejs.org sent and cannot be verified is never made
    up for by npm.
    """

    name = "auto"

    def __init__(self, first: CachingSource, second: CachingSource, *, reporter: Reporter) -> None:
        self._first = first
        self._second = second
        self._reporter = reporter
        self._given_up: UnreachableError | None = None
        self._lock = threading.Lock()

    def releases(self, architecture: Architecture) -> Sequence[Release]:
        """The releases of the first source, or of the second where the first has none to tell of.

        Raises NodelayerError.
        """
        try:
            return self._asked().releases(architecture)
        except UnreachableError as error:
            self._turn_away(error)
        try:
            return self._second.releases(architecture)
        except NodelayerError as error:
            raise self._neither(error) from error

    def fetch(self, version: str, architecture: Architecture) -> NodeFiles:
        """A release from the cache, the first source or the second. Raises NodelayerError."""
        files = self._first.cached(version, architecture)
        if files is not None:
            return files
        files = self._second.cached(version, architecture)
        if files is not None:
            self._reporter.say(f"Node.js {version} is taken as {self._second.name} gave it before")
            return files
        try:
            return self._asked().fetch(version, architecture)
        except NotFoundError as error:
            return self._elsewhere(error, version, architecture)
        except UnreachableError as error:
            self._turn_away(error)
        try:
            return self._second.fetch(version, architecture)
        except NotVerifiedError:
            raise
        except NodelayerError as error:
            raise self._neither(error) from error

    def _asked(self) -> CachingSource:
        """The first source. Raises the UnreachableError it was given up for: a host is waited for once."""
        if self._given_up is not None:
            raise self._given_up
        return self._first

    def _turn_away(self, error: UnreachableError) -> None:
        with self._lock:
            if self._given_up is not None:
                return
            self._given_up = error
        self._reporter.say(
            f"{error.what}; taking Node.js from {self._second.name}: integrity checked, no OpenPGP signature"
        )

    def _neither(self, second: NodelayerError) -> NodelayerError:
        first = self._given_up
        if first is None:
            return second
        if isinstance(second, NotFoundError):
            return NotFoundError(f"{second.what}, and {first.what}", where=second.where, todo=second.todo)
        return UnreachableError(
            f"{first.what}, and {second.what}", where=second.where, todo=first.todo or second.todo
        )

    def _elsewhere(self, error: NotFoundError, version: str, architecture: Architecture) -> NodeFiles:
        """What the first source does not have, from the second; its error where that cannot help."""
        try:
            files = self._second.fetch(version, architecture)
        except NotVerifiedError:
            raise
        except NotFoundError as second:
            raise NotFoundError(
                f"no Node.js {version} for {architecture} on {self._first.name} or {self._second.name}",
                todo=error.todo or second.todo,
            ) from error
        except NodelayerError as second:
            raise NotFoundError(
                f"{error.what}, and {second.what}", where=error.where, todo=error.todo
            ) from error
        self._reporter.say(f"{error.what}; it comes from {self._second.name}")
        return files


def open_source(
    name: str = "auto",
    *,
    cache: DownloadCache,
    reporter: Reporter,
    verify_signature: bool = True,
    environ: Mapping[str, str],
) -> Source:
    """The source called `auto`, `nodejs.org` or `npm`; nothing is fetched yet. Raises InvalidInputError."""
    if name not in SOURCES:
        raise InvalidInputError(
            f"unknown source {name!r}", where="--source", todo=f"use {', '.join(SOURCES)}"
        )
    npm = Npm(cache=cache, reporter=reporter, environ=environ)
    if name == "npm":
        return npm
    nodejs_org = NodejsOrg(cache=cache, reporter=reporter, environ=environ, verify_signature=verify_signature)
    return nodejs_org if name == "nodejs.org" else Auto(nodejs_org, npm, reporter=reporter)


def resolve_spec(
    spec: str,
    architecture: Architecture,
    source: Source,
    *,
    start: Path,
    others: Iterable[Architecture] = (),
) -> str:
    """The version a spec means; an exact one needs no index. `file` is looked for in `start` and above.

    It is the newest that `others`, which are built along with it, have as well; where no version is shared,
    the newest of this architecture. Raises NodelayerError.
    """
    if spec.strip().lower() != "file":
        return _newest(spec, architecture, source, others)
    found, path = spec_from_files(start)
    try:
        return _newest(found, architecture, source, others)
    except (InvalidInputError, NotFoundError) as error:
        raise type(error)(error.what, where=str(path), todo=error.todo) from error


def _newest(spec: str, architecture: Architecture, source: Source, others: Iterable[Architecture]) -> str:
    named = exact(spec)
    if named is not None:
        return named
    check_spec(spec)
    releases = source.releases(architecture)
    shared = list(releases)
    for other in others:
        with suppress(NodelayerError):  # the other's own turn tells of it
            there = {release.version for release in source.releases(other)}
            shared = [release for release in shared if release.version in there]
    with suppress(NotFoundError):
        return resolve(spec, shared).version
    return resolve(spec, releases).version
