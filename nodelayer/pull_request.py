"""What has changed in a work tree, as a pull request: one of its branch, however often it is done.

The branch belongs to this command and is written anew each time. The checkout, its index and its branch stay
as they are. https://docs.github.com/rest/pulls/pulls
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from nodelayer.errors import InvalidInputError, NotFoundError, RefusedError
from nodelayer.github.api import GitHub
from nodelayer.util.git import Git, failed

_NEEDS_SETTING = "not permitted to create"


@dataclass(frozen=True)
class Order:
    """The pull request as it is to be."""

    branch: str
    base: str
    title: str
    body: str
    message: str
    remote: str = "origin"

    def __post_init__(self) -> None:
        if self.branch == self.base:
            raise InvalidInputError(
                "--branch and --base are the same", where=self.base, todo="name a branch of its own"
            )


@dataclass(frozen=True)
class Result:
    """What became of it; `pull` is None where there is none, and nothing to have one for."""

    what: Literal["opened", "updated", "left", "closed", "none"]
    pull: Mapping[str, Any] | None


def open_or_update(order: Order, git: Git, github: GitHub) -> Result:
    """Commit, push and open; what is there already is not done again. Raises NodelayerError."""
    address = git.address(order.remote)
    git = Git(Path(git.run("rev-parse", "--show-toplevel")), git.environ)
    base = git.tip(address, order.base)
    if not base:
        raise NotFoundError("the remote has no such branch", where=order.base, todo="mend --base")
    there = git.tip(address, order.branch)
    with tempfile.TemporaryDirectory(prefix="nodelayer-git-") as folder:
        _bring(git, address, base)
        tree = _tree(git.set(GIT_INDEX_FILE=f"{folder}/index"), base, order)
        if tree == git.run("rev-parse", f"{base}^{{tree}}"):
            return _no_longer_needed(order, github)
        pushed = not _is_there(git, address, there, (tree, base, order.message))
        if pushed:
            commit = git.set(**git.identity()).run("commit-tree", tree, "-p", base, "-m", order.message)
            _push(git, address, commit, there, order)
    pull = _open_one(order, github)
    if pull is None:
        return Result("opened", github.persist(lambda: _open_one(order, github) or _opened(order, github)))
    wanted = {"title": order.title, "body": order.body}
    changed = {name: text for name, text in wanted.items() if text != (pull.get(name) or "")}
    if changed:
        pull = github.patch(f"pulls/{pull['number']}", changed)
    return Result("updated" if changed or pushed else "left", pull)


def _bring(git: Git, address: str, commit: str) -> None:
    """A commit into this repository, where it lacks it; no ref, no FETCH_HEAD."""
    if not git.attempt("cat-file", "-e", f"{commit}^{{commit}}").code:
        return
    depth = ["--depth=1"] if git.run("rev-parse", "--is-shallow-repository") == "true" else []
    tried = git.attempt(
        "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *depth, "--", address, commit
    )
    if tried.code:
        raise failed(tried, address)


def _tree(git: Git, base: str, order: Order) -> str:
    """The base with what the work tree changes of its own commit: edited, new, deleted."""
    git.run("read-tree", "HEAD")
    git.run("add", "--all")
    mine = git.run("write-tree")
    if git.run("rev-parse", "HEAD") == base:
        return mine
    patch = git.run("diff-tree", "--binary", "--full-index", "-p", "HEAD", mine)
    git.run("read-tree", base)
    if patch:
        applied = git.attempt("apply", "--cached", "--3way", "--whitespace=nowarn", sent=f"{patch}\n")
        if applied.code:
            raise RefusedError(
                f"the changes do not fit {order.base} ({applied.reason})",
                where=str(git.folder),
                todo=f"rebase onto {order.base} first",
            )
    return git.run("write-tree")


def _is_there(git: Git, address: str, there: str, wanted: tuple[str, str, str]) -> bool:
    """Whether the branch is that tree on that base already, with that message."""
    if not there:
        return False
    _bring(git, address, there)
    tree, parents, message = git.run("show", "--no-patch", "--format=%T%n%P%n%B", there).split("\n", 2)
    return (tree, parents, message.strip()) == (wanted[0], wanted[1], wanted[2].strip())


def _push(git: Git, address: str, commit: str, there: str, order: Order) -> None:
    ref = f"refs/heads/{order.branch}"
    lease = f"--force-with-lease={ref}:{there}"
    tried = git.attempt("push", "--quiet", "--no-verify", lease, "--", address, f"{commit}:{ref}")
    if tried.code:
        raise failed(tried, order.remote)


def _open_one(order: Order, github: GitHub) -> Mapping[str, Any] | None:
    head = quote(f"{github.repository.partition('/')[0]}:{order.branch}", safe="")
    found = github.every(f"pulls?state=open&head={head}&base={quote(order.base, safe='')}")
    return found[0] if found else None


def _opened(order: Order, github: GitHub) -> Mapping[str, Any]:
    body = {"title": order.title, "body": order.body, "head": order.branch, "base": order.base}
    try:
        pull: Mapping[str, Any] = github.post("pulls", body)
    except RefusedError as error:
        if _NEEDS_SETTING not in error.what:
            raise
        raise RefusedError(
            "GitHub lets no job open pull requests here",
            where=github.repository,
            todo="Settings > Actions > General: Allow GitHub Actions to create and approve pull requests",
        ) from error
    return pull


def _no_longer_needed(order: Order, github: GitHub) -> Result:
    pull = _open_one(order, github)
    if pull is None:
        return Result("none", None)
    number = pull["number"]
    github.persist(
        lambda: github.post(
            f"issues/{number}/comments",
            {"body": f"{order.base} has it all by now; nothing is left to change."},
        )
    )
    return Result("closed", github.patch(f"pulls/{number}", {"state": "closed"}))
