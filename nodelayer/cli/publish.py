"""Commands that publish: publish, backfill, verify, prune."""

import json as jsons
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from invoke import Context, Exit, task

from nodelayer import architecture
from nodelayer.aws import account as aws
from nodelayer.aws import regions as region_names
from nodelayer.cli.command import ARCH, CREDENTIALS, MANIFEST, REGIONS, built_layers, command, confirm
from nodelayer.errors import (
    InvalidInputError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
)
from nodelayer.github import step_outputs
from nodelayer.manifest import model as manifests
from nodelayer.publish.layers import plan as plans
from nodelayer.publish.layers import publisher as publishing
from nodelayer.publish.layers import run as conversation
from nodelayer.publish.layers import upkeep
from nodelayer.publish.layers.run import PublishTarget
from nodelayer.util import parallel as fanout
from nodelayer.util import tables
from nodelayer.util.console import Reporter

_PARALLEL = "how many regions at once"


_READER = "a profile of another account, which has to be able to read what is public"


_PUBLIC = "let every AWS account use it, also what is there already"


_ORGANIZATION = "let an AWS Organization use it (o-...), also what is there already"


_STAGING = "send zips through this bucket, {region} and {account} filled in; made if need be where not given"


_HOW = {
    "json": "the plan (with --dry-run) or the result as JSON",
    "manifest": MANIFEST,
    "staging-bucket": _STAGING,
    "reader-profile": _READER,
    "parallel": _PARALLEL,
    **CREDENTIALS,
}
"""Those of the two that publish."""


@task(
    help={
        "node": "built version: 12.16.1, 12, lts, latest …; several with commas between",
        "built": "instead of --node and --arch: every layer that lies in --out",
        "regions": REGIONS,
        "arch": ARCH,
        "public": _PUBLIC,
        "organization-id": _ORGANIZATION,
        "dry-run": "show the plan and stop; needs read rights only",
        "out": "folder with built layers",
        "align": "the same layer version number in every region; missing numbers are filled",
        "ssm": "write SSM parameters /nodelayer/<version, major, lts, latest>/<arch>/arn in each region",
        "outputs": step_outputs.HELP
        + " (layer-arns: JSON, by layer and region; layer-arn: of one layer, in AWS_REGION if it is there)",
        **_HOW,
    },
)
@command
def publish(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    regions: str = "all",
    arch: str = "x86_64",
    built: bool = False,  # noqa: FBT001, FBT002
    public: bool = False,  # noqa: FBT001, FBT002
    organization_id: str = "",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    out: str = "dist",
    align: bool = False,  # noqa: FBT001, FBT002
    ssm: bool = False,  # noqa: FBT001, FBT002
    staging_bucket: str = "",
    reader_profile: str = "",
    profile: str = "",
    account: str = "",
    partition: str = "",
    parallel: int = fanout.PARALLEL,
    outputs: str = "",
) -> None:
    """Publish built layers to every region and record their ARNs; run it again and it does what is left."""
    if built == bool(node):
        raise InvalidInputError(
            "--node and --built together say two things" if built else "it is not said which layers",
            todo="use one" if built else "name them with --node, or take every one in --out with --built",
        )
    artifacts, unbuilt = built_layers(None if built else node, arch, Path(out))
    target = PublishTarget(regions, manifest, profile, account, partition, parallel)
    access = plans.check_access(public=public, organization=organization_id)
    staging = plans.check_staging(staging_bucket)
    where, selection = target.open()
    order = plans.PublishOptions(
        access=access,
        align=align,
        parameters=ssm,
        staging=staging,
        parallel=parallel,
        reader=_reader(reader_profile, target, where),
    )
    flags: conversation.Flags = {
        "--node": node,
        "--arch": "" if built else arch,
        "--built": built,
        "--public": public,
        "--organization-id": organization_id,
        "--out": out if out != "dist" else "",
        "--align": align,
        "--ssm": ssm,
        "--staging-bucket": staging_bucket,
        "--reader-profile": reader_profile,
    }
    talk = conversation.RunReport("publish", flags, Reporter(), _unless(json), dry_run)
    ended = conversation.hold(artifacts, order, target, (where, selection), talk)
    if json:
        print(jsons.dumps(ended.document, indent=2))
    asked, region = len(artifacts) + len(unbuilt), os.environ.get("AWS_REGION", "")
    step_outputs.write(outputs, publishing.outputs(ended.result, asked, region))
    if unbuilt or ended.code:
        raise Exit(code=unbuilt[0].code if unbuilt else ended.code)


