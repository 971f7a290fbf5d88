"""Repair what `verify` finds: publish, grant access, write SSM parameters."""

from collections.abc import Sequence
from pathlib import Path

from nodelayer.aws.account import Account
from nodelayer.aws.regions import Selection
from nodelayer.errors import NodelayerError
from nodelayer.manifest import store
from nodelayer.manifest.model import Manifest
from nodelayer.publish.layers import backfill, ssm
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.publish.layers.verify import Problem
from nodelayer.util import parallel
from nodelayer.util.parallel import Stop


def repair(  # noqa: PLR0913 - what a run needs
    known: Manifest,
    problems: Sequence[Problem],
    account: Account,
    *,
    manifest: Path,
    out: Path,
    report: RunReport,
) -> None:
    """Publish the layers with problems where they have them, then write the SSM parameters that differ.

    A failure goes to the report, and does not stop the others. A stop of the user does.
    """
    layers = []
    for layer in known.layers:
        lacking = {each.region for each in problems if each.layer == layer and each.healed}
        if lacking:
            layers.append(backfill.MissingLayer(layer, tuple(sorted(lacking))))
    every = tuple(sorted({region for each in layers for region in each.regions}))
    backfill.backfill(
        layers,
        account=account,
        selection=Selection(every, named=True),
        manifest=manifest,
        out=out,
        report=report,
        results=report.reporter.say,
    )
    regions = sorted({each.region for each in problems})
    if report.stopped:
        report.stopped.update(regions)
        return
    now = store.read(manifest)
    stop = Stop()

    def write(region: str) -> int:
        stop.check()
        return ssm.write(account.region(region).parameters, ssm.wanted_in(now, region), stop)

    with stop.on_signals(lambda: report.reporter.warn("stopping when the running calls to AWS have ended")):
        for region, count in parallel.each(regions, write):
            if isinstance(count, NodelayerError):
                report.fail(Failure(region, "SSM parameters", count))
            elif count:
                report.reporter.say(f"{region}: {count} SSM parameters written")
