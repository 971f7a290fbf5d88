"""A GitHub release with the files of a folder as assets.

The release stays a draft until GitHub has every asset with the right checksum. Each step first reads the
state at GitHub, so the next run completes a run that was interrupted.
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
"""Assets that describe the other assets, and so change when assets are added."""
_FIRST_STAYS = re.compile(r"attestation-.+\.jsonl")
"""Assets that are never replaced: a second run signs the same files with another key."""
_MOST_STEPS = 12


@dataclass(frozen=True)
class Asset:
    """A file to release; `size` in bytes, `sha256` in hex."""

    path: Path
    size: int
    sha256: str

    @classmethod
    def read(cls, path: Path) -> "Asset":
        """Read the size and the checksum of a file. Raises MachineError."""
        try:
            with path.open("rb") as file:
                return cls(path, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise machine_error(error, path, "--assets") from error

    @property
    def name(self) -> str:
        """The name of the asset."""
        return self.path.name

    def is_same(self, remote: Mapping[str, Any]) -> bool:
        """Return whether GitHub has the same content."""
        known = (remote["state"], remote["size"], remote.get("digest"))
        return known == ("uploaded", self.size, f"sha256:{self.sha256}")


@dataclass(frozen=True)
class ReleaseSpec:
    """A release to publish; `folder` holds the assets, and SHA256SUMS is written there."""

    tag: str
    title: str
    notes: str
    folder: Path
    move_major: bool = False

    def __post_init__(self) -> None:
        if version_of(self.tag) is None:
            raise InvalidInputError(
                f"{self.tag!r} is not a release tag", where="--tag", todo="use the form v1.2.3"
            )

    @property
    def is_prerelease(self) -> bool:
        """Whether the tag is that of a prerelease, as in v1.2.3-rc.1."""
        return "-" in self.tag

    def assets(self) -> list[Asset]:
        """Return the files of the folder, without SHA256SUMS. Raises NodelayerError."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.name != SUMS)
        except OSError as error:
            raise machine_error(error, self.folder, "--assets") from error
        if not paths:
            raise InvalidInputError(
                "the folder has no files to release", where=str(self.folder), todo="check --assets"
            )
        return [Asset.read(path) for path in paths]


def version_of(tag: str) -> str | None:
    """Return `1.2.3` for the tag `v1.2.3`, None for a tag that is not a version."""
    version = tag.removeprefix("v")
    try:
        node_release.sort_key(version)
    except ValueError:
        return None
    return version if tag.startswith("v") else None


def publish(spec: ReleaseSpec, github: GitHub) -> tuple[Mapping[str, Any], bool]:
    """Publish a release; return GitHub's description of it, and whether it changed.

    Raises RefusedError if a published asset would change, NotVerifiedError if the assets at GitHub still
    differ from the folder after 12 steps, NotFoundError if the tag does not exist.
    """
    assets = spec.assets()
    for step in range(_MOST_STEPS):
        try:
            if (release := _advance(spec, assets, github)) is not None:
                return release, step > 0
        except UncertainError as error:  # the next step reads whether GitHub carried it out
            wait = WAITS_S[min(step, len(WAITS_S) - 1)]
            github.reporter.say(f"{error.what}; checking again in {wait:.0f} s")
            github.pause(wait)
    raise NotVerifiedError(
        f"the assets at GitHub still differ from the files, after {_MOST_STEPS} steps",
        where=spec.tag,
        todo="run it again, and do not change the files meanwhile",
    )


def _advance(spec: ReleaseSpec, assets: list[Asset], github: GitHub) -> Mapping[str, Any] | None:
    """Do the next missing step; return the release if no step is missing."""
    commit = _commit_of(github, spec.tag)
    if commit is None:
        raise NotFoundError(f"GitHub has no tag {spec.tag}", where="--tag", todo="push it first")
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
    """Return the published release of a tag, else its oldest draft; GitHub does not find drafts by tag."""
    found = [each for each in releases if each["tag_name"] == tag]
    return min(found, key=lambda each: (each["draft"], each["id"]), default=None)


def _commit_of(github: GitHub, tag: str) -> str | None:
    """Return the commit of a tag, also of an annotated tag; None if the tag does not exist."""
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
    """Return the assets to send, SHA256SUMS last, each with GitHub's description of its old content."""
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
        present = remote.get(asset.name)
        if present and asset.is_same(present):
            continue
        if present and present["state"] == "uploaded" and not release["draft"] and asset.name not in _GROWING:
            raise RefusedError(
                f"{asset.name} is already published with other content ({present['digest'] or 'no digest'})",
                where=str(present["browser_download_url"]),
                todo="published assets never change: release a new version",
            )
        unsent.append((asset, present))
    return unsent


def _send(
    asset: Asset, present: Mapping[str, Any] | None, release: Mapping[str, Any], github: GitHub
) -> None:
    """Upload an asset; first delete its incomplete or old version."""
    github.reporter.say(f"{'replace' if present else 'add'}: {asset.name}, {megabytes(asset.size)}")
    if present:
        github.delete(f"releases/assets/{present['id']}")
    url = str(release["upload_url"]).partition("{")[0]
    github.upload(f"{url}?name={quote(asset.name, safe='')}", asset.path)


def _is_latest(spec: ReleaseSpec, releases: Iterable[Mapping[str, Any]]) -> str:
    """Return whether GitHub calls the release "latest": "true" for the newest version only."""
    published = (each["tag_name"] for each in releases if not each["draft"] and not each["prerelease"])
    newest = not spec.is_prerelease and _is_newest(spec.tag, published)
    return "true" if newest else "false"


def _is_newest(tag: str, others: Iterable[str]) -> bool:
    versions = [version for each in (tag, *others) if (version := version_of(each))]
    return version_of(tag) == max(versions, key=node_release.sort_key)


def _move_major(tag: str, commit: str, github: GitHub) -> bool:
    """Move `v1` to the commit of `v1.2.3`, unless a newer version is tagged. Return whether it moved."""
    major = tag.partition(".")[0]
    refs = github.every(f"git/matching-refs/tags/{major}.")
    tags = (each["ref"].removeprefix("refs/tags/") for each in refs)
    current = _commit_of(github, major)
    if current == commit or not _is_newest(tag, (each for each in tags if "-" not in each)):
        return False
    try:
        if current is None:
            github.post("git/refs", {"ref": f"refs/tags/{major}", "sha": commit})
        else:
            github.patch(f"git/refs/tags/{major}", {"sha": commit, "force": True})
    except RefusedError as error:
        raise RefusedError(
            f"the release is published, but the tag {major} cannot be moved to it ({error.what})",
            where=tag,
            todo=f"run git push --force origin '{tag}^{{}}:refs/tags/{major}'",
        ) from error
    github.reporter.say(f"{major} is {tag}: {commit}")
    return True
