"""Commands for published runtimes: rollback-runtime, verify-runtimes, prune-runtimes, restore-runtime."""

import json as jsons
from collections.abc import Iterable
from typing import TYPE_CHECKING

from invoke import Context

from nodelayer.cli.command import COMMAS, MANIFEST, PROFILE, REGIONS, SPEC, command, confirm
from nodelayer.cli.publish import check_recorded, exit_with_code, publish_target, run_report
from nodelayer.errors import InvalidInputError, NodelayerError, NotVerifiedError

if TYPE_CHECKING:
    from nodelayer.aws.account import Account
    from nodelayer.aws.regions import Selection
    from nodelayer.publish.layers.run import PublishTarget

_NODE = f"{SPEC}{COMMAS}; means the runtime of its major version"
_RUNTIME = "name of the runtime, instead of --node, for example nodejs-24; separate several with commas"
_RECORDED = "regions separated by commas, or all (default): every region with a runtime in the manifest"
_DRY_RUN = "print the plan, and change nothing; read permissions are enough"


@command(
    help={
        "node": _NODE,
        "runtime": _RUNTIME,
        "regions": REGIONS,
        "undo": "point latest forward again to the version that it was rolled back from",
        "dry-run": _DRY_RUN,
        "json": "print the plan as JSON",
        "profile": PROFILE,
    },
)
def rollback_runtime(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    runtime: str = "",
    regions: str = "all",
    undo: bool = False,  # noqa: FBT001, FBT002
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    profile: str = "",
) -> None:
    """Point the alias latest of a runtime to the version that previous names, in every region.

    Functions that use latest get that version without a redeploy. previous then names what latest was.
    If a run is interrupted, run the command again: a region that is rolled back is left as it is.
    Example: rollback-runtime --node 24 --regions eu-west-1,us-east-1
    """
    from nodelayer.publish.runtimes import rollback, survey
    from nodelayer.util import tables

    names = _names(node, runtime)
    target = publish_target(regions, "layers.json", profile)
    report = run_report("rollback-runtime")
    account = target.open_account()
    selection = target.select(account)
    with report.reporter.work(f"asking {len(selection.regions)} regions"):
        plans = survey.ask(
            account,
            selection,
            names,
            lambda region: rollback.plan(region.runtimes, names, undo=undo),
            report,
        )
    steps = [step for planned in plans.values() for step in planned]
    if json:
        print(jsons.dumps([step.as_json() for step in steps], indent=2))
    else:
        print(tables.columns(step.row() for step in steps), end="")
    todo = {region: [step for step in planned if step.moves] for region, planned in plans.items()}
    if not dry_run and any(todo.values()):
        done = survey.carry_out(
            account,
            todo,
            lambda region, step: rollback.act(region.runtimes, step),
            lambda step: step.runtime,
            report,
        )
        report.reporter.say(
            f"{len(done)} runtimes {'rolled forward' if undo else 'rolled back'}, "
            f"{sum(not step.moves for step in steps)} needed no change"
        )
    exit_with_code(report)


