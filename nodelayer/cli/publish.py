"""Commands that publish: publish, backfill, verify, prune."""

import json as jsons
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from nodelayer import architecture
from nodelayer.cli.command import (
    ARCH,
    COMMAS,
    MANIFEST,
    PATHS,
    PROFILE,
    REGIONS,
    SPEC,
    command,
    confirm,
    given_flags,
)
from nodelayer.errors import (
    InvalidInputError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
)

if TYPE_CHECKING:
    from nodelayer.aws.account import Account, Region
    from nodelayer.manifest.model import Layer, Manifest
    from nodelayer.publish.canary import CanaryOptions
    from nodelayer.publish.layers.report import RunReport
    from nodelayer.publish.layers.run import PublishTarget
    from nodelayer.publish.layers.verify import Problem

_JSON = "print the result as JSON; with --dry-run the plan"
_ALL_ARCHITECTURES = "architecture: x86_64, arm64 or all (default)"
_RECORDED_REGIONS = "regions separated by commas, or all (default): every region in the manifest"
_OUT = "folder with built layers (default: dist)"


@command(
    help={
        "node": f"{SPEC}{COMMAS}; the newest built version that matches is published",
        "built": "publish every layer in --out, instead of --node and --arch",
        "regions": REGIONS,
        "arch": ARCH,
        "public": "let every AWS account use the layer versions, also those that are already published "
        "(default: only your account)",
        "organization-id": "let an AWS Organization use the layer versions, also those that are already "
        "published, for example o-a1b2c3d4e5",
        "account-id": "let these AWS accounts use the layer versions, also those that are already published; "
        "separate several IDs with commas",
        "dry-run": "print the plan and publish nothing; read permissions are enough",
        "out": _OUT,
        "align": "use the same layer version number in every region; where a region is behind, private "
        "layer versions with the same content fill the gap",
        "require-signature": "refuse a layer whose Node.js was not verified by an OpenPGP signature of the "
        "release team, for example one from npm",
        "ssm": "write the ARNs to SSM parameters in each region: /nodelayer/<node>/<arch>/arn, where <node> "
        "is the version, the major version, lts or latest",
        "canary": "regions, separated by commas, where each layer that no canary has started is started on "
        "Lambda before access is granted anywhere; if that fails, no access is granted (exit code 8). any: "
        "AWS_REGION, or the first of the regions by name",
        "canary-starts": "cold starts to measure for the newest layer of each major version, and as many on "
        "AWS's own runtime of that major (default: 1)",
        "canary-role": "ARN of the execution role of the canary's functions (default: the account's role "
        "nodelayer-canary)",
        "json": _JSON,
        "manifest": MANIFEST,
        "profile": PROFILE,
    },
)
def publish(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    regions: str = "all",
    arch: str = "x86_64",
    built: bool = False,  # noqa: FBT001, FBT002
    public: bool = False,  # noqa: FBT001, FBT002
    organization_id: str = "",
    account_id: str = "",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    out: str = "dist",
    align: bool = False,  # noqa: FBT001, FBT002
    require_signature: bool = False,  # noqa: FBT001, FBT002
    ssm: bool = False,  # noqa: FBT001, FBT002
    canary: str = "",
    canary_starts: int = 1,
    canary_role: str = "",
    profile: str = "",
) -> None:
    """Publish built layers to every region, and record their ARNs in the manifest.

    A layer that a region already has with the same content is not published again, so after a failure or an
    interruption run the same command again. Set --node or --built. In a GitHub Actions job, the command sets
    the step outputs layer-arns (JSON), layer-arn if one layer is published, and canary: failed if it did.
    Example: publish --node 24 --regions eu-west-1,us-east-1 --public
    """
    from nodelayer.github import step_outputs
    from nodelayer.layer import artifact
    from nodelayer.manifest.store import read
    from nodelayer.node.versions import split
    from nodelayer.publish.canary import in_account
    from nodelayer.publish.layers.plan import (
        PublishOptions,
        check_access,
        never_invoked,
        not_signed,
        withdrawal,
    )
    from nodelayer.publish.layers.publisher import outputs
    from nodelayer.publish.layers.report import Failure
    from nodelayer.publish.layers.run import run

    if built and node:
        raise InvalidInputError("--node and --built are mutually exclusive", todo="use one")
    if not built and not node:
        raise InvalidInputError(
            "--node or --built is required", todo="use --node VERSION, or --built for every layer in --out"
        )
    starting = canary_options(canary, canary_starts, canary_role, regions)
    options = PublishOptions(
        check_access(public=public, organization=organization_id, accounts=account_id),
        align=align,
        parameters=ssm,
    )
    target = publish_target(regions, manifest, profile)
    report = run_report("publish")
    if built:
        artifacts, errors = artifact.all_built(Path(out))
    else:
        names = [each.name for each in architecture.parse(arch)]
        artifacts, errors = artifact.each_built(split(node), names, Path(out))
    errors += [never_invoked(each) for each in artifacts if not each.invoked]
    artifacts = [each for each in artifacts if each.invoked]
    known = read(target.manifest)
    withdrawn = {each.layer_name: withdrawal(known, each) for each in artifacts}
    errors += filter(None, withdrawn.values())
    artifacts = [each for each in artifacts if withdrawn[each.layer_name] is None]
    if require_signature:
        errors += [not_signed(each) for each in artifacts if not each.signed]
        artifacts = [each for each in artifacts if each.signed]
    for error in errors:
        report.fail(Failure("", "", error))
    outcome = None
    aws_region = os.environ.get("AWS_REGION", "")
    if artifacts:
        account = target.open_account()
        selection = target.select(account)
        if starting:
            options = replace(options, canary=in_account(starting, account, selection.regions, aws_region))
        outcome = run(
            artifacts,
            options,
            account=account,
            selection=selection,
            manifest=target.manifest,
            report=report,
            results=print_unless(json),
            dry_run=dry_run,
        )
        if json:
            print(jsons.dumps(outcome.document, indent=2))
        asked = len(artifacts) + len(errors)
        preferred = (aws_region, *(target.regions or ()))
        named = outputs(outcome.result, asked, preferred)
        step_outputs.write(os.environ.get("GITHUB_OUTPUT", ""), named)
    exit_with_code(report)


