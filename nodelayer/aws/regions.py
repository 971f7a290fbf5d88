"""Select regions: those enabled in the account, else those of the partition, and why others are skipped."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nodelayer.errors import InvalidInputError

_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+", re.ASCII)
_ON = frozenset({"ENABLED", "ENABLED_BY_DEFAULT"})


@dataclass(frozen=True)
class Partition:
    """A partition of AWS: its name, its regions, and those of them where botocore lists Lambda.

    Lambda may exist in the other regions too: botocore's data of endpoints lags behind its data of regions.
    """

    name: str
    regions: tuple[str, ...]
    lambda_regions: frozenset[str]


@dataclass(frozen=True)
class Selection:
    """The regions to work in, and the skipped ones with the reason for each.

    `certain` is false if the account could not be asked: a region may then turn out not to be enabled.
    `named` is true if the user named the regions: skipping one is then a failure. `unsure` are the regions
    that may not have Lambda.
    """

    regions: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    certain: bool = True
    named: bool = False
    unsure: frozenset[str] = frozenset()


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
        InvalidInputError: A wanted region is not in the partition.
    """
    if wanted is not None:
        check_known(wanted, partition)
        return Selection(wanted, certain=statuses is not None, named=True)
    if statuses is None:
        on, skipped = set(partition.regions), {}
    else:
        on = {region for region, status in statuses.items() if status in _ON}
        skipped = {
            region: f"not enabled in this account ({status.lower()})"
            for region, status in statuses.items()
            if status not in _ON
        }
        skipped |= dict.fromkeys(set(partition.regions) - set(statuses), "not offered to this account")
    return Selection(
        tuple(sorted(on)),
        dict(sorted(skipped.items())),
        certain=statuses is not None,
        unsure=frozenset(on - partition.lambda_regions),
    )


def check_known(wanted: Iterable[str], partition: Partition) -> None:
    """Check that the partition has the regions, without asking AWS.

    Raises:
        InvalidInputError: It lacks one of them.
    """
    known = sorted(partition.regions)
    for region in wanted:
        if region not in known:
            near = difflib.get_close_matches(region, known, n=2)
            raise InvalidInputError(
                f"the partition {partition.name} has no region {region}",
                where="--regions",
                todo=f"did you mean {' or '.join(near)}?" if near else f"use {', '.join(known)}",
            )


def regions_of(partition: str) -> tuple[str, ...]:
    """Return the regions of a partition, sorted."""
    return tuple(
        sorted(
            name
            for each in _partitions()
            if each["id"] == partition
            for name in each["regions"]
            if _REGION.fullmatch(name)  # not aws-global
        )
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


@cache
def _partitions() -> list[dict[str, Any]]:
    from botocore.loaders import create_loader  # noqa: PLC0415 - takes long to import

    found: list[dict[str, Any]] = create_loader().load_data("partitions")["partitions"]
    return found
