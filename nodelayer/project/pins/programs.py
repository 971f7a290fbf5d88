"""Pin the programs that nodelayer and its tests install by pip to their newest versions.

    python nodelayer/project/pins/programs.py --compare     exit 1 where a newer one is to be had
    python nodelayer/project/pins/programs.py --write

What is looked at is each text "name==1.2.3" or "name[extra]==1.2.3" in nodelayer/*.py and below tests; the
version changes, and nothing else. benchmarks/ is left alone: its figures name what they were measured with.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nodelayer.errors import MachineError, NodelayerError
from nodelayer.project.pins import run as refresh
from nodelayer.util import venv

ROOT = Path(__file__).resolve().parents[3]

_PIN = re.compile(
    r'"(?P<name>[A-Za-z0-9][\w.-]*)(?P<extras>\[[\w,-]+\])?==(?P<version>\d+(?:\.\d+)+)"', re.ASCII
)
_RELEASE = re.compile(r"\d+(?:\.\d+)+", re.ASCII)


def number(version: str) -> tuple[int, ...]:
    """A release's numbers, for comparing; none of what is no plain release, which is never the higher."""
    return tuple(map(int, version.split("."))) if _RELEASE.fullmatch(version) else ()


def repinned(text: str, newest: Mapping[str, str]) -> str:
    """The text with each pin at the newest version that is known, never at a lower one."""

    def put(found: re.Match[str]) -> str:
        version = max(found["version"], newest.get(found["name"], ""), key=number)
        return f'"{found["name"]}{found["extras"] or ""}=={version}"'

    return _PIN.sub(put, text)


def run(arguments: Sequence[str], *, root: Path = ROOT, newest: Callable[[str], str] = venv.newest) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Pin programs of others to their newest versions.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument("--write", action="store_true", help="pin the newest versions, where they differ")
    options = parser.parse_args(arguments)

    files = [*sorted((root / "nodelayer").glob("*.py")), *sorted((root / "tests").rglob("*.py"))]
    texts = {path: path.read_bytes().decode() for path in files}
    pinned = {(found["name"], found["version"]) for text in texts.values() for found in _PIN.finditer(text)}
    known: dict[str, str] = {}
    failures: list[NodelayerError] = []
    for name in sorted({name for name, _ in pinned}):
        try:
            known[name] = newest(name)
        except NodelayerError as error:
            failures.append(error)
    told = [
        f"~ {name} {version} -> {known[name]}"
        for name, version in sorted(pinned)
        if name in known and number(known[name]) > number(version)
    ]
    if told or not failures:
        print("\n".join(told) or "the programs are at their newest versions")
    for failure in failures:
        print(failure, file=sys.stderr)
    if options.write:
        for path, text in texts.items():
            if (after := repinned(text, known)) != text:
                _write(path, after)
    return failures[0].code if failures else int(options.compare and bool(told))


def _write(path: Path, text: str) -> None:
    try:
        path.write_bytes(text.encode())
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=str(path)) from error


if __name__ == "__main__":
    sys.exit(refresh.typed(run))
