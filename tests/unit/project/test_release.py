"""Releasing nodelayer itself, in real repositories with a real remote: what is refused, done and put back."""

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
from support import ROOT, Outcome

from nodelayer.errors import InvalidInputError, MachineError, NodelayerError
from nodelayer.project import release as own_release
from nodelayer.project.changelog import Changelog
from nodelayer.util.console import Reporter

DAY = date(2026, 11, 25)
PYPROJECT = '[project]\nname = "nodelayer"\nversion = "1.2.2"\n\n[tool.x]\nversion = "1.2.2"\n'
CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A door.\n\n## [1.2.2] - 2026-01-01\n\n- Walls.\n"
)
PUSH = "git push --atomic origin main v1.2.3"


@pytest.fixture(autouse=True)
def nobody_s_configuration(tmp_path, monkeypatch):
    """A git that has no configuration but the repository's own, and the name that the test gives it."""
    for name in [each for each in os.environ if each.startswith("GIT_")] + ["EMAIL"]:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LC_ALL", "C")


@dataclass(frozen=True)
class Shop:
    """A checkout that may be released, and its remote."""

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
        """Somebody else's clone."""
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

    def plan(self, step="patch", *, branch="main", remote="origin", said=None):
        console = Console(file=said or io.StringIO(), width=500)
        return own_release.plan(
            self.root, step, DAY, branch=branch, remote=remote, reporter=Reporter(console)
        )

    def release(self, step="patch"):
        planned = self.plan(step)
        own_release.release(self.root, planned)
        return planned

    def command(self, *words, **variables):
        """The command as it is typed, from this checkout's own tasks.py."""
        program = Path(sys.executable).parent / "invoke"
        environ = {**os.environ, **variables}
        done = subprocess.run(
            [program, *words], cwd=self.root, env=environ, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def files(self):
        """Each file of the checkout, and of .git what is more than an object: bytes and mode."""
        return {
            str(path.relative_to(self.root)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and "objects" not in path.parts and "__pycache__" not in path.parts
        }

    def state(self):
        """Everything that a refusal has to leave alone, here and at the remote."""
        return self.files(), self.git("for-each-ref", at=self.remote)

    def stands(self):
        """The same, but for what git writes in passing: times in the index, its log of moves."""
        kept = {name: what for name, what in self.files().items() if not name.startswith(".git/")}
        asked = [
            ("ls-files", "--stage"),
            ("for-each-ref",),
            ("symbolic-ref", "HEAD"),
            ("status", "--porcelain"),
        ]
        return kept, [self.git(*words) for words in asked], self.git("for-each-ref", at=self.remote)


@pytest.fixture
def shop(tmp_path):
    root, remote = tmp_path / "checkout", tmp_path / "remote.git"
    made = Shop(root, remote)
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


# ---- the good case


def test_a_release_is_one_commit_of_two_files_and_an_annotated_tag_and_is_not_pushed(shop):
    before, remote = shop.git("rev-parse", "HEAD"), shop.git("for-each-ref", at=shop.remote)
    planned = shop.release()
    assert planned.push == PUSH
    assert shop.git("log", "--format=%s|%P", f"{before}..HEAD") == f"Release 1.2.3|{before}"
    assert shop.git("diff", "--name-only", before, "HEAD").split() == ["CHANGELOG.md", "pyproject.toml"]
    assert shop.git("cat-file", "-t", "v1.2.3") == "tag"
    assert shop.git("rev-parse", "v1.2.3^{commit}") == shop.git("rev-parse", "HEAD")
    assert (shop.root / "pyproject.toml").read_text() == PYPROJECT.replace("1.2.2", "1.2.3", 1)
    assert (shop.root / "CHANGELOG.md").read_text() == CHANGELOG.replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n## [1.2.3] - 2026-11-25\n"
    )
    assert shop.git("status", "--porcelain") == ""
    assert shop.git("for-each-ref", at=shop.remote) == remote


def test_what_it_prints_pushes_both(shop):
    subprocess.run(shop.release("minor").push.split(), cwd=shop.root, capture_output=True, check=True)
    there = shop.git("for-each-ref", "--format=%(refname)", at=shop.remote).split()
    assert there == ["refs/heads/main", "refs/tags/v1.3.0"]
    assert shop.git("rev-parse", "main", at=shop.remote) == shop.git("rev-parse", "HEAD")


def test_the_command_prints_the_push_and_nothing_else(shop):
    outcome = shop.command("release", "patch")
    assert (outcome.code, outcome.out) == (0, f"{PUSH}\n"), outcome.err
    assert "Release 1.2.3 is committed and tagged v1.2.3" in outcome.err.replace(
        "tagged, here", "tagged v1.2.3"
    )
    assert Changelog((shop.root / "CHANGELOG.md").read_text()).section("1.2.3") == "### Added\n\n- A door."
    assert f"## [1.2.3] - {datetime.now(UTC).date()}" in (shop.root / "CHANGELOG.md").read_text()


def test_releases_follow_each_other(shop):
    for step, version in (("patch", "1.2.3"), ("minor", "1.3.0"), ("major", "2.0.0")):
        assert shop.release(step).version == version
        text = (shop.root / "CHANGELOG.md").read_text()
        new = text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n- After {version}.\n", 1)
        shop.commit("More", CHANGELOG_md=new)
    assert shop.git("tag").split() == ["v1.2.3", "v1.3.0", "v2.0.0"]


def test_a_dry_run_shows_it_and_changes_nothing(shop):
    before = shop.state()
    outcome = shop.command("release", "minor", "--dry-run")
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
    assert shop.state() == before


def test_the_files_keep_their_line_ends_and_modes(shop):
    (shop.root / "pyproject.toml").chmod(0o755)
    shop.git("config", "core.autocrlf", "false")
    for name, text in (("pyproject.toml", PYPROJECT), ("CHANGELOG.md", CHANGELOG)):
        (shop.root / name).write_bytes(text.replace("\n", "\r\n").encode())
    shop.commit("As on Windows")
    shop.git("push", "--quiet")
    shop.release()
    assert shop.git("diff", "--numstat", "HEAD^", "HEAD").splitlines() == [
        "2\t0\tCHANGELOG.md",
        "1\t1\tpyproject.toml",
    ]
    assert (shop.root / "pyproject.toml").stat().st_mode & 0o777 == 0o755
    assert b"\n" not in (shop.root / "CHANGELOG.md").read_bytes().replace(b"\r\n", b"")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_git_decides_whether_the_tag_is_signed(shop, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(key)), ("tag.gpgSign", "true")):
        shop.git("config", name, value)
    shop.release()
    assert "BEGIN SSH SIGNATURE" in shop.git("cat-file", "tag", "v1.2.3")
    assert "gpgsig" not in shop.git("cat-file", "commit", "HEAD")


