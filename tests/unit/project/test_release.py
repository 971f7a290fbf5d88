"""Releases of nodelayer, in real repositories with a remote: refusals, results and rollbacks."""

import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console
from support import ROOT, Outcome, start

from nodelayer.errors import InvalidInputError, MachineError, NodelayerError
from nodelayer.project import release as own_release
from nodelayer.project.changelog import Changelog
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.full

DAY = date(2026, 11, 25)
PYPROJECT = '[project]\nname = "nodelayer"\nversion = "1.2.2"\n\n[tool.x]\nversion = "1.2.2"\n'
CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A door.\n\n## [1.2.2] - 2026-01-01\n\n- Walls.\n"
)
PUSH = "git push --atomic origin main v1.2.3"


@pytest.fixture(autouse=True)
def no_git_configuration(tmp_path, monkeypatch):
    """Make git use only the configuration of the repository and of the test."""
    for name in [each for each in os.environ if each.startswith("GIT_")] + ["EMAIL"]:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LC_ALL", "C")


@dataclass(frozen=True)
class Checkout:
    """A checkout that can be released, and its remote."""

    root: Path
    remote: Path

    def git(self, *words, at=None):
        done = subprocess.run(
            ["git", *words], cwd=at or self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message, **files):
        for name, text in files.items():
            (self.root / name.replace("_", ".")).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def elsewhere(self):
        """Clone the remote as another user."""
        place = self.root.parent / "elsewhere"
        self.git("clone", "--quiet", str(self.remote), str(place), at=self.root.parent)
        for name, value in (("user.name", "Bo"), ("user.email", "bo@example.org")):
            self.git("config", name, value, at=place)
        return place

    def hook(self, name, script):
        path = self.root / ".git" / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def plan(self, step="patch", *, branch="main", remote="origin", output=None):
        console = Console(file=output or io.StringIO(), width=500)
        return own_release.plan(
            self.root, step, DAY, branch=branch, remote=remote, reporter=Reporter(console)
        )

    def release(self, step="patch"):
        planned = self.plan(step)
        own_release.release(self.root, planned)
        return planned

    def command(self, *words, **variables):
        """Run a command with the tasks.py of this checkout."""
        program = Path(sys.executable).parent / "invoke"
        environ = {**os.environ, **variables}
        done = subprocess.run(
            [program, *words], cwd=self.root, env=environ, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def files(self):
        """Return mode and bytes of each file, including .git but without its objects."""
        return {
            str(path.relative_to(self.root)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and "objects" not in path.parts and "__pycache__" not in path.parts
        }

    def state(self):
        """Return everything that a refusal must not change, here and at the remote."""
        return self.files(), self.git("for-each-ref", at=self.remote)

    def stable_state(self):
        """Return the state without what git always writes, such as times in the index and reflogs."""
        kept = {name: what for name, what in self.files().items() if not name.startswith(".git/")}
        asked = [
            ("ls-files", "--stage"),
            ("for-each-ref",),
            ("symbolic-ref", "HEAD"),
            ("status", "--porcelain"),
        ]
        return kept, [self.git(*words) for words in asked], self.git("for-each-ref", at=self.remote)


@pytest.fixture
def checkout(tmp_path):
    root, remote = tmp_path / "checkout", tmp_path / "remote.git"
    made = Checkout(root, remote)
    made.git("init", "--quiet", "--bare", "--initial-branch=main", str(remote), at=tmp_path)
    made.git("init", "--quiet", "--initial-branch=main", str(root), at=tmp_path)
    made.git("config", "user.name", "Ada")
    made.git("config", "user.email", "ada@example.org")
    made.git("remote", "add", "origin", str(remote))
    shutil.copy(ROOT / "tasks.py", root)
    (root / ".gitignore").write_text("dist/\n__pycache__/\n")
    made.commit("Begin", pyproject_toml=PYPROJECT, CHANGELOG_md=CHANGELOG)
    made.git("push", "--quiet", "--set-upstream", "origin", "main")
    return made


# ---- successful releases


def test_release_makes_one_commit_of_two_files_and_an_annotated_tag_without_a_push(checkout):
    before, remote = checkout.git("rev-parse", "HEAD"), checkout.git("for-each-ref", at=checkout.remote)
    planned = checkout.release()
    assert planned.push == PUSH
    assert checkout.git("log", "--format=%s|%P", f"{before}..HEAD") == f"Release 1.2.3|{before}"
    assert checkout.git("diff", "--name-only", before, "HEAD").split() == ["CHANGELOG.md", "pyproject.toml"]
    assert checkout.git("cat-file", "-t", "v1.2.3") == "tag"
    assert checkout.git("rev-parse", "v1.2.3^{commit}") == checkout.git("rev-parse", "HEAD")
    assert (checkout.root / "pyproject.toml").read_text() == PYPROJECT.replace("1.2.2", "1.2.3", 1)
    assert (checkout.root / "CHANGELOG.md").read_text() == CHANGELOG.replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n## [1.2.3] - 2026-11-25\n"
    )
    assert checkout.git("status", "--porcelain") == ""
    assert checkout.git("for-each-ref", at=checkout.remote) == remote


def test_the_printed_command_pushes_commit_and_tag(checkout):
    subprocess.run(checkout.release("minor").push.split(), cwd=checkout.root, capture_output=True, check=True)
    there = checkout.git("for-each-ref", "--format=%(refname)", at=checkout.remote).split()
    assert there == ["refs/heads/main", "refs/tags/v1.3.0"]
    assert checkout.git("rev-parse", "main", at=checkout.remote) == checkout.git("rev-parse", "HEAD")


def test_the_command_prints_only_the_push_command(checkout):
    outcome = checkout.command("release", "patch")
    assert (outcome.code, outcome.out) == (0, f"{PUSH}\n"), outcome.err
    assert "Release 1.2.3 is committed and tagged" in outcome.err
    assert (
        Changelog((checkout.root / "CHANGELOG.md").read_text()).section("1.2.3") == "### Added\n\n- A door."
    )
    assert f"## [1.2.3] - {datetime.now(UTC).date()}" in (checkout.root / "CHANGELOG.md").read_text()


def test_dry_run_prints_the_plan_and_changes_nothing(checkout):
    before = checkout.state()
    outcome = checkout.command("release", "minor", "--dry-run")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [
        "1.3.0",
        "",
        "### Added",
        "",
        "- A door.",
        "",
        "git commit --quiet --message 'Release 1.3.0' -- CHANGELOG.md pyproject.toml",
        "git tag --annotate --message 'Release 1.3.0' v1.3.0",
        "git push --atomic origin main v1.3.0",
    ]
    assert checkout.state() == before


def test_untracked_files_are_named_and_not_released(checkout):
    (checkout.root / "layers.json").write_text("{}")
    (checkout.root / "dist").mkdir()
    (checkout.root / "dist" / "ignored.zip").write_text("")
    output = io.StringIO()
    own_release.release(checkout.root, checkout.plan(output=output))
    assert "not in the release, because git does not track them: layers.json\n" in output.getvalue()
    assert checkout.git("status", "--porcelain") == "?? layers.json"


def test_an_unreachable_remote_is_a_warning(checkout):
    checkout.git("remote", "set-url", "origin", str(checkout.remote) + "-gone")
    output = io.StringIO()
    own_release.release(checkout.root, checkout.plan(output=output))
    assert "warning: origin does not answer (" in output.getvalue()
    assert checkout.git("tag") == "v1.2.3"


# ---- refusals


def change_tracked(checkout):
    (checkout.root / "tasks.py").write_text("changed")


def stage_new(checkout):
    (checkout.root / "new.py").write_text("")
    checkout.git("add", "new.py")


def change_version_only(checkout):
    (checkout.root / "pyproject.toml").write_text(PYPROJECT.replace("1.2.2", "1.2.3", 1))


def other_branch(checkout):
    checkout.git("switch", "--quiet", "--create", "feature/x")


def detach(checkout):
    checkout.git("switch", "--quiet", "--detach")


def fall_behind(checkout):
    place = checkout.elsewhere()
    checkout.git("commit", "--quiet", "--allow-empty", "--message", "Bo's", at=place)
    checkout.git("push", "--quiet", at=place)


def tag_here(checkout):
    checkout.git("tag", "v1.2.3")


def tag_there(checkout):
    checkout.git("tag", "v1.2.3", at=checkout.remote)


def no_remote(checkout):
    checkout.git("remote", "remove", "origin")


def no_name(checkout):
    checkout.git("config", "--unset", "user.name")


def no_repository(checkout):
    shutil.rmtree(checkout.root / ".git")


def nested_repository(checkout):
    shutil.rmtree(checkout.root / ".git")
    checkout.git("init", "--quiet", at=checkout.root.parent)


def committed(**files):
    def prepare(checkout):
        checkout.commit("Break", **files)
        checkout.git("push", "--quiet")

    return prepare


def file_gone(checkout):
    checkout.git("rm", "--quiet", "CHANGELOG.md")
    checkout.commit("Break")


REFUSED = [
    (change_tracked, 2, "uncommitted changes: tasks.py: commit them, or run git stash"),
    (stage_new, 2, "uncommitted changes: new.py"),
    (
        change_version_only,
        2,
        "if a release was interrupted, run git restore CHANGELOG.md",
    ),
    (other_branch, 2, "a release needs branch main, but this is branch feature/x: run git switch main"),
    (detach, 2, "a release needs branch main, but this is a detached HEAD: run git switch main"),
    (fall_behind, 2, "origin has newer commits on main: run git pull --rebase origin main"),
    (tag_here, 2, "the tag v1.2.3 already exists [this clone]"),
    (tag_there, 2, "the tag v1.2.3 already exists [origin]"),
    (no_remote, 2, "git has no remote 'origin'"),
    (no_name, 7, "git has no name and email address for commits: run git config --global user.name NAME"),
    (no_repository, 2, "the folder is not a git repository (not a git repository"),
    (nested_repository, 2, "this folder is not the root of its git repository ("),
    (file_gone, 2, "CHANGELOG.md does not exist"),
    (
        committed(pyproject_toml="[project]\nversion = '1.2'\n"),
        2,
        "the project's version '1.2' is not a semantic version",
    ),
    (
        committed(CHANGELOG_md="# Changelog\n\n## [1.2.2]\n"),
        2,
        "the changelog has no text below ## [Unreleased]",
    ),
]


@pytest.mark.parametrize(("prepare", "code", "message"), REFUSED)
def test_unfit_repository_is_refused_in_one_line_without_changes(checkout, prepare, code, message):
    prepare(checkout)
    os.utime(
        checkout.root / ".gitignore", (1, 1)
    )  # git would update its index if nodelayer did not prevent it
    before = checkout.state()
    with pytest.raises(NodelayerError) as caught:
        checkout.plan()
    assert message in str(caught.value)
    assert (caught.value.code, str(caught.value).count("\n")) == (code, 0)
    assert checkout.state() == before


def test_command_prints_a_refusal_in_one_line(checkout):
    stage_new(checkout)
    before = checkout.state()
    outcome = checkout.command("release", "patch")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == ("nodelayer: uncommitted changes: new.py: commit them, or run git stash\n")
    assert checkout.state() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["breaking"], "'breaking' is not a level of a version: use patch, minor, major"),
        (["patch", "--remote", "upstream"], "git has no remote 'upstream'"),
        (["patch", "--remote", "--upload-pack=x"], "git has no remote '--upload-pack=x'"),
    ],
)
def test_invalid_level_or_remote_is_refused(checkout, words, message):
    before = checkout.state()
    outcome = checkout.command("release", *words)
    assert (outcome.code, outcome.out, message in outcome.err) == (2, "", True), outcome.err
    assert checkout.state() == before