@task(
    help={
        "regions": "new (those with nothing yet), all, or names with commas between",
        "node": "only these versions; left out: every published one",
        "arch": ARCH + "; all by default",
        "dry-run": "show the plan and stop",
        "out": "folder with built layers; what is not in it is taken from a region that has it",
        "ssm": "write SSM parameters, as publish does",
        **_HOW,
    },
)
@command
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
    staging_bucket: str = "",
    reader_profile: str = "",
    profile: str = "",
    account: str = "",
    partition: str = "",
    parallel: int = fanout.PARALLEL,
) -> None:
    """Publish what is published elsewhere to other regions, with the same bytes and the same permissions."""
    target = PublishTarget(
        "all" if regions == "new" else regions, manifest, profile, account, partition, parallel
    )
    staging = plans.check_staging(staging_bucket)
    known = manifests.open_manifest(manifest)
    reporter = Reporter()
    where, selection = target.open()
    reader = _reader(reader_profile, target, where)
    plans.check_account(known, where)
    if regions == "new":
        selection = conversation.new_regions(known, selection, _wanted(node, arch, known), reporter)
    missing = upkeep.lacking(known, selection.regions, wanted=_wanted(node, arch, known))
    if not missing:
        reporter.say("Nothing is missing there")
        if json:
            print("{}")
        return
    codes: list[int] = []
    documents: list[Mapping[str, object]] = []
    for layer, lacks in missing:
        order = plans.PublishOptions(
            access=upkeep.access_of(layer),
            parameters=ssm,
            staging=staging,
            parallel=parallel,
            reader=reader,
        )
        flags: conversation.Flags = {"--node": layer.node_version, "--arch": layer.architecture, "--ssm": ssm}
        flags |= {"--out": out if out != "dist" else "", "--staging-bucket": staging_bucket}
        flags |= {"--reader-profile": reader_profile}
        try:
            with upkeep.recorded_artifact(layer, Path(out), where, reporter) as found:
                talk = conversation.RunReport("backfill", flags, reporter, _unless(json), dry_run)
                here = replace(selection, regions=tuple(lacks))
                ended = conversation.hold([found], order, target, (where, here), talk)
        except NodelayerError as error:
            codes.append(error.code)
            reporter.fail(f"nodelayer: {error}")
            if isinstance(error, fanout.StoppedError):
                break
            continue
        documents.append(ended.document)
        codes += [ended.code] if ended.code else []
        if ended.code == fanout.StoppedError.code:
            break  # a stop is for all of them
    if json:
        print(jsons.dumps(conversation.joined(documents), indent=2))
    if codes:
        raise Exit(code=fanout.StoppedError.code if fanout.StoppedError.code in codes else codes[0])


@task(
    help={
        "manifest": MANIFEST,
        "regions": REGIONS + "; all: those of the manifest",
        "json": "problems as JSON",
        "reader-profile": _READER,
        **CREDENTIALS,
    }
)
@command
def verify(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    manifest: str = "layers.json",
    regions: str = "all",
    json: bool = False,  # noqa: FBT001, FBT002
    reader_profile: str = "",
    profile: str = "",
    account: str = "",
    partition: str = "",
) -> None:
    """Compare the manifest with the account: what is missing, changed, deleted, or not public any more."""
    known = manifests.open_manifest(manifest)
    target = PublishTarget(regions, manifest, profile, account, partition)
    where = target.account_of(known)
    recorded = {region for layer in known.layers for region, _ in layer.live()}
    named = region_names.parse(regions)
    _all_recorded(named, recorded)
    chosen = sorted(recorded & set(named or where.partition.regions))
    reporter = Reporter()
    with reporter.work(f"looking in {len(chosen)} regions"):
        problems, failures, seen = upkeep.verify(known, where, chosen, _reader(reader_profile, target, where))
    if json:
        print(jsons.dumps([vars(problem) for problem in problems], indent=2))
    else:
        print(tables.columns((each.region, each.arn, each.kind) for each in problems), end="")
    for failure in failures:
        reporter.fail(f"{failure.region}: {failure.error}")
    others = sorted(recorded - set(where.partition.regions)) if regions == "all" else []
    more = f"; {', '.join(others)} are of another partition, and were not looked at" if others else ""
    reporter.say(
        f"{seen} layer versions in {len(chosen) - len(failures)} regions looked at, "
        f"{len(problems)} problems{more}"
    )
    if failures:
        raise Exit(code=failures[0].error.code)
    if problems:
        raise Exit(code=NotVerifiedError.code)


