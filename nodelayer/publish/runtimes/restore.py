"""Cancel scheduled deletions of runtimes, runtime versions and aliases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from nodelayer.aws.managed_runtimes import Alias, ManagedRuntimes, Runtime, RuntimeVersion
from nodelayer.errors import NotFoundError
from nodelayer.manifest.model import Manifest
from nodelayer.publish.layers.report import Failure


@dataclass(frozen=True)
class Restorable:
    """A runtime, or its version or alias `name`, that is scheduled for deletion at a time."""

    region: str
    runtime: str
    kind: str
    name: str
    arn: str
    deletion: str

    def row(self) -> tuple[str, ...]:
        """Return the row of the table of the plan."""
        return (self.region, self.runtime, f"{self.kind} {self.name}".strip(), f"deleted at {self.deletion}")


def plan(
    runtimes: ManagedRuntimes, names: Sequence[str], *, version: str, alias: str
) -> list[Restorable | Failure] | None:
    """Return what is scheduled for deletion, the runtime first; None if the region has none of the runtimes.

    With `version` or `alias`, only that one; that a runtime does not have it is a failure.
    """
    found: list[Restorable | Failure] = []
    exists = False
    region = runtimes.region
    for name in names:
        if (runtime := runtimes.runtime(name)) is None:
            continue
        exists = True
        items: list[Runtime | RuntimeVersion | Alias] = [runtime]
        if not alias:
            items += [each for each in runtimes.versions(name) if version in {"", each.name}]
        if not version:
            items += [each for each in runtimes.aliases(name) if alias in {"", each.name}]
        if (version or alias) and len(items) == 1:
            missing = NotFoundError(
                f"the runtime has no {'version' if version else 'alias'} {version or alias}",
                where=f"{region} {name}",
                todo="it was deleted for good, or never published: publish it",
            )
            found.append(Failure(region, name, missing))
            continue
        found += [_restorable(region, name, each) for each in items if each.leaving]
    return found if exists else None


def act(runtimes: ManagedRuntimes, item: Restorable) -> None:
    """Restore one resource."""
    part = {item.kind: item.name} if item.kind != "runtime" else {}
    runtimes.restore(item.runtime, **part)


def marked_restored(known: Manifest, arns: set[str]) -> Manifest:
    """Return the manifest with these runtime versions marked as restored now."""
    return _marked(known, arns, "restored")


def marked_deleted(known: Manifest, arns: set[str]) -> Manifest:
    """Return the manifest with these runtime versions marked as deleted now."""
    return _marked(known, arns, "deleted")


def _marked(known: Manifest, arns: set[str], mark: str) -> Manifest:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    marks: Mapping[str, str] = {mark: now}
    runtimes = {
        arn: replace(each, **marks) if arn in arns and each.live == (mark == "deleted") else each
        for arn, each in known.runtimes.items()
    }
    return Manifest.of(known.layers, runtimes)


def _restorable(region: str, runtime: str, item: Runtime | RuntimeVersion | Alias) -> Restorable:
    kind = {Runtime: "runtime", RuntimeVersion: "version", Alias: "alias"}[type(item)]
    name = "" if kind == "runtime" else item.name
    return Restorable(region, runtime, kind, name, item.arn, item.deletion)
