"""A release of nodelayer itself: raise the version, move the changelog's section, commit and tag.

Every check runs before the first change, on a clean work tree, so that git restores it if a step fails.
Nothing is pushed.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import tomlkit
from semver import Version
from tomlkit.exceptions import TOMLKitError

from nodelayer.errors import InvalidInputError, MachineError, machine_error
from nodelayer.project import changelog
from nodelayer.project.changelog import Changelog
from nodelayer.util.console import Reporter
from nodelayer.util.git import Git, open_git

PYPROJECT = "pyproject.toml"
FILES = (changelog.FILE, PYPROJECT)
STEPS = ("patch", "minor", "major")

_REMOTE_SECONDS = 60
_MANY = 5


@dataclass(frozen=True)
class Plan:
    """What a release will do; `files` has the new text of each file by name."""

    version: str
    notes: str
    branch: str
    remote: str
    files: Mapping[str, bytes]

    @property
    def tag(self) -> str:
        """The tag of the version."""
        return f"v{self.version}"

    @property
    def commit_words(self) -> tuple[str, ...]:
        """The arguments of `git` that commit the release."""
        return ("commit", "--quiet", "--message", f"Release {self.version}", "--", *FILES)

    @property
    def tag_words(self) -> tuple[str, ...]:
        """The arguments of `git` that tag the release."""
        return ("tag", "--annotate", "--message", f"Release {self.version}", self.tag)

    @property
    def push(self) -> str:
        """The command that pushes branch and tag, both or neither."""
        return shlex.join(["git", "push", "--atomic", self.remote, self.branch, self.tag])

    def text(self) -> str:
        """Return the plan as text: version, notes, commands."""
        commands = [shlex.join(["git", *each]) for each in (self.commit_words, self.tag_words)]
        return "\n".join([self.version, "", self.notes, "", *commands, self.push])


def plan(  # noqa: PLR0913 - each is a flag, or is passed in
    root: Path, step: str, day: date, *, branch: str, remote: str, reporter: Reporter
) -> Plan:
    """Plan a release of this checkout, and change nothing, not even the remote-tracking branches.

    Raises NodelayerError if the checkout, its branch, the remote or one of the files is not ready.
    """
    git = open_git(root, os.environ)
    _check_checkout(git, branch, remote)
    _check_clean(git, reporter)
    _check_identity(git)
    project = _read(root / PYPROJECT)
    log = Changelog(_read(root / changelog.FILE))
    current = project_version(project)
    _check_tagged(git, current)
    version = str(next_version(current, step))
    texts = {changelog.FILE: log.released(version, day).text, PYPROJECT: with_version(project, version)}
    files = {name: text.encode() for name, text in texts.items()}
    planned = Plan(version, log.unreleased(), branch, remote, files)
    if git.answer("rev-parse", "--verify", "--quiet", f"refs/tags/{planned.tag}") is not None:
        raise _tagged(
            planned.tag, "this clone", f"if it was never pushed, run git tag --delete {planned.tag}"
        )
    _check_remote(git, planned, reporter)
    return planned


def project_version(text: str) -> Version:
    """Return the version of a pyproject.toml, without build metadata. Raises InvalidInputError."""
    version = _project(text)[1].get("version")
    try:
        return _version(str(version))
    except ValueError as error:
        raise InvalidInputError(
            f"the project's version {version!r} is not a semantic version",
            where=PYPROJECT,
            todo='write version = "1.2.3" below [project]',
        ) from error


def with_version(text: str, version: str) -> str:
    """Return a pyproject.toml with another version; every other byte stays. Raises InvalidInputError."""
    document, project = _project(text)
    project["version"] = version
    return tomlkit.dumps(document)


def next_version(version: Version, step: str) -> Version:
    """Return the next version; a prerelease becomes its release. Raises InvalidInputError."""
    if step not in STEPS:
        raise InvalidInputError(f"{step!r} is not a level of a version", todo=f"use {', '.join(STEPS)}")
    return version.next_version(step)


def _project(text: str) -> tuple[tomlkit.TOMLDocument, dict[str, Any]]:
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise InvalidInputError(
            f"the file is not TOML ({error})", where=PYPROJECT, todo="correct the file"
        ) from error
    project = document.get("project")
    return document, project if isinstance(project, dict) else {}


def _version(text: str) -> Version:
    """Parse a semantic version without build metadata. Raises ValueError."""
    version = Version.parse(text)
    if version.build:
        raise ValueError("it has build metadata")
    return version


def release(root: Path, planned: Plan) -> None:
    """Commit and tag; undo every change if a step fails. Raises NodelayerError."""
    git = open_git(root, os.environ)
    head = git.run("rev-parse", "HEAD")
    try:
        _commit_and_tag(git, planned)
    except BaseException as error:
        git.attempt("tag", "--delete", planned.tag)
        restored = git.attempt("reset", "--quiet", "--hard", head)
        if restored.code:
            raise MachineError(
                f"the release failed, and its changes cannot be undone ({restored.reason})",
                todo=f"run git reset --hard {head}; git tag --delete {planned.tag}",
            ) from error
        if isinstance(error, OSError):
            raise machine_error(error, root, "another clone") from error
        raise


def _commit_and_tag(git: Git, planned: Plan) -> None:
    for name, data in planned.files.items():
        (git.folder / name).write_bytes(data)
    if git.shown(*planned.commit_words):
        raise _not_done("the commit")
    if git.shown(*planned.tag_words):
        raise _not_done("the tag")


@dataclass(frozen=True)
class Tag:
    """A checked tag, and its version without the v."""

    tag: str
    version: str

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of a workflow step; `major` is for example v1."""
        version = Version.parse(self.version)
        return {
            "tag": self.tag,
            "version": self.version,
            "major": f"v{version.major}",
            "prerelease": "true" if version.prerelease else "false",
        }


