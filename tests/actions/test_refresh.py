"""The weekly workflow with one outdated fact, and the script that opens its pull request."""

import os
import subprocess

import github_api
import pytest
from actions.act import Stage
from support import ROOT

pytestmark = pytest.mark.network

FACTS = "nodelayer/resources/runtimes.json"
SCRIPT = ROOT / ".github" / "scripts" / "open-pull-request.sh"


@pytest.fixture(scope="module")
def stage(tmp_path_factory, act, variables, github):
    made = Stage(tmp_path_factory.mktemp("refresh"), act=act, variables=variables, github=github)
    old = (ROOT / FACTS).read_text().replace("2029-06-30", "2029-06-29")
    made.begin({FACTS: old}, source=ROOT)
    github.holds(made.bare)
    for file in (made.work / "tests" / "unit").glob("test_*.py"):
        if file.name != "test_arn.py":  # one of them for all, which run beside this
            file.unlink()
    made.git("commit", "-qam", "Fewer tests")
    made.push("main")
    return made


def test_what_is_behind_becomes_a_pull_request(stage, github):
    run = stage.dispatch("refresh.yml", ref="main", inputs={"only": "runtimes"})
    assert run.code == 0, run.text
    (pull,) = github.pulls()
    assert pull["state"] == "open"
    assert "2029-06-29 -> 2029-06-30" in pull["body"]
    changed = stage.git("diff", "--name-only", "main", "refresh", folder=stage.bare)
    assert changed.split() == [FACTS]
    assert "passed" in run.log["refresh what is pinned"]


def test_the_open_pull_request_follows_the_work_tree(gh, tmp_path):
    clone, body = tmp_path / "clone", tmp_path / "body.md"
    with github_api.running(tmp_path / "github") as (state, port):
        path = os.pathsep.join((str(gh.parent), os.environ["PATH"]))
        more = {"PATH": path, "GH_CONFIG_DIR": tmp_path / "gh", "GITHUB_REF_NAME": "main"}
        environ = github_api.environ(port, **more)

        def run(*line):
            subprocess.run(line, cwd=clone, env=environ, check=True, capture_output=True)

        def open_pull_request(facts, text):
            """Change a file of a new checkout, and run the script."""
            run("git", "checkout", "--quiet", "--force", "--detach", "origin/main")
            (clone / "facts.json").write_text(facts)
            body.write_text(text)
            run(SCRIPT, body)
            (pull,) = state.all("pulls")
            return state.git("rev-parse", "refresh"), pull["body"]

        clone.mkdir()
        run("git", "clone", "--quiet", "--depth=1", f"file://{state.git_folder}", ".")
        run(SCRIPT, body)  # nothing has changed
        assert state.all("pulls") == []
        first = open_pull_request("1", "one")
        assert first[1] == "one"
        assert open_pull_request("1", "one") == first
        second, text = open_pull_request("2", "two")
        assert text == "two"
        assert state.git("show", "refresh:facts.json") == "2"
        assert state.git("rev-parse", f"{second}^") == state.git("rev-parse", "main")