def test_without_git_the_error_says_so(checkout, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome = checkout.command("release", "patch", PATH=str(tmp_path / "empty"))
    assert (outcome.code, outcome.err) == (
        7,
        "nodelayer: git is not installed: install it: https://git-scm.com/downloads\n",
    )


# ---- failures and rollbacks


@pytest.mark.parametrize(
    "prepare",
    [
        lambda checkout: checkout.hook("commit-msg", "exit 1"),
        lambda checkout: checkout.git("config", "commit.gpgSign", "true"),
    ],
    ids=["commit-msg", "signature"],
)
def test_a_failed_commit_restores_everything(checkout, prepare):
    checkout.git("config", "gpg.program", "false")
    prepare(checkout)
    before = checkout.stable_state()
    with pytest.raises(MachineError, match="the commit failed, and every change was undone"):
        checkout.release()
    assert checkout.stable_state() == before


@pytest.mark.parametrize(
    "prepare",
    [
        lambda checkout: checkout.git("config", "tag.gpgSign", "true"),
        lambda checkout: checkout.hook("reference-transaction", 'grep -q "refs/tags/" && exit 1; exit 0'),
    ],
    ids=["signature", "hook"],
)
def test_a_failed_tag_undoes_the_commit(checkout, prepare):
    checkout.git("config", "gpg.program", "false")
    prepare(checkout)
    before, commit = checkout.stable_state(), checkout.git("rev-parse", "HEAD")
    with pytest.raises(MachineError, match="the tag failed, and every change was undone"):
        checkout.release()
    assert checkout.stable_state() == before
    assert checkout.git("rev-parse", "HEAD") == commit


def test_the_output_of_a_hook_is_printed_before_the_error(checkout):
    checkout.hook("pre-commit", "echo to stdout; echo the hook says no >&2; exit 1")
    outcome = checkout.command("release", "patch")
    assert (outcome.code, outcome.out) == (7, "")
    *hook, last = outcome.lines
    assert hook == ["to stdout", "the hook says no"]
    assert last.startswith(
        "nodelayer: the commit failed, and every change was undone: correct what git reports"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_release_restores_everything(checkout, tmp_path, number):
    checkout.hook("pre-commit", f"touch {tmp_path}/at-work; sleep 20")
    before = checkout.stable_state()
    program = Path(sys.executable).parent / "invoke"
    with (tmp_path / "output").open("wb") as output:
        running = start([program, "release", "patch"], cwd=checkout.root, stderr=output)
    while not (tmp_path / "at-work").exists():
        time.sleep(0.05)
        assert running.poll() is None
    running.send_signal(number)
    assert running.wait(timeout=30) == 130
    assert "stopped" in (tmp_path / "output").read_text()
    assert checkout.stable_state() == before
    assert checkout.files().keys() & {".git/index.lock", ".git/HEAD.lock"} == set()


def kill_at(checkout, tmp_path, hook, words):
    """Kill the command with SIGKILL when git starts a hook."""
    group = tmp_path / "killed"
    checkout.hook(hook, f"{words} || exit 0; kill -9 $(cat {group}); sleep 1")
    program = Path(sys.executable).parent / "invoke"
    script = f'echo $$ > {group}; exec "$0" release patch'
    done = subprocess.run(["sh", "-c", script, program], cwd=checkout.root, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    (checkout.root / ".git" / "hooks" / hook).unlink()
    time.sleep(1.5)  # git continues, because only its parent was killed


def test_after_a_kill_between_commit_and_tag_the_next_run_says_how_to_undo_it(checkout, tmp_path):
    kill_at(checkout, tmp_path, "post-commit", "true")
    assert (checkout.git("log", "-1", "--format=%s"), checkout.git("tag")) == ("Release 1.2.3", "")
    refused = checkout.command("release", "patch")
    assert (refused.code, refused.out) == (2, "")
    assert (
        "Release 1.2.3 is committed, but has no tag: undo the commit with git reset --keep HEAD^"
        in refused.err
    )
    checkout.git("reset", "--keep", "HEAD^")
    assert checkout.command("release", "patch").out == f"{PUSH}\n"


# ---- check of a pushed tag


@pytest.mark.parametrize(
    ("version", "outputs"),
    [
        ("1.2.3", ["tag=v1.2.3", "version=1.2.3", "major=v1", "prerelease=false"]),
        ("2.0.0-rc.1", ["tag=v2.0.0-rc.1", "version=2.0.0-rc.1", "major=v2", "prerelease=true"]),
    ],
)
def test_a_tag_of_this_version_is_accepted(checkout, tmp_path, version, outputs):
    checkout.commit(
        "Release",
        pyproject_toml=PYPROJECT.replace("1.2.2", version, 1),
        CHANGELOG_md=f"## [{version}]\n\n- A\n",
    )
    outcome = checkout.command("github.check-tag", f"v{version}", "--outputs", str(tmp_path / "outputs"))
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{version}\n", "")
    assert (tmp_path / "outputs").read_text().splitlines() == outputs


@pytest.mark.parametrize(
    "tag",
    [
        *("1.2.2", "v1.2", "v01.2.2", "v1.2.2+build", "v1.2.2-rc.01", "vv1.2.2", "refs/tags/v1.2.2"),
        *("v1.2.2 ", "v1.2.2\n::error::x", "v1.2.2-rc_1", "", "v", "v१.2.2"),
    ],
)
def test_tag_in_another_format_is_refused(checkout, tag):
    with pytest.raises(InvalidInputError, match="is not a release tag: use the form v"):
        own_release.check_tag(tag, checkout.root)


def test_a_tag_of_another_version_is_refused(checkout):
    outcome = checkout.command("github.check-tag", "v1.2.3")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(
        "nodelayer: the tag v1.2.3 differs from the version of its commit, 1.2.2 [pyproject.toml]: "
    )


# ---- the version in pyproject.toml


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("line", ['version = "1.2.3"', '  "version"=\'1.2.3\' # it\'s "1.2.3"'])
def test_with_version_changes_only_the_project_version(line, end):
    def project(line):
        text = f'# version = "1.2.3"\n[project]\nname = "1.2.3"\n{line}\n\n[tool.x]\nversion = "1.2.3"\n'
        return text.replace("\n", end)

    new = line.replace("'1.2.3'", '"1.2.3"').replace("1.2.3", "10.0.0", 1)
    assert own_release.with_version(project(line), "10.0.0") == project(new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project]\nname = 'x'\n", "version None is not"),
        ("project = 1\n", "version None is not"),
        ("[project\n", "not TOML"),
        ("[project]\nversion = 'v1.2.3'\n", "is not a semantic version"),
        ("[project]\nversion = '1.2.3+b'\n", "is not a semantic version"),
        ("[project]\nversion = 12\n", "is not a semantic version"),
    ],
)
def test_a_project_without_a_semantic_version_is_refused(text, message):
    with pytest.raises(InvalidInputError, match=message):
        own_release.project_version(text)


@pytest.mark.parametrize(
    ("version", "step", "raised"),
    [("0.1.9", "minor", "0.2.0"), ("0.9.9", "major", "1.0.0"), ("1.2.3-rc.1", "patch", "1.2.3")],
)
def test_a_prerelease_and_a_version_below_1_0_follow_semantic_versioning(version, step, raised):
    assert (
        str(own_release.next_version(own_release.project_version(f"[project]\nversion='{version}'"), step))
        == raised
    )
