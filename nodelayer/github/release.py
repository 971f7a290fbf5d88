"""A GitHub release of a tag with a folder's files: a draft until all of it is there and read back.

Nobody sees half a release, and one that is immutable once published is whole by then. What was stopped at any
moment is taken up where it stopped.
https://docs.github.com/rest/releases/releases · https://docs.github.com/rest/releases/assets
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from nodelayer.errors import (
    InvalidInputError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    UnreachableError,
    machine_error,
)
from nodelayer.github.api import GitHub
from nodelayer.node import versions as node_release
from nodelayer.util.console import megabytes

SUMS = "SHA256SUMS"
GROWING = frozenset({SUMS, "layers.json", "layers.txt"})
"""What tells of the others, and changes when there are more."""
MOST_ASSETS = 1000
MOST_BYTES = 2 * 1024**3
"""https://docs.github.com/repositories/releasing-projects-on-github/about-releases#storage-and-bandwidth-quotas"""
MOST_NOTES = 125_000
"""Characters of a release's notes."""

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(?<!\.)", re.ASCII)
"""GitHub renames what has other characters, or a dot at either end; nobody would find it by its name."""
_TAG = re.compile(r"(?!-)[A-Za-z0-9._+/-]+", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{40}")
_LOOKS = 5
_TYPES = {
    ".json": "application/json",
    ".zip": "application/zip",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    SUMS: "text/plain; charset=utf-8",
}

_FIRST_STAYS = re.compile(r"attestation-.+\.jsonl")
"""A second run signs the same files anew, with another key: the first signature is as good, and stays."""

Kind = Literal["keep", "add", "send again", "replace"]


@dataclass(frozen=True)
class Asset:
    """A file as it is to stand in the release: bytes, and sha256 in hex."""

    path: Path
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def content_type(self) -> str:
        return _TYPES.get(self.path.suffix or self.name, "application/octet-stream")

    def is_there(self, remote: Mapping[str, Any]) -> bool:
        return (remote["state"], remote["size"], remote.get("digest")) == (
            "uploaded",
            self.size,
            f"sha256:{self.sha256}",
        )


@dataclass(frozen=True)
class ReleaseSpec:
    """What is wanted. `target` is the commit of a tag that is not there yet; `assets` are sorted by name."""

    tag: str
    title: str
    notes: str
    assets: tuple[Asset, ...]
    target: str = ""
    prerelease: bool = False
    latest: bool = True
    move_major: bool = False

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.tag):
            raise InvalidInputError(f"{self.tag!r} is no tag", where="--tag", todo="write it as v1.2.3")
        if self.target and not _SHA.fullmatch(self.target):
            raise InvalidInputError(
                f"{self.target!r} is no commit",
                where="--target",
                todo="write all 40 digits: git rev-parse HEAD",
            )
        if self.move_major and self.version is None:
            raise InvalidInputError(
                f"the tag {self.tag} has no major version to move",
                where="--move-major",
                todo="use it with tags as v1.2.3",
            )
        if len(self.notes) > MOST_NOTES:
            raise InvalidInputError(
                f"the notes have {len(self.notes)} characters, GitHub takes {MOST_NOTES}",
                where="--notes",
                todo="shorten them; a long table can be a file in --assets",
            )

    @property
    def version(self) -> str | None:
        """The tag's, where it is `v` and a semantic version."""
        return version_of(self.tag)

    @property
    def is_prerelease(self) -> bool:
        return self.prerelease or "-" in (self.version or "")


@dataclass(frozen=True)
class Plan:
    """What is there, and what is to be done: `steps` for each asset, in the order of sending."""

    release: Mapping[str, Any] | None
    commit: str | None
    steps: tuple[tuple[Kind, Asset], ...]
    half: tuple[Mapping[str, Any], ...]
    others: tuple[str, ...]
    text: Mapping[str, object]
    publish: bool
    major: str | None

    @property
    def idle(self) -> bool:
        nothing_sent = all(kind == "keep" for kind, _ in self.steps)
        return nothing_sent and not (self.half or self.text or self.publish or self.major)


def version_of(tag: str) -> str | None:
    """`1.2.3` of the tag `v1.2.3`; None for a tag that is no version."""
    version = tag.removeprefix("v")
    try:
        node_release.sort_key(version)
    except ValueError:
        return None
    return version if tag.startswith("v") else None