@command(
    help={
        "regions": "regions separated by commas, all, or new (default): the enabled regions that have no "
        "layer yet",
        "node": f"{SPEC}; every version in the manifest that matches (default: all)",
        "arch": _ALL_ARCHITECTURES,
        "dry-run": "print the plan and publish nothing",
        "out": "folder with built layers (default: dist); other layers are downloaded from a region",
        "ssm": "write SSM parameters, as publish --ssm does",
        "json": _JSON,
        "manifest": MANIFEST,
        "profile": PROFILE,
    },
)
def backfill(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    regions: str = "new",
    node: str = "",
    arch: str = "all",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    out: str = "dist",
    ssm: bool = False,  # noqa: FBT001, FBT002
    profile: str = "",
) -> None:
    """Publish layers of the manifest to more regions, with the same content and permissions.

    Example: backfill --regions eu-south-2
    """
    from nodelayer.manifest.store import open_manifest
    from nodelayer.publish.layers import backfill as backfilling
    from nodelayer.publish.layers.plan import check_account
    from nodelayer.publish.layers.verify import without_deleted

    target = publish_target("all" if regions == "new" else regions, manifest, profile)
    known = open_manifest(manifest)
    wanted = _wanted(node, arch, known)
    report = run_report("backfill")
    account = target.open_account()
    check_account(known, account)
    selection = target.select(account)
    existing = without_deleted(known, account, selection.regions, wanted, report)
    if regions == "new":
        selection = backfilling.new_regions(known, existing, selection, wanted, report.reporter)
    missing = backfilling.missing(known, existing, selection.regions, wanted=wanted)
    if not missing and not report.failures:
        report.reporter.say("Nothing is missing in these regions")
    document = backfilling.backfill(
        missing,
        account=account,
        selection=selection,
        manifest=target.manifest,
        out=Path(out),
        report=report,
        results=print_unless(json),
        parameters=ssm,
        dry_run=dry_run,
    )
    if json:
        print(jsons.dumps(document, indent=2))
    exit_with_code(report)


