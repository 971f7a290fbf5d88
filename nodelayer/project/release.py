"""A release of nodelayer itself: the version raised, the changelog moved, both committed and tagged.

Everything is looked at before anything is changed; what fails half-way is put back; and what a kill left
between commit and tag is finished by the next run. Nothing is pushed.
"""

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from nodelayer.errors import InvalidInputError, MachineError, NodelayerError
from nodelayer.node.versions import sort_key
from nodelayer.project import changelog, pyproject
from nodelayer.project.changelog import Changelog
from nodelayer.project.pyproject import Pyproject
from nodelayer.util.console import Reporter
from nodelayer.util.git import Git, open_git

FILES = (changelog.FILE, pyproject.FILE)

_REMOTE_SECONDS = 60
_MANY = 5


@dataclass(frozen=True)
class Plan:
    """What a release will do. `files` is empty where its commit is there already, without a tag."""

    version: str
    notes: str
    branch: str
    remote: str
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        return f"v{self.version}"

    @property
    def commit_words(self) -> tuple[str, ...]:
        return ("commit", "--quiet", "--message", f"Release {self.version}", "--", *FILES)

    @property
    def tag_words(self) -> tuple[str, ...]:
        return ("tag", "--annotate", "--message", f"Release {self.version}", self.tag)

    @property
    def push(self) -> str:
        """The command that brings both to the remote, or neither."""
        return shlex.join(["git", "push", "--atomic", self.remote, self.branch, self.tag])

    def text(self) -> str:
        """The plan for a person: version, notes, commands."""
        words = [*([self.commit_words] if self.files else []), self.tag_words]
        commands = [shlex.join(["git", *each]) for each in words]
        return "\n".join([self.version, "", self.notes, "", *commands, self.push])


def plan(  # noqa: PLR0913 - each is a flag, or is passed in
    root: Path, step: str, day: date, *, branch: str, remote: str, reporter: Reporter
) -> Plan:
    """What a release from this checkout would do. Changes nothing, also not what git knows of the remote.

    Raises NodelayerError where the checkout, its branch, the remote or the two files are not fit for it.
    """
    git = open_git(root, os.environ)
    _check_checkout(git, branch, remote)
    _check_clean(git, reporter)
    _check_identity(git)
    old, log = (_read(root / name) for name in (pyproject.FILE, changelog.FILE))
    found = _unfinished(git, Pyproject(old), Changelog(log), step)
    if found is not None:
        planned = Plan(found, Changelog(log).section(found) or "", branch, remote)
        reporter.say(f"Release {found} is committed and has no tag: going on from there")
    else:
        version = pyproject.raised(Pyproject(old).version, step)
        moved = Changelog(log).released(version, day)
        raised = Pyproject(old).with_version(version)
        texts = {changelog.FILE: moved.text, pyproject.FILE: raised.text}
        files = {name: text.encode() for name, text in texts.items()}
        planned = Plan(version, Changelog(log).unreleased(), branch, remote, files)
    if git.answer("rev-parse", "--verify", "--quiet", f"refs/tags/{planned.tag}") is not None:
        raise _tagged(planned.tag, "here", f"git tag --delete {planned.tag}, if it was never pushed")
    _check_remote(git, planned, reporter)
    return planned


def release(root: Path, planned: Plan) -> None:
    """Commit and tag. Raises NodelayerError, or what stopped it; then everything is as it was."""
    git = open_git(root, os.environ)
    with _put_back(git, planned):
        for name, data in planned.files.items():
            _write(root / name, data)
        if planned.files and git.shown(*planned.commit_words):
            raise _not_done("the commit")
        if git.shown(*planned.tag_words):
            raise _not_done("the tag")


@dataclass(frozen=True)
class Tag:
    """A tag that may be released: `version` without its v, `major` as in `v1`."""

    tag: str
    version: str

    @property
    def outputs(self) -> dict[str, str]:
        """What the steps of a job are told."""
        version = sort_key(self.version)
        return {
            "tag": self.tag,
            "version": self.version,
            "major": f"v{version.major}",
            "prerelease": "false" if version.prerelease is None else "true",
        }