def read_folder(folder: Path) -> tuple[Asset, ...]:
    """Its files as assets, but for SHA256SUMS. Raises InvalidInputError for what GitHub would not take so."""
    try:
        paths = sorted(folder.iterdir(), key=lambda path: path.name)
        found = [_asset(path) for path in paths if path.name != SUMS]
    except OSError as error:
        raise machine_error(error, folder, "--assets") from error
    if not found:
        raise InvalidInputError("there is no file to release", where=str(folder), todo="mend --assets")
    if len(found) >= MOST_ASSETS:
        raise InvalidInputError(
            f"{len(found)} files and {SUMS}: GitHub takes {MOST_ASSETS} assets",
            where=str(folder),
            todo="make several releases of them, or one zip of many",
        )
    return tuple(found)


def _asset(path: Path) -> Asset:
    if not path.is_file():
        raise InvalidInputError("only files can be assets", where=str(path), todo="move it out of --assets")
    if not _FILE_NAME.fullmatch(path.name):
        raise InvalidInputError(
            "GitHub would rename this file",
            where=str(path),
            todo="use letters, digits and . _ + - in its name, no dot first or last",
        )
    size = path.stat().st_size
    if not 0 < size < MOST_BYTES:
        raise InvalidInputError(
            f"GitHub takes no asset of {megabytes(size)}",
            where=str(path),
            todo="an empty file cannot be one, nor one of 2 GiB or more",
        )
    with path.open("rb") as file:
        return Asset(path, size, hashlib.file_digest(file, "sha256").hexdigest())


def plan(spec: ReleaseSpec, github: GitHub, sums: Path | None = None) -> Plan:
    """Look what is there, change nothing at GitHub; SHA256SUMS is written into the folder `sums`, if given.

    Raises RefusedError where what is published would have to change, NotFoundError where the tag is nowhere.
    """
    releases = github.every("releases")
    release = _of_tag(releases, spec.tag, github)
    commit = _commit_of(github, spec.tag)
    if commit is None and not spec.target:
        raise NotFoundError(
            f"there is no tag {spec.tag}",
            where=github.repository,
            todo="push it first, or name its --target",
        )
    if commit and spec.target and commit != spec.target:
        raise RefusedError(
            f"the tag {spec.tag} is of commit {commit}, not of {spec.target}",
            where=github.repository,
            todo="check out the tag's commit and build that, or take a new version",
        )
    remote = {each["name"]: each for each in _assets(github, release)}
    draft = release is None or bool(release["draft"])
    assets = [asset for asset in spec.assets if draft or not _stays(asset, remote.get(asset.name))]
    known = {asset.name for asset in assets} | {SUMS}
    half = [each for each in remote.values() if each["state"] != "uploaded"]
    others = {name: each for name, each in remote.items() if name not in known and each not in half}
    if len(known) + len(others) > MOST_ASSETS:
        raise InvalidInputError(
            f"{len(known)} assets and {len(others)} that are there: GitHub takes {MOST_ASSETS}",
            where=spec.tag,
            todo="make several releases of them",
        )
    text = _sums_text(assets, others)
    wanted = [*assets, _sums_asset(text, sums)]
    steps = tuple(_step(asset, remote.get(asset.name), draft=draft) for asset in wanted)
    changed = [asset.name for kind, asset in steps if kind != "keep"]
    if changed and release is not None and release.get("immutable"):
        raise RefusedError(
            f"the release is published and immutable, and lacks {', '.join(changed)}",
            where=str(release["html_url"]),
            todo="take a new version",
        )
    return Plan(
        release=release,
        commit=commit,
        steps=steps,
        half=tuple(each for each in half if each["name"] not in known),
        others=tuple(sorted(others)),
        text=_text(spec, release),
        publish=draft,
        major=_major(spec, github, commit),
    )


def rows(spec: ReleaseSpec, planned: Plan) -> list[tuple[str, str, str]]:
    """The plan as a table: what is done, to what, of which size or why."""
    table: list[tuple[str, str, str]] = []
    table += [(kind, asset.name, megabytes(asset.size)) for kind, asset in planned.steps]
    table += [("delete", str(each["name"]), "half uploaded") for each in planned.half]
    table += [("leave", name, "not in the folder") for name in planned.others]
    if planned.release is None:
        table.insert(0, ("draft", spec.tag, spec.title))
    elif planned.text:
        table.insert(0, ("edit", spec.tag, ", ".join(planned.text)))
    if planned.publish:
        table.append(("publish", spec.tag, "prerelease" if spec.is_prerelease else "release"))
    if planned.major:
        table.append(("move", planned.major, f"to {spec.tag}"))
    return table