@command(
    help={
        "manifest": MANIFEST,
        "regions": _RECORDED,
        "json": "print the problems as JSON",
        "profile": PROFILE,
    },
)
def verify_runtimes(
    _ctx: Context,
    manifest: str = "layers.json",
    regions: str = "all",
    json: bool = False,  # noqa: FBT001, FBT002
    profile: str = "",
) -> None:
    """Check that every runtime version in the manifest is active, with the recorded image and access.

    The aliases of its Node.js version and latest are checked, too, with their release lifecycle. Prints the
    region, ARN and problem of what differs; exit code 5 if there is any.
    """
    from nodelayer.manifest.store import open_manifest
    from nodelayer.publish.layers.report import Failure
    from nodelayer.publish.runtimes import survey
    from nodelayer.publish.runtimes import verify as verifying
    from nodelayer.util import parallel, tables

    known = open_manifest(manifest)
    recorded = survey.recorded(known)
    target = publish_target(regions, manifest, profile)
    report = run_report("verify-runtimes")
    account = target.open_account(known)
    survey.check_account(known, account)
    chosen = _chosen(target, account, recorded).regions
    entries = {region: verifying.recorded_in(known, region) for region in chosen}
    problems: list[verifying.Problem] = []
    compared = 0
    with report.reporter.work(f"comparing {len(chosen)} regions"):
        for region, found in parallel.each(
            chosen, lambda name: verifying.compare(account.region(name).runtimes, entries[name])
        ):
            if isinstance(found, NodelayerError):
                report.fail(Failure(region, "", found))
            else:
                problems += found
                compared += len(entries[region])
    problems.sort(key=lambda each: (each.region, each.arn))
    if json:
        print(jsons.dumps([problem.as_json() for problem in problems], indent=2))
    else:
        print(tables.columns((each.region, each.arn, each.kind) for each in problems), end="")
    report.reporter.say(
        f"{compared} runtime versions in {len(chosen) - report.count} regions compared, "
        f"{len(problems)} problems"
    )
    exit_with_code(report, NotVerifiedError.code if problems else 0)


@command(
    help={
        "keep": "(required) number of versions to keep of each runtime in each region, the newest, "
        "for example 3",
        "node": f"{_NODE} (default: every runtime in the manifest)",
        "runtime": _RUNTIME,
        "regions": _RECORDED,
        "recovery-window-days": "days in which restore-runtime can restore them: 7 to 30 (default)",
        "dry-run": "print what would be deleted, and delete nothing",
        "json": "print the versions as JSON: kept is why a version stays, or null",
        "yes": "delete without asking",
        "manifest": MANIFEST,
        "profile": PROFILE,
    },
)
def prune_runtimes(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    keep: int = 0,
    node: str = "",
    runtime: str = "",
    regions: str = "all",
    recovery_window_days: int = 30,
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    yes: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    profile: str = "",
) -> None:
    """Delete old runtime versions that no alias names, and mark them as deleted in the manifest.

    Every Node.js version has an alias, which names the newest build of it; so what is deleted are older
    builds of the same Node.js version, and versions that Lambda could not create (FAILED).
    Example: prune-runtimes --keep 3 --dry-run
    """
    from nodelayer.manifest import store
    from nodelayer.publish.layers.report import Failure
    from nodelayer.publish.runtimes import prune, restore, survey
    from nodelayer.publish.runtimes.verify import recorded_in
    from nodelayer.util import tables

    prune.check(keep, recovery_window_days)
    known = store.open_manifest(manifest)
    recorded = survey.recorded(known, _names(node, runtime) if node or runtime else None)
    target = publish_target(regions, manifest, profile)
    report = run_report("prune-runtimes")
    account = target.open_account(known)
    survey.check_account(known, account)
    chosen = _chosen(target, account, recorded)
    with report.reporter.work(f"listing runtime versions in {len(chosen.regions)} regions"):
        found = survey.ask(
            account,
            chosen,
            sorted(set().union(*recorded.values())),
            lambda region: prune.plan(
                region.runtimes, sorted(recorded[region.name]), keep, recorded_in(known, region.name)
            ),
            report,
        )
    old = [each for planned in found.values() for each in planned]
    if json:
        print(jsons.dumps([each.as_json() for each in old], indent=2))
    else:
        rows = ((each.region, each.runtime, each.version, each.kept or "delete") for each in old)
        print(tables.columns(rows), end="")
    todo = {region: [each for each in planned if not each.kept] for region, planned in found.items()}
    gone = {each.arn for each in old if each.gone}
    count = sum(map(len, todo.values()))
    if not count and not gone:
        report.reporter.say("Nothing to delete")
    elif not dry_run:
        if count:
            report.reporter.say(
                "Functions that are bound to one of these versions by its ARN cannot be invoked any more."
            )
        if count and not yes:
            confirm(f"Delete {count} runtime versions?", "use --yes to skip this question, or --dry-run")
        store.check_writable(target.manifest)
        done = survey.carry_out(
            account,
            todo,
            lambda region, each: prune.act(region.runtimes, each, recovery_window_days),
            lambda each: each.label,
            report,
        )
        arns = gone | {each.arn for _, each in done}
        try:
            store.update(target.manifest, lambda now: restore.marked_deleted(now, arns))
        except NodelayerError as error:
            report.fail(Failure("", "the manifest", error, tuple(sorted(todo))))
        report.reporter.say(
            f"{len(done)} runtime versions deleted; for {recovery_window_days} days they can be restored"
        )
    exit_with_code(report)


