"""Publish for a command: plan, show the plan, carry it out, print a summary."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodelayer.aws import regions
from nodelayer.aws.account import Account, open_account
from nodelayer.aws.arn import RuntimeVersionArn
from nodelayer.aws.regions import Selection
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Manifest
from nodelayer.publish.layers import plan, publisher
from nodelayer.publish.layers.report import RunReport
from nodelayer.util import tables


@dataclass(frozen=True)
class PublishTarget:
    """Where to publish: the account of a profile, the regions (None: all), the manifest."""

    profile: str
    regions: tuple[str, ...] | None
    manifest: Path

    def open_account(self, known: Manifest | None = None) -> Account:
        """Return the account, in the partition of the named regions, or else of those in the manifest."""
        wanted = self.regions
        if wanted is None and known is not None:
            recorded = {region for layer in known.layers for region, _ in layer.live()}
            recorded |= {RuntimeVersionArn.parse(arn).region for arn in known.runtimes}
            if len({regions.partition_of(region) for region in recorded}) == 1:
                wanted = tuple(sorted(recorded))
        return open_account(profile=self.profile or None, wanted=wanted)

    def select(self, account: Account) -> Selection:
        """Return the regions to work in."""
        return regions.select(self.regions, account.partition, account.statuses())


@dataclass(frozen=True)
class RunOutcome:
    """The JSON document of the plan or the result, and the result itself unless it was a dry run."""

    document: Mapping[str, object]
    result: publisher.Result | None


def run(  # noqa: PLR0913 - what a run needs
    artifacts: Sequence[Artifact],
    options: plan.PublishOptions,
    *,
    account: Account,
    selection: Selection,
    manifest: Path,
    report: RunReport,
    results: Callable[[str], None],
    dry_run: bool = False,
) -> RunOutcome:
    """Plan, show the plan, and carry it out unless `dry_run`.

    `results` prints the ARNs, or the plan of a dry run. Failures of regions go to the report.

    Raises:
        NodelayerError: The manifest cannot be written or is another account's, or the user stopped the run.
    """
    reporter = report.reporter
    worker = publisher.Publisher(account, manifest, report)

    def show(planned: plan.Plan) -> None:
        table = tables.columns(plan.rows(planned)).rstrip("\n")
        if dry_run:
            results(table)
        elif not planned.idle and not reporter.on_terminal:
            reporter.say_lines(table)
        else:
            for region, why in planned.skipped.items():
                reporter.say(f"{region} skipped: {why}")
        reporter.say(plan.summary(planned, account.id, account.partition.name))

    with reporter.rows(selection.regions):
        planned = worker.plan(artifacts, selection, options, whole=dry_run)
    show(planned)
    if dry_run:
        return RunOutcome(plan.as_json(planned, account.id, account.partition.name), None)
    if planned.pending:
        reporter.say(f"No answer yet, so published after the others: {', '.join(planned.pending)}")
    with reporter.rows([*planned.regions, *planned.pending]):
        result = worker.run(artifacts, selection, options, planned, show)
    for each in result.done:
        results(each.published.arn)
    reporter.say(publisher.summary(result, report.count))
    return RunOutcome(publisher.as_json(result), result)