@task(
    help={
        "keep": "how many of the newest layer versions of each layer stay in each region",
        "node": "only these versions; left out: every one in the manifest",
        "arch": ARCH + "; all by default",
        "regions": REGIONS + "; all: those of the manifest",
        "dry-run": "show what would go, and stop",
        "yes": "do not ask",
        "manifest": MANIFEST,
        **CREDENTIALS,
    }
)
@command
def prune(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    keep: str,
    node: str = "",
    arch: str = "all",
    regions: str = "all",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    yes: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    profile: str = "",
    account: str = "",
    partition: str = "",
) -> None:
    """Delete old layer versions and mark them in the manifest; functions that use them keep working."""
    if not keep.isdecimal() or int(keep) < 1:
        raise InvalidInputError(
            "at least one layer version has to stay", where="--keep", todo="use 1 or more"
        )
    known = manifests.open_manifest(manifest)
    target = PublishTarget(regions, manifest, profile, account, partition)
    where = target.account_of(known)
    named = region_names.parse(regions)
    _all_recorded(named, {region for layer in known.layers for region in layer.regions})
    names = upkeep.layer_names(known, _wanted(node, arch, known), named or where.partition.regions)
    reporter = Reporter()
    with reporter.work(f"looking in {len(names)} regions"):
        found = upkeep.prunable(known, where, names, int(keep))
    for failure in found.failures:
        reporter.fail(f"{failure.region}: {failure.error}")
    print(
        tables.columns((old.region, old.layer_name, str(old.version), "delete") for old in found.old), end=""
    )
    for arn in found.gone:
        reporter.say(f"{arn}: gone already, will be marked")
    if not found.old and not found.gone:
        reporter.say(f"Nothing to delete: no layer has more than {keep} versions in a region")
    elif not dry_run:
        count = len(found.old)
        reporter.say("Functions that use them keep working; no function can be given them any more.")
        if count and not yes:
            confirm(f"Delete {count} layer versions?", "--yes does it without, --dry-run shows it")
        _deleted, failures = upkeep.prune(where, found, Path(manifest), fanout.Stop(), reporter)
        for failure in failures[len(found.failures) :]:
            reporter.fail(f"{failure.region}: {failure.error}")
        if failures:
            raise Exit(code=failures[0].error.code)
    if found.failures:
        raise Exit(code=found.failures[0].error.code)


def _unless(json: bool) -> Callable[[str], None]:  # noqa: FBT001 - the flag itself
    """Where results go as text: nowhere if they are asked for as JSON."""
    return (lambda _: None) if json else print


def _reader(profile: str, target: PublishTarget, account: aws.Account) -> Callable[[str], aws.Region] | None:
    if not profile:
        return None
    other = aws.open_account(
        profile=profile, wanted=region_names.parse(target.regions), partition=target.partition
    )
    if other.id == account.id:
        raise InvalidInputError(
            f"{profile} is of account {other.id}, which publishes",
            where="--reader-profile",
            todo="name a profile of another account: this one can read its layers in any case",
        )
    return other.region


def _wanted(node: str, arch: str, known: manifests.Manifest) -> Callable[[manifests.Layer], bool]:
    """Which layers of the manifest --node and --arch mean: every version in the range."""
    architectures = {each.name for each in architecture.parse(arch)}
    versions = manifests.versions_meant(known, node) if node else None
    return lambda layer: (
        layer.architecture in architectures and (versions is None or layer.node_version in versions)
    )


def _all_recorded(named: Sequence[str] | None, recorded: set[str]) -> None:
    """Raises NotFoundError for a region that was named, and of which the manifest says nothing."""
    for region in named or ():
        if region not in recorded:
            raise NotFoundError(
                f"nothing is recorded in {region}",
                where="--regions",
                todo=f"the manifest has {', '.join(sorted(recorded)) or 'no region'}",
            )