def test_what_is_untracked_is_named_and_not_in_the_release(shop):
    (shop.root / "layers.json").write_text("{}")
    (shop.root / "dist").mkdir()
    (shop.root / "dist" / "ignored.zip").write_text("")
    said = io.StringIO()
    own_release.release(shop.root, shop.plan(said=said))
    assert "not tracked by git, and so not in the release: layers.json\n" in said.getvalue()
    assert shop.git("status", "--porcelain") == "?? layers.json"


def test_a_remote_that_cannot_be_asked_is_a_warning(shop):
    shop.git("remote", "set-url", "origin", str(shop.remote) + "-gone")
    said = io.StringIO()
    own_release.release(shop.root, shop.plan(said=said))
    assert "warning: origin cannot be asked (" in said.getvalue()
    assert shop.git("tag") == "v1.2.3"


def test_a_branch_that_is_ahead_of_the_remote_s_is_fine(shop):
    shop.commit("Not pushed yet")
    assert shop.release().version == "1.2.3"


def test_a_branch_that_the_remote_lacks_is_fine(shop):
    shop.git("switch", "--quiet", "--create", "1.x")
    assert shop.plan(branch="1.x").push == "git push --atomic origin 1.x v1.2.3"


# ---- what is refused


def change_tracked(shop):
    (shop.root / "tasks.py").write_text("changed")


def stage(shop):
    change_tracked(shop)
    shop.git("add", "tasks.py")


def stage_new(shop):
    (shop.root / "new.py").write_text("")
    shop.git("add", "new.py")


def delete_tracked(shop):
    (shop.root / "tasks.py").unlink()


def rename_tracked(shop):
    shop.git("mv", "tasks.py", "tâsks.py")


def change_version_only(shop):
    (shop.root / "pyproject.toml").write_text(PYPROJECT.replace("1.2.2", "1.2.3", 1))


def other_branch(shop):
    shop.git("switch", "--quiet", "--create", "feature/x")


def detach(shop):
    shop.git("switch", "--quiet", "--detach")


def fall_behind(shop):
    place = shop.elsewhere()
    shop.git("commit", "--quiet", "--allow-empty", "--message", "Bo's", at=place)
    shop.git("push", "--quiet", at=place)


def fall_behind_knowingly(shop):
    fall_behind(shop)
    shop.git("fetch", "--quiet")


