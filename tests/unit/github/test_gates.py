"""What must hold at GitHub before a release publishes, with the real gh and a fake server."""

import json
import os
from dataclasses import replace

import github_api
import pytest

from nodelayer.errors import RefusedError
from nodelayer.github import gates
from nodelayer.github.api import open_github
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.network

SHA = "0123456789abcdef0123456789abcdef01234567"
PASSED = {"status": "completed", "conclusion": "success"}
RUNNING = {"status": "in_progress", "conclusion": None}


@pytest.fixture
def place(tmp_path, gh_folder):
    """Return a function that opens a GitHub with a configuration; it collects the waits."""
    with github_api.running(tmp_path / "github") as (state, port):
        path = os.pathsep.join((str(gh_folder), os.environ["PATH"]))
        environ = github_api.environ(port, PATH=path, GH_CONFIG_DIR=tmp_path / "gh")

        def opened(**config):
            (state.folder / "config.json").write_text(json.dumps(config))
            waits = []
            return replace(open_github(environ, Reporter(quiet=True)), pause=waits.append), waits

        yield opened


def test_environment_that_is_limited_to_tags_is_accepted(place):
    assert gates.check_environment(place()[0], "release")


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "the environment release does not exist"),
        ({"deployment_branch_policy": None}, "every branch can use the environment release"),
    ],
)
def test_missing_or_open_environment_is_refused(place, environment, why):
    with pytest.raises(RefusedError, match=why):
        gates.check_environment(place(environments={"release": environment})[0], "release")


def test_release_waits_until_the_check_of_its_commit_passed(place):
    github, waits = place(checks=[[], [RUNNING], [PASSED]])
    assert gates.wait_for_check(github, "required", SHA, minutes=5).endswith(SHA[:7])
    assert waits == [30, 30]


@pytest.mark.parametrize(
    ("checks", "why"),
    [
        ([[{"status": "completed", "conclusion": "failure"}]], "did not pass \\(failure\\)"),
        ([[]], "did not end within 1 minutes"),
    ],
)
def test_failed_or_missing_check_stops_the_release(place, checks, why):
    with pytest.raises(RefusedError, match=why):
        gates.wait_for_check(place(checks=checks)[0], "required", SHA, minutes=1)
