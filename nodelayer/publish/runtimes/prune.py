"""Delete old runtime versions that no alias names, and mark them in the manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodelayer.aws.managed_runtimes import RECOVERY_DAYS, ManagedRuntimes, RuntimeVersion
from nodelayer.errors import InvalidInputError, RefusedError
from nodelayer.publish.layers.report import Failure
from nodelayer.publish.runtimes.names import age
from nodelayer.publish.runtimes.verify import Entries


@dataclass(frozen=True)
class PrunableVersion:
    """A runtime version that is not among the newest of its runtime; `kept` is why nothing is deleted.

    `gone` if the manifest records it, and Lambda does not have it any more.
    """

    region: str
    runtime: str
    version: str
    arn: str
    kept: str = ""
    gone: bool = False

    @property
    def label(self) -> str:
        """The name in a message."""
        return f"{self.runtime} {self.version}"

    def as_json(self) -> Mapping[str, object]:
        """Return the JSON object of the version."""
        return {**vars(self), "kept": self.kept or None}


def check(keep: int, recovery_days: int) -> None:
    """Check the flags.

    Raises:
        InvalidInputError: A number is missing or out of range.
    """
    if keep < 1:
        raise InvalidInputError(
            "--keep is missing or less than 1",
            todo="use the number of versions to keep, for example --keep 3",
        )
    low, high = RECOVERY_DAYS
    if not low <= recovery_days <= high:
        raise InvalidInputError(
            f"{recovery_days} days are too {'few' if recovery_days < low else 'many'}",
            where="--recovery-window-days",
            todo=f"use {low} to {high}",
        )


def plan(
    runtimes: ManagedRuntimes, names: Sequence[str], keep: int, recorded: Entries
) -> list[PrunableVersion | Failure] | None:
    """Return all but the newest `keep` versions of each runtime; None if the region has none of the runtimes.

    Versions that nodelayer did not name, and those that are not ready, are left out. FAILED versions do not
    count, and are deleted. What another run deleted without marking it is returned, too.
    """
    found: list[PrunableVersion | Failure] = []
    exists = False
    for name in names:
        versions = runtimes.versions(name)
        exists = exists or bool(versions) or runtimes.runtime(name) is not None
        ours = sorted((each for each in versions if age(each.name)[0]), key=lambda each: age(each.name))
        failed = [each for each in ours if each.state == "FAILED"]
        old = [each for each in ours if each.state == "ACTIVE"][:-keep]
        named = _named(runtimes, name) if failed or old else {}
        existing = {each.arn for each in versions if not each.leaving}
        region = runtimes.region
        found += [
            PrunableVersion(region, name, each.name, each.arn, _why_kept(each, named))
            for each in [*failed, *old]
        ]
        found += [
            PrunableVersion(region, name, arn.version, str(arn), "already deleted, will be marked", gone=True)
            for arn, _ in recorded
            if arn.name == name and str(arn) not in existing
        ]
    return found if exists or found else None


def act(runtimes: ManagedRuntimes, old: PrunableVersion, recovery_days: int) -> None:
    """Schedule the deletion of a version, unless an alias names it by now.

    Raises:
        RefusedError: An alias names it.
    """
    if names := _named(runtimes, old.runtime).get(old.version):
        raise RefusedError(
            f"the alias {names[0]} names it since it was planned to be deleted",
            where=f"{old.region} {old.label}",
            todo="nothing is to be done: it stays",
        )
    runtimes.delete_version(old.runtime, old.version, recovery_days)


def _named(runtimes: ManagedRuntimes, name: str) -> dict[str, list[str]]:
    """Return the aliases by the version that they name, also those whose deletion is scheduled."""
    found: dict[str, list[str]] = {}
    for alias in runtimes.aliases(name):
        found.setdefault(alias.version, []).append(alias.name)
    return found


def _why_kept(version: RuntimeVersion, named: Mapping[str, Sequence[str]]) -> str:
    names = named.get(version.name, ())
    return f"the alias {', '.join(names)} names it" if names else ""
