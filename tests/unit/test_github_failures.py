"""Issues of a workflow that fails twice, by the real gh at a double of GitHub."""

import json
import os
import subprocess
from dataclasses import dataclass

import github_api
import pytest
from support import Outcome, command

pytestmark = pytest.mark.network
LABEL = "nodelayer-watch"


@dataclass(frozen=True)
class Watch:
    """GitHub's double with runs of watch.yml."""

    state: github_api.State
    environ: dict

    def run(self, number, *failed, branch="main", conclusion="", file="watch.yml"):
        """A run whose jobs are a, b and those that failed; without `conclusion` it goes on."""
        url = f"https://github.localhost/owner/name/actions/runs/{number}"
        run = {
            "id": number,
            "run_number": number,
            "path": f".github/workflows/{file}",
            "head_branch": branch,
            "status": "completed" if conclusion else "in_progress",
            "conclusion": conclusion or None,
            "html_url": url,
        }
        jobs = [
            {
                "name": name,
                "conclusion": "failure" if name in failed else "success",
                "html_url": f"{url}/job/{name[0]}",
            }
            for name in sorted({"a", "b", *failed})
        ]
        text = json.dumps(
            {"run": run, "jobs": [*jobs, {"name": "report", "conclusion": None, "html_url": url}]}
        )
        (self.state.folder / "runs" / f"{number}.json").write_text(text)

    def type(self, what, number, *flags, workflow="watch.yml"):
        done = subprocess.run(
            [*command(f"report-{what}", "--workflow", workflow, "--run-id", str(number)), *flags],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def issue(self):
        (found,) = self.state.all("issues")
        return found


@pytest.fixture
def watch(tmp_path, gh_folder):
    with github_api.running(tmp_path / "github") as (state, port):
        path = os.pathsep.join((str(gh_folder), os.environ["PATH"]))
        yield Watch(state, github_api.environ(port, PATH=path, GH_CONFIG_DIR=tmp_path / "gh"))


def test_what_fails_once_is_said_and_opens_nothing(watch):
    watch.run(1, conclusion="success")
    watch.run(2, "a")
    outcome = watch.type("failure", 2)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.lines == ["a failed in this run, and not in the one before: no issue yet"]
    assert watch.state.all("issues") == []


def test_a_first_run_has_none_before(watch):
    watch.run(1, "a")
    assert watch.type("failure", 1).lines[-1].endswith("no issue yet")


def test_another_job_than_last_time_is_a_first_failure(watch):
    watch.run(1, "b", conclusion="failure")
    watch.run(2, "a")
    watch.type("failure", 2)
    assert watch.state.all("issues") == []


def test_a_job_that_fails_twice_is_named_in_an_issue_once(watch, tmp_path):
    watch.run(1, "a", "c [12]", conclusion="failure")
    watch.run(2, "a", conclusion="cancelled")
    watch.run(3, "a", branch="other", conclusion="success")
    watch.run(4, "b", "c [12]")
    outcome = watch.type("failure", 4, "--outputs", tmp_path / "outputs")
    issue = watch.issue()
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{issue['html_url']}\n"
    assert (tmp_path / "outputs").read_text() == f"issue={issue['html_url']}\n"
    assert (issue["title"], issue["labels"]) == ("watch.yml fails again and again", [LABEL])
    runs = "https://github.localhost/owner/name/actions/runs"
    assert issue["body"].splitlines()[:3] == [
        f"Failed in [run 4]({runs}/4) and [run 1]({runs}/1) of `watch.yml`:",
        "",
        f"- [c (12)]({runs}/4/job/c)",
    ]
    assert outcome.lines == ["c [12] failed twice: an issue is opened"]
    assert watch.type("failure", 4).lines == ["c [12] failed twice: the open issue has been told already"]
    assert watch.issue()["comments"] == []


def test_further_failures_are_comments_each_once_and_success_closes(watch):
    for number in (1, 2, 3):
        watch.run(number, "a", conclusion="failure")
    watch.type("failure", 2)
    for _ in range(2):
        watch.type("failure", 3)
    assert len(watch.issue()["comments"]) == 1
    assert watch.type("success", 3).lines == ["a failed: the issue stays open"]
    watch.run(4)
    assert watch.type("success", 4).lines == ["it works again: the issue is closed"]
    issue = watch.issue()
    assert issue["state"] == "closed"
    assert "[run 4]" in issue["comments"][-1]
    assert watch.type("success", 4).lines == ["no issue is open"]
    watch.run(5, "a", conclusion="failure")
    watch.run(6, "a")
    watch.type("failure", 6)
    assert [each["state"] for each in watch.state.all("issues")] == ["open", "closed"]


@pytest.mark.parametrize("path", ["/issues", "/comments"])
@pytest.mark.parametrize("do", ["502", "502 after"])
def test_what_github_fails_once_is_told_once(watch, path, do):
    for number in (1, 2, 3):
        watch.run(number, "a", conclusion="failure")
    if path == "/comments":
        watch.type("failure", 2)
    watch.state.fault("POST", f"{path}$", do)
    assert watch.type("failure", 3).code == 0
    assert len(watch.issue()["comments"]) == (path == "/comments")


def test_more_jobs_than_fit_a_page_are_all_looked_at(watch):
    jobs = [f"x{number:03}" for number in range(150)]
    watch.run(1, *jobs, conclusion="failure")
    watch.run(2, *jobs)
    watch.type("failure", 2)
    assert watch.issue()["body"].count("- [x") == 150


def test_a_run_of_another_workflow_is_refused(watch):
    watch.run(1, file="ci.yml")
    outcome = watch.type("failure", 1)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "run 1 is of ci.yml, not of watch.yml" in outcome.err
    assert watch.type("failure", "x").code == 2
    assert watch.type("failure", 7).code == 3
