"""Refresh nodelayer/node/lts_lines.json from Node.js's index of releases and its release schedule.

    python nodelayer/project/pins/lts_lines.py --compare        exit 1 where what is bundled differs
    python nodelayer/project/pins/lts_lines.py --write --index index.json --schedule schedule.json

npm does not say which releases are LTS, so this list does. The index names the codename of each LTS release,
and so the first one of a line; schedule.json of github.com/nodejs/Release has the dates.
"""

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nodelayer.errors import InvalidInputError, MachineError, NotFoundError
from nodelayer.node.versions import sort_key
from nodelayer.project.pins import run as refresh
from nodelayer.util.http import Web, shown

BUNDLED = Path(__file__).resolve().parents[3] / "nodelayer" / "node" / "lts_lines.json"
INDEX = "https://nodejs.org/dist/index.json"
SCHEDULE = "https://raw.githubusercontent.com/nodejs/Release/main/schedule.json"

_MOST_BYTES = 20_000_000
_TODO = "name a file that you have: --index FILE --schedule FILE"

Lines = dict[str, dict[str, str | None]]


def document(place: str) -> Any:  # noqa: ANN401 - JSON, judged by who asked for it
    """The JSON at an address or in a file. Raises NodelayerError."""
    if place.startswith(("http://", "https://")):
        with Web(todo=_TODO) as web:
            answer = web.get(place, most=_MOST_BYTES)
        if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
            raise NotFoundError(f"it is not there ({answer.status})", where=shown(place), todo=_TODO)
        data = answer.data
    else:
        try:
            data = Path(place).read_bytes()
        except OSError as error:
            raise InvalidInputError(f"cannot be read: {error.strerror}", where=place) from error
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("not JSON", where=shown(place), todo=_TODO) from error


def first_releases(index: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Codename and first LTS release of each major that the index calls LTS."""
    found: dict[str, tuple[str, str]] = {}
    named = [(str(each["version"]).removeprefix("v"), each["lts"]) for each in index if each["lts"]]
    for version, codename in sorted(named, key=lambda pair: sort_key(pair[0])):
        found.setdefault(version.partition(".")[0], (str(codename), version))
    return found


def lines(index: Any, schedule: Any, known: Lines, today: dt.date) -> Lines:  # noqa: ANN401 - JSON
    """Every line that is or was LTS today, by major. What neither source says stays as it is known.

    Raises InvalidInputError where a source is not what it should be.
    """
    if not isinstance(index, list):
        raise InvalidInputError("not an index as Node.js has it: no list", todo=_TODO)
    try:
        first = first_releases(index)
        found: Lines = dict(known)
        for name, plan in schedule.items():
            major = name.removeprefix("v")
            if "lts" not in plan or plan["lts"] > today.isoformat():
                continue
            kept = known.get(major, {})
            codename, release = first.get(major, (plan.get("codename") or kept.get("codename"), None))
            if not codename:
                raise InvalidInputError(f"nobody says the codename of {name}", todo="see CODENAMES.md there")
            found[major] = {
                "codename": str(codename),
                "first": release or kept.get("first"),
                "since": dt.date.fromisoformat(plan["lts"]).isoformat(),
                "end_of_life": dt.date.fromisoformat(plan["end"]).isoformat(),
            }
        for major in first:
            if major not in found:
                raise InvalidInputError(f"the schedule says nothing of {major}, which is LTS", todo=_TODO)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError("not an index and a schedule as Node.js has them", todo=_TODO) from error
    return {major: found[major] for major in sorted(found, key=int)}


def differences(before: Lines, after: Lines) -> Iterator[str]:
    """A line for each major that came (+), went (-) or changed (~)."""
    for major in sorted({*before, *after}, key=int):
        old, new = before.get(major), after.get(major)
        if old is None:
            yield f"+ {major} {new}"
        elif new is None:
            yield f"- {major} {old}"
        elif old != new:
            changed = (f"{key}: {old.get(key)} -> {new[key]}" for key in new if old.get(key) != new[key])
            yield f"~ {major} {', '.join(changed)}"


def rendered(provenance: str, found: Lines, today: dt.date) -> str:
    """The resource as JSON, one line of LTS a line."""
    rows = ",\n".join(f"    {json.dumps(major)}: {json.dumps(line)}" for major, line in found.items())
    head = f'  "provenance": {json.dumps(provenance)},\n  "as_of": "{today.isoformat()}",\n'
    return f'{{\n{head}  "lines": {{\n{rows}\n  }}\n}}\n'


def bundled(path: Path) -> dict[str, Any]:
    """The resource as it is. Raises InvalidInputError."""
    try:
        known = json.loads(path.read_bytes())
        for line in known["lines"].values():
            _check(line)
        return {"provenance": str(known["provenance"]), "lines": known["lines"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            "not a list of LTS lines", where=path.name, todo="check it out anew"
        ) from error


def _check(line: Mapping[str, str | None]) -> None:
    missing = {"codename", "first", "since", "end_of_life"} - set(line)
    if missing:
        raise KeyError(min(missing))


def run(arguments: Sequence[str], *, resource: Path = BUNDLED) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Refresh the LTS lines.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument("--write", action="store_true", help="write what is published now, where it differs")
    parser.add_argument("--index", default=INDEX, help="address or file of index.json")
    parser.add_argument("--schedule", default=SCHEDULE, help="address or file of schedule.json")
    options = parser.parse_args(arguments)

    known = bundled(resource)
    today = dt.datetime.now(tz=dt.UTC).date()
    found = lines(document(options.index), document(options.schedule), known["lines"], today)
    told = list(differences(known["lines"], found))
    print("\n".join(told) or "the bundled LTS lines are those that are published")
    if options.compare or not told:
        return 1 if told else 0
    try:
        resource.write_text(rendered(known["provenance"], found, today), encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=resource.name) from error
    return 0


if __name__ == "__main__":
    sys.exit(refresh.typed(run))
