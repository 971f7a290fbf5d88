"""Refresh nodelayer/aws/runtimes.json from AWS's table of runtimes, as the newest cfn-lint carries it.

    python nodelayer/project/pins/runtimes.py --compare     exit 1 where what is bundled differs
    python nodelayer/project/pins/runtimes.py --write

AWS publishes the table as a page for people only (Lambda developer guide, "Runtime deprecation policy").
cfn-lint has it as JSON: data/AdditionalSpecs/LmbdRuntimeLifecycle.json, in the wheel that pip downloads, and
verifies by the index it is configured for. Nothing of it is installed or run.
"""

import argparse
import datetime as dt
import json
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nodelayer.errors import InvalidInputError, MachineError, NotFoundError
from nodelayer.project.pins import run as refresh
from nodelayer.util import venv

BUNDLED = Path(__file__).resolve().parents[3] / "nodelayer" / "aws" / "runtimes.json"
PACKAGE = "cfn-lint"
TABLE = "cfnlint/data/AdditionalSpecs/LmbdRuntimeLifecycle.json"
PROVENANCE = (
    "AWS's table of runtime deprecation as cfn-lint {version} carries it: deprecated, then no new function "
    "(create_block), then no change to one there is (update_block). A date that is null is not known here. "
    "Refreshed by nodelayer/project/pins/runtimes.py."
)

_FAMILY = "provided"
_DATES = {"deprecated": "deprecated", "create_block": "create-block", "update_block": "update-block"}
"""Our name of a date, and cfn-lint's."""

Facts = dict[str, Any]


def table(wheel: Path) -> dict[str, Facts]:
    """cfn-lint's table by runtime. Raises NotFoundError or InvalidInputError."""
    try:
        with zipfile.ZipFile(wheel) as opened:
            found = json.loads(opened.read(TABLE))
        return {str(name): dict(facts) for name, facts in found.items()}
    except KeyError as error:
        raise NotFoundError(f"{TABLE} is not in it", where=wheel.name, todo="look where it went") from error
    except (ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InvalidInputError(
            "no table of runtimes", where=wheel.name, todo="look what it is now"
        ) from error


def refreshed(known: Facts, found: Mapping[str, Any], today: dt.date) -> Facts:
    """A runtime's facts with the dates the table has; one that it lacks stays as it is known.

    `creates` is false from the day on which no function can be made. Raises ValueError for what is no date.
    """
    facts = dict(known)
    for ours, theirs in _DATES.items():
        if found.get(theirs):
            facts[ours] = dt.date.fromisoformat(found[theirs]).isoformat()
    if facts["create_block"]:
        facts["creates"] = facts["create_block"] > today.isoformat()
    return facts


def rendered(version: str, runtimes: Mapping[str, Facts], today: dt.date) -> str:
    """The resource as JSON, a runtime a line."""
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(facts)}" for name, facts in runtimes.items())
    provenance = json.dumps(PROVENANCE.format(version=version))
    head = f'  "provenance": {provenance},\n  "as_of": "{today.isoformat()}",\n'
    return f'{{\n{head}  "runtimes": {{\n{rows}\n  }}\n}}\n'


def run(arguments: Sequence[str], *, resource: Path = BUNDLED) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Refresh until when AWS keeps each runtime.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument("--write", action="store_true", help="write what the table has, where it differs")
    parser.add_argument("--wheel", type=Path, help=f"a wheel of {PACKAGE} (default: the newest, by pip)")
    options = parser.parse_args(arguments)

    today = dt.datetime.now(tz=dt.UTC).date()
    known = _bundled(resource)
    with tempfile.TemporaryDirectory(prefix="nodelayer-runtimes-") as folder:
        wheel = options.wheel or venv.wheel(PACKAGE, Path(folder))
        version, found = wheel.name.split("-")[1], table(wheel)
    try:
        runtimes = {name: refreshed(facts, found.get(name, {}), today) for name, facts in known.items()}
    except (ValueError, TypeError) as error:
        raise InvalidInputError("a date of the table is none", where=wheel.name) from error
    told = [
        f"~ {name} {key}: {known[name][key]} -> {facts[key]}"
        for name, facts in runtimes.items()
        for key in facts
        if facts[key] != known[name][key]
    ]
    new = sorted(name for name in found if name.split(".")[0] == _FAMILY and name not in known)
    if told or not new:
        print("\n".join(told) or f"the dates of the runtimes are those of {PACKAGE} {version}")
    if options.write and told:
        try:
            resource.write_text(rendered(version, runtimes, today), encoding="utf-8")
        except OSError as error:
            raise MachineError(f"cannot be written: {error.strerror}", where=resource.name) from error
    if new:
        raise NotFoundError(
            f"AWS has a runtime that is not known here: {', '.join(new)}",
            where=resource.name,
            todo="it needs its system, an ABI policy and a base image; see docs/refreshing.md",
        )
    return int(options.compare and bool(told))


def _bundled(path: Path) -> dict[str, Facts]:
    try:
        known = json.loads(path.read_bytes())["runtimes"]
        keys = {"system", "creates", *_DATES}
        if any(set(facts) != keys for facts in known.values()):
            raise KeyError  # noqa: TRY301 - one line below says it
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            "not a list of runtimes", where=path.name, todo="check it out anew"
        ) from error
    return dict(known)


if __name__ == "__main__":
    sys.exit(refresh.typed(run))
