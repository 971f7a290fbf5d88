"""LTS lines: codename, first LTS release and dates, from Node.js's release index and release schedule.

npm does not tell which releases are LTS, so nodelayer/node/lts_lines.json does. The index has the codename of
each LTS release, and so the first LTS release of a line; the schedule has the dates.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nodelayer.errors import NotFoundError, NotVerifiedError
from nodelayer.node.versions import sort_key
from nodelayer.project.pins.pin import (
    Changes,
    Pin,
    differences,
    expected_format,
    fields,
    resource,
    today,
)
from nodelayer.util.http import Web, shown
from nodelayer.util.json_text import loads

FILE = "nodelayer/node/lts_lines.json"
INDEX = "https://nodejs.org/dist/index.json"
SCHEDULE = "https://raw.githubusercontent.com/nodejs/Release/main/schedule.json"

_MOST_BYTES = 20_000_000
_TODO = "check the network"

Lines = dict[str, dict[str, str | None]]


def refresh(root: Path, *, index: str = INDEX, schedule: str = SCHEDULE) -> Changes:
    """Compare the bundled LTS lines with the index and the schedule at these addresses."""
    bundled = loads((root / FILE).read_bytes())
    known: Lines = bundled["lines"]
    with Web(todo=_TODO) as web:
        releases, plans = download(web, index), download(web, schedule)
    with expected_format(f"{shown(index)} and {shown(schedule)}"):
        found = lts_lines(releases, plans, known)
    lines = differences(fields(known), fields(found))
    return Changes(lines, {FILE: resource(bundled["provenance"], "lines", found)} if lines else {})


PIN = Pin("lts-lines", "Node.js's LTS lines", refresh)


def download(web: Web, url: str) -> Any:  # noqa: ANN401 - JSON, judged by the caller
    """Download a JSON document. Raises NodelayerError."""
    answer = web.get(url, most=_MOST_BYTES)
    if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
        raise NotFoundError(f"the host answers {answer.status}", where=shown(url), todo=_TODO)
    with expected_format(shown(url)):
        return loads(answer.data)


def lts_lines(index: Sequence[Mapping[str, Any]], schedule: Mapping[str, Any], known: Lines) -> Lines:
    """Return each line that is or was LTS, by major version; a line that no source has stays as known."""
    first = _first_releases(index)
    found: Lines = dict(known)
    for name, plan in schedule.items():
        major = name.removeprefix("v")
        kept = known.get(major, {})
        codename, release, published = first.get(
            major, (plan.get("codename") or kept.get("codename"), None, None)
        )
        since = plan.get("lts") or published  # the schedule has no such date from Node.js 27 on
        if since is None or since > today().isoformat():
            continue
        if not codename:
            raise NotVerifiedError(
                f"no source has the codename of {name}", todo="see CODENAMES.md of nodejs/Release"
            )
        found[major] = {
            "codename": str(codename),
            "first": release or kept.get("first"),
            "since": dt.date.fromisoformat(since).isoformat(),
            "end_of_life": dt.date.fromisoformat(plan["end"]).isoformat(),
        }
    if unplanned := sorted(set(first) - set(found), key=int):
        raise NotVerifiedError(
            f"the schedule lacks Node.js {unplanned[0]}, which is LTS", todo="try again later"
        )
    return {major: found[major] for major in sorted(found, key=int)}


def _first_releases(index: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str, str | None]]:
    """Return codename, first release and its date of each LTS line in the index, by major version."""
    found: dict[str, tuple[str, str, str | None]] = {}
    releases = [each for each in index if each["lts"]]
    for each in sorted(releases, key=lambda release: sort_key(str(release["version"]))):
        version = str(each["version"]).removeprefix("v")
        found.setdefault(version.partition(".")[0], (str(each["lts"]), version, each.get("date")))
    return found
