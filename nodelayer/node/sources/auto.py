"""The source `auto`: the cache, then the first source of AUTO_ORDER that has the release."""

import threading
from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import TypeVar

from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, MachineError, NodelayerError, NotFoundError, UnreachableError
from nodelayer.node.sources.base import CachingSource, NodeFiles, ReleaseSource, SourceContext
from nodelayer.node.sources.registry import AUTO, AUTO_ORDER, SOURCES
from nodelayer.node.versions import Release
from nodelayer.util.console import Reporter

_T = TypeVar("_T")


class Auto:
    """Tries sources in order, and reports once why it continues with the next one.

    A source that cannot be reached is not tried again. If a download cannot be verified, no other source is
    tried.
    """

    name = AUTO

    def __init__(self, sources: Sequence[CachingSource], *, reporter: Reporter) -> None:
        self._sources = sources
        self._reporter = reporter
        self._unreachable: dict[str, UnreachableError] = {}
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def releases(self, architecture: Architecture) -> Sequence[Release]:
        """Return the releases of the first source that answers."""
        return self._first(lambda source: source.releases(architecture))

    def fetch(self, version: str, architecture: Architecture) -> NodeFiles:
        """Return a release from the cache, or from the first source that has it."""
        for source in self._sources:
            files = source.cached(version, architecture)
            if files is not None:
                if source is not self._sources[0]:
                    self._reporter.say(f"Node.js {version} from {source.name} is in the download cache")
                return files
        return self._first(lambda source: source.fetch(version, architecture))

    def _first(self, request: Callable[[CachingSource], _T]) -> _T:
        failures: list[NodelayerError] = []
        for source in self._sources:
            if failures:
                self._report(f"{failures[-1].what}; trying {source.name} instead")
            try:
                if source.name in self._unreachable:
                    raise self._unreachable[source.name]
                return request(source)
            except UnreachableError as error:
                self._unreachable[source.name] = error
                failures.append(error)
            except NotFoundError as error:
                failures.append(error)
            except MachineError as error:
                failures.append(error)
                break
        raise _combined(failures)

    def _report(self, line: str) -> None:
        with self._lock:
            if line in self._reported:
                return
            self._reported.add(line)
        self._reporter.say(line)


def _combined(failures: Sequence[NodelayerError]) -> NodelayerError:
    """Return one error for the failures of all sources; the most specific one decides class and advice."""
    order = (MachineError, NotFoundError, UnreachableError)
    decisive = min(failures, key=lambda error: order.index(type(error)))
    todo = decisive.todo or next((error.todo for error in failures if type(error) is type(decisive)), "")
    what = ", and ".join(error.what for error in failures)
    return type(decisive)(what, where=decisive.where, todo=todo)


def open_source(name: str, context: SourceContext) -> ReleaseSource:
    """Open the source that --source names, without network access.

    Raises:
        InvalidInputError: The name is unknown.
    """
    if name == AUTO:
        sources = [resolve_name(SOURCES[each])(context) for each in AUTO_ORDER]
        return Auto(sources, reporter=context.reporter)
    if name not in SOURCES:
        raise InvalidInputError(
            f"unknown source {name!r}", where="--source", todo=f"use {', '.join((AUTO, *SOURCES))}"
        )
    source: ReleaseSource = resolve_name(SOURCES[name])(context)
    return source
