"""The manifest on its own git branch, `layers`; concurrent pushes are merged.

The branch holds layers.json, layers.txt and layers.schema.json only, so the raw URL of each stays the same.
git works in a temporary repository and does not change the user's.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import stamina
import stamina.instrumentation

from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.manifest.model import MANIFEST_FILE, SCHEMA_FILE, Manifest
from nodelayer.manifest.schema import parse, schema_text
from nodelayer.manifest.store import open_manifest
from nodelayer.util.console import Reporter
from nodelayer.util.git import Git, failed, scratch

BRANCH = "layers"
TEXT_FILE = "layers.txt"

_ATTEMPTS = 20
_FIRST_WAIT_S = 0.2
_MOST_WAIT_S = 8.0


@dataclass(frozen=True)
class ManifestBranch:
    """A branch of a git remote; `remote` is its name or its address."""

    git: Git
    remote: str = "origin"
    branch: str = BRANCH

    def __post_init__(self) -> None:
        if self.git.attempt("check-ref-format", f"refs/heads/{self.branch}").code:
            raise InvalidInputError(
                f"{self.branch!r} is not a branch name", where="--branch", todo="use a name such as layers"
            )

    def __str__(self) -> str:
        return f"{self.branch} of {self.remote}"


@dataclass(frozen=True)
class Pushed:
    """The result of a push: rows of Node.js version, architecture, region and ARN; the commit, or ""."""

    added: tuple[tuple[str, str, str, str], ...]
    commit: str


class _BranchMovedError(UnreachableError):
    """Somebody else pushed first."""


def read_fragments(place: Path) -> Manifest:
    """Read a manifest file, or merge all *.json below a folder except schemas. Raises NodelayerError."""
    if not place.is_dir():
        return open_manifest(str(place))
    found = sorted(path for path in place.rglob("*.json") if path.name != SCHEMA_FILE)
    if not found:
        raise NotFoundError(
            "no manifest found", where=str(place), todo="use a folder that has manifest files"
        )
    return functools.reduce(Manifest.merge, (open_manifest(str(path)) for path in found))


def fetch(place: ManifestBranch) -> Manifest:
    """Read the manifest of the branch; empty if the branch does not exist. Raises NodelayerError."""
    with scratch(place.git) as git:
        return _read(git, place, place.git.address(place.remote))[0]


def push(new: Manifest, place: ManifestBranch, message: str, reporter: Reporter) -> Pushed:
    """Merge a manifest into the branch and push; retry if the branch moved. Raises NodelayerError."""
    stamina.instrumentation.set_on_retry_hooks([])  # the reporter prints each retry
    address = place.git.address(place.remote)
    for attempt in stamina.retry_context(
        on=_BranchMovedError,
        attempts=_ATTEMPTS,
        timeout=None,
        wait_initial=_FIRST_WAIT_S,
        wait_max=_MOST_WAIT_S,
        wait_jitter=_FIRST_WAIT_S,
    ):
        with attempt, scratch(place.git) as git:
            if attempt.num > 1:
                reporter.say(f"{place}: somebody else pushed first, retrying")
            return _push_once(git, new, place, address, message)
    raise AssertionError("the last attempt returns or raises")


def _push_once(git: Git, new: Manifest, place: ManifestBranch, address: str, message: str) -> Pushed:
    known, tip = _read(git, place, address)
    merged = known.merge(new)
    tree = _tree(git, merged)
    if tip and tree == git.run("rev-parse", f"{tip}^{{tree}}"):
        return Pushed((), "")
    parent = ["-p", tip] if tip else []
    commit = git.run("commit-tree", tree, *parent, "-m", message)
    tried = git.attempt("push", "--quiet", "--", address, f"{commit}:refs/heads/{place.branch}")
    if not tried.code:
        return Pushed(_added(known, merged), commit)
    if git.tip(address, place.branch) == tip and "lock" not in tried.err:
        raise failed(tried, place.remote)
    raise _BranchMovedError(
        f"somebody else pushed first, {_ATTEMPTS} times", where=str(place), todo="run it again later"
    )


def _read(git: Git, place: ManifestBranch, address: str) -> tuple[Manifest, str]:
    """Return the manifest and commit of the branch; an empty manifest and "" if it does not exist."""
    if not git.tip(address, place.branch):
        return Manifest(), ""
    ref = "refs/heads/theirs"
    tried = git.attempt(
        "fetch", "--quiet", "--depth=1", "--no-tags", "--", address, f"+refs/heads/{place.branch}:{ref}"
    )
    if tried.code:
        raise failed(tried, place.remote)
    shown = git.attempt("show", f"{ref}:{MANIFEST_FILE}")
    if shown.code:
        raise NotVerifiedError(
            f"the branch has no {MANIFEST_FILE}",
            where=str(place),
            todo="use the branch of the manifest for --branch",
        )
    return parse(shown.out.encode(errors="surrogateescape"), str(place)), git.run("rev-parse", ref)


def _tree(git: Git, manifest: Manifest) -> str:
    files = {
        MANIFEST_FILE: manifest.json_text(),
        SCHEMA_FILE: schema_text(),
        TEXT_FILE: manifest.text(),
    }
    blobs = {name: git.run("hash-object", "-w", "--stdin", sent=text) for name, text in files.items()}
    return git.run("mktree", sent="".join(f"100644 blob {blob}\t{name}\n" for name, blob in blobs.items()))


def _added(before: Manifest, after: Manifest) -> tuple[tuple[str, str, str, str], ...]:
    known = {published.arn for layer in before.layers for published in layer.regions.values()}
    return tuple(
        (layer.node_version, layer.architecture, region, published.arn)
        for layer in after.layers
        for region, published in sorted(layer.regions.items())
        if published.arn not in known
    )
