"""The scripts of the workflows, with the real git and gh and a fake GitHub API."""

import os
import shutil
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


FACTS = "nodelayer/aws/runtimes.json"


@pytest.fixture
def refresh(job, tmp_path):
    """Return a function that commits files to main, and hands the script a patch of changes to them."""
    paths = job.checkout / ".github" / "refresh-paths.txt"
    paths.parent.mkdir()
    shutil.copy(ROOT / ".github" / "refresh-paths.txt", paths)
    for name in (FACTS, "Makefile"):
        (job.checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (job.checkout / name).write_text("0\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    job.run("git", "add", "--all")
    job.run("git", *who, "commit", "--quiet", "--message=Files")
    job.run("git", "push", "--quiet", "origin", "HEAD:main")
    job.run("git", "fetch", "--quiet", "origin")

    def run(body, **changes):
        job.run("git", "checkout", "--quiet", "--force", "--detach", "origin/main")
        for name, text in changes.items():
            (job.checkout / name).write_text(text)
        job.run("git", "add", "--all")
        job.run("git", "diff", "--cached", f"--output={tmp_path / 'refresh.patch'}")
        job.run("git", "reset", "--quiet", "--hard")
        (tmp_path / "body.md").write_text(body)
        job.script("open-pull-request.sh", tmp_path / "refresh.patch", tmp_path / "body.md")
        (pull,) = job.state.all("pulls")
        return job.state.git("rev-parse", "refresh"), pull["body"]

    return run


def test_open_pull_request_is_updated_with_the_patch(job, refresh):
    first = refresh("one", **{FACTS: "1\n"})
    assert first[1] == "one"
    assert refresh("one", **{FACTS: "1\n"}) == first
    second, text = refresh("two", **{FACTS: "2\n"})
    assert text == "two"
    assert job.state.git("show", f"refresh:{FACTS}") == "2"
    assert job.state.git("rev-parse", f"{second}^") == job.state.git("rev-parse", "main")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({FACTS: "1\n", "Makefile": "all:\n\tevil\n"}, "does not list: Makefile"),
        (
            {".github/refresh-paths.txt": "Makefile\n", "Makefile": "1\n"},
            "does not list: .github/refresh-paths.txt",
        ),
        ({FACTS: "1\n", "requirements.txt": "evil\n"}, "more than change the content of files"),
    ],
)
def test_patch_that_changes_more_than_pins_opens_no_pull_request(job, refresh, changes, why):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        refresh("one", **changes)
    assert refused.value.returncode == 5
    assert why in refused.value.stdout.decode()
    assert job.state.all("pulls") == []
    assert "refresh" not in job.state.git("branch", "--list")


def test_one_issue_stays_open_while_a_workflow_fails(job):
    def report(results):
        job.script("report-outcome.sh", "nodelayer-watch", RESULTS=results, NOTIFY="@owner/maintainers")
        return [(each["state"], len(each["comments"])) for each in job.state.all("issues")]

    assert report("success skipped") == []
    assert report("success failure") == [("open", 0)]
    assert job.state.all("issues")[0]["body"].endswith("/actions/runs/1 @owner/maintainers")
    assert report("cancelled skipped") == [("open", 1)]
    assert report("success") == [("closed", 2)]
    assert report("failure") == [("open", 0), ("closed", 2)]
