"""Programs that nodelayer and its tests install with pip, pinned to their newest versions.

A pin is a text "name==1.2.3" or "name[extra]==1.2.3" in a Python file of nodelayer or tests. benchmarks/ is
excluded, because its results name the versions that were measured.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from nodelayer.errors import NodelayerError
from nodelayer.project.pins.pin import Changes, Pin
from nodelayer.util import venv

FOLDERS = ("nodelayer", "tests")

PINNED = re.compile(
    r'"(?P<name>[A-Za-z0-9][\w.-]*)(?P<extras>\[[\w,-]+\])?==(?P<version>\d+(?:\.\d+)+)"', re.ASCII
)
_RELEASE = re.compile(r"\d+(?:\.\d+)+", re.ASCII)


def refresh(root: Path, *, newest: Callable[[str], str] = venv.newest) -> Changes:
    """Compare each pinned program with the newest version that pip finds."""
    files = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    texts = {path.relative_to(root).as_posix(): path.read_bytes().decode() for path in files}
    pinned = {(found["name"], found["version"]) for text in texts.values() for found in PINNED.finditer(text)}
    known: dict[str, str] = {}
    failures: list[NodelayerError] = []
    for name in sorted({name for name, _ in pinned}):
        try:
            known[name] = newest(name)
        except NodelayerError as error:
            failures.append(error)
    return Changes(
        [
            f"~ {name} {version} -> {known[name]}"
            for name, version in sorted(pinned)
            if name in known and number(known[name]) > number(version)
        ],
        {path: after for path, text in texts.items() if (after := repinned(text, known)) != text},
        failures,
    )


PIN = Pin("programs", "programs that nodelayer and its tests install with pip", refresh)


def number(version: str) -> tuple[int, ...]:
    """Return a release as numbers to compare; an empty tuple for a prerelease."""
    return tuple(map(int, version.split("."))) if _RELEASE.fullmatch(version) else ()


def repinned(text: str, newest: Mapping[str, str]) -> str:
    """Return the text with each pin at its newest known version, never at a lower one."""

    def replace(found: re.Match[str]) -> str:
        version = max(found["version"], newest.get(found["name"], ""), key=number)
        return f'"{found["name"]}{found["extras"] or ""}=={version}"'

    return PINNED.sub(replace, text)
