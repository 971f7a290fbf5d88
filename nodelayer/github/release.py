"""A GitHub release with a folder's files as assets: a draft until GitHub holds every asset as it was sent.

Each step looks at GitHub before it acts, so a run that was interrupted is finished by the next one.
https://docs.github.com/rest/releases/releases · https://docs.github.com/rest/releases/assets
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nodelayer.errors import (
    InvalidInputError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    machine_error,
)
from nodelayer.github.api import WAITS_S, GitHub, UncertainError
from nodelayer.node import versions as node_release
from nodelayer.util.console import megabytes

SUMS = "SHA256SUMS"

_GROWING = frozenset({SUMS, "layers.json", "layers.txt"})
"""Assets that describe the others, and change when there are more."""
_FIRST_STAYS = re.compile(r"attestation-.+\.jsonl")
"""A second run signs the same files with another key: the published signature is as good, and stays."""
_MOST_STEPS = 12


@dataclass(frozen=True)
class Asset:
    """A file to be released: its size in bytes, its sha256 in hex."""

    path: Path
    size: int
    sha256: str

    @classmethod
    def read(cls, path: Path) -> "Asset":
        """Measure a file. Raises MachineError."""
        try:
            with path.open("rb") as file:
                return cls(path, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise machine_error(error, path, "--assets") from error

    @property
    def name(self) -> str:
        return self.path.name

    def is_same(self, remote: Mapping[str, Any]) -> bool:
        """Whether GitHub holds these bytes."""
        known = (remote["state"], remote["size"], remote.get("digest"))
        return known == ("uploaded", self.size, f"sha256:{self.sha256}")


@dataclass(frozen=True)
class ReleaseSpec:
    """The release as it is to be. `folder` holds its assets, and SHA256SUMS once that is written."""

    tag: str
    title: str
    notes: str
    folder: Path
    move_major: bool = False

    def __post_init__(self) -> None:
        if version_of(self.tag) is None:
            raise InvalidInputError(f"{self.tag!r} is no tag", where="--tag", todo="write it as v1.2.3")

    @property
    def is_prerelease(self) -> bool:
        return "-" in self.tag

    def assets(self) -> list[Asset]:
        """The files of the folder, without SHA256SUMS. Raises NodelayerError."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.name != SUMS)
        except OSError as error:
            raise machine_error(error, self.folder, "--assets") from error
        if not paths:
            raise InvalidInputError(
                "there is no file to release", where=str(self.folder), todo="check --assets"
            )
        return [Asset.read(path) for path in paths]


def version_of(tag: str) -> str | None:
    """`1.2.3` of the tag `v1.2.3`; None for a tag that is no version."""
    version = tag.removeprefix("v")
    try:
        node_release.sort_key(version)
    except ValueError:
        return None
    return version if tag.startswith("v") else None


def publish(spec: ReleaseSpec, github: GitHub) -> tuple[Mapping[str, Any], bool]:
    """Publish a release; return it as GitHub describes it, and whether anything was left to do.

    Raises RefusedError if published bytes would change, NotVerifiedError if GitHub does not come to hold the
    assets as they are in the folder, NotFoundError if the tag does not exist.
    """
    assets = spec.assets()
    for step in range(_MOST_STEPS):
        try:
            if (release := _advance(spec, assets, github)) is not None:
                return release, step > 0
        except UncertainError as error:  # the next step sees whether it was carried out
            wait = WAITS_S[min(step, len(WAITS_S) - 1)]
            github.reporter.say(f"{error.what}; looking again in {wait:.0f} s")
            github.pause(wait)
    raise NotVerifiedError(
        f"GitHub does not hold the files as they were sent, after {_MOST_STEPS} steps",
        where=spec.tag,
        todo="do not change the files meanwhile, and run it again",
    )


def _advance(spec: ReleaseSpec, assets: list[Asset], github: GitHub) -> Mapping[str, Any] | None:
    """Do the next thing that is left; return the release if nothing is."""
    commit = _commit_of(github, spec.tag)
    if commit is None:
        raise NotFoundError(f"there is no tag {spec.tag}", where="--tag", todo="push it first")
    text = {"name": spec.title, "body": _lines(spec.notes), "prerelease": spec.is_prerelease}
    releases = github.every("releases")
    release = _of_tag(releases, spec.tag)
    if release is None:
        github.post("releases", {"tag_name": spec.tag, "draft": True, **text})
    elif text != {**{name: release[name] for name in text}, "body": _lines(release["body"] or "")}:
        github.patch(f"releases/{release['id']}", text)
    elif unsent := _unsent(spec.folder, assets, release, github):
        for asset, remote in unsent:
            _send(asset, remote, release, github)
    elif release["draft"]:
        body = {"draft": False, "make_latest": _is_latest(spec, releases)}
        github.patch(f"releases/{release['id']}", body)
    elif not (spec.move_major and not spec.is_prerelease and _move_major(spec.tag, commit, github)):
        return release
    return None


