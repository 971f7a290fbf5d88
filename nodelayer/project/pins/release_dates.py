"""The date of each Node.js release, from Node.js's release index, or if it cannot be reached, from npm.

A retired key of the release team counts only for releases that were out when it was retired. The download
must not say which these are, so nodelayer/node/release_dates.json does. npm's times are days or years later
than the release, so they are used only for releases that the file does not list yet.
"""

import datetime as dt
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nodelayer.errors import UnreachableError
from nodelayer.node.sources.base import SourceContext
from nodelayer.node.sources.npm import Npm
from nodelayer.node.versions import OLDEST, is_stable, is_version, sort_key
from nodelayer.project.pins.lts_lines import INDEX, download
from nodelayer.project.pins.pin import Changes, Pin, differences, expected_format, resource
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter
from nodelayer.util.http import Web, shown
from nodelayer.util.json_text import loads

FILE = "nodelayer/node/release_dates.json"

Dates = dict[str, str]


def npm_times() -> Dates:
    """Return the time of each version of npm's package `node`. Raises NodelayerError."""
    npm = Npm(SourceContext(DownloadCache(), Reporter(quiet=True), os.environ))
    times: Dates = npm.view("node", "time")
    return times


def refresh(root: Path, *, index: str = INDEX, npm: Callable[[], Dates] = npm_times) -> Changes:
    """Compare the bundled dates with the index at this address, or with npm."""
    bundled = loads((root / FILE).read_bytes())
    known: Dates = bundled["releases"]
    try:
        with Web(todo="check the network") as web:
            releases = download(web, index)
        with expected_format(shown(index)):
            found = known | _dates((str(each["version"]), str(each["date"])) for each in releases)
    except UnreachableError:
        times = npm()
        with expected_format("npm view node time"):
            found = _dates(times.items()) | known
    lines = differences(known, found)
    dates = {version: found[version] for version in sorted(found, key=sort_key)}
    return Changes(lines, {FILE: resource(bundled["provenance"], "releases", dates)} if lines else {})


PIN = Pin("release-dates", "dates of Node.js releases", refresh)


def _dates(times: Iterable[tuple[str, str]]) -> Dates:
    """Return the date of each release that nodelayer can build; npm's list has other words too."""
    return {
        version.removeprefix("v"): dt.date.fromisoformat(time[:10]).isoformat()
        for version, time in times
        if is_version(version) and is_stable(version) and sort_key(version) >= sort_key(OLDEST)
    }
