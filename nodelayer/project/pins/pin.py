"""`Pin`, which each module of this package provides: it compares files with their source."""

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
    """The differences between the files of a pin and its source.

    `lines` describes them, `files` has the new text of each file by its path in the repository, and
    `failures` has an error for each part that failed. All are empty for a pin that is up to date.
    """

    lines: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    failures: Sequence[NodelayerError] = ()


@dataclass(frozen=True)
class Pin:
    """A kind of pinned fact.

    `refresh` takes the root of the repository and reads the source. It writes nothing, and raises
    NodelayerError if the source fails.
    """

    name: str
    what: str
    refresh: Callable[[Path], Changes]
    needs_docker: bool = False


@contextmanager
def expected_format(source: str) -> Iterator[None]:
    """Raise NotVerifiedError if the block fails because `source` has an unexpected format."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise NotVerifiedError(
            f"the source has an unexpected format ({error!r:.200})", where=source, todo="adapt the pin to it"
        ) from error


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return one line for each value that was added (+), removed (-) or changed (~)."""
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
    """Return one value for each entry and key, for `differences`."""
    return {f"{name} {key}": value for name, entry in entries.items() for key, value in entry.items()}


def today() -> dt.date:
    """Return the date in UTC."""
    return dt.datetime.now(tz=dt.UTC).date()


def resource(provenance: str, key: str, entries: Mapping[str, object] | Sequence[object]) -> str:
    """Return the JSON of a bundled resource with the date of today, one line for each entry."""
    if isinstance(entries, Mapping):
        rows, brackets = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()], "{}"
    else:
        rows, brackets = [json.dumps(entry) for entry in entries], "[]"
    head = f'  "provenance": {json.dumps(provenance)},\n  "as_of": "{today().isoformat()}",\n'
    body = ",\n".join(f"    {row}" for row in rows)
    return f'{{\n{head}  "{key}": {brackets[0]}\n{body}\n  {brackets[1]}\n}}\n'