@command(
    help={
        "manifest": MANIFEST,
        "regions": _RECORDED_REGIONS,
        "json": "print the problems as JSON",
        "reader-profile": "AWS profile of a second account, to check that it can read the public layers",
        "manifest-url": "address of the published manifest, to check that it is the same as --manifest",
        "catalog-url": "address of the catalogue's page, to check that it and the manifest beside it are "
        "current",
        "repository": "GitHub repository, OWNER/NAME, to check that its releases have the zips of the layers "
        "(default: do not check); needs the gh program",
        "fix": "repair what differs: publish what is missing, add lost permissions, write SSM parameters",
        "out": "with --fix: folder with built layers (default: dist); other layers are downloaded from a "
        "region",
        "profile": PROFILE,
    }
)
def verify(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    manifest: str = "layers.json",
    regions: str = "all",
    json: bool = False,  # noqa: FBT001, FBT002
    reader_profile: str = "",
    manifest_url: str = "",
    catalog_url: str = "",
    repository: str = "",
    fix: bool = False,  # noqa: FBT001, FBT002
    out: str = "dist",
    profile: str = "",
) -> None:
    """Check that every layer version in the manifest exists in the account, unchanged and still public.

    SSM parameters that publish --ssm wrote are compared, too, and on request what consumers read: the
    published manifest, the catalogue, the releases at GitHub. Prints the region, ARN and problem of each
    layer version that differs; exit code 5 if there is any, and with --fix if one is left.
    """
    from nodelayer.manifest.store import open_manifest
    from nodelayer.publish.layers import consumers, repair
    from nodelayer.publish.layers import verify as verifying
    from nodelayer.util import tables
    from nodelayer.util.console import counted

    consumers.check_url(manifest_url, "--manifest-url")
    consumers.check_url(catalog_url, "--catalog-url")
    known = open_manifest(manifest)
    target = publish_target(regions, manifest, profile)
    report = run_report("verify")
    account = target.open_account(known)
    recorded = {region for layer in known.layers for region, _ in layer.live()}
    check_recorded(target.regions, recorded)
    chosen = sorted(recorded & set(target.regions or account.partition.regions))
    reader = _reader(reader_profile, target, account)
    with report.reporter.work(f"comparing {len(chosen)} regions"):
        problems, compared = verifying.verify(known, account, chosen, report, reader)
    failed = {failure.region for failure in report.failures}
    found = len(problems)
    if fix and problems:
        repair.repair(known, problems, account, manifest=target.manifest, out=Path(out), report=report)
        if report.stopped:
            exit_with_code(report)
        known = open_manifest(manifest)
        differing = sorted({each.region for each in problems})
        problems, _ = verifying.verify(known, account, differing, report, reader)
    repaired = f", {found - len(problems)} repaired" if fix else ""
    read = consumers.compare(known, manifest_url, catalog_url, report)
    read += _release_problems(known, repository, report) if repository else []
    found += len(read)
    problems += read
    if json:
        print(jsons.dumps([problem.as_json() for problem in problems], indent=2))
    else:
        print(tables.columns((each.region or "-", each.arn, each.kind) for each in problems), end="")
    others = sorted(recorded - set(account.partition.regions)) if regions == "all" else []
    more = f"; not compared, because in another partition: {', '.join(others)}" if others else ""
    report.reporter.say(
        f"{compared} layer versions in {len(set(chosen) - failed)} regions compared, "
        f"{counted(found, 'problem')}{repaired}{more}"
    )
    if not fix and any(problem.healed for problem in problems):
        report.reporter.say(f"To repair them, run: {report.again({'--fix': True})}")
    exit_with_code(report, NotVerifiedError.code if problems else 0)


