"""Raise the oldest boto3 that pyproject.toml takes, once AWS has Lambda in a region that it does not know.

    python -m nodelayer.project.pins.regions --compare   exit 1 where the newest botocore knows other regions
    python -m nodelayer.project.pins.regions --write

No list of regions is kept here: they come from the account, and from botocore where it cannot be asked. So
what makes an installation know a region is its botocore: at least the one that pyproject.toml asks for.
pip downloads both wheels from the index it is configured for; nothing of them is installed or run.
"""

import argparse
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from nodelayer.errors import InvalidInputError, MachineError, NotFoundError
from nodelayer.project.pins import run as refresh
from nodelayer.util import venv

PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"

_BOUND = re.compile(r'"boto3>=(?P<version>\d+(?:\.\d+)*),')
_NEEDS = re.compile(r"(?m)^Requires-Dist: botocore\b[^\n]*>=\s*(?P<version>\d+(?:\.\d+)*)")
_ENDPOINTS = "botocore/data/endpoints.json"


def regions(boto3: str, folder: Path) -> tuple[str, frozenset[tuple[str, str]]]:
    """The version pip finds for a requirement of boto3, and where the oldest botocore it takes has Lambda.

    A place is a partition and a region. Raises UnreachableError, NotFoundError or InvalidInputError.
    """
    wheel = venv.wheel(boto3, _made(folder / "boto3"))
    with zipfile.ZipFile(wheel) as opened:
        name = next((each for each in opened.namelist() if each.endswith(".dist-info/METADATA")), None)
        needs = _NEEDS.search(opened.read(name).decode()) if name else None
    if not needs:
        raise NotFoundError("it does not say which botocore it needs", where=wheel.name)
    core = venv.wheel(f"botocore=={needs['version']}", _made(folder / "botocore"))
    try:
        with zipfile.ZipFile(core) as opened:
            partitions = json.loads(opened.read(_ENDPOINTS))["partitions"]
        places = frozenset(
            (str(each["partition"]), str(region))
            for each in partitions
            for region in each["services"].get("lambda", {"endpoints": {}})["endpoints"]
            if region in each["regions"]
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"no endpoints as botocore had them in {_ENDPOINTS}", where=core.name, todo="look what it is now"
        ) from error
    return wheel.name.split("-")[1], places


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def run(arguments: Sequence[str], *, pyproject: Path = PYPROJECT) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Raise the oldest boto3, once AWS has a new region.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument("--write", action="store_true", help="raise the bound, where the regions differ")
    options = parser.parse_args(arguments)

    try:
        text = pyproject.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot be read: {error.strerror}", where=pyproject.name) from error
    bounds = list(_BOUND.finditer(text))
    if len(bounds) != 1:
        raise InvalidInputError('not one "boto3>=…,"', where=pyproject.name, todo="see what it says of boto3")
    oldest = bounds[0]["version"]
    with tempfile.TemporaryDirectory(prefix="nodelayer-regions-") as folder:
        _, known = regions(f"boto3=={oldest}", Path(folder) / "oldest")
        version, found = regions("boto3", Path(folder) / "newest")
    told = [f"+ {region} ({partition})" for partition, region in sorted(found - known)]
    told += [f"- {region} ({partition})" for partition, region in sorted(known - found)]
    if not told:
        print(f"boto3 {oldest} knows the {len(known)} regions that {version} knows")
        return 0
    print("\n".join([*told, f"~ boto3>={oldest} -> boto3>={version}"]))
    if options.compare:
        return 1
    start, end = bounds[0].span("version")
    try:
        pyproject.write_text(text[:start] + version + text[end:], encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=pyproject.name) from error
    return 0


if __name__ == "__main__":
    sys.exit(refresh.typed(run))
