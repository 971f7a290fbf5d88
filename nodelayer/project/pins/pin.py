"""What each module of a pinned fact provides: a `Pin`, which compares its files with their source."""

import datetime as dt
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nodelayer.errors import NodelayerError, NotVerifiedError


@dataclass(frozen=True)
class Changes:
    """How the files of a pin differ from its source.

    `lines` describe the differences, `files` has the new text of each file by its path in the repository, and
    `failures` are the parts whose source failed. A pin that is up to date has none of them.
    """

    lines: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    failures: Sequence[NodelayerError] = ()


@dataclass(frozen=True)
class Pin:
    """A kind of pinned fact.

    `refresh` takes the root of the repository and asks the source. It writes nothing, and raises
    NodelayerError where the source fails.
    """

    name: str
    what: str
    refresh: Callable[[Path], Changes]
    needs_docker: bool = False


@contextmanager
def expected_format(source: str) -> Iterator[None]:
    """Raise NotVerifiedError where the block finds out that `source` has another format than expected."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise NotVerifiedError(
            f"it has another format than expected ({error!r:.200})", where=source, todo="adapt the pin"
        ) from error


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """List what was added (+), removed (-) or changed (~), one line each."""
    lines = []
    for name in {**before, **after}:
        if name not in before:
            lines.append(f"+ {name} {after[name]}")
        elif name not in after:
            lines.append(f"- {name} {before[name]}")
        elif before[name] != after[name]:
            lines.append(f"~ {name} {before[name]} -> {after[name]}")
    return lines


def fields(entries: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Flatten entries to one value for each entry and key, for `differences`."""
    return {f"{name} {key}": value for name, entry in entries.items() for key, value in entry.items()}


def today() -> dt.date:
    """Return the day in UTC."""
    return dt.datetime.now(tz=dt.UTC).date()


def resource(provenance: str, key: str, entries: Mapping[str, object] | Sequence[object]) -> str:
    """Return the JSON of a bundled resource as of today, one entry a line."""
    if isinstance(entries, Mapping):
        rows, brackets = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()], "{}"
    else:
        rows, brackets = [json.dumps(entry) for entry in entries], "[]"
    head = f'  "provenance": {json.dumps(provenance)},\n  "as_of": "{today().isoformat()}",\n'
    body = ",\n".join(f"    {row}" for row in rows)
    return f'{{\n{head}  "{key}": {brackets[0]}\n{body}\n  {brackets[1]}\n}}\n'
