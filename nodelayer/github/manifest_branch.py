"""The manifest on a git branch of its own, `layers`: many write it at once, and nobody's entries are lost.

The branch holds layers.json, layers.txt and layers.schema.json, and nothing else, so its raw URL stays. All
is done in a repository that is made for the moment; the one that somebody works in is not touched.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.manifest import schema
from nodelayer.manifest.model import MANIFEST_FILE, SCHEMA_FILE, Manifest
from nodelayer.manifest.schema import schema_text
from nodelayer.manifest.store import open_manifest
from nodelayer.util.console import Reporter
from nodelayer.util.git import Git, failed, scratch

BRANCH = "layers"
TEXT_FILE = "layers.txt"

_TRIES = 20
_FIRST_WAIT_S = 0.2
_MOST_WAIT_S = 8.0


@dataclass(frozen=True)
class ManifestBranch:
    """A branch of a remote: the name of one of `git`'s, or any address that git takes."""

    git: Git
    remote: str = "origin"
    branch: str = BRANCH

    def __post_init__(self) -> None:
        if self.git.attempt("check-ref-format", f"refs/heads/{self.branch}").code:
            raise InvalidInputError(f"{self.branch!r} is no branch", where="--branch", todo="use layers")

    def __str__(self) -> str:
        return f"{self.branch} of {self.remote}"


@dataclass(frozen=True)
class Pushed:
    """What a push has brought: rows of Node.js version, architecture, region, ARN; and the commit, if any."""

    added: tuple[tuple[str, str, str, str], ...]
    commit: str


@dataclass(frozen=True)
class Backoff:
    """How long to wait for others, in seconds: longer each time, and for everybody another while."""

    pause: Callable[[float], None] = time.sleep
    source: random.Random = field(default_factory=random.SystemRandom)

    def wait(self, tries: int) -> None:
        self.pause(self.source.uniform(0, min(_MOST_WAIT_S, _FIRST_WAIT_S * (1 << tries))))


def read_fragments(place: Path) -> Manifest:
    """The manifest of a file, or of all *.json below a folder but for schemas. Raises NodelayerError."""
    if not place.is_dir():
        return open_manifest(str(place))
    found = sorted(path for path in place.rglob("*.json") if path.name != SCHEMA_FILE)
    if not found:
        raise NotFoundError("there is no manifest", where=str(place), todo="name the folder that has some")
    return Manifest.of(layer for path in found for layer in open_manifest(str(path)).layers)


def fetch(place: ManifestBranch) -> Manifest:
    """The branch's manifest, an empty one where there is no branch. Raises NodelayerError, also where the
    remote does not answer.
    """
    with scratch(place.git) as git:
        return _read(git, place, place.git.address(place.remote))[0]


def push(
    new: Manifest, place: ManifestBranch, message: str, reporter: Reporter, backoff: Backoff | None = None
) -> Pushed:
    """Merge into what the branch has and push, again where others were quicker. Raises NodelayerError."""
    backoff = backoff or Backoff()
    address = place.git.address(place.remote)
    for tries in range(_TRIES):
        with scratch(place.git) as git:
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
        reporter.say(f"{place}: somebody else was quicker, once more")
        backoff.wait(tries)
    raise UnreachableError(
        f"others were quicker {_TRIES} times", where=str(place), todo="run it again when fewer are at work"
    )


def _read(git: Git, place: ManifestBranch, address: str) -> tuple[Manifest, str]:
    """What the branch has, and its commit; nothing and an empty word where there is no branch."""
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
            todo="it is another's: use another --branch",
        )
    return schema.parse(shown.out.encode(errors="surrogateescape"), str(place)), git.run("rev-parse", ref)


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


def say(pushed: Pushed, place: ManifestBranch, reporter: Reporter) -> None:
    """One line of what was done."""
    if not pushed.commit:
        reporter.say(f"{place}: nothing new")
        return
    regions = len({region for _, _, region, _ in pushed.added})
    reporter.say(f"{place}: {len(pushed.added)} layer versions in {regions} regions added")