@command(
    help={
        "keep": "(required) number of layer versions to keep of each layer in each region, the newest, "
        "for example 3",
        "node": f"{SPEC}; every version in the manifest that matches (default: all)",
        "arch": _ALL_ARCHITECTURES,
        "regions": _RECORDED_REGIONS,
        "public": "delete public layer versions, too",
        "dry-run": "print what would be deleted, and delete nothing",
        "json": "print the layer versions and functions to delete as JSON",
        "yes": "delete without asking",
        "manifest": MANIFEST,
        "profile": PROFILE,
    }
)
def prune(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    keep: int = 0,
    node: str = "",
    arch: str = "all",
    regions: str = "all",
    public: bool = False,  # noqa: FBT001, FBT002
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    yes: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    profile: str = "",
) -> None:
    """Delete old layer versions, and mark them as deleted in the manifest.

    Public layer versions, and those that an SSM parameter names, are kept. Functions that use a deleted layer
    version keep working. Functions that a killed publish --canary left there are deleted after one hour.
    Example: prune --keep 3 --dry-run
    """
    from nodelayer.manifest.store import open_manifest
    from nodelayer.publish.layers import prune as pruning
    from nodelayer.util import tables
    from nodelayer.util.console import counted
    from nodelayer.util.parallel import Stop

    if keep < 1:
        raise InvalidInputError(
            "--keep is missing or less than 1",
            todo="use the number of versions to keep, for example --keep 3",
        )
    known = open_manifest(manifest)
    target = publish_target(regions, manifest, profile)
    report = run_report("prune")
    account = target.open_account(known)
    check_recorded(target.regions, {region for layer in known.layers for region in layer.regions})
    names = pruning.layer_names(
        known, _wanted(node, arch, known), target.regions or account.partition.regions
    )
    with report.reporter.work(f"listing layer versions in {len(names)} regions"):
        planned = pruning.plan(known, account, names, keep, report, public=public)
    if json:
        print(jsons.dumps([vars(each) for each in (*planned.old, *planned.functions)], indent=2))
    else:
        rows = [(old.region, old.layer_name, str(old.version), "delete") for old in planned.old]
        rows += [(left.region, left.function, "function", "delete") for left in planned.functions]
        print(tables.columns(rows), end="")
    for arn in planned.gone:
        report.reporter.say(f"{arn}: already deleted, will be marked")
    for arn, why in planned.kept.items():
        report.reporter.say(f"{arn} is kept: {why}")
    if not planned.old and not planned.gone and not planned.functions:
        more = "" if planned.kept else f": no layer has more than {keep} versions in a region"
        report.reporter.say(f"Nothing to delete{more}")
    elif not dry_run:
        if planned.old:
            report.reporter.say(
                "Functions that use these layer versions keep working; they cannot be added to other "
                "functions."
            )
        if (planned.old or planned.functions) and not yes:
            left = (
                f" and {counted(len(planned.functions), 'function')} of a canary" if planned.functions else ""
            )
            confirm(
                f"Delete {counted(len(planned.old), 'layer version')}{left}?",
                "use --yes to skip this question, or --dry-run",
            )
        pruning.prune(account, planned, target.manifest, Stop(), report)
    exit_with_code(report)


@command(
    help={
        "reason": "(required) why, in one sentence; consumers read it in the manifest and the catalogue",
        "arn": "ARN of a layer version: its layer is withdrawn in every region",
        "node": "Node.js version of the layers, for example 12.16.1, together with --nodelayer",
        "nodelayer": "version of nodelayer that built the layers, for example 1.2.0",
        "arch": _ALL_ARCHITECTURES,
        "successor": "ARN to use instead (default: in each region the newest other layer of the same major)",
        "regions": _RECORDED_REGIONS,
        "dry-run": "print what would be withdrawn, and change nothing",
        "json": "print the layer versions as JSON",
        "yes": "withdraw without asking",
        "manifest": MANIFEST,
        "profile": PROFILE,
    }
)
def withdraw(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    reason: str = "",
    arn: str = "",
    node: str = "",
    nodelayer: str = "",
    arch: str = "all",
    successor: str = "",
    regions: str = "all",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    yes: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    profile: str = "",
) -> None:
    """Withdraw a bad layer: make it private in every region, and name its successor in the manifest.

    Functions that use it keep working. If a run is interrupted, run the command again.
    Example: withdraw --node 12.16.1 --nodelayer 1.2.0 --reason "answers are cut"
    """
    from nodelayer.aws.arn import LayerVersionArn
    from nodelayer.manifest.store import open_manifest
    from nodelayer.publish.layers import withdraw as withdrawing
    from nodelayer.publish.layers.report import Failure
    from nodelayer.util import tables

    if bool(arn) == bool(node) or bool(node) != bool(nodelayer):
        raise InvalidInputError("name the layers", todo="use --arn, or --node together with --nodelayer")
    withdrawing.check_reason(reason)
    for each in (arn, successor):
        if each:
            LayerVersionArn.parse(each)
    known = open_manifest(manifest)
    target = publish_target(regions, manifest, profile)
    report = run_report("withdraw")
    account = target.open_account(known)
    architectures = {each.name for each in architecture.parse(arch)}
    layers = [
        each
        for each in withdrawing.layers_of(known, arn, node, nodelayer)
        if each.architecture in architectures
    ]
    check_recorded(target.regions, {region for layer in layers for region in layer.regions})
    planned = withdrawing.plan(known, account, layers, successor or None)
    if json:
        print(jsons.dumps([vars(each) for each in planned], indent=2))
    else:
        rows = ((each.region, each.arn, each.successor or "no successor") for each in planned)
        print(tables.columns(rows), end="")
    if planned and not dry_run:
        if not yes:
            confirm(
                f"Withdraw {len(planned)} layer versions? Other accounts cannot add them to a function "
                "any more.",
                "use --yes to skip this question, or --dry-run",
            )
        chosen = frozenset(target.regions or account.partition.regions)
        count = withdrawing.withdraw(account, planned, reason, target.manifest, chosen, report)
        report.reporter.say(f"{count} layer versions withdrawn")
        left = tuple(sorted({each.region for each in planned}.difference(account.partition.regions)))
        if left:  # regions of another partition
            public = RefusedError(f"other accounts can still use them in {', '.join(left)}")
            report.fail(Failure("", "", public, left))
    exit_with_code(report)


