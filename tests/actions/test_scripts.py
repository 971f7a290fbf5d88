"""The scripts of the workflows, with the real git and gh and a fake GitHub API."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import github_api
import pytest
from support import ROOT

pytestmark = pytest.mark.network


@dataclass(frozen=True)
class Job:
    """A job with a checkout of a repository on the fake GitHub server."""

    state: github_api.State
    environ: dict
    checkout: Path

    def run(self, *line, **more):
        subprocess.run(line, cwd=self.checkout, env=self.environ | more, check=True, capture_output=True)

    def script(self, name, *arguments, **more):
        self.run(ROOT / ".github" / "scripts" / name, *arguments, **more)


@pytest.fixture
def job(gh, tmp_path):
    checkout = tmp_path / "checkout"
    with github_api.running(tmp_path / "github") as (state, port):
        variables = {
            "PATH": os.pathsep.join((str(gh.parent), os.environ["PATH"])),
            "GH_CONFIG_DIR": tmp_path / "gh",
            "GITHUB_REF_NAME": "main",
            "GITHUB_RUN_ID": "1",
            "GITHUB_SERVER_URL": github_api.WEB,
            "GITHUB_WORKFLOW": "Watch",
        }
        made = Job(state, github_api.environ(port, **variables), checkout)
        checkout.mkdir()
        made.run("git", "clone", "--quiet", "--depth=1", f"file://{state.git_folder}", ".")
        yield made


def test_open_pull_request_is_updated_with_the_work_tree(job, tmp_path):
    body = tmp_path / "body.md"

    def open_pull_request(facts, text):
        """Change a file of a new checkout, and run the script."""
        job.run("git", "checkout", "--quiet", "--force", "--detach", "origin/main")
        (job.checkout / "facts.json").write_text(facts)
        body.write_text(text)
        job.script("open-pull-request.sh", body)
        (pull,) = job.state.all("pulls")
        return job.state.git("rev-parse", "refresh"), pull["body"]

    job.script("open-pull-request.sh", body)  # nothing has changed
    assert job.state.all("pulls") == []
    first = open_pull_request("1", "one")
    assert first[1] == "one"
    assert open_pull_request("1", "one") == first
    second, text = open_pull_request("2", "two")
    assert text == "two"
    assert job.state.git("show", "refresh:facts.json") == "2"
    assert job.state.git("rev-parse", f"{second}^") == job.state.git("rev-parse", "main")


def test_one_issue_stays_open_while_a_workflow_fails(job):
    def report(results):
        job.script("report-outcome.sh", "nodelayer-watch", RESULTS=results)
        return [(each["state"], len(each["comments"])) for each in job.state.all("issues")]

    assert report("success skipped") == []
    assert report("success failure") == [("open", 0)]
    assert report("cancelled skipped") == [("open", 1)]
    assert report("success") == [("closed", 2)]
    assert report("failure") == [("open", 0), ("closed", 2)]