def diverge(shop):
    fall_behind(shop)
    shop.commit("Ada's")


def tag_here(shop):
    shop.git("tag", "v1.2.3")


def tag_there(shop):
    shop.git("tag", "v1.2.3", at=shop.remote)


def no_remote(shop):
    shop.git("remote", "remove", "origin")


def no_name(shop):
    shop.git("config", "--unset", "user.name")


def no_email(shop):
    shop.git("config", "--unset", "user.email")


def no_repository(shop):
    shutil.rmtree(shop.root / ".git")


def within_another(shop):
    shutil.rmtree(shop.root / ".git")
    shop.git("init", "--quiet", at=shop.root.parent)


def nothing_committed(shop):
    shop.git("update-ref", "-d", "HEAD")
    shop.git("rm", "--quiet", "--cached", "-r", ".")


def committed(**files):
    def spoil(shop):
        shop.commit("Spoil", **files)
        shop.git("push", "--quiet")

    return spoil


def file_gone(shop):
    shop.git("rm", "--quiet", "CHANGELOG.md")
    shop.commit("Spoil")


REFUSED = [
    (change_tracked, 2, "there are changes that are not committed: tasks.py: commit, or git stash"),
    (stage, 2, "there are changes that are not committed: tasks.py"),
    (stage_new, 2, "there are changes that are not committed: new.py"),
    (delete_tracked, 2, "there are changes that are not committed: tasks.py"),
    (rename_tracked, 2, "there are changes that are not committed: "),
    (
        change_version_only,
        2,
        "what a release that was killed left behind is undone by git restore CHANGELOG.md",
    ),
    (other_branch, 2, "releases are made on main, and this is branch feature/x: git switch main"),
    (detach, 2, "releases are made on main, and this is no branch (a detached HEAD): git switch main"),
    (fall_behind, 2, "origin has commits on main that are not here: git pull --rebase origin main"),
    (fall_behind_knowingly, 2, "origin has commits on main that are not here"),
    (diverge, 2, "origin has commits on main that are not here"),
    (tag_here, 2, "the tag v1.2.3 is there already [here]"),
    (tag_there, 2, "the tag v1.2.3 is there already [on origin]"),
    (no_remote, 2, "there is no remote 'origin'"),
    (no_name, 7, "git does not know who you are: git config --global user.name NAME"),
    (no_email, 7, "git does not know who you are"),
    (no_repository, 2, "no git repository (not a git repository"),
    (within_another, 2, "this folder is part of another git repository ("),
    (nothing_committed, 2, "nothing is committed on main yet"),
    (file_gone, 2, "there is no CHANGELOG.md"),
    (committed(pyproject_toml="[project]\nname = 'x'\n"), 2, "the project has no version [pyproject.toml]"),
    (
        committed(pyproject_toml="[project]\nversion = '1.2'\n"),
        2,
        "the project's version '1.2' is no semantic",
    ),
    (committed(pyproject_toml="["), 2, "not TOML ("),
    (
        committed(CHANGELOG_md="# Changelog\n\n## [1.2.2]\n"),
        2,
        "the changelog has no section ## [Unreleased]",
    ),
    (
        committed(CHANGELOG_md="## [Unreleased]\n\n### Added\n\n## [1.2.2]\n\n- A\n"),
        2,
        "nothing stands below ##",
    ),
    (committed(CHANGELOG_md=CHANGELOG + "\n## [1.2.3]\n\n- A\n"), 2, "the changelog has a section for 1.2.3"),
]


@pytest.mark.parametrize(("spoil", "code", "message"), REFUSED)
def test_each_bad_state_is_refused_in_one_line_and_nothing_is_changed(shop, spoil, code, message):
    spoil(shop)
    os.utime(
        shop.root / ".gitignore", (1, 1)
    )  # git would note it in its index, were it not told to leave that
    before = shop.state()
    with pytest.raises(NodelayerError) as caught:
        shop.plan()
    assert message in str(caught.value)
    assert (caught.value.code, str(caught.value).count("\n")) == (code, 0)
    assert shop.state() == before