def check_tag(tag: str, root: Path) -> Tag:
    """The tag, where it is one of this checkout's version and the changelog tells of it.

    Raises InvalidInputError.
    """
    version = version_of(tag)
    if version != (said := Pyproject(_read(root / pyproject.FILE)).version):
        raise InvalidInputError(
            f"{tag} is not the version of the commit that it names, which is {said}",
            where=pyproject.FILE,
            todo="delete the tag, and let `invoke release` make commit and tag",
        )
    changes(version, root)
    return Tag(tag, version)


def changes(version: str, root: Path) -> str:
    """What the changelog of this checkout says of a version. Raises InvalidInputError."""
    said = Changelog(_read(root / changelog.FILE)).section(version)
    if not said:
        raise InvalidInputError(
            f"the changelog tells nothing of {version}",
            where=changelog.FILE,
            todo=f"write what has changed below ## [{version}], and tag the commit that has it",
        )
    return said


def version_of(tag: str) -> str:
    """The version that a tag names: v and a semantic version. Raises InvalidInputError."""
    version = tag.removeprefix("v")
    if version == tag or not pyproject.is_semver(version):
        raise InvalidInputError(
            f"{tag!r} is no tag of a release",
            todo="name it as v1.2.3 or v1.2.3-rc.1: no leading zeros, no build metadata",
        )
    return version


def _check_checkout(git: Git, branch: str, remote: str) -> None:
    """Raises InvalidInputError where this is no repository on that branch with that remote."""
    done = git.attempt("rev-parse", "--show-toplevel")
    if done.code:
        raise InvalidInputError(
            f"no git repository ({done.reason})",
            where=str(git.folder),
            todo="release from a clone of the repository",
        )
    if Path(done.out.removesuffix("\n")).resolve() != git.folder.resolve():
        raise InvalidInputError(
            f"this folder is part of another git repository ({done.out.strip()})",
            where=str(git.folder),
            todo="release from a clone of the repository",
        )
    head = git.answer("symbolic-ref", "--quiet", "HEAD")
    if head != f"refs/heads/{branch}":
        here = "no branch (a detached HEAD)" if head is None else f"branch {head.removeprefix('refs/heads/')}"
        raise InvalidInputError(
            f"releases are made on {branch}, and this is {here}",
            todo=f"git switch {shlex.quote(branch)}, or name another with --branch",
        )
    if git.answer("rev-parse", "--verify", "--quiet", "HEAD") is None:
        raise InvalidInputError(f"nothing is committed on {branch} yet", todo="commit first")
    if remote not in (git.answer("remote") or "").splitlines():
        raise InvalidInputError(
            f"there is no remote {remote!r}", todo="name one that `git remote` lists with --remote"
        )


def _check_clean(git: Git, reporter: Reporter) -> None:
    """Raises InvalidInputError where something tracked is changed or staged; what is untracked is named."""
    done = git.attempt("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal")
    if done.code:
        raise MachineError(f"git status fails ({done.reason})", where=str(git.folder))
    entries = [each for each in done.out.split("\0") if each]
    changed = [each[3:] for each in entries if not each.startswith("??")]
    if changed:
        todo = "commit, or git stash"
        if set(changed) <= set(FILES):
            todo += f"; what a release that was killed left behind is undone by git restore {' '.join(FILES)}"
        raise InvalidInputError(f"there are changes that are not committed: {_few(changed)}", todo=todo)
    if untracked := [each[3:] for each in entries]:
        reporter.warn(f"not tracked by git, and so not in the release: {_few(untracked)}")


def _check_identity(git: Git) -> None:
    """Raises MachineError where git would have to guess who commits."""
    for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        if git.answer("-c", "user.useConfigOnly=true", "var", who) is None:
            raise MachineError(
                "git does not know who you are",
                todo="git config --global user.name NAME, and user.email ADDRESS",
            )


def _unfinished(git: Git, project: Pyproject, log: Changelog, step: str) -> str | None:
    """The version whose release commit is the last one and whose tag is missing; None where there is none.

    Raises InvalidInputError where that release was another step than the one asked for now.
    """
    version = project.version
    touched = git.answer("diff-tree", "--no-commit-id", "--name-only", "-r", "HEAD")
    if (
        git.answer("log", "-1", "--format=%s") != f"Release {version}"
        or sorted((touched or "").splitlines()) != sorted(FILES)
        or log.section(version) is None
        or git.answer("rev-parse", "--verify", "--quiet", f"refs/tags/v{version}") is not None
    ):
        return None
    before = git.answer("show", f"HEAD^:{pyproject.FILE}")
    if pyproject.raised(Pyproject(before or "").version, step) != version:
        raise InvalidInputError(
            f"Release {version} is committed and has no tag, and is no {step} release",
            todo="finish it with the step it was made with, or undo it with git reset --keep HEAD^",
        )
    return version


