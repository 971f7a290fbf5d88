"""Publishing as a person meets it: the plan, what was done, and the command for just what is left."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nodelayer.aws import account as aws
from nodelayer.aws import regions
from nodelayer.aws.regions import Selection
from nodelayer.errors import InvalidInputError
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import FILE, Layer, Manifest
from nodelayer.publish.layers import plan, upkeep
from nodelayer.publish.layers import publisher as publish
from nodelayer.util import parallel as fanout
from nodelayer.util import tables
from nodelayer.util.console import Reporter

Flags = dict[str, str | bool]
"""By flag its word, true for one without, empty where it is not given."""


@dataclass(frozen=True)
class PublishTarget:
    """The flags that say where: regions, manifest, credentials."""

    regions: str
    manifest: str
    profile: str
    account: str
    partition: str
    parallel: int = fanout.PARALLEL

    def __post_init__(self) -> None:
        regions.parse(self.regions)
        if self.parallel < 1:
            raise InvalidInputError("at least one region at a time", where="--parallel", todo="use 1 or more")

    def account_of(self, known: Manifest | None = None) -> aws.Account:
        """The account; its partition is that of the regions, or else of what is recorded."""
        wanted = regions.parse(self.regions)
        if wanted is None and not self.partition and known is not None:
            recorded = {region for layer in known.layers for region, _ in layer.live()}
            found = {aws.partition_of(region) for region in recorded}
            if len(found) == 1:
                wanted = tuple(sorted(recorded))
        return aws.open_account(
            profile=self.profile or None,
            wanted=wanted,
            expected=self.account or None,
            partition=self.partition,
        )

    def open(self) -> tuple[aws.Account, Selection]:
        """The account and the regions to work in."""
        account = self.account_of()
        return account, regions.select(regions.parse(self.regions), account.partition, account.statuses())

    def flags(self) -> Flags:
        return {
            "--manifest": self.manifest if self.manifest != FILE else "",
            "--profile": self.profile,
            "--account": self.account,
            "--partition": self.partition,
        }


@dataclass(frozen=True)
class RunReport:
    """How to talk of it: the command to name for what is left, and where results go as text, if anywhere."""

    command: str
    flags: Flags
    reporter: Reporter
    results: Callable[[str], None]
    dry_run: bool = False

    def again(self, named: Sequence[str], target: PublishTarget) -> str:
        """The command for just those regions."""
        words = ["invoke", self.command]
        for flag, value in {**self.flags, "--regions": ",".join(named), **target.flags()}.items():
            words += [flag] if value is True else [flag, str(value)] if value else []
        return shlex.join(words)


@dataclass(frozen=True)
class RunOutcome:
    """The exit code, the plan or the result for a program, and the result where anything was to be done."""

    code: int
    document: Mapping[str, object]
    result: publish.Result | None


def hold(
    artifacts: Sequence[Artifact],
    options: plan.PublishOptions,
    target: PublishTarget,
    opened: tuple[aws.Account, Selection],
    talk: RunReport,
) -> RunOutcome:
    """Plan, show it, act, and say what is left and the command for just that. Raises NodelayerError."""
    account, selection = opened
    reporter = talk.reporter
    publisher = publish.Publisher(account, Path(target.manifest), reporter)
    with reporter.work(f"looking what is there in {len(selection.regions)} regions"):
        planned = publisher.plan(artifacts, selection, options)
    table = tables.columns(plan.rows(planned)).rstrip("\n")
    if talk.dry_run:
        talk.results(table)
    elif not planned.idle:
        reporter.say(table)
    else:
        for region, why in planned.skipped.items():
            reporter.say(f"{region} skipped: {why}")
    reporter.say(plan.summary(planned, account.id, account.partition.name))
    result = None if talk.dry_run else publisher.run(artifacts, selection, options, planned)
    for failure in planned.failures:
        reporter.fail(f"{failure.region}: {failure.error}")
    document = plan.as_json(planned, account.id, account.partition.name)
    if result is not None:
        document = publish.as_json(result)
        for done in result.done:
            talk.results(done.published.arn)
        reporter.say(publish.summary(result))
    failures, left = (result.failures, result.left) if result else (planned.failures, ())
    if named := publish.retry_regions(failures, left):
        reporter.say(f"Not done: {', '.join(named)}. Just those: {talk.again(named, target)}")
    code = failures[0].error.code if failures else fanout.StoppedError.code if left else 0
    return RunOutcome(code, document, result)


def joined(documents: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """One document of several: their lists and objects joined, of the rest the last."""
    whole: dict[str, Any] = {}
    for document in documents:
        for name, value in document.items():
            if isinstance(value, list) and name in whole:
                whole[name] = [*whole[name], *value]
            elif isinstance(value, dict) and name in whole:
                whole[name] = {**whole[name], **value}
            else:
                whole[name] = value
    return whole


def new_regions(
    known: Manifest, selection: Selection, wanted: Callable[[Layer], bool], reporter: Reporter
) -> Selection:
    """Those with nothing yet; the ones that only lack some are named, with the command for them."""
    new = upkeep.new_regions(known, selection.regions)
    behind = {
        region for _, lacks in upkeep.lacking(known, selection.regions, wanted=wanted) for region in lacks
    }
    if others := ",".join(sorted(behind - set(new))):
        reporter.say(f"Not new, but lacking some: {others}. Those: invoke backfill --regions {others}")
    return replace(selection, regions=tuple(new))
