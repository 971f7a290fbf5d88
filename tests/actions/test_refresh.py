"""The weekly refresh workflow with one outdated fact."""

import sys

import pytest
from actions.act import Stage
from support import ROOT

pytestmark = [pytest.mark.network, pytest.mark.full]

FACTS = "nodelayer/aws/runtimes.json"


@pytest.fixture(scope="module")
def stage(tmp_path_factory, act, variables, github):
    made = Stage(tmp_path_factory.mktemp("refresh"), act=act, variables=variables, github=github)
    old = (ROOT / FACTS).read_text().replace("2029-06-30", "2029-06-29")
    made.begin({FACTS: old}, source=ROOT)
    github.holds(made.bare)
    for file in (made.work / "tests" / "unit").rglob("test_*.py"):
        if file.name != "test_arn.py":  # one test file is enough here
            file.unlink()
    made.git("commit", "-qam", "Fewer tests")
    made.push("main")
    # The environment that runs these tests is what `make venv` would make.
    environment = tmp_path_factory.mktemp("environment")
    (environment / ".venv").symlink_to(sys.prefix)
    (environment / "origin").write_text(str(ROOT))
    made.prepare(environment, job="compute")
    return made


def test_refresh_hands_a_patch_to_the_job_that_opens_a_pull_request(stage, github):
    run = stage.dispatch("refresh.yml", ref="main", inputs={"only": "runtimes"})
    assert run.code == 0, run.text
    (pull,) = github.pulls()
    assert pull["state"] == "open"
    assert "~ provided.al2023 deprecated 2029-06-29 -> 2029-06-30" in pull["body"]
    changed = stage.git("diff", "--name-only", "main", "refresh", folder=stage.bare)
    assert changed.split() == [FACTS]
    assert "passed" in run.log["compute"]
    assert "invoke" not in run.log["propose"]
