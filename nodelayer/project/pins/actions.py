"""Actions that workflows use, pinned to the commit of their newest release.

A pin is `uses: owner/name[/path]@<40 hex> # v1.2.3` in .github or actions. Releases and their dates come from
GitHub's REST API through the program gh, which needs credentials. A release younger than COOLDOWN waits for
a later run, because most malicious releases are found within days. A tag that moved since it was pinned is an
error.
"""

import datetime as dt
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodelayer.errors import MachineError, NodelayerError, NotFoundError, NotVerifiedError
from nodelayer.github.api import open_github
from nodelayer.project.pins.pin import Changes, Pin, expected_format
from nodelayer.util.console import Reporter

FOLDERS = (".github", "actions")
COOLDOWN = dt.timedelta(days=7)

_USES = re.compile(
    r"""(?mx)^(?P<head>[ \t]*(?:-[ \t]+)?uses:[ \t]*["']?(?P<action>[\w.-]+/[\w.-]+)(?:/[\w./-]+)?@)
    (?P<commit>[0-9a-f]{40})(?P<between>["']?[ \t]+\#[ \t]*)
    (?P<version>v?\d+(?:\.\d+){0,2})(?P<rest>(?:[ \t\r,;:].*)?)$"""
)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_TAGS = 5  # a tag of a tag of …

Ask = Callable[[str, str], Any]
"""Returns the JSON of GitHub's REST API for a repository and a path below it. Raises NodelayerError."""


@dataclass(frozen=True)
class Release:
    """A release of an action: tag and commit."""

    version: str
    commit: str


def ask_github(action: str, path: str) -> Any:  # noqa: ANN401 - JSON, judged by the caller
    """Ask with gh, as `Ask` describes."""
    return open_github(os.environ, Reporter(quiet=True), action).get(path)


def refresh(root: Path, *, ask: Ask = ask_github) -> Changes:
    """Compare each pinned action with its newest release; a failure does not stop the others."""
    before = dt.datetime.now(tz=dt.UTC) - COOLDOWN
    texts = {path.relative_to(root).as_posix(): path.read_bytes().decode() for path in workflow_files(root)}
    newest: dict[tuple[str, Release], Release] = {}
    failures: list[NodelayerError] = []
    for action, pinned in sorted(_used(texts).items()):
        try:
            found = newest_release(action, ask, before)
            newest |= {(action, each): choose(action, each, found) for each in pinned}
        except MachineError:
            raise  # without gh, every action fails
        except NodelayerError as error:
            failures.append(error)
    return Changes(
        [
            f"~ {action} {old.version} -> {new.version} ({new.commit})"
            for (action, old), new in newest.items()
            if old != new
        ],
        {path: after for path, text in texts.items() if (after := _repinned(text, newest)) != text},
        failures,
    )


PIN = Pin("actions", "actions of the workflows, by commit", refresh)


def workflow_files(root: Path) -> Iterator[Path]:
    """Yield every workflow and action of the repository."""
    for folder in FOLDERS:
        for suffix in ("*.yml", "*.yaml"):
            yield from sorted((root / folder).rglob(suffix))


def newest_release(action: str, ask: Ask, before: dt.datetime) -> Release:
    """Return the highest version released before a time, and its commit. Raises NodelayerError."""
    with expected_format(f"GitHub's REST API, {action}"):
        found = {
            numbers: str(each["tag_name"])
            for each in ask(action, "releases?per_page=100")
            if not each["draft"] and not each["prerelease"]
            if (numbers := _number(each["tag_name"]))
            if dt.datetime.fromisoformat(each["published_at"]) <= before
        }
        if not found:
            raise NotFoundError(
                f"no release is older than {COOLDOWN.days} days", where=action, todo="try again later"
            )
        version = found[max(found)]
        return Release(version, _commit(action, version, ask))


def choose(action: str, pinned: Release, found: Release) -> Release:
    """Return the release to pin, never a lower one than the pinned one.

    Raises NotVerifiedError if the tag of the pinned release has moved.
    """
    if _number(found.version) == _number(pinned.version) and found.commit != pinned.commit:
        raise NotVerifiedError(
            f"the tag {found.version} has moved from the pinned {pinned.commit} to {found.commit}",
            where=action,
            todo="find out why before you change the pin",
        )
    numbers = _number(pinned.version)
    return pinned if numbers and numbers >= (_number(found.version) or ()) else found


def _number(version: str) -> tuple[int, ...] | None:
    """Return the three numbers of v1.2.3, None for any other text."""
    found = _VERSION.fullmatch(version)
    return tuple(int(part) for part in found.groups()) if found else None


def _commit(action: str, tag: str, ask: Ask) -> str:
    target = ask(action, f"git/ref/tags/{tag}")["object"]
    for _ in range(_MOST_TAGS):
        if target["type"] == "commit" and _COMMIT.fullmatch(target["sha"]):
            return str(target["sha"])
        if target["type"] != "tag":
            break
        target = ask(action, f"git/tags/{target['sha']}")["object"]
    raise NotFoundError(f"the tag {tag} does not lead to a commit", where=action, todo="check the action")


def _used(texts: Mapping[str, str]) -> dict[str, set[Release]]:
    """Return the pinned releases of each action: one, unless files differ."""
    found: dict[str, set[Release]] = {}
    for text in texts.values():
        for each in _USES.finditer(text):
            found.setdefault(each["action"], set()).add(Release(each["version"], each["commit"]))
    return found


def _repinned(text: str, newest: Mapping[tuple[str, Release], Release]) -> str:
    """Return the text with the new releases in place of the old."""

    def replace(found: re.Match[str]) -> str:
        pinned = Release(found["version"], found["commit"])
        release = newest.get((found["action"], pinned), pinned)
        return f"{found['head']}{release.commit}{found['between']}{release.version}{found['rest']}"

    return _USES.sub(replace, text)
