"""Pull requests of a work tree, by real git and gh: one, kept up to date, and the checkout untouched."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import github_api
import pytest
from support import Outcome, command

pytestmark = pytest.mark.network
BRANCH = "refresh"
WHO = ("-c", "user.name=N", "-c", "user.email=E")


@dataclass(frozen=True)
class Desk:
    """A clone of a repository of GitHub's double."""

    state: github_api.State
    environ: dict
    clone: Path
    body: Path

    def git(self, *words, folder=None):
        line = list(map(str, ("git", *words)))
        done = subprocess.run(
            line, cwd=folder or self.clone, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def type(self, *flags, title="Facts"):
        line = command("open-pull-request", "--branch", BRANCH, "--title", title, "--body-file", self.body)
        done = subprocess.run(
            [*line, *flags], cwd=self.clone, env=self.environ, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def on_main(self, files):
        """A commit of somebody else on main."""
        other = self.clone.parent / "other"
        if not other.exists():
            self.git("clone", "--quiet", self.state.git_folder, other, folder=other.parent)
        self.git("pull", "--quiet", folder=other)
        for name, text in files.items():
            (other / name).write_text(text)
        self.git("add", ".", folder=other)
        self.git(*WHO, "commit", "--quiet", "-m", "other", folder=other)
        self.git("push", "--quiet", folder=other)

    def pulls(self):
        return self.state.all("pulls")

    def checkout(self):
        """All that is somebody's own: files, index, refs, what git says."""
        files = {path: path.read_bytes() for path in self.clone.iterdir() if path.is_file()}
        told = (
            self.git("status", "--porcelain=v2", "--branch"),
            self.git("for-each-ref"),
            self.git("stash", "list"),
        )
        index = (self.clone / ".git" / "index").read_bytes()
        return files, index, told, (self.clone / ".git" / "HEAD").read_text()


@pytest.fixture(params=["whole", "shallow"])
def desk(tmp_path, gh_folder, request):
    body = tmp_path / "body.md"
    body.write_text("Refreshed.\n")
    with github_api.running(tmp_path / "github") as (state, port):
        path = os.pathsep.join((str(gh_folder), os.environ["PATH"]))
        more = {"PATH": path, "GH_CONFIG_DIR": tmp_path / "gh", "GIT_CONFIG_GLOBAL": os.devnull}
        made = Desk(state, github_api.environ(port, **more), tmp_path / "clone", body)
        made.on_main({"facts.json": "1\n", "old.txt": "old\n", "lines": "a\nb\nc\nd\ne\nf\ng\nh\n"})
        depth = ["--depth=1"] if request.param == "shallow" else []
        made.git("clone", "--quiet", *depth, f"file://{state.git_folder}", made.clone, folder=tmp_path)
        yield made


def test_what_has_changed_becomes_a_pull_request_and_the_checkout_stays(desk, tmp_path):
    (desk.clone / "facts.json").write_bytes(b"2\r\n\xff")
    (desk.clone / "new.txt").write_text("new\n")
    (desk.clone / "old.txt").unlink()
    before = desk.checkout()
    outcome = desk.type("--outputs", tmp_path / "outputs")
    assert outcome.code == 0, outcome.err
    (pull,) = desk.pulls()
    assert outcome.out == f"{pull['html_url']}\n"
    assert (pull["title"], pull["body"], pull["base"]["ref"]) == ("Facts", "Refreshed.", "main")
    assert desk.state.git("diff", "--name-status", "main", BRANCH).split() == [
        *("M", "facts.json"),
        *("A", "new.txt"),
        *("D", "old.txt"),
    ]
    assert desk.state.git("cat-file", "-s", f"{BRANCH}:facts.json") == "4"
    assert desk.state.git("log", "-1", "--format=%an|%s|%P", BRANCH) == "|".join(
        ("github-actions[bot]", "Facts", desk.state.git("rev-parse", "main"))
    )
    assert desk.checkout() == before
    assert "what=opened" in (tmp_path / "outputs").read_text()


def test_a_second_run_leaves_all_as_it_is_and_new_changes_update_it(desk):
    (desk.clone / "facts.json").write_text("2\n")
    desk.type()
    tip, calls = desk.state.git("rev-parse", BRANCH), len(desk.state.calls())
    again = desk.type()
    assert again.lines == ["Pull request 1: left"]
    assert desk.state.git("rev-parse", BRANCH) == tip
    assert all(call.startswith("GET ") for call in desk.state.calls()[calls:])
    (desk.clone / "facts.json").write_text("3\n")
    updated = desk.type("--message", "Three", title="Other")
    assert updated.lines == ["Pull request 1: updated"]
    (pull,) = desk.pulls()
    assert pull["title"] == "Other"
    assert desk.state.git("log", "--format=%s", f"main..{BRANCH}") == "Three"
    assert desk.state.git("show", f"{BRANCH}:facts.json") == "3"


def test_nothing_changed_opens_nothing_and_closes_what_is_not_needed_any_more(desk):
    outcome = desk.type()
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.lines == ["Nothing has changed: no pull request"]
    (desk.clone / "facts.json").write_text("2\n")
    desk.type()
    desk.on_main({"facts.json": "2\n"})
    assert desk.type().lines == ["Pull request 1: closed"]
    (pull,) = desk.pulls()
    assert pull["state"] == "closed"
    assert pull["comments"] == ["main has it all by now; nothing is left to change."]


def test_changes_of_an_older_checkout_are_put_on_top_of_the_base(desk):
    desk.on_main({"lines": "a\nb\nc\nd\ne\nf\ng\nOTHER\n"})
    (desk.clone / "lines").write_text("MINE\nb\nc\nd\ne\nf\ng\nh\n")
    before = desk.checkout()
    outcome = desk.type()
    assert outcome.code == 0, outcome.err
    assert desk.state.git("show", f"{BRANCH}:lines").split() == ["MINE", *"bcdefg", "OTHER"]
    assert desk.state.git("rev-parse", f"{BRANCH}^") == desk.state.git("rev-parse", "main")
    assert desk.checkout() == before


def test_changes_that_do_not_fit_the_base_are_one_line(desk):
    desk.on_main({"facts.json": "3\n"})
    (desk.clone / "facts.json").write_text("2\n")
    outcome = desk.type()
    assert (outcome.code, len(outcome.lines)) == (9, 1)
    assert "the changes do not fit main" in outcome.err
    assert desk.pulls() == []


def test_a_repository_that_lets_no_job_open_one_says_which_setting(desk):
    (desk.state.folder / "config.json").write_text('{"no_pulls": true}')
    (desk.clone / "facts.json").write_text("2\n")
    outcome = desk.type()
    assert (outcome.code, len(outcome.lines)) == (9, 1)
    assert "Allow GitHub Actions to create and approve pull requests" in outcome.err


@pytest.mark.parametrize("do", ["502", "502 after"])
def test_what_github_fails_once_is_opened_once(desk, do):
    desk.state.fault("POST", "/pulls", do)
    (desk.clone / "facts.json").write_text("2\n")
    assert desk.type().code == 0
    assert len(desk.pulls()) == 1
