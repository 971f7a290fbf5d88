"""Delete old layer versions, and mark them in the manifest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from nodelayer.aws.account import Account
from nodelayer.errors import NodelayerError
from nodelayer.manifest import store
from nodelayer.manifest.model import Layer, Manifest
from nodelayer.publish.layers.metadata import is_padding
from nodelayer.publish.layers.plan import check_account
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.publish.layers.verify import recorded_in
from nodelayer.util import parallel
from nodelayer.util.parallel import Stop


@dataclass(frozen=True)
class PrunableVersion:
    """A layer version that is not among the newest of its layer in the region."""

    region: str
    layer_name: str
    version: int
    arn: str


@dataclass(frozen=True)
class PrunePlan:
    """The layer versions to delete, and the recorded ARNs that no longer exist."""

    old: tuple[PrunableVersion, ...]
    gone: tuple[str, ...]


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


def plan(
    known: Manifest, account: Account, names: Mapping[str, Sequence[str]], keep: int, report: RunReport
) -> PrunePlan:
    """Plan to delete all but the newest `keep` versions of each layer, recorded or not.

    Raises:
        RefusedError: The manifest is another account's. All its layer versions would seem deleted here.
    """
    check_account(known, account)
    old: list[PrunableVersion] = []
    gone: list[str] = []

    def survey(region: str) -> tuple[list[PrunableVersion], list[str]]:
        prunable, deleted = [], []
        for name in names[region]:
            versions = account.region(region).layers.versions(name)
            kept = [each.version for each in versions if not is_padding(each)][-keep:]
            prunable += [
                PrunableVersion(region, name, each.version, each.arn)
                for each in versions
                if len(kept) == keep and each.version < kept[0]
            ]
            existing = {each.arn for each in versions}
            deleted += [
                published.arn
                for layer, published in recorded_in(known, region)
                if layer.layer_name == name and published.arn not in existing
            ]
        return prunable, deleted

    for region, found in parallel.each(sorted(names), survey):
        if isinstance(found, NodelayerError):
            report.fail(Failure(region, "", found))
        else:
            old += found[0]
            gone += found[1]
    old.sort(key=lambda each: (each.region, each.layer_name, each.version))
    return PrunePlan(tuple(old), tuple(sorted(gone)))


def prune(account: Account, planned: PrunePlan, path: Path, stop: Stop, report: RunReport) -> None:
    """Delete the planned layer versions, and mark them as deleted in the manifest.

    If a run is killed in between, the next run marks the deleted versions.
    """
    store.check_writable(path)
    arns = set(planned.gone)

    def delete(region: str) -> list[PrunableVersion | Failure]:
        ended: list[PrunableVersion | Failure] = []
        for each in (each for each in planned.old if each.region == region):
            try:
                stop.check()
                account.region(region).layers.delete(each.layer_name, each.version)
                ended.append(each)
            except NodelayerError as error:
                ended.append(Failure(region, f"{each.layer_name}:{each.version}", error))
        return ended

    with stop.on_signals(lambda: report.reporter.warn("stopping when the running calls to AWS have ended")):
        for region, ended in parallel.each(sorted({each.region for each in planned.old}), delete):
            for each in [Failure(region, "", ended)] if isinstance(ended, NodelayerError) else ended:
                if isinstance(each, Failure):
                    report.fail(each)
                else:
                    arns.add(each.arn)
                    report.reporter.say(f"{region}: {each.layer_name}:{each.version} deleted")
        try:
            store.update(path, lambda known: _marked_deleted(known, arns))
        except NodelayerError as error:
            regions = tuple(sorted({each.region for each in planned.old}))
            report.fail(Failure("", "the manifest", error, regions))


def _marked_deleted(known: Manifest, arns: set[str]) -> Manifest:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Manifest.of(
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