@pytest.mark.parametrize("words", [("release", "patch"), ("release", "patch", "--dry-run")])
def test_a_refusal_is_the_one_line_that_the_command_prints(shop, words):
    stage_new(shop)
    before = shop.state()
    outcome = shop.command(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "nodelayer: there are changes that are not committed: new.py: commit, or git stash\n"
    )
    assert shop.state() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["breaking"], "'breaking' is no step of a version: use patch, minor, major"),
        (["patch", "--branch", "1.x"], "releases are made on 1.x, and this is branch main"),
        (["patch", "--remote", "upstream"], "there is no remote 'upstream'"),
        (["patch", "--remote", "--upload-pack=x"], "there is no remote '--upload-pack=x'"),
    ],
)
def test_a_wrong_flag_is_refused(shop, words, message):
    before = shop.state()
    outcome = shop.command("release", *words)
    assert (outcome.code, outcome.out, message in outcome.err) == (2, "", True), outcome.err
    assert shop.state() == before


def test_without_git_it_says_so(shop, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome = shop.command("release", "patch", PATH=str(tmp_path / "empty"))
    assert (outcome.code, outcome.err) == (7, "nodelayer: git is not installed: install it\n")


# ---- what fails half-way


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shop: shop.hook("pre-commit", "echo the house says no >&2; exit 1"),
        lambda shop: shop.hook("commit-msg", "exit 1"),
        lambda shop: shop.git("config", "commit.gpgSign", "true"),
    ],
    ids=["pre-commit", "commit-msg", "signature"],
)
def test_where_the_commit_fails_everything_is_put_back(shop, spoil):
    shop.git("config", "gpg.program", "false")
    spoil(shop)
    before = shop.stands()
    with pytest.raises(MachineError, match="the commit failed, and everything is as it was"):
        shop.release()
    assert shop.stands() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shop: shop.git("config", "tag.gpgSign", "true"),
        lambda shop: shop.hook("reference-transaction", 'grep -q "refs/tags/" && exit 1; exit 0'),
    ],
    ids=["signature", "hook"],
)
def test_where_the_tag_fails_the_commit_is_undone(shop, spoil):
    shop.git("config", "gpg.program", "false")
    spoil(shop)
    before, commit = shop.stands(), shop.git("rev-parse", "HEAD")
    with pytest.raises(MachineError, match="the tag failed, and everything is as it was"):
        shop.release()
    assert shop.stands() == before
    assert shop.git("rev-parse", "HEAD") == commit


def test_the_words_of_a_hook_are_seen_and_the_last_line_says_what_to_do(shop):
    shop.hook("pre-commit", "echo to stdout; echo the house says no >&2; exit 1")
    outcome = shop.command("release", "patch")
    assert (outcome.code, outcome.out) == (7, "")
    *hook, last = outcome.lines
    assert hook == ["to stdout", "the house says no"]
    assert last.startswith("nodelayer: the commit failed, and everything is as it was: git's own words stand")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_a_hook_is_at_work_everything_is_put_back(shop, tmp_path, number):
    shop.hook("pre-commit", f"touch {tmp_path}/at-work; sleep 20")
    before = shop.stands()
    program = Path(sys.executable).parent / "invoke"
    with (tmp_path / "said").open("wb") as said:
        running = subprocess.Popen([program, "release", "patch"], cwd=shop.root, stderr=said)
    while not (tmp_path / "at-work").exists():
        time.sleep(0.05)
        assert running.poll() is None
    running.send_signal(number)
    assert running.wait(timeout=30) == 130
    assert "stopped" in (tmp_path / "said").read_text()
    assert shop.stands() == before
    assert shop.files().keys() & {".git/index.lock", ".git/HEAD.lock"} == set()