@command(
    help={
        "node": _NODE,
        "runtime": _RUNTIME,
        "version": "restore only this version of the runtime, for example 24.1.0_1.2.0",
        "alias": "restore only this alias of the runtime, for example latest",
        "regions": REGIONS,
        "dry-run": _DRY_RUN,
        "json": "print the plan as JSON",
        "manifest": MANIFEST,
        "profile": PROFILE,
    },
)
def restore_runtime(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    runtime: str = "",
    version: str = "",
    alias: str = "",
    regions: str = "all",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    profile: str = "",
) -> None:
    """Restore a runtime whose deletion is scheduled, with its versions and aliases, and mark the manifest.

    Lambda keeps what is deleted for 7 to 30 days; functions that use it fail meanwhile, and work again
    afterwards. Without --version and --alias, everything of the runtime is restored.
    Example: restore-runtime --runtime nodejs-24 --version 24.1.0_1.2.0
    """
    from pathlib import Path

    from nodelayer.manifest import store
    from nodelayer.publish.layers.report import Failure
    from nodelayer.publish.runtimes import restore, survey
    from nodelayer.util import tables

    if version and alias:
        raise InvalidInputError("--version and --alias are mutually exclusive", todo="use one")
    names = _names(node, runtime)
    target = publish_target(regions, manifest, profile)
    report = run_report("restore-runtime")
    account = target.open_account()
    selection = target.select(account)
    with report.reporter.work(f"asking {len(selection.regions)} regions"):
        found = survey.ask(
            account,
            selection,
            names,
            lambda region: restore.plan(region.runtimes, names, version=version, alias=alias),
            report,
        )
    items = [each for planned in found.values() for each in planned]
    if json:
        print(jsons.dumps([vars(each) for each in items], indent=2))
    else:
        print(tables.columns(each.row() for each in items), end="")
    if not items:
        report.reporter.say("Nothing to restore")
    elif not dry_run:
        done = survey.carry_out(
            account,
            found,
            lambda region, each: restore.act(region.runtimes, each),
            lambda each: f"{each.runtime} {each.name}".strip(),
            report,
        )
        arns = {each.arn for _, each in done}
        try:
            if Path(manifest).exists() and arns & set(store.read(target.manifest).runtimes):
                store.update(target.manifest, lambda now: restore.marked_restored(now, arns))
        except NodelayerError as error:
            report.fail(Failure("", "the manifest", error, tuple(found)))
        report.reporter.say(f"{len(done)} restored")
    exit_with_code(report)


def _names(node: str, runtime: str) -> tuple[str, ...]:
    """Return the names of the runtimes that --node or --runtime mean."""
    from nodelayer.publish.runtimes import survey

    if bool(node) == bool(runtime):
        raise InvalidInputError(
            "--node and --runtime are mutually exclusive" if node else "--node or --runtime is required",
            todo="name the runtimes with one of them, for example --node 24",
        )
    if node:
        return survey.runtimes_meant(node)
    return survey.parse_names(runtime)


def _chosen(target: "PublishTarget", account: "Account", recorded: Iterable[str]) -> "Selection":
    """Return the named regions, or those in the manifest that the account's partition has."""
    from nodelayer.aws.regions import Selection

    known = set(recorded)
    check_recorded(target.regions, known, "runtime")
    return Selection(tuple(sorted(known & set(target.regions or account.partition.regions))), named=True)