def canary_options(where: str, starts: int, role: str, regions: str) -> "CanaryOptions | None":
    """Return the options of the canary with checked flags; None without a canary."""
    from nodelayer.aws.regions import parse
    from nodelayer.publish import canary

    if not where:
        for flag in ("--canary-starts", "--canary-role"):
            if flag in given_flags:
                raise InvalidInputError(
                    f"{flag} has no effect without --canary",
                    todo="add --canary REGION, or leave the flag out",
                )
        return None
    chosen = () if where == "any" else parse(where)
    if chosen is None:
        raise InvalidInputError("name the regions", where="--canary", todo="for example --canary eu-west-1")
    canary.check(chosen, parse(regions), starts, role)
    return canary.CanaryOptions(chosen, role, starts, PATHS.function)


def publish_target(regions: str, manifest: str, profile: str) -> "PublishTarget":
    """Return the regions, the manifest and the profile that the flags name."""
    from nodelayer.aws.regions import parse
    from nodelayer.publish.layers.run import PublishTarget

    return PublishTarget(profile, parse(regions), Path(manifest))


def run_report(name: str) -> "RunReport":
    """Return a report that can print this command with its flags, to retry it for some regions."""
    from nodelayer.publish.layers.report import RunReport
    from nodelayer.util.console import Reporter

    return RunReport(Reporter(), name, dict(given_flags))


def exit_with_code(report: "RunReport", otherwise: int = 0) -> None:
    """End the command with the code of the failures in the report, or else with `otherwise`."""
    if code := report.finish() or otherwise:
        raise Exit(code=code)


def _release_problems(known: "Manifest", repository: str, report: "RunReport") -> "list[Problem]":
    from nodelayer.github import release_check
    from nodelayer.github.api import open_github
    from nodelayer.publish.layers.report import Failure

    try:
        return release_check.compare(known, open_github(os.environ, report.reporter, repository))
    except NodelayerError as error:
        report.fail(Failure("", repository, error))
        return []


def print_unless(json: bool) -> Callable[[str], None]:  # noqa: FBT001 - the flag itself
    """Return a function that prints results as text, or nothing if they are printed as JSON."""
    return (lambda _: None) if json else print


def _reader(profile: str, target: "PublishTarget", account: "Account") -> "Callable[[str], Region] | None":
    from nodelayer.aws.account import open_account

    if not profile:
        return None
    other = open_account(profile=profile, wanted=target.regions)
    if other.id == account.id:
        raise InvalidInputError(
            f"{profile} belongs to account {other.id}, which owns the layers",
            where="--reader-profile",
            todo="use a profile of another account",
        )
    return other.region


def _wanted(node: str, arch: str, known: "Manifest") -> "Callable[[Layer], bool]":
    """Return a predicate for the layers that --node and --arch select."""
    from nodelayer.manifest.lookup import versions_meant

    architectures = {each.name for each in architecture.parse(arch)}
    versions = versions_meant(known, node) if node else None
    return lambda layer: (
        layer.architecture in architectures and (versions is None or layer.node_version in versions)
    )


def check_recorded(named: Sequence[str] | None, recorded: set[str], what: str = "layer") -> None:
    """Raise NotFoundError for a named region that is not in the manifest."""
    for region in named or ():
        if region not in recorded:
            raise NotFoundError(
                f"the manifest has no {what} in {region}",
                where="--regions",
                todo=f"use {', '.join(sorted(recorded))}" if recorded else f"publish a {what} first",
            )
