"""The release lifecycle of a Node.js version, for its runtime and its aliases.

https://docs.aws.amazon.com/lambda/latest/dg/cmr-lifecycle.html. Lambda shows it to consumers. The dates after
which Lambda would block functions are left out: whoever needs an old Node.js decides that.
"""

from datetime import UTC, date, datetime

from nodelayer.aws.managed_runtimes import Lifecycle
from nodelayer.node.versions import is_stable, lts_lines, sort_key

_FIRST_ODD, _LAST_ODD = 13, 25
"""Odd lines that were never LTS; every line from 27 on is."""


def lifecycle_of(node_version: str, today: date | None = None) -> Lifecycle:
    """Return PREVIEW for a prerelease, DEPRECATED from the end of its line on, else GA.

    The end of the line is the deprecation date, if it is known. `today` is UTC, as Lambda compares it.
    """
    if not is_stable(node_version):
        return Lifecycle("PREVIEW")
    end = _end(sort_key(node_version).major)
    today = today or datetime.now(UTC).date()
    ended = end and date.fromisoformat(end) <= today
    return Lifecycle("DEPRECATED" if ended else "GA", end)


def _end(major: int) -> str:
    """Return the date on which a line ends; empty if the bundled release schedule does not have it."""
    line = lts_lines().get(major)
    if line is not None:
        return line.end_of_life
    if _FIRST_ODD <= major <= _LAST_ODD and major % 2:
        return f"{2020 + (major - _FIRST_ODD) // 2}-06-01"
    return ""
