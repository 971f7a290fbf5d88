"""The lowest version of boto3: raised once AWS has Lambda in a region that this boto3 does not know.

nodelayer keeps no list of regions: they come from the account, or from botocore where the account cannot be
asked. pip downloads both wheels from the index that it is configured for; nothing of them is installed.
"""

import json
import re
import tempfile
import zipfile
from pathlib import Path

from nodelayer.errors import InvalidInputError
from nodelayer.project.pins.pin import Changes, Pin, expected_format
from nodelayer.util import venv

FILE = "pyproject.toml"

_BOUND = re.compile(r'"boto3>=(?P<version>\d+(?:\.\d+)*),')
_NEEDS = re.compile(r"(?m)^Requires-Dist: botocore\b[^\n]*>=\s*(?P<version>\d+(?:\.\d+)*)")
_ENDPOINTS = "botocore/data/endpoints.json"


def refresh(root: Path) -> Changes:
    """Compare the regions that the lowest boto3 knows with those of the newest."""
    text = (root / FILE).read_bytes().decode()
    bounds = list(_BOUND.finditer(text))
    if len(bounds) != 1:
        raise InvalidInputError('expected one "boto3>=…,"', where=FILE, todo="see how it names boto3 now")
    lowest = bounds[0]["version"]
    with tempfile.TemporaryDirectory(prefix="nodelayer-regions-") as folder:
        _, known = regions(f"boto3=={lowest}", Path(folder) / "lowest")
        newest, found = regions("boto3", Path(folder) / "newest")
    if known == found:
        return Changes()
    start, end = bounds[0].span("version")
    return Changes(
        [
            *(f"+ {region} ({partition})" for partition, region in sorted(found - known)),
            *(f"- {region} ({partition})" for partition, region in sorted(known - found)),
            f"~ boto3>={lowest} -> boto3>={newest}",
        ],
        {FILE: text[:start] + newest + text[end:]},
    )


PIN = Pin("regions", "the lowest boto3, which knows AWS's regions", refresh)


def regions(boto3: str, folder: Path) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return the version that pip finds for a requirement of boto3, and where its lowest botocore has Lambda.

    A place is a partition and a region. Raises UnreachableError or NotVerifiedError.
    """
    wheel = _wheel(boto3, folder / "boto3")
    with expected_format(wheel.name), zipfile.ZipFile(wheel) as opened:
        (name,) = (each for each in opened.namelist() if each.endswith(".dist-info/METADATA"))
        needs, *_ = _NEEDS.findall(opened.read(name).decode())
    core = _wheel(f"botocore=={needs}", folder / "botocore")
    with expected_format(core.name), zipfile.ZipFile(core) as opened:
        partitions = json.loads(opened.read(_ENDPOINTS))["partitions"]
        places = frozenset(
            (str(each["partition"]), str(region))
            for each in partitions
            for region in each["services"].get("lambda", {"endpoints": {}})["endpoints"]
            if region in each["regions"]
        )
    return wheel.name.split("-")[1], places


def _wheel(requirement: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    return venv.wheel(requirement, folder)