def publish(spec: ReleaseSpec, github: GitHub, folder: Path) -> tuple[Mapping[str, Any], bool]:
    """The published release as GitHub tells it, and whether anything was done. Raises NodelayerError.

    It is looked at again when all is done: what another has added meanwhile belongs into SHA256SUMS.
    """
    done = False
    for _ in range(_LOOKS):
        planned = plan(spec, github, folder)
        if planned.idle and planned.release is not None:
            return planned.release, done
        _carry_out(spec, planned, github)
        done = True
    raise UnreachableError(
        f"the release was changed by others {_LOOKS} times meanwhile", where=spec.tag, todo="run it again"
    )


def _carry_out(spec: ReleaseSpec, planned: Plan, github: GitHub) -> None:
    release = planned.release or github.persist(lambda: _draft(spec, github))
    if planned.release is not None and planned.text:
        release = github.patch(f"releases/{release['id']}", planned.text)
    for each in planned.half:
        github.delete(f"releases/assets/{each['id']}")
    for kind, asset in planned.steps:
        if kind != "keep":
            github.reporter.say(f"{kind}: {asset.name}, {megabytes(asset.size)}")
            _send(asset, release, github)
    _check(spec, planned, release, github)
    if planned.publish:
        body = {"draft": False, "make_latest": _make_latest(spec, github)}
        release = github.patch(f"releases/{release['id']}", body)
    major = _major(spec, github, _commit_of(github, spec.tag))
    if major:
        try:
            _move(major, spec, github)
        except RefusedError as error:
            raise RefusedError(
                f"the release is out, and {major} could not be moved to it ({error.what})",
                where=spec.tag,
                todo=f"git push --force origin '{spec.tag}^{{}}:refs/tags/{major}'",
            ) from error


def _of_tag(releases: Iterable[Mapping[str, Any]], tag: str, github: GitHub) -> Mapping[str, Any] | None:
    """The published release of the tag, or else its oldest draft: a draft is found by no other way."""
    found = sorted(
        (each for each in releases if each["tag_name"] == tag), key=lambda each: (each["draft"], each["id"])
    )
    for other in found[1:]:
        github.reporter.warn(f"another draft of {tag} is left alone: {other['html_url']}")
    return found[0] if found else None


def _assets(github: GitHub, release: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return github.every(f"releases/{release['id']}/assets") if release else []


def _commit_of(github: GitHub, tag: str) -> str | None:
    """The commit that a tag leads to, through the objects of annotated tags; None where there is no tag."""
    ref = github.find(f"git/ref/tags/{quote(tag)}")
    if ref is None:
        return None
    target = ref["object"]
    while target["type"] == "tag":
        target = github.get(f"git/tags/{target['sha']}")["object"]
    return str(target["sha"])


def _sums_text(assets: Sequence[Asset], others: Mapping[str, Mapping[str, Any]]) -> str:
    """Of all assets, also those that the release has and the folder has not."""
    sums = {name: str(each.get("digest") or "").removeprefix("sha256:") for name, each in others.items()}
    sums |= {asset.name: asset.sha256 for asset in assets}
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()) if sha256)


def _sums_asset(text: str, folder: Path | None) -> Asset:
    """SHA256SUMS of this text, written into the folder if one is given."""
    data = text.encode()
    path = (folder or Path()) / SUMS
    try:
        if folder is not None:
            path.write_bytes(data)  # whoever is killed here writes it anew
    except OSError as error:
        raise machine_error(error, path, "--assets") from error
    return Asset(path, len(data), hashlib.sha256(data).hexdigest())


def _stays(asset: Asset, remote: Mapping[str, Any] | None) -> bool:
    return remote is not None and remote["state"] == "uploaded" and bool(_FIRST_STAYS.fullmatch(asset.name))


def _step(asset: Asset, remote: Mapping[str, Any] | None, *, draft: bool) -> tuple[Kind, Asset]:
    """What is to be done with one asset. Raises RefusedError where bytes that are published would change."""
    if remote is None:
        return "add", asset
    if asset.is_there(remote):
        return "keep", asset
    if remote["state"] != "uploaded":
        return "send again", asset
    if draft or asset.name in GROWING:
        return "replace", asset
    raise RefusedError(
        f"{asset.name} is published with other bytes ({remote.get('digest') or 'no digest'})",
        where=str(remote["browser_download_url"]),
        todo="what people have taken does not change: take a new version",
    )