def _check_remote(git: Git, planned: Plan, reporter: Reporter) -> None:
    """Raises InvalidInputError where the remote has the tag, or commits that the branch lacks.

    Where it cannot be asked, a warning says so. It is only asked: no reference of it is kept here.
    """
    branch, tag = f"refs/heads/{planned.branch}", f"refs/tags/{planned.tag}"
    with reporter.work(f"asking {planned.remote}"):
        done = git.attempt("ls-remote", "--quiet", "--", planned.remote, branch, tag, seconds=_REMOTE_SECONDS)
    if done.code:
        reporter.warn(
            f"{planned.remote} cannot be asked ({done.reason}): not known whether "
            f"it has newer commits, or {planned.tag}"
        )
        return
    there = {name: commit for commit, _, name in (line.partition("\t") for line in done.out.splitlines())}
    if tag in there:
        raise _tagged(planned.tag, f"on {planned.remote}", "git fetch --tags, and see what is released")
    if branch in there and git.attempt("merge-base", "--is-ancestor", there[branch], "HEAD").code:
        again = shlex.join(["git", "pull", "--rebase", planned.remote, planned.branch])
        raise InvalidInputError(
            f"{planned.remote} has commits on {planned.branch} that are not here",
            todo=f"{again}, and test again",
        )


def _tagged(tag: str, where: str, todo: str) -> InvalidInputError:
    return InvalidInputError(f"the tag {tag} is there already", where=where, todo=todo)


def _not_done(what: str) -> MachineError:
    return MachineError(
        f"{what} failed, and everything is as it was",
        todo="git's own words stand above; mend that, and run it again",
    )


@contextmanager
def _put_back(git: Git, planned: Plan) -> Iterator[None]:
    """Files, index, branch and tag as they were, whatever ends the block early."""
    if not planned.files:
        yield
        return
    before = {name: (git.folder / name).read_bytes() for name in planned.files}
    head = git.answer("rev-parse", "HEAD") or ""
    try:
        yield
    except BaseException as error:
        try:
            _undo(git, planned, head, before)
        except (NodelayerError, OSError) as left:
            raise MachineError(
                f"the release failed ({str(error) or 'stopped'}), and could not be undone ({left})",
                todo=f"git reset --hard {head}; git tag --delete {planned.tag}",
            ) from error
        raise


def _undo(git: Git, planned: Plan, head: str, before: Mapping[str, bytes]) -> None:
    now = git.answer("rev-parse", "HEAD") or ""
    steps: list[tuple[str, ...]] = []
    if now != head:
        if git.answer("rev-parse", "--verify", "--quiet", f"refs/tags/{planned.tag}^{{commit}}") == now:
            steps.append(("tag", "--delete", planned.tag))
        steps.append(("update-ref", "-m", "the release failed", "HEAD", head, now))
    for name, data in before.items():
        _write(git.folder / name, data)
    for words in [*steps, ("reset", "--quiet", "--", *FILES)]:
        done = git.attempt(*words)
        if done.code:
            raise MachineError(f"git {words[0]}: {done.reason}")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"there is no {path.name}", where=str(path.parent), todo="take it from its last commit"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path.name} cannot be read ({error})", todo="mend it") from error


def _write(path: Path, data: bytes) -> None:
    """The file with these bytes, or as it was; its mode stays. Raises MachineError."""
    if path.read_bytes() == data:
        return
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).chmod(path.stat().st_mode & 0o7777)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MachineError(
            f"{path.name} cannot be written ({error.strerror})",
            where=str(path.parent),
            todo="mend that, and run it again",
        ) from error


def _few(names: list[str]) -> str:
    shown = [each.encode(errors="surrogateescape").decode(errors="replace") for each in names[:_MANY]]
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(shown) + more
