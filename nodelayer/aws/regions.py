"""Which regions a flag means: what the account says, what is known of the partition, and what is left out."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodelayer.errors import InvalidInputError

_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+", re.ASCII)
_ON = frozenset({"ENABLED", "ENABLED_BY_DEFAULT"})


@dataclass(frozen=True)
class Partition:
    """A partition of AWS: its name, and its regions that are known to have Lambda."""

    name: str
    regions: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """The regions to work in, and those left out with the reason for each.

    `certain` is false where the account could not be asked: a region may then turn out not to be enabled.
    `named` is true where a person named the regions: leaving one out is then a failure.
    """

    regions: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    certain: bool = True
    named: bool = False


def parse(text: str) -> tuple[str, ...] | None:
    """The regions a flag lists, each once and sorted; None for `all`. Raises InvalidInputError."""
    words = text.replace(",", " ").split()
    if words == ["all"]:
        return None
    bad = [word for word in words if not _REGION.fullmatch(word)]
    if bad or not words:
        raise InvalidInputError(
            f"{bad[0]!r} is no region" if bad else "no region is named",
            where="--regions",
            todo="write all, or names like eu-west-1,us-east-1",
        )
    return tuple(sorted(set(words)))


def select(
    wanted: tuple[str, ...] | None, partition: Partition, statuses: Mapping[str, str] | None
) -> Selection:
    """Which of the wanted regions (None: all) to work in.

    `statuses` are the account's own words (Account Management API, ListRegions), None where it does not say;
    the partition's known regions are the fallback. Raises InvalidInputError for a region that neither knows.
    """
    known = set(partition.regions)
    if wanted is not None:
        _all_known(wanted, known | set(statuses or ()), partition)
        return Selection(wanted, certain=statuses is not None, named=True)
    if statuses is None:
        return Selection(partition.regions, certain=False)
    skipped = {
        region: f"not enabled in this account ({status.lower()})"
        for region, status in statuses.items()
        if status not in _ON
    }
    skipped |= {
        region: "not known to have Lambda: name it in --regions to try"
        for region, status in statuses.items()
        if status in _ON and region not in known
    }
    on = sorted(region for region in known if statuses.get(region, "") in _ON)
    skipped |= dict.fromkeys(known - set(statuses), "not offered to this account")
    return Selection(tuple(on), dict(sorted(skipped.items())))


def _all_known(wanted: Iterable[str], known: set[str], partition: Partition) -> None:
    for region in wanted:
        if region not in known:
            near = difflib.get_close_matches(region, sorted(known), n=2)
            raise InvalidInputError(
                f"no region {region} in the partition {partition.name}",
                where="--regions",
                todo=f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(sorted(known))}",
            )


def names() -> dict[str, str]:
    """Return the name that AWS gives each region: eu-west-1 is Europe (Ireland)."""
    return {
        name: region["description"]
        for each in _partitions()
        for name, region in each["regions"].items()
        if "description" in region
    }


def partition_of(region: str) -> str:
    """Return the partition of a region. Raises InvalidInputError."""
    for each in _partitions():
        if re.fullmatch(each["regionRegex"].strip("^$"), region):
            return str(each["id"])
    raise InvalidInputError(f"no partition has a region {region}", where="--regions", todo="correct its name")


def _partitions() -> list[dict[str, Any]]:
    from botocore.loaders import create_loader  # noqa: PLC0415 - takes long to import

    found: list[dict[str, Any]] = create_loader().load_data("partitions")["partitions"]
    return found