def _text(spec: ReleaseSpec, release: Mapping[str, Any] | None) -> Mapping[str, object]:
    """What differs of title, notes and kind; none of it where there is no release yet."""
    if release is None:
        return {}
    there = {**release, "body": _lines(release.get("body") or ""), "name": release.get("name") or ""}
    wanted = {"name": spec.title, "body": _lines(spec.notes), "prerelease": spec.is_prerelease}
    if release["draft"] and spec.target:
        wanted["target_commitish"] = spec.target
    return {name: value for name, value in wanted.items() if value != there.get(name)}


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _draft(spec: ReleaseSpec, github: GitHub) -> Mapping[str, Any]:
    """A new draft, or the one that a request which broke off has made."""
    made = _of_tag(github.every("releases"), spec.tag, github)
    if made is not None:
        return made
    body: dict[str, object] = {"tag_name": spec.tag, "draft": True, "prerelease": spec.is_prerelease}
    body |= {"name": spec.title, "body": _lines(spec.notes)}
    body |= {"target_commitish": spec.target} if spec.target else {}
    release: Mapping[str, Any] = github.post("releases", body)
    return release


def _send(asset: Asset, release: Mapping[str, Any], github: GitHub) -> None:
    """The asset as it is wanted, instead of what may be there: half of it, or other bytes in a draft."""

    def step() -> None:
        for there in _assets(github, release):
            if there["name"] == asset.name:
                if asset.is_there(there):
                    return
                github.delete(f"releases/assets/{there['id']}")
        url = f"{str(release['upload_url']).partition('{')[0]}?name={quote(asset.name, safe='')}"
        github.upload(url, asset.path, asset.content_type)

    github.persist(step)


def _check(spec: ReleaseSpec, planned: Plan, release: Mapping[str, Any], github: GitHub) -> None:
    """Raises NotVerifiedError unless GitHub has each asset as it was sent."""
    there = {each["name"]: each for each in _assets(github, release)}
    for _, asset in planned.steps:
        remote = there.get(asset.name)
        if remote is None or not asset.is_there(remote):
            came = f"{remote['size']} bytes, {remote.get('digest')}" if remote else "nothing"
            raise NotVerifiedError(
                f"GitHub has {came} as {asset.name}, sent were {asset.size} bytes, sha256:{asset.sha256}",
                where=spec.tag,
                todo="run it again: while it is a draft, the asset is replaced",
            )


def _make_latest(spec: ReleaseSpec, github: GitHub) -> str:
    """Whether GitHub's "latest" is to be this one: the newest version, whatever order they come out in."""
    if not spec.latest or spec.is_prerelease:
        return "false"
    if spec.version is None:
        return "legacy"
    out = [
        version
        for each in github.every("releases")
        if not each["draft"] and not each["prerelease"] and (version := version_of(each["tag_name"]))
    ]
    return "true" if spec.version == _newest([*out, spec.version]) else "false"


def _newest(versions: Iterable[str]) -> str:
    return max(versions, key=node_release.sort_key)


def _major(spec: ReleaseSpec, github: GitHub, commit: str | None) -> str | None:
    """The tag to move, as `v1`; None where it is there already, or a newer version of that major is tagged.

    Tags count, not releases, so that it never goes back.
    """
    if not spec.move_major or spec.version is None:
        return None
    major = f"v{spec.version.partition('.')[0]}"
    if spec.is_prerelease:
        return None
    refs = github.every(f"git/matching-refs/tags/{major}.")
    tags = [each["ref"].removeprefix("refs/tags/") for each in refs]
    versions = [found for tag in tags if (found := version_of(tag)) and "-" not in found]
    if spec.version != _newest([*versions, spec.version]):
        return None
    there = _commit_of(github, major)
    return None if there is not None and there == commit else major


def _move(major: str, spec: ReleaseSpec, github: GitHub) -> None:
    commit = _commit_of(github, spec.tag)
    if commit is None:
        raise NotFoundError(
            f"there is no tag {spec.tag}",
            where=github.repository,
            todo="push it first, or name its --target",
        )

    def step() -> None:
        if _commit_of(github, major) is None:
            github.post("git/refs", {"ref": f"refs/tags/{major}", "sha": commit})
        else:
            github.patch(f"git/refs/tags/{major}", {"sha": commit, "force": True})

    github.persist(step)
    github.reporter.say(f"{major} is {spec.tag}: {commit}")