def _of_tag(releases: Iterable[Mapping[str, Any]], tag: str) -> Mapping[str, Any] | None:
    """The published release of a tag, or else its oldest draft. GitHub finds no draft by its tag."""
    found = [each for each in releases if each["tag_name"] == tag]
    return min(found, key=lambda each: (each["draft"], each["id"]), default=None)


def _commit_of(github: GitHub, tag: str) -> str | None:
    """The commit that a tag leads to, through the objects of annotated tags; None if there is no tag."""
    ref = github.find(f"git/ref/tags/{quote(tag)}")
    if ref is None:
        return None
    target = ref["object"]
    while target["type"] == "tag":
        target = github.get(f"git/tags/{target['sha']}")["object"]
    return str(target["sha"])


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _unsent(
    folder: Path, assets: list[Asset], release: Mapping[str, Any], github: GitHub
) -> list[tuple[Asset, Mapping[str, Any] | None]]:
    """The assets that GitHub lacks or holds otherwise, each with what it holds; SHA256SUMS is the last."""
    remote = {each["name"]: each for each in github.every(f"releases/{release['id']}/assets")}
    sums = {
        name: str(each["digest"]).removeprefix("sha256:")
        for name, each in remote.items()
        if each["state"] == "uploaded" and each["digest"] and name != SUMS
    }
    if not release["draft"]:
        assets = [each for each in assets if not (each.name in sums and _FIRST_STAYS.fullmatch(each.name))]
    sums |= {each.name: each.sha256 for each in assets}
    path = folder / SUMS
    try:
        path.write_text("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items())))
    except OSError as error:
        raise machine_error(error, path, "--assets") from error
    unsent = []
    for asset in (*assets, Asset.read(path)):
        there = remote.get(asset.name)
        if there and asset.is_same(there):
            continue
        if there and there["state"] == "uploaded" and not release["draft"] and asset.name not in _GROWING:
            raise RefusedError(
                f"{asset.name} is published with other bytes ({there['digest'] or 'no digest'})",
                where=str(there["browser_download_url"]),
                todo="what people have downloaded does not change: release a new version",
            )
        unsent.append((asset, there))
    return unsent


def _send(asset: Asset, there: Mapping[str, Any] | None, release: Mapping[str, Any], github: GitHub) -> None:
    """Upload an asset, in the place of what is there: an upload that was cut, or other bytes."""
    github.reporter.say(f"{'replace' if there else 'add'}: {asset.name}, {megabytes(asset.size)}")
    if there:
        github.delete(f"releases/assets/{there['id']}")
    url = str(release["upload_url"]).partition("{")[0]
    github.upload(f"{url}?name={quote(asset.name, safe='')}", asset.path)


def _is_latest(spec: ReleaseSpec, releases: Iterable[Mapping[str, Any]]) -> str:
    """Whether it becomes GitHub's "latest": only the newest version does, whatever the order of releases."""
    published = (each["tag_name"] for each in releases if not each["draft"] and not each["prerelease"])
    newest = not spec.is_prerelease and _is_newest(spec.tag, published)
    return "true" if newest else "false"


def _is_newest(tag: str, others: Iterable[str]) -> bool:
    versions = [version for each in (tag, *others) if (version := version_of(each))]
    return version_of(tag) == max(versions, key=node_release.sort_key)


def _move_major(tag: str, commit: str, github: GitHub) -> bool:
    """Move `v1` to the commit of `v1.2.3`, unless a newer one is tagged. Return whether it moved."""
    major = tag.partition(".")[0]
    refs = github.every(f"git/matching-refs/tags/{major}.")
    tags = (each["ref"].removeprefix("refs/tags/") for each in refs)
    there = _commit_of(github, major)
    if there == commit or not _is_newest(tag, (each for each in tags if "-" not in each)):
        return False
    try:
        if there is None:
            github.post("git/refs", {"ref": f"refs/tags/{major}", "sha": commit})
        else:
            github.patch(f"git/refs/tags/{major}", {"sha": commit, "force": True})
    except RefusedError as error:
        raise RefusedError(
            f"the release is out, and {major} could not be moved to it ({error.what})",
            where=tag,
            todo=f"git push --force origin '{tag}^{{}}:refs/tags/{major}'",
        ) from error
    github.reporter.say(f"{major} is {tag}: {commit}")
    return True
