"""Publish runtimes for a command: plan, show the plan, carry it out, print a summary."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nodelayer.aws.account import Account
from nodelayer.aws.layers import Access
from nodelayer.aws.regions import Selection
from nodelayer.errors import NodelayerError, NotFoundError
from nodelayer.image import record
from nodelayer.image.artifact import Image, open_image
from nodelayer.node.versions import Release, lts_codename, resolve, sort_key, split
from nodelayer.project_paths import PROGRAM, command
from nodelayer.publish.canary import CanaryOptions, in_account
from nodelayer.publish.layers.report import RunReport
from nodelayer.publish.runtimes import plan, publisher
from nodelayer.util import tables


def built_images(out: Path, specs: str | None) -> tuple[list[Image], list[NodelayerError]]:
    """Return the newest built image for each spec (None: every image), and an error for each that fails.

    Raises:
        NotFoundError: The folder has no image.
        NotVerifiedError: A build record cannot be read.
    """
    paths = {record.load(path).node_version: path for path in out.glob(f"nodejs-*{record.SUFFIX}")}
    if not paths:
        raise NotFoundError(
            "no image is built", where=str(out), todo=f"run {PROGRAM} build-image --node VERSION"
        )
    releases = [Release(version, lts_codename(version)) for version in paths]
    images: dict[str, Image] = {}
    failures: list[NodelayerError] = []
    for spec in sorted(paths, key=sort_key) if specs is None else split(specs):
        try:
            version = resolve(spec, releases).version
            images[version] = images.get(version) or open_image(paths[version])
        except NotFoundError:
            todo = f"run {command('build-image', '--node', spec)}; built versions: {', '.join(paths)}"
            failures.append(NotFoundError(f"no image of Node.js {spec} is built", where=str(out), todo=todo))
        except NodelayerError as error:
            failures.append(error)
    return list(images.values()), failures


def run(  # noqa: PLR0913 - what a run needs
    images: Sequence[Image],
    access: Access,
    *,
    account: Account,
    selection: Selection,
    manifest: Path,
    report: RunReport,
    results: Callable[[str], None],
    canary: CanaryOptions | None = None,
    preferred: str = "",
    dry_run: bool = False,
) -> Mapping[str, object]:
    """Plan, show the plan, and carry it out unless `dry_run`. Return the JSON document of plan or result.

    `results` prints the ARNs, or the plan of a dry run. Failures of regions go to the report. A canary
    without regions runs in the `preferred` one, if possible.

    Raises:
        NodelayerError: The manifest cannot be written or is another account's, or the user stopped the run.
    """
    reporter = report.reporter
    worker = publisher.Publisher(account, manifest, report)
    with reporter.rows(selection.regions):
        planned = worker.plan(images, selection, access)
    table = tables.columns(plan.rows(planned)).rstrip("\n")
    if dry_run:
        results(table)
    elif not planned.idle and not reporter.on_terminal:
        reporter.say_lines(table)
    else:
        for region, why in planned.skipped.items():
            reporter.say(f"{region} skipped: {why}")
    reporter.say(plan.summary(planned, account.id, account.partition.name))
    if dry_run:
        return plan.as_json(planned, account.id, account.partition.name)
    if canary and planned.regions:
        where = selection.regions if canary.regions else planned.regions
        canary = in_account(canary, account, where, preferred)
    with reporter.rows(planned.regions):
        done = worker.run(planned, canary)
    for each in done:
        results(each.version.arn)
    reporter.say(publisher.summary(done, report.count, len(report.stopped)))
    return publisher.as_json(done, planned, report)
