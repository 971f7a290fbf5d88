"""Delete old layer versions, and mark them in the manifest. Delete functions that a killed canary left."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from nodelayer.aws.account import Account, Region
from nodelayer.errors import NodelayerError, RefusedError
from nodelayer.manifest import store
from nodelayer.manifest.model import Layer, Manifest
from nodelayer.project_paths import PROGRAM
from nodelayer.publish import canary
from nodelayer.publish.layers import ssm
from nodelayer.publish.layers.metadata import is_padding
from nodelayer.publish.layers.plan import check_account
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel
from nodelayer.util.parallel import Stop

_MARK_BYTES = 64  # of the time of a deletion in the manifest, at most


@dataclass(frozen=True)
class PrunableVersion:
    """A layer version that is not among the newest of its layer in the region."""

    region: str
    layer_name: str
    version: int
    arn: str

    @property
    def label(self) -> str:
        """The name in a message."""
        return f"{self.layer_name}:{self.version}"

    def delete_in(self, region: Region) -> None:
        """Delete it."""
        region.layers.delete(self.layer_name, self.version)


@dataclass(frozen=True)
class LeftFunction:
    """A function that a killed canary left."""

    region: str
    function: str

    @property
    def label(self) -> str:
        """The name in a message."""
        return f"function {self.function}"

    def delete_in(self, region: Region) -> None:
        """Delete it."""
        region.functions.delete(self.function)


@dataclass(frozen=True)
class PrunePlan:
    """The layer versions to delete, the recorded ARNs that no longer exist, and those kept for a reason.

    `functions` are to be deleted, too.
    """

    old: tuple[PrunableVersion, ...]
    gone: tuple[str, ...]
    kept: Mapping[str, str] = field(default_factory=dict)
    functions: tuple[LeftFunction, ...] = ()


def layer_names(
    known: Manifest, wanted: Callable[[Layer], bool], regions: Iterable[str]
) -> dict[str, list[str]]:
    """Return the names of the wanted layers that are or were published in each region."""
    chosen = set(regions)
    names: dict[str, set[str]] = {}
    for layer in known.layers:
        for region in layer.regions if wanted(layer) else ():
            if region in chosen:
                names.setdefault(region, set()).add(layer.layer_name)
    return {region: sorted(each) for region, each in sorted(names.items())}


def plan(  # noqa: PLR0913 - what a plan needs
    known: Manifest,
    account: Account,
    names: Mapping[str, Sequence[str]],
    keep: int,
    report: RunReport,
    *,
    public: bool,
) -> PrunePlan:
    """Plan to delete all but the newest `keep` versions of each layer, recorded or not.

    Functions that a killed canary left in these regions are deleted, too. Versions that an SSM parameter
    names are kept; so are public ones, unless `public`.

    Raises:
        RefusedError: The manifest is another account's. All its layer versions would seem deleted here.
    """
    check_account(known, account)
    old: list[PrunableVersion] = []
    gone: list[str] = []
    held: dict[str, str] = {}
    left: list[LeftFunction] = []
    refused: dict[str, list[str]] = {}

    def survey(
        region: str,
    ) -> tuple[list[PrunableVersion], list[str], dict[str, str], list[str] | RefusedError]:
        prunable, deleted = [], []
        layers = account.region(region).layers
        for name in names[region]:
            versions = layers.versions(name)
            kept = [each.version for each in versions if not is_padding(each)][-keep:]
            prunable += [
                PrunableVersion(region, name, each.version, each.arn)
                for each in versions
                if len(kept) == keep and each.version < kept[0]
            ]
            existing = {each.arn for each in versions}
            deleted += [
                published.arn
                for layer in known.layers
                for where, published in layer.live()
                if (where, layer.layer_name) == (region, name) and published.arn not in existing
            ]
        functions: list[str] | RefusedError
        try:
            functions = canary.left(account.region(region).functions)
        except RefusedError as error:  # the layer versions can be pruned without
            functions = error
        held_here = _held(account.region(region), known, prunable, public=public)
        return [each for each in prunable if each.arn not in held_here], deleted, held_here, functions

    for region, found in parallel.each(sorted(names), survey):
        if isinstance(found, NodelayerError):
            report.fail(Failure(region, "", found))
        else:
            old += found[0]
            gone += found[1]
            held |= found[2]
            if isinstance(found[3], RefusedError):
                refused.setdefault(found[3].what, []).append(region)
            else:
                left += [LeftFunction(region, name) for name in found[3]]
    for why, where in refused.items() if any(layer.canary for layer in known.layers) else ():
        places = ", ".join(sorted(where))
        report.reporter.say(f"Functions that a canary left are not deleted in {places}: {why}")
    old.sort(key=lambda each: (each.region, each.layer_name, each.version))
    left.sort(key=lambda each: (each.region, each.function))
    return PrunePlan(tuple(old), tuple(sorted(gone)), dict(sorted(held.items())), tuple(left))


def _held(
    region: Region, known: Manifest, prunable: Sequence[PrunableVersion], *, public: bool
) -> dict[str, str]:
    """Return the ARNs that are not deleted, with the reason."""
    if not prunable:
        return {}
    wanted = sorted(ssm.wanted_in(known, region.name))
    values = region.parameters.get(wanted) if wanted else {}
    held = {
        arn: f"the SSM parameter {name} names it; to update it, run: {PROGRAM} verify --fix"
        for name, arn in values.items()
        if arn in {each.arn for each in prunable}
    }
    for each in prunable if not public else ():
        if each.arn not in held and region.layers.access(each.layer_name, each.version).public:
            held[each.arn] = "it is public; to delete public layer versions, use --public"
    return held


def prune(account: Account, planned: PrunePlan, path: Path, stop: Stop, report: RunReport) -> None:
    """Delete the planned layer versions and functions, and mark the versions as deleted in the manifest.

    If a run is killed in between, the next run marks the deleted versions.
    """
    store.check_writable(path)
    reserve = store.Reserve(path, _MARK_BYTES * (len(planned.old) + len(planned.gone)))
    reserve.take()
    arns = set(planned.gone)
    chosen: list[PrunableVersion | LeftFunction] = [*planned.old, *planned.functions]
    regions = sorted({each.region for each in chosen})

    def delete(region: str) -> list[PrunableVersion | LeftFunction | Failure]:
        ended: list[PrunableVersion | LeftFunction | Failure] = []
        for each in (each for each in chosen if each.region == region):
            try:
                stop.check()
                each.delete_in(account.region(region))
                ended.append(each)
            except NodelayerError as error:
                ended.append(Failure(region, each.label, error))
        return ended

    with stop.on_signals(lambda: report.reporter.warn("stopping when the running calls to AWS have ended")):
        for region, ended in parallel.each(regions, delete):
            for each in [Failure(region, "", ended)] if isinstance(ended, NodelayerError) else ended:
                if isinstance(each, Failure):
                    report.fail(each)
                else:
                    arns.update([each.arn] if isinstance(each, PrunableVersion) else ())
                    report.reporter.say(f"{region}: {each.label} deleted")
        try:
            store.update(path, lambda known: marked_deleted(known, arns), reserve)
        except NodelayerError as error:
            report.fail(Failure("", "the manifest", error, tuple(regions)))
        finally:
            reserve.free()


def marked_deleted(known: Manifest, arns: set[str]) -> Manifest:
    """Return the manifest with these layer versions marked as deleted now."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    layers = (
        replace(
            layer,
            regions={
                region: replace(published, deleted=now)
                if published.arn in arns and published.deleted is None
                else published
                for region, published in layer.regions.items()
            },
        )
        for layer in known.layers
    )
    return Manifest.of(layers, known.runtimes)