def check_tag(tag: str, root: Path) -> Tag:
    """Check a tag against the version of this checkout and its changelog. Raises InvalidInputError."""
    version = version_of(tag)
    if version != (own := str(project_version(_read(root / PYPROJECT)))):
        raise InvalidInputError(
            f"the tag {tag} differs from the version of its commit, {own}",
            where=PYPROJECT,
            todo="delete the tag, and create commit and tag with `invoke release`",
        )
    changes(version, root)
    return Tag(tag, version)


def changes(version: str, root: Path) -> str:
    """Return the changelog's section of a version. Raises InvalidInputError."""
    section = Changelog(_read(root / changelog.FILE)).section(version)
    if not section:
        raise InvalidInputError(
            f"the changelog has no section for {version}",
            where=changelog.FILE,
            todo=f"describe the changes below ## [{version}], commit, and tag that commit",
        )
    return section


def version_of(tag: str) -> str:
    """Return the version of a tag such as v1.2.3. Raises InvalidInputError."""
    try:
        if not tag.startswith("v"):
            raise ValueError(tag)  # noqa: TRY301 - one error for every wrong tag
        return str(_version(tag[1:]))
    except ValueError as error:
        raise InvalidInputError(
            f"{tag!r} is not a release tag",
            todo="use the form v1.2.3 or v1.2.3-rc.1: no leading zeros, no build metadata",
        ) from error


def _check_checkout(git: Git, branch: str, remote: str) -> None:
    """Raise InvalidInputError unless this is a repository on that branch with that remote."""
    done = git.attempt("rev-parse", "--show-toplevel")
    if done.code:
        raise InvalidInputError(
            f"the folder is not a git repository ({done.reason})",
            where=str(git.folder),
            todo="release from a clone of the repository",
        )
    if Path(done.out.removesuffix("\n")).resolve() != git.folder.resolve():
        raise InvalidInputError(
            f"this folder is not the root of its git repository ({done.out.strip()})",
            where=str(git.folder),
            todo="release from the root of a clone",
        )
    head = git.answer("symbolic-ref", "--quiet", "HEAD")
    if head != f"refs/heads/{branch}":
        here = "a detached HEAD" if head is None else f"branch {head.removeprefix('refs/heads/')}"
        raise InvalidInputError(
            f"a release needs branch {branch}, but this is {here}",
            todo=f"run git switch {shlex.quote(branch)}, or set --branch",
        )
    if git.answer("rev-parse", "--verify", "--quiet", "HEAD") is None:
        raise InvalidInputError(f"branch {branch} has no commit", todo="commit first")
    if remote not in (git.answer("remote") or "").splitlines():
        raise InvalidInputError(
            f"git has no remote {remote!r}", todo="set --remote to one that `git remote` lists"
        )


