"""Where a release's files come from: nodejs.org, npm, or whichever of the two has it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from nodelayer.architecture import Architecture
from nodelayer.cache import DownloadCache
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.node_files import NodeFiles, SourceRecord
from nodelayer.node_release import Release, exact, resolve, spec_from_files
from nodelayer.npm import Npm
from nodelayer.progress import Reporter

__all__ = ["NodeFiles", "Source", "SourceRecord", "obtain", "open_source", "resolve_spec"]

SOURCES = ("auto", "nodejs.org", "npm")


class Source(Protocol):
    """Gives releases. Every method raises NodelayerError."""

    name: str

    def releases(self, architecture: Architecture, /) -> Sequence[Release]: ...

    def fetch(self, version: str, architecture: Architecture, /) -> NodeFiles: ...


def open_source(
    name: str = "auto",
    *,
    cache: DownloadCache,
    reporter: Reporter,
    verify_signature: bool = True,
    environ: Mapping[str, str],
) -> Source:
    """The source called `auto`, `nodejs.org` or `npm`; nothing is fetched yet. Raises InvalidInputError."""
    npm = Npm(cache=cache, reporter=reporter, environ=environ)
    if name in ("npm", "auto"):
        return npm
    raise InvalidInputError(f"unknown source {name!r}", where="--source", todo=f"use {', '.join(SOURCES)}")


def resolve_spec(spec: str, architecture: Architecture, source: Source, *, start: Path) -> str:
    """The version a spec means; an exact one needs no index. `file` is looked for in `start` and above.

    Raises NodelayerError.
    """
    if spec.strip().lower() != "file":
        return exact(spec) or resolve(spec, source.releases(architecture)).version
    found, path = spec_from_files(start)
    try:
        return exact(found) or resolve(found, source.releases(architecture)).version
    except (InvalidInputError, NotFoundError) as error:
        raise type(error)(error.what, where=str(path), todo=error.todo) from error


def obtain(spec: str, architecture: Architecture, source: Source, *, start: Path) -> NodeFiles:
    """The files of the release a spec means, fetched, verified and unpacked. Raises NodelayerError."""
    return source.fetch(resolve_spec(spec, architecture, source, start=start), architecture)
