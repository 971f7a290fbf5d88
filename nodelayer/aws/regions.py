"""Select regions: those enabled in the account, else those of the partition, and why others are skipped."""

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
    """A partition of AWS: its name, and its regions where botocore lists Lambda."""

    name: str
    regions: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """The regions to work in, and the skipped ones with the reason for each.

    `certain` is false if the account could not be asked: a region may then turn out not to be enabled.
    `named` is true if the user named the regions: skipping one is then a failure.
    """

    regions: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    certain: bool = True
    named: bool = False


def parse(text: str) -> tuple[str, ...] | None:
    """Return the regions that a flag lists, without duplicates; None for `all`.

    Raises:
        InvalidInputError: The text is empty, or contains something else.
    """
    words = text.replace(",", " ").split()
    if words == ["all"]:
        return None
    bad = [word for word in words if not _REGION.fullmatch(word)]
    if bad or not words:
        raise InvalidInputError(
            f"{bad[0]!r} is not a region" if bad else "no region is named",
            where="--regions",
            todo="write all, or names such as eu-west-1,us-east-1",
        )
    return tuple(dict.fromkeys(words))


def select(
    wanted: tuple[str, ...] | None, partition: Partition, statuses: Mapping[str, str] | None
) -> Selection:
    """Return which of the `wanted` regions (None: all) to work in.

    `statuses` come from ListRegions of the Account Management API. If they are None, the regions that are
    known in the partition are used.

    Raises:
        InvalidInputError: A wanted region is neither in `statuses` nor in the partition.
    """
    known = set(partition.regions)
    if wanted is not None:
        _check_known(wanted, known | set(statuses or ()), partition)
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


def _check_known(wanted: Iterable[str], known: set[str], partition: Partition) -> None:
    for region in wanted:
        if region not in known:
            near = difflib.get_close_matches(region, sorted(known), n=2)
            raise InvalidInputError(
                f"the partition {partition.name} has no region {region}",
                where="--regions",
                todo=f"did you mean {' or '.join(near)}?" if near else f"use {', '.join(sorted(known))}",
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
    """Return the partition of a region.

    Raises:
        InvalidInputError: No partition has such a region.
    """
    for each in _partitions():
        if re.fullmatch(each["regionRegex"].strip("^$"), region):
            return str(each["id"])
    raise InvalidInputError(
        f"no AWS partition has a region {region}", where="--regions", todo="correct the name"
    )


def _partitions() -> list[dict[str, Any]]:
    from botocore.loaders import create_loader  # noqa: PLC0415 - takes long to import

    found: list[dict[str, Any]] = create_loader().load_data("partitions")["partitions"]
    return found