def _check_clean(git: Git, reporter: Reporter) -> None:
    """Raise InvalidInputError if a tracked file is changed or staged; warn of untracked files."""
    done = git.attempt("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal")
    if done.code:
        raise MachineError(
            f"git status fails ({done.reason})", where=str(git.folder), todo="repair the repository"
        )
    entries = [each for each in done.out.split("\0") if each]
    changed = [each[3:] for each in entries if not each.startswith("??")]
    if changed:
        todo = "commit them, or run git stash"
        if set(changed) <= set(FILES):
            todo += f"; if a release was interrupted, run git restore {' '.join(FILES)}"
        raise InvalidInputError(f"uncommitted changes: {_few(changed)}", todo=todo)
    if untracked := [each[3:] for each in entries]:
        reporter.warn(f"not in the release, because git does not track them: {_few(untracked)}")


def _check_identity(git: Git) -> None:
    """Raise MachineError if git has no configured author and committer."""
    for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        if git.answer("-c", "user.useConfigOnly=true", "var", who) is None:
            raise MachineError(
                "git has no name and email address for commits",
                todo="run git config --global user.name NAME, and the same for user.email",
            )


def _check_tagged(git: Git, version: Version) -> None:
    """Raise InvalidInputError if an interrupted release left its commit without a tag."""
    if (
        git.answer("log", "-1", "--format=%s") == f"Release {version}"
        and git.answer("rev-parse", "--verify", "--quiet", f"refs/tags/v{version}") is None
    ):
        raise InvalidInputError(
            f"Release {version} is committed, but has no tag",
            todo="undo the commit with git reset --keep HEAD^, then run this again",
        )


def _check_remote(git: Git, planned: Plan, reporter: Reporter) -> None:
    """Raise InvalidInputError if the remote has the tag, or commits that the branch lacks.

    Warn if the remote does not answer. No reference is fetched.
    """
    branch, tag = f"refs/heads/{planned.branch}", f"refs/tags/{planned.tag}"
    with reporter.work(f"asking {planned.remote}"):
        done = git.attempt("ls-remote", "--quiet", "--", planned.remote, branch, tag, seconds=_REMOTE_SECONDS)
    if done.code:
        reporter.warn(
            f"{planned.remote} does not answer ({done.reason}), so newer commits and the tag {planned.tag} "
            "there are not checked"
        )
        return
    remote = {name: commit for commit, _, name in (line.partition("\t") for line in done.out.splitlines())}
    if tag in remote:
        raise _tagged(
            planned.tag, planned.remote, "run git fetch --tags, and check which versions are released"
        )
    if branch in remote and git.attempt("merge-base", "--is-ancestor", remote[branch], "HEAD").code:
        again = shlex.join(["git", "pull", "--rebase", planned.remote, planned.branch])
        raise InvalidInputError(
            f"{planned.remote} has newer commits on {planned.branch}",
            todo=f"run {again}, and test again",
        )


def _tagged(tag: str, where: str, todo: str) -> InvalidInputError:
    return InvalidInputError(f"the tag {tag} already exists", where=where, todo=todo)


def _not_done(what: str) -> MachineError:
    return MachineError(
        f"{what} failed, and every change was undone",
        todo="correct what git reports above, and run it again",
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"{path.name} does not exist", where=str(path.parent), todo="restore it from git"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path.name} cannot be read ({error})", todo="correct the file") from error


def _few(names: list[str]) -> str:
    shown = [each.encode(errors="surrogateescape").decode(errors="replace") for each in names[:_MANY]]
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(shown) + more