def kill_at(shop, tmp_path, hook, words):
    """Kill the command, as kill -9 does, at the moment that git starts a hook."""
    group = tmp_path / "killed"
    shop.hook(hook, f"{words} || exit 0; kill -9 $(cat {group}); sleep 1")
    program = Path(sys.executable).parent / "invoke"
    script = f'echo $$ > {group}; exec "$0" release patch'
    done = subprocess.run(["sh", "-c", script, program], cwd=shop.root, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    (shop.root / ".git" / "hooks" / hook).unlink()
    time.sleep(1.5)  # git itself goes on: it has lost its parent only


def test_killed_between_commit_and_tag_the_next_run_finishes_it(shop, tmp_path):
    kill_at(shop, tmp_path, "post-commit", "true")
    commit = shop.git("rev-parse", "HEAD")
    assert (shop.git("log", "-1", "--format=%s"), shop.git("tag")) == ("Release 1.2.3", "")
    dry = shop.command("release", "patch", "--dry-run")
    assert dry.out.splitlines() == [
        "1.2.3",
        "",
        "### Added",
        "",
        "- A door.",
        "",
        "git tag --annotate --message 'Release 1.2.3' v1.2.3",
        PUSH,
    ]
    outcome = shop.command("release", "patch")
    assert (outcome.code, outcome.out) == (0, f"{PUSH}\n"), outcome.err
    assert "Release 1.2.3 is committed and has no tag: going on from there" in outcome.err
    assert (shop.git("rev-parse", "HEAD"), shop.git("rev-parse", "v1.2.3^{commit}")) == (commit, commit)


def test_an_unfinished_release_is_not_taken_for_one_of_another_step(shop, tmp_path):
    kill_at(shop, tmp_path, "post-commit", "true")
    before = shop.stands()
    with pytest.raises(InvalidInputError, match="has no tag, and is no minor"):
        shop.plan("minor")
    assert shop.stands() == before
    shop.git("reset", "--quiet", "--keep", "HEAD^")  # as the line says
    assert shop.release("minor").version == "1.3.0"


def test_killed_before_the_commit_the_next_run_says_what_undoes_it(shop):
    (shop.root / "pyproject.toml").write_bytes(shop.plan().files["pyproject.toml"])  # one of two is written
    with pytest.raises(InvalidInputError, match=r"git restore CHANGELOG\.md pyproject\.toml") as caught:
        shop.plan()
    subprocess.run(str(caught.value).rpartition("undone by ")[2].split(), cwd=shop.root, check=True)
    assert shop.release().version == "1.2.3"


def test_run_again_after_a_release_nothing_is_released_twice(shop):
    shop.release()
    before = shop.stands()
    with pytest.raises(InvalidInputError, match="nothing stands below"):
        shop.plan()
    assert shop.stands() == before


def test_a_commit_that_only_has_the_name_of_a_release_is_not_tagged(shop):
    shop.commit("Release 1.2.2", CHANGELOG_md=CHANGELOG.replace("- A door.", "- Another."))
    assert shop.release().version == "1.2.3"


# ---- the tag that was pushed


@pytest.mark.parametrize(
    ("version", "outputs"),
    [
        ("1.2.3", ["tag=v1.2.3", "version=1.2.3", "major=v1", "prerelease=false"]),
        ("0.1.0", ["tag=v0.1.0", "version=0.1.0", "major=v0", "prerelease=false"]),
        ("2.0.0-rc.1", ["tag=v2.0.0-rc.1", "version=2.0.0-rc.1", "major=v2", "prerelease=true"]),
    ],
)
def test_a_tag_of_this_version_is_taken(shop, tmp_path, version, outputs):
    shop.commit(
        "Release",
        pyproject_toml=PYPROJECT.replace("1.2.2", version, 1),
        CHANGELOG_md=f"## [{version}]\n\n- A\n",
    )
    outcome = shop.command("github.check-tag", f"v{version}", "--outputs", str(tmp_path / "outputs"))
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{version}\n", "")
    assert (tmp_path / "outputs").read_text().splitlines() == outputs


@pytest.mark.parametrize(
    "tag",
    [
        *("1.2.2", "v1.2", "v1", "v01.2.2", "v1.02.2", "v1.2.2+build", "v1.2.2-rc.01", "v1.2.2-", "vv1.2.2"),
        *("V1.2.2", "refs/tags/v1.2.2", "v1.2.2 ", "v1.2.2\n::error::x", "v1.2.2-rc_1", "", "v", "v१.2.2"),
    ],
)
def test_what_is_no_tag_of_a_release_is_refused(shop, tag):
    with pytest.raises(InvalidInputError, match="is no tag of a release: name it as v"):
        own_release.check_tag(tag, shop.root)


def test_a_refused_tag_is_one_line_and_no_output(shop, tmp_path):
    outcome = shop.command("github.check-tag", "v1.2.2\n::error::x", "--outputs", str(tmp_path / "outputs"))
    assert (outcome.code, outcome.out, len(outcome.lines)) == (2, "", 1), outcome.err
    assert not (tmp_path / "outputs").exists()


def test_a_tag_of_another_version_is_refused(shop):
    outcome = shop.command("github.check-tag", "v1.2.3")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(
        "nodelayer: v1.2.3 is not the version of the commit that it names, which is 1.2.2 [pyproject.toml]: "
    )


def test_a_tag_of_which_the_changelog_tells_nothing_is_refused(shop):
    shop.commit("Spoil", CHANGELOG_md="# Changelog\n\n## [Unreleased]\n\n- A\n")
    outcome = shop.command("github.check-tag", "v1.2.2")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("nodelayer: the changelog tells nothing of 1.2.2 [CHANGELOG.md]: ")


def test_what_a_release_made_passes_as_its_tag(shop):
    planned = shop.release("major")
    assert own_release.check_tag(planned.tag, shop.root).version == planned.version == "2.0.0"
