"""The manifest on a git branch of its own, `layers`: writers at the same time lose no entries.

The branch holds layers.json, layers.txt and layers.schema.json, and nothing else, so its raw URL stays. git
works in a temporary repository; the user's own is not touched.
"""

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
    """A branch of a remote. The remote is a name that git knows, or an address."""

    git: Git
    remote: str = "origin"
    branch: str = BRANCH

    def __post_init__(self) -> None:
        if self.git.attempt("check-ref-format", f"refs/heads/{self.branch}").code:
            raise InvalidInputError(
                f"{self.branch!r} is not a branch name", where="--branch", todo="use layers"
            )

    def __str__(self) -> str:
        return f"{self.branch} of {self.remote}"


@dataclass(frozen=True)
class Pushed:
    """What a push added: rows of Node.js version, architecture, region and ARN; the commit, if any."""

    added: tuple[tuple[str, str, str, str], ...]
    commit: str


class _BranchMovedError(UnreachableError):
    """Another writer pushed first."""


def read_fragments(place: Path) -> Manifest:
    """Read the manifest of a file, or of all *.json below a folder except schemas. Raises NodelayerError."""
    if not place.is_dir():
        return open_manifest(str(place))
    found = sorted(path for path in place.rglob("*.json") if path.name != SCHEMA_FILE)
    if not found:
        raise NotFoundError("no manifest found", where=str(place), todo="name the folder that has manifests")
    return Manifest.of(layer for path in found for layer in open_manifest(str(path)).layers)


def fetch(place: ManifestBranch) -> Manifest:
    """Read the branch's manifest; an empty one if the branch does not exist. Raises NodelayerError."""
    with scratch(place.git) as git:
        return _read(git, place, place.git.address(place.remote))[0]


def push(new: Manifest, place: ManifestBranch, message: str, reporter: Reporter) -> Pushed:
    """Merge into the branch and push; retry if another writer pushed first. Raises NodelayerError."""
    stamina.instrumentation.set_on_retry_hooks([])  # the reporter below says it, not a log line
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
                reporter.say(f"{place}: another writer pushed first, trying again")
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
        f"other writers pushed first {_ATTEMPTS} times", where=str(place), todo="run it again later"
    )


def _read(git: Git, place: ManifestBranch, address: str) -> tuple[Manifest, str]:
    """Read the branch's manifest and commit; an empty manifest and "" if the branch does not exist."""
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
            todo="use another --branch",
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
