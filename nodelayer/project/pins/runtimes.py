"""Deprecation dates of Lambda's runtimes, from the newest cfn-lint.

AWS publishes the table as a web page only (Lambda developer guide, "Runtime deprecation policy"). cfn-lint
has it as JSON in its wheel, which pip downloads and verifies, and does not install.
"""

import datetime as dt
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodelayer.errors import NotFoundError
from nodelayer.project.pins.pin import (
    Changes,
    Pin,
    differences,
    expected_format,
    fields,
    resource,
    today,
)
from nodelayer.util import venv
from nodelayer.util.json_text import loads

FILE = "nodelayer/aws/runtimes.json"
PACKAGE = "cfn-lint"
TABLE = "cfnlint/data/AdditionalSpecs/LmbdRuntimeLifecycle.json"
PROVENANCE = (
    "AWS's table of runtime deprecation, from cfn-lint {version}: the dates of deprecation (deprecated), and "
    "from which no function can be created (create_block) or updated (update_block). null: unknown. "
    "Refreshed by nodelayer/project/pins/runtimes.py."
)

_FAMILY = "provided"
_DATES = {"deprecated": "deprecated", "create_block": "create-block", "update_block": "update-block"}
"""The name of each date in nodelayer, and in cfn-lint."""

Facts = dict[str, Any]


def refresh(root: Path, *, wheel: Path | None = None) -> Changes:
    """Compare the bundled dates with those of a wheel of cfn-lint (default: the newest)."""
    known: dict[str, Facts] = loads((root / FILE).read_bytes())["runtimes"]
    with tempfile.TemporaryDirectory(prefix="nodelayer-runtimes-") as folder:
        downloaded = wheel or venv.wheel(PACKAGE, Path(folder))
        with expected_format(downloaded.name):
            with zipfile.ZipFile(downloaded) as opened:
                table = loads(opened.read(TABLE))
            found = {name: _updated(facts, table.get(name, {})) for name, facts in known.items()}
            new = sorted(name for name in table if name.split(".")[0] == _FAMILY and name not in known)
    lines = differences(fields(known), fields(found))
    provenance = PROVENANCE.format(version=downloaded.name.split("-")[1])
    unknown = NotFoundError(
        f"AWS has a new runtime: {', '.join(new)}",
        where=FILE,
        todo="add it with its system, ABI policy and base image",
    )
    return Changes(
        lines,
        {FILE: resource(provenance, "runtimes", found)} if lines else {},
        [unknown] if new else [],
    )


PIN = Pin("runtimes", "deprecation dates of the runtimes", refresh)


def _updated(known: Facts, found: Mapping[str, Any]) -> Facts:
    """Return the facts of a runtime with the dates of the table; a missing date stays as known.

    `creates` is false from the day on which no function can be created. Raises ValueError.
    """
    facts = dict(known)
    for ours, theirs in _DATES.items():
        if found.get(theirs):
            facts[ours] = dt.date.fromisoformat(found[theirs]).isoformat()
    if facts["create_block"]:
        facts["creates"] = facts["create_block"] > today().isoformat()
    return facts
