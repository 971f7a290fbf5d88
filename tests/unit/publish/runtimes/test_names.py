"""Names and release lifecycles of runtimes, from Node.js versions."""

from datetime import date

import pytest

from nodelayer.aws.managed_runtimes import Lifecycle
from nodelayer.publish.runtimes.lifecycle import lifecycle_of
from nodelayer.publish.runtimes.names import age, describe, node_version, runtime_name


@pytest.mark.parametrize(
    ("version", "today", "expected"),
    [
        ("27.0.0-alpha.0.0.0", "2026-11-27", Lifecycle("PREVIEW")),
        ("24.0.0-rc.1", "2026-11-27", Lifecycle("PREVIEW")),
        ("24.1.0", "2028-04-29", Lifecycle("GA", "2028-04-30")),
        ("24.1.0", "2028-04-30", Lifecycle("DEPRECATED", "2028-04-30")),  # Lambda demands it on that day
        ("12.16.1", "2026-11-27", Lifecycle("DEPRECATED", "2022-04-30")),
        ("25.9.0", "2026-05-31", Lifecycle("GA", "2026-06-01")),
        ("13.0.0", "2026-11-27", Lifecycle("DEPRECATED", "2020-06-01")),
        ("99.0.0", "2026-11-27", Lifecycle("GA")),
    ],
)
def test_lifecycle_follows_the_schedule_of_nodejs(version, today, expected):
    assert lifecycle_of(version, date.fromisoformat(today)) == expected


def test_names_sort_by_release_and_then_by_build():
    names = ["mine", "27.0.0-alpha.0.0.0_2.0.0", "12.16.1_1.0.0", "12.16.1_1.10.0", "24.1.0_1.0.0"]
    assert sorted((names[at] for at in (3, 1, 4, 0, 2)), key=age) == names
    assert [node_version(name) for name in names[:3]] == ["", "27.0.0-alpha.0.0.0", "12.16.1"]
    assert describe("12.16.1_1.10.0") == "Node.js 12.16.1, built by nodelayer 1.10.0"
    assert describe("mine") == "mine"
    assert runtime_name("27.0.0-alpha.0.0.0") == "nodejs-27"
