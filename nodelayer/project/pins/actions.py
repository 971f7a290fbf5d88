"""Pin the actions that workflows use to the commit of their newest release.

    python nodelayer/project/pins/actions.py --compare      exit 1 where a newer release is to be had
    python nodelayer/project/pins/actions.py --write --cooldown 14

What is looked at is `uses: owner/name[/path]@<40 hex> # v1.2.3` in .github and actions: the commit and the
version behind it change, and nothing else in the files. Releases and their dates come from GitHub's REST API
by the program gh, which has to be signed in (GH_TOKEN, or `gh auth login`). A release younger than the
cooldown is left for the next time: what was stolen is mostly found out within days. A tag that has moved
since it was pinned is never followed.
"""

import argparse
import datetime as dt
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.github.api import open_github
from nodelayer.project.pins import run as refresh
from nodelayer.util.console import Reporter

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = (".github", "actions")
COOLDOWN_DAYS = 7

_USES = re.compile(
    r"""(?mx)^(?P<head>[ \t]*(?:-[ \t]+)?uses:[ \t]*["']?(?P<action>[\w.-]+/[\w.-]+)(?:/[\w./-]+)?@)
    (?P<commit>[0-9a-f]{40})(?P<between>["']?[ \t]+\#[ \t]*)
    (?P<version>v?\d+(?:\.\d+){0,2})(?P<rest>(?:[ \t\r,;:].*)?)$"""
)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_TAGS = 5  # a tag of a tag of …

Ask = Callable[[str, str], Any]
"""What GitHub's REST API answers of a repository, for a path below it. Raises NodelayerError."""


@dataclass(frozen=True)
class Pin:
    """A release of an action by its tag and commit."""

    version: str
    commit: str


def ask_github(action: str, path: str) -> Any:  # noqa: ANN401 - JSON, judged by who asked for it
    """An `Ask`, by gh; what stands on standard error is failures, so it does not tell of tries."""
    return open_github(os.environ, Reporter(quiet=True), action).get(path)


def number(version: str) -> tuple[int, ...] | None:
    """The three numbers of v1.2.3, None of what is no release's version."""
    found = _VERSION.fullmatch(version)
    return tuple(int(part) for part in found.groups()) if found else None


def newest(action: str, ask: Ask, before: dt.datetime) -> Pin:
    """The highest version that was released before a time, with the commit its tag names.

    Raises NotFoundError where there is none, UnreachableError where GitHub answers something else.
    """
    try:
        found = {
            numbers: str(each["tag_name"])
            for each in ask(action, "releases?per_page=100")
            if not each["draft"] and not each["prerelease"]
            if (numbers := number(each["tag_name"]))
            if dt.datetime.fromisoformat(each["published_at"]) <= before
        }
        if not found:
            raise NotFoundError("no release with a version that is old enough", where=action)
        version = found[max(found)]
        return Pin(version, _commit(action, version, ask))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreachableError(
            "not an answer of GitHub's REST API", where=action, todo="try again"
        ) from error


def _commit(action: str, tag: str, ask: Ask) -> str:
    target = ask(action, f"git/ref/tags/{tag}")["object"]
    for _ in range(_MOST_TAGS):
        if target["type"] == "commit":
            if not _COMMIT.fullmatch(target["sha"]):
                break
            return str(target["sha"])
        target = ask(action, f"git/tags/{target['sha']}")["object"]
    raise NotFoundError(f"the tag {tag} names no commit", where=action)


def chosen(action: str, pinned: Pin, found: Pin) -> Pin:
    """The release to pin: never a lower one than is pinned, and never another commit of the same.

    Raises NotVerifiedError where the tag of what is pinned has moved.
    """
    if number(found.version) == number(pinned.version) and found.commit != pinned.commit:
        raise NotVerifiedError(
            f"the tag {found.version} has moved: it names {found.commit}, and {pinned.commit} is pinned",
            where=action,
            todo="find out why before you pin it",
        )
    numbers = number(pinned.version)
    return pinned if numbers and numbers >= (number(found.version) or ()) else found


def files(root: Path) -> Iterator[Path]:
    """Every workflow and action of the repository."""
    for folder in FOLDERS:
        for suffix in ("*.yml", "*.yaml"):
            yield from sorted((root / folder).rglob(suffix))


def used(texts: Mapping[Path, str]) -> dict[str, set[Pin]]:
    """By action what is pinned of it: one release, unless files differ."""
    found: dict[str, set[Pin]] = {}
    for text in texts.values():
        for each in _USES.finditer(text):
            found.setdefault(each["action"], set()).add(Pin(each["version"], each["commit"]))
    return found


def repinned(text: str, pins: Mapping[tuple[str, Pin], Pin]) -> str:
    """The text with the new pins in place of the old."""

    def put(found: re.Match[str]) -> str:
        pinned = Pin(found["version"], found["commit"])
        pin = pins.get((found["action"], pinned), pinned)
        return f"{found['head']}{pin.commit}{found['between']}{pin.version}{found['rest']}"

    return _USES.sub(put, text)


def run(arguments: Sequence[str], *, root: Path = ROOT, ask: Ask = ask_github) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Pin actions to their newest releases.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument("--write", action="store_true", help="pin the newest releases, where they differ")
    parser.add_argument(
        "--cooldown",
        type=int,
        default=COOLDOWN_DAYS,
        metavar="DAYS",
        help=f"leave releases that are younger (default: {COOLDOWN_DAYS})",
    )
    options = parser.parse_args(arguments)

    before = dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=options.cooldown)
    texts = {path: _text(path) for path in files(root)}
    pins: dict[tuple[str, Pin], Pin] = {}
    failures: list[NodelayerError] = []
    for action, pinned in sorted(used(texts).items()):
        try:
            found = newest(action, ask, before)
            pins |= {(action, each): chosen(action, each, found) for each in pinned}
        except MachineError:
            raise  # without gh it is no use to go on
        except NodelayerError as error:
            failures.append(error)
    told = [
        f"~ {action} {old.version} -> {new.version} ({new.commit})"
        for (action, old), new in pins.items()
        if old != new
    ]
    if told or not failures:
        print("\n".join(told) or "the actions are at their newest releases")
    for failure in failures:
        print(failure, file=sys.stderr)
    if options.write:
        _write(texts, pins)
    return failures[0].code if failures else int(options.compare and bool(told))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise InvalidInputError("the file cannot be read", where=str(path)) from error


def _write(texts: Mapping[Path, str], pins: Mapping[tuple[str, Pin], Pin]) -> None:
    for path, text in texts.items():
        if (after := repinned(text, pins)) != text:
            try:
                path.write_bytes(after.encode())
            except OSError as error:
                raise MachineError(f"cannot be written: {error.strerror}", where=str(path)) from error


if __name__ == "__main__":
    sys.exit(refresh.typed(run))
