"""The commands: each reads flags, calls nodelayer, and turns an error into one line and an exit code."""

import functools
import itertools
import json as jsons
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec

from invoke import Context, Exit, task

from nodelayer import (
    architecture,
    artifact,
    aws,
    build,
    catalog,
    conversation,
    docker,
    emulator,
    fanout,
    fetch,
    git,
    github,
    github_failures,
    github_release,
    layers_branch,
    node_release,
    own_release,
    pull_request,
    release_notes,
    run,
    sam,
    snippets,
    tables,
    upkeep,
)
from nodelayer import manifest as manifests
from nodelayer import matrix as matrices
from nodelayer import outputs as step_outputs
from nodelayer import plan as plans
from nodelayer import publish as publishing
from nodelayer import refresh as refreshing
from nodelayer import regions as region_names
from nodelayer import source as sources
from nodelayer import supported as supporting
from nodelayer import tour as tours
from nodelayer import watch as watching
from nodelayer.arn import LayerVersionArn
from nodelayer.cache import DownloadCache
from nodelayer.conversation import Aim
from nodelayer.errors import (
    InvalidInputError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    machine_error,
)
from nodelayer.progress import Reporter, megabytes
from nodelayer.record import BuildRecord

ROOT = Path(__file__).resolve().parent
HOUSE = build.House(
    runtime=ROOT / "runtime",
    function=ROOT / "function",
    dockerfiles=ROOT / "docker",
    event=ROOT / "function" / "events" / "hello.json",
)
PROJECT = sam.Project(ROOT)
BENCHMARKS = ("sizes", "build", "runtime", "endurance", "publish", "catalog", "startup")

P = ParamSpec("P")
_SPEC = "version: 12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest, file (.nvmrc, engines)"
_SPECS = _SPEC + "; several with commas between"
_ARCH = "x86_64 (default), arm64 or all"
_SOURCE = "where Node.js comes from: nodejs.org, npm, or auto (default): nodejs.org, then npm"
_SIGNATURE = "--no-signature leaves the release team's OpenPGP signature unchecked; the build record says so"
_COMPRESSION = "best (default: smallest) or fast (for trying out)"


def command(body: Callable[P, None]) -> Callable[P, None]:
    """What commands share: one line and an exit code for what went wrong, an orderly end when stopped."""

    @functools.wraps(body)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        try:
            body(*args, **kwargs)
        except NodelayerError as error:
            raise Exit(f"nodelayer: {error}", code=error.code) from error
        except KeyboardInterrupt:
            raise Exit("nodelayer: stopped; nothing half-done is left", code=130) from None

    return wrapped


@task(
    help={
        "node": _SPECS,
        "arch": _ARCH,
        "builder": "docker (inside Amazon Linux), local (on this host), auto (default): docker where it can",
        "out": "folder for the zip, its build record and SBOM (default: dist)",
        "runtime": "aim at these only: provided, provided.al2, provided.al2023, with commas between",
        "base-image": "image to prove it in instead of Amazon Linux; {arch} becomes amd64 or arm64",
        "library-folder": "where the local builder looks first for a library the target lacks",
        "compression": _COMPRESSION,
        "source": _SOURCE,
        "signature": _SIGNATURE,
        "outputs": step_outputs.HELP
        + " (zip, record, sbom, layer-name, sha256, code-sha256: a line a layer; node-version: with commas)",
    }
)
@command
def build_layer(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    builder: str = "auto",
    out: str = "dist",
    runtime: str = "",
    base_image: str = "",
    library_folder: str = "",
    compression: str = "best",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002 - invoke makes --no-signature of it
    outputs: str = "",
) -> None:
    """Build a layer zip of any Node.js version, proved to run, with its build record and SBOM."""
    order = build.Order(
        out=Path(out),
        builder=builder,
        compression=compression,
        runtimes=tuple(runtime.replace(" ", "").split(",")) if runtime else None,
        base_image=base_image or os.environ.get("NODELAYER_BASE_IMAGE") or None,
        library_folders=(Path(library_folder),) if library_folder else (),
    )
    bench = _bench(source, signature=signature)
    records: list[BuildRecord] = []

    def one(version: str, each: architecture.Architecture) -> None:
        records.append(build.build(build.Job(version, each), order, bench))
        print(order.out / records[-1].zip)

    failures = _each_meant(node, arch, bench, one)
    step_outputs.write(outputs, build.outputs(records, order.out))
    if failures:
        raise Exit(code=failures[0].code)


@task(
    name="run",
    help={
        "node": _SPEC + "; left out: the newest layer in --out",
        "layer-arn": "run a published layer version instead: fetched from Lambda, verified",
        "profile": "the AWS profile for --layer-arn",
        "event": "JSON file, or - for standard input",
        "out": "folder with built layers; what is missing is built into it",
        "function": "folder of the function",
        "handler": "file.export",
        "timeout": "seconds the function may take",
        "compression": _COMPRESSION,
        "builder": "as for build-layer",
        "source": _SOURCE,
        "signature": _SIGNATURE,
    },
)
@command
def run_function(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    event: str = "",
    out: str = "dist",
    function: str = "",
    handler: str = "function.handler",
    timeout: int = 30,
    compression: str = "best",
    builder: str = "auto",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002
    layer_arn: str = "",
    profile: str = "",
) -> None:
    """Run the sample function on a layer through AWS's Runtime Interface Emulator; no Docker needed."""
    given = run.read_event(event or str(HOUSE.event), sys.stdin.buffer.read() if event == "-" else None)
    bench = _bench(source, signature=signature)
    order = build.Order(out=Path(out), builder=builder, compression=compression)
    host = run.host_architecture()
    trial = run.Trial(Path(function or HOUSE.function), given, handler, timeout)
    with tempfile.TemporaryDirectory(prefix="nodelayer-run-") as scratch:
        if layer_arn:
            if node:
                raise InvalidInputError("--node and --layer-arn together say two things", todo="use one")
            arn = LayerVersionArn.parse(layer_arn)
            label, zipped = arn.name, Path(scratch) / "layer.zip"
            account = aws.open_account(profile=profile or None, wanted=(arn.region,))
            content = fetch.by_arn(account, arn.region, layer_arn, zipped)
            bench.reporter.say(
                f"{arn.name}:{arn.version} from {arn.region}: CodeSha256 {content.code_sha256}"
            )
        else:
            record = _built_or_newest(node, order, bench, host)
            label, zipped = f"Node.js {record.node_version}", order.out / record.zip
        answer = run.run(zipped, trial, bench.emulator(host))
    run.show(answer, label, bench.reporter)
    print(answer.payload.decode(errors="replace"))
    if answer.failed:
        raise Exit(code=8)


@task(
    name="test-layer",
    help={
        "node": "built version: 12.16.1, 12, lts, latest …; several with commas between",
        "arch": _ARCH,
        "out": "folder with built layers",
    },
)
@command
def try_layer(_ctx: Context, node: str, arch: str = "x86_64", out: str = "dist") -> None:
    """Run the sample function on built layers, plain and over HTTP: does each answer as what it is called?"""
    artifacts, failures = _built(node, arch, Path(out))
    reporter, cache = Reporter(), DownloadCache(_cache_folder())
    events = {name: HOUSE.event.with_name(f"{name}.json").read_bytes() for name in run.EVENTS}
    for each in artifacts:
        try:
            (wanted,) = architecture.parse(each.architecture)
            rie = emulator.rie(wanted, cache=cache, reporter=reporter)
            print(run.check(each, HOUSE.function, events, rie))
        except NodelayerError as error:
            failures.append(error)
            reporter.fail(f"nodelayer: {error}")
    if failures:
        raise Exit(code=failures[0].code)


@task(help={"node": _SPECS, "arch": _ARCH, "source": _SOURCE, "signature": _SIGNATURE})
@command
def download(
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002
) -> None:
    """Fetch and verify Node.js into the download cache, so that a later build needs no network."""
    bench = _bench(source, signature=signature)

    def one(version: str, each: architecture.Architecture) -> None:
        files = bench.source.fetch(version, each)
        print(f"{files.version} {each} {files.record.name} sha256:{files.record.sha256}")

    if failures := _each_meant(node, arch, bench, one):
        raise Exit(code=failures[0].code)


@task(
    help={
        "node": f"these instead of the supported set: {_SPECS}; every: all from {matrices.FIRST} on",
        "arch": "x86_64, arm64 or all (default)",
        "missing": "only what some region lacks that has other layers of this nodelayer",
        "manifest": "file or URL of the manifest for --missing; none there: everything is missing",
        "jobs": "at most so many jobs; more layers than that share jobs",
        "batch": "which part of what one workflow run has no room for, from 1 on",
        "source": _SOURCE,
        "supported": "the supported set",
        "outputs": step_outputs.HELP + " (matrix, any, count, batches)",
        "json": "the matrix alone, without the table for people",
    }
)
@command
def matrix(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    arch: str = "all",
    missing: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    jobs: int = matrices.MATRIX_JOBS,
    batch: int = 1,
    source: str = "auto",
    supported: str = "",
    outputs: str = "",
    json: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Which layers a release builds: the jobs of a GitHub Actions matrix, as one line of JSON."""
    wanted = matrices.Wish(
        specs=node_release.split(node) if node else (),
        missing=_manifest_or_none(manifest) if missing else None,
        jobs=jobs,
        batch=batch,
    )
    reporter = Reporter()
    made = _matrix(wanted, supported, source, architecture.parse(arch), reporter)
    if not json:
        reporter.say(tables.columns(made.rows).rstrip("\n"))
    reporter.say(made.summary)
    for line in made.others({"node": shlex.quote(node) if node else ""}):
        reporter.say(line)
    print(made.line)
    step_outputs.write(outputs, made.outputs())
    for failure in made.failures:
        reporter.fail(f"nodelayer: {failure}")
    if made.failures:
        raise Exit(code=made.failures[0].code)


@task(help={"node": "the exact version to take along"})
@command
def tour(_ctx: Context, node: str = "12.16.1") -> None:
    """Build, publish to three regions, look up, fetch back and run: on an emulator of AWS, no account."""
    invoke = [str(Path(sys.executable).parent / "invoke"), f"--search-root={ROOT}"]
    cache = DownloadCache(_cache_folder())
    tours.take(node, invoke=invoke, cache=cache, reporter=Reporter(), environ=os.environ)


@task(help={"out": "folder with built layers", "downloads": "empty the download cache as well"})
@command
def clean(_ctx: Context, out: str = "dist", downloads: bool = False) -> None:  # noqa: FBT001, FBT002
    """Remove built layers, and the download cache if asked."""
    reporter = Reporter()
    gone = build.clean(Path(out))
    reporter.say(f"{len(gone)} files removed from {out}" if gone else f"nothing to remove in {out}")
    if downloads:
        freed = DownloadCache(_cache_folder()).clear()
        reporter.say(f"{megabytes(freed)} of downloads removed")


_REGIONS = "all (enabled in the account) or names with commas between"
_MANIFEST = "the manifest of published layers: a file"
_PROFILE = "the AWS profile to use"
_ACCOUNT = "refuse to work in any account but this one (12 digits)"
_PARTITION = "aws, aws-cn, aws-us-gov, aws-eusc; only needed with --regions all and no region of your own"
_PARALLEL = "how many regions at once"
_READER = "a profile of another account, which has to be able to read what is public"
_PUBLIC = "let every AWS account use it, also what is there already"
_ORGANIZATION = "let an AWS Organization use it (o-...), also what is there already"
_STAGING = "send zips through this bucket, {region} and {account} filled in; made if need be where not given"
_WHO = {"profile": _PROFILE, "account": _ACCOUNT, "partition": _PARTITION}
"""The flags of every command that asks an account, told once."""
_HOW = {
    "json": "the plan (with --dry-run) or the result as JSON",
    "manifest": _MANIFEST,
    "staging-bucket": _STAGING,
    "reader-profile": _READER,
    "parallel": _PARALLEL,
    **_WHO,
}
"""Those of the two that publish."""


@task(
    help={
        "node": "built version: 12.16.1, 12, lts, latest …; several with commas between",
        "built": "instead of --node and --arch: every layer that lies in --out",
        "regions": _REGIONS,
        "arch": _ARCH,
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
    artifacts, unbuilt = _built(None if built else node, arch, Path(out))
    aim = Aim(regions, manifest, profile, account, partition, parallel)
    access = plans.check_access(public=public, organization=organization_id)
    staging = plans.check_staging(staging_bucket)
    where, selection = aim.open()
    order = plans.Order(
        access=access,
        align=align,
        parameters=ssm,
        staging=staging,
        parallel=parallel,
        reader=_reader(reader_profile, aim, where),
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
    talk = conversation.Talk("publish", flags, Reporter(), _unless(json), dry_run)
    ended = conversation.hold(artifacts, order, aim, (where, selection), talk)
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
        "arch": _ARCH + "; all by default",
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
    aim = Aim("all" if regions == "new" else regions, manifest, profile, account, partition, parallel)
    staging = plans.check_staging(staging_bucket)
    known = manifests.open_manifest(manifest)
    reporter = Reporter()
    where, selection = aim.open()
    reader = _reader(reader_profile, aim, where)
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
        order = plans.Order(
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
                talk = conversation.Talk("backfill", flags, reporter, _unless(json), dry_run)
                here = replace(selection, regions=tuple(lacks))
                ended = conversation.hold([found], order, aim, (where, here), talk)
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
        "manifest": _MANIFEST,
        "regions": _REGIONS + "; all: those of the manifest",
        "json": "problems as JSON",
        "reader-profile": _READER,
        **_WHO,
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
    aim = Aim(regions, manifest, profile, account, partition)
    where = aim.account_of(known)
    recorded = {region for layer in known.layers for region, _ in layer.live()}
    named = region_names.parse(regions)
    _all_recorded(named, recorded)
    chosen = sorted(recorded & set(named or where.partition.regions))
    reporter = Reporter()
    with reporter.work(f"looking in {len(chosen)} regions"):
        problems, failures, seen = upkeep.verify(known, where, chosen, _reader(reader_profile, aim, where))
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
        "arch": _ARCH + "; all by default",
        "regions": _REGIONS + "; all: those of the manifest",
        "dry-run": "show what would go, and stop",
        "yes": "do not ask",
        "manifest": _MANIFEST,
        **_WHO,
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
    aim = Aim(regions, manifest, profile, account, partition)
    where = aim.account_of(known)
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
            _confirm(f"Delete {count} layer versions?", "--yes does it without, --dry-run shows it")
        _deleted, failures = upkeep.prune(where, found, Path(manifest), fanout.Stop(), reporter)
        for failure in failures[len(found.failures) :]:
            reporter.fail(f"{failure.region}: {failure.error}")
        if failures:
            raise Exit(code=failures[0].error.code)
    if found.failures:
        raise Exit(code=found.failures[0].error.code)


@task(
    name="arn",
    help={
        "node": "version: 12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest",
        "region": "the function's region",
        "arch": "x86_64 (default) or arm64",
        "format": ", ".join(snippets.FORMATS),
        "manifest": "file or URL of the manifest; no AWS credentials are needed",
    },
)
@command
def print_arn(
    _ctx: Context,
    node: str,
    region: str,
    arch: str = "x86_64",
    format: str = "arn",  # noqa: A002 - the flag's name
    manifest: str = "layers.json",
) -> None:
    """Look up the ARN of a published layer; bare, or as a snippet for the tool that needs it."""
    wanted = architecture.parse(arch)
    if len(wanted) > 1:
        raise InvalidInputError("a function has one architecture", where="--arch", todo="use x86_64 or arm64")
    found = manifests.look_up(manifests.open_manifest(manifest), node, region, wanted[0].name)
    print(snippets.render(format, _as_snippet(found)))


@task(
    name="catalog",
    help={
        "manifest": "file or URL of the manifest; no AWS credentials are needed",
        "out": "folder for index.html, feed.atom, layers.json, layers.txt and the schema",
        "assets-url": "where a build's files are, to link its SBOM: {file} in it is filled in, and "
        "{node_version}, {architecture}, {nodelayer_version}, {layer_name}",
        "site-url": "where the page will be, for the links in the feed",
    },
)
@command
def make_catalog(
    _ctx: Context,
    manifest: str = "layers.json",
    out: str = "site",
    assets_url: str = "",
    site_url: str = "",
) -> None:
    """Write the web page of every published layer, and a feed of new ones, to be hosted anywhere."""
    known = manifests.open_manifest(manifest)
    site = catalog.Site(assets_url, site_url, aws.region_names())
    written = catalog.write(known, Path(out), site, source=Path(manifest))
    size = f"{written.size / 1e3:.0f} kB"
    Reporter().say(f"{written.layers} layers, {written.layer_versions} layer versions in a page of {size}")
    print(written.page)


@task(
    name="merge-manifest",
    positional=["ours", "theirs"],
    help={
        "ours": "the manifest that takes the other's entries",
        "theirs": "the other one",
        "base": "their common ancestor, as git's merge drivers get it",
        "path": "what git calls the file: then only OURS is written, not what lies beside it",
    },
)
@command
def merge_manifest(_ctx: Context, ours: str, theirs: str, base: str = "", path: str = "") -> None:
    """Merge two manifests: what either holds is in the result. Works as a git merge driver."""
    for each in (ours, theirs):
        if not Path(each).exists():
            raise NotFoundError("there is no manifest", where=each, todo="name a file")
    if path:
        manifests.merge_files(Path(ours), Path(theirs), Path(base) if base else None, path)
        return
    other = manifests.read(Path(theirs))
    merged = manifests.update(Path(ours), lambda known: known.merge(other))
    versions = sum(len(layer.regions) for layer in merged.layers)
    Reporter().say(f"{ours}: {len(merged.layers)} layers, {versions} layer versions")


_REPOSITORY = "OWNER/NAME at GitHub; left out: $GITHUB_REPOSITORY, or that of git's remote"


@task(
    name="publish-release",
    help={
        "tag": "v1.2.3",
        "title": "the release's title; left out: nodelayer and the version",
        "notes": "file with its text in Markdown; left out: what release-notes says, from --manifest",
        "manifest": "file or URL of the manifest; what is of this version becomes an asset too, layers.json",
        "assets": "folder whose files become its assets; SHA256SUMS is written into it",
        "target": "commit to tag, where the tag is not there yet",
        "prerelease": "mark it so; a tag as v1.2.3-rc.1 does by itself",
        "latest": "--no-latest: never GitHub's latest release; otherwise the newest version is",
        "move-major": "move the tag v1 there afterwards, if it is the newest of that major",
        "dry-run": "show the plan and stop",
        "repository": _REPOSITORY,
        "outputs": step_outputs.HELP,
    },
)
@command
def publish_release(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    tag: str,
    assets: str,
    title: str = "",
    notes: str = "",
    manifest: str = "layers.json",
    target: str = "",
    prerelease: bool = False,  # noqa: FBT001, FBT002
    latest: bool = True,  # noqa: FBT001, FBT002
    move_major: bool = False,  # noqa: FBT001, FBT002
    dry_run: bool = False,  # noqa: FBT001, FBT002
    repository: str = "",
    outputs: str = "",
) -> None:
    """Publish a folder's files as the GitHub release of a tag; run it again and it does what is left."""
    reporter = Reporter()
    text = _text_of(notes, "--notes") if notes else _notes(tag, manifest, Path(assets), repository, reporter)
    order = github_release.Order(
        tag=tag,
        title=title or f"nodelayer {tag.removeprefix('v')}",
        notes=text,
        assets=github_release.read_folder(Path(assets)),
        target=target,
        prerelease=prerelease,
        latest=latest,
        move_major=move_major,
    )
    place = github.open_github(os.environ, reporter, repository)
    if dry_run:
        print(tables.columns(github_release.rows(order, github_release.plan(order, place))), end="")
        return
    release, changed = github_release.publish(order, place, Path(assets))
    if not changed:
        reporter.say("Everything is there already")
    _tell(outputs, {"url": release["html_url"], "id": release["id"]})
    print(release["html_url"])


@task(
    help={
        "manifest": "file or URL of the manifest; fetch-manifest writes one",
        "workflow": "the workflow to start, as it is at the newest release",
        "supported": "the supported set",
        "source": _SOURCE,
        "dry-run": "say what would be started, and stop",
        "repository": _REPOSITORY,
    }
)
@command
def watch(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    manifest: str = "layers.json",
    workflow: str = "release.yml",
    supported: str = "",
    source: str = "auto",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    repository: str = "",
) -> None:
    """Start the release workflow for the Node.js versions that are supported and not published yet."""
    reporter = Reporter()
    place = github.open_github(os.environ, reporter, repository)
    known = manifests.open_manifest(manifest)
    tag = watching.newest_tag(place)
    if tag is None:
        reporter.say("Nothing of ours is released yet: nothing to add to")
        return
    wish = matrices.Wish(missing=known, by=own_release.version_of(tag))
    made = _matrix(wish, supported, source, architecture.ALL, reporter)
    versions = watching.versions_of(made)
    if not versions:
        reporter.say(f"Nothing is missing in {tag}")
    elif (run_at_work := watching.at_work(place, workflow, tag)) is not None:
        reporter.say(f"Missing in {tag}: {', '.join(versions)}; a run is at work: {run_at_work['html_url']}")
    elif dry_run:
        print(f"{workflow} at {tag}: {','.join(versions)}")
    else:
        watching.start(place, workflow, tag, versions)
        reporter.say(f"Started {workflow} at {tag}")
        print(",".join(versions))
    for failure in made.failures:
        reporter.fail(f"nodelayer: {failure}")
    if made.failures:
        raise Exit(code=made.failures[0].code)


@task(
    name="push-manifest",
    positional=["fragments"],
    help={
        "fragments": "a manifest, or a folder with many of them",
        "branch": "the branch that holds the manifest, and nothing else; made where there is none",
        "remote": "name of a remote, or its address",
        "message": "of the commit",
        "outputs": step_outputs.HELP,
    },
)
@command
def push_manifest(
    _ctx: Context,
    fragments: str,
    branch: str = layers_branch.BRANCH,
    remote: str = "origin",
    message: str = "Layers published",
    outputs: str = "",
) -> None:
    """Merge manifests into the one on the branch layers and push it; many at once lose nothing."""
    reporter = Reporter()
    place = layers_branch.Place(git.open_git(Path.cwd(), os.environ), remote, branch)
    pushed = layers_branch.push(layers_branch.read_fragments(Path(fragments)), place, message, reporter)
    _tell(outputs, {"added": len(pushed.added), "commit": pushed.commit})
    print(tables.columns(pushed.added), end="")
    layers_branch.say(pushed, place, reporter)


@task(
    name="fetch-manifest",
    help={
        "branch": "the branch that holds the manifest",
        "remote": "name of a remote, or its address",
        "out": "the file; what it has already is kept",
    },
)
@command
def fetch_manifest(
    _ctx: Context, branch: str = layers_branch.BRANCH, remote: str = "origin", out: str = manifests.FILE
) -> None:
    """Write the manifest of the branch layers to a file; an empty one where there is no branch yet."""
    manifests.check_writable(Path(out))
    fetched = layers_branch.fetch(layers_branch.Place(git.open_git(Path.cwd(), os.environ), remote, branch))
    merged = manifests.update(Path(out), lambda known: known.merge(fetched))
    own = "" if merged == fetched else ", and what the file had of its own"
    Reporter().say(f"{len(fetched.layers)} layers{own}")
    print(out)


@task(
    name="open-pull-request",
    help={
        "branch": "the pull request's branch, which belongs to this command: it is written anew each time",
        "base": "the branch to change",
        "title": "the pull request's title",
        "body-file": "file with its text in Markdown",
        "message": "of the commit; left out: the title",
        "remote": "name of a remote, or its address",
        "repository": _REPOSITORY,
        "outputs": step_outputs.HELP,
    },
)
@command
def open_pull_request(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    branch: str,
    title: str,
    body_file: str,
    base: str = "main",
    message: str = "",
    remote: str = "origin",
    repository: str = "",
    outputs: str = "",
) -> None:
    """Open a pull request of what has changed in the work tree, or update it; the checkout stays as it is."""
    body = _text_of(body_file, "--body-file").strip()
    order = pull_request.Order(branch, base, title, body, message or title, remote)
    reporter = Reporter()
    place = github.open_github(os.environ, reporter, repository)
    result = pull_request.open_or_update(order, git.open_git(Path.cwd(), os.environ), place)
    told = result.pull or {"number": "", "html_url": ""}
    _tell(outputs, {"number": told["number"], "url": told["html_url"], "what": result.what})
    if result.pull is None:
        reporter.say("Nothing has changed: no pull request")
        return
    reporter.say(f"Pull request {told['number']}: {result.what}")
    print(told["html_url"])


_REPORT = {
    "workflow": "the workflow's file: watch.yml",
    "run-id": "the run; left out: $GITHUB_RUN_ID",
    "label": "label of the issue, of one workflow only",
    "repository": _REPOSITORY,
    "outputs": step_outputs.HELP,
}


@task(name="report-failure", help=_REPORT)
@command
def report_failure(
    _ctx: Context,
    workflow: str,
    run_id: str = "",
    label: str = github_failures.LABEL,
    repository: str = "",
    outputs: str = "",
) -> None:
    """Open an issue, or add to the open one, where a job has failed in this run and in the one before."""
    _report(github_failures.failure, workflow, run_id, label, repository, outputs)


@task(name="report-success", help=_REPORT)
@command
def report_success(
    _ctx: Context,
    workflow: str,
    run_id: str = "",
    label: str = github_failures.LABEL,
    repository: str = "",
    outputs: str = "",
) -> None:
    """Close the issue that report-failure has opened, where no job of this run has failed."""
    _report(github_failures.success, workflow, run_id, label, repository, outputs)


_STACK = "name of the CloudFormation stack"
_STACK_REGION = "region of the stack; left out: the one that is configured"


@task(
    name="sam-build",
    help={
        "node": "built version to put into the layer: 12.16.1, 12, lts …; left out: the newest in --out",
        "arch": "x86_64 (default) or arm64",
        "layer-arn": "build the function alone, for a layer that is published already",
        "out": "folder with built layers",
        "build-dir": "where the build goes; left out: .aws-sam/build, where SAM looks by itself",
    },
)
@command
def sam_build(
    _ctx: Context,
    node: str = "",
    arch: str = "x86_64",
    layer_arn: str = "",
    out: str = "dist",
    build_dir: str = "",
) -> None:
    """Build the sample function and its layer with SAM into .aws-sam, for `sam local invoke` and the like."""
    reporter = Reporter()
    wish = _wish(layer_arn, arch)
    layer = {} if layer_arn else _layer_for_make(node, wish, Path(out))
    folder = Path(build_dir).resolve() if build_dir else None
    _sam(reporter).run(sam.build_line(PROJECT, wish, folder), variables=layer)


@task(
    help={
        "stack-name": _STACK,
        "region": _STACK_REGION,
        "layer-arn": "the published layer version to run on",
        "node": "look the layer up in the manifest: 12.16.1, 12, lts, latest …",
        "built": "take the layer from --out along in the stack: --node, or the newest built",
        "arch": "x86_64 (default) or arm64",
        "http": "none (default), api (an HTTP API) or url (a function URL)",
        "access": "who may call it over HTTP: iam (signed requests, the default) or public (everybody)",
        "manifest": "file or URL of the manifest",
        "out": "folder with built layers",
        "profile": _PROFILE,
    },
)
@command
def deploy(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    stack_name: str = sam.STACK,
    region: str = "",
    layer_arn: str = "",
    node: str = "",
    built: bool = False,  # noqa: FBT001, FBT002
    arch: str = "x86_64",
    http: str = "none",
    access: str = "iam",
    manifest: str = "layers.json",
    out: str = "dist",
    profile: str = "",
) -> None:
    """Build the sample function with SAM and deploy it on a published layer, or on the one built here."""
    if bool(layer_arn) + bool(node or built) != 1:
        raise InvalidInputError(
            "which layer?",
            todo="name one: --layer-arn ARN, --node SPEC (looked up in the manifest), or --built",
        )
    reporter = Reporter()
    wish = _wish(layer_arn, arch, http, access)
    given = LayerVersionArn.parse(layer_arn) if layer_arn else None
    place = sam.Place(
        stack_name, sam.region_of(region, aws.configured_region(profile or None), given), profile
    )
    if node and not built:
        found = manifests.look_up(manifests.open_manifest(manifest), node, place.region, wish.architecture)
        wish = replace(wish, layer_arn=found.published.arn)
        reporter.say(f"Node.js {found.layer.node_version}: {wish.layer_arn}")
    layer = {} if wish.layer_arn else _layer_for_make(node, wish, Path(out))
    account = _account(place)
    sam.check_free(place, account.region(place.region).stack(place.stack))
    if wish.layer_arn:
        sam.check_layer(wish, account)
    if wish.http != "none" and wish.access == "public":
        reporter.warn("everybody on the internet will be able to call the function (--access public)")
    program = _sam(reporter)
    with tempfile.TemporaryDirectory(prefix="nodelayer-sam-") as scratch:
        folder = Path(scratch) / "build"
        program.run(sam.build_line(PROJECT, wish, folder), variables=layer)
        try:
            program.run(sam.deploy_line(PROJECT, wish, place, folder), place=place)
        except RefusedError as error:
            why = functools.partial(account.region(place.region).stack_failure, place.stack)
            raise sam.with_reason(error, why) from error
    stack = sam.check_own(place, account.region(place.region).stack(place.stack))
    print(tables.columns(sorted(stack.outputs.items())), end="")
    reporter.say(f"Call it: invoke invoke-function {place.again()}")


@task(
    name="invoke-function",
    help={
        "event": "JSON file, or - for standard input",
        "stack-name": _STACK,
        "region": _STACK_REGION,
        "profile": _PROFILE,
    },
)
@command
def invoke_function(
    _ctx: Context, event: str = "", stack_name: str = sam.STACK, region: str = "", profile: str = ""
) -> None:
    """Invoke the deployed sample function and print its answer; its log goes to standard error."""
    given = run.read_event(event or str(HOUSE.event), sys.stdin.buffer.read() if event == "-" else None)
    place, account = _stack(stack_name, region, profile)
    there = account.region(place.region)
    name = sam.function_of(place, there.stack(place.stack))
    invoked = there.invoke(name, given)
    reporter = Reporter()
    for line in invoked.logs.splitlines():
        reporter.say(f"  {line}")
    print(invoked.payload.decode(errors="replace"))
    if invoked.failed:
        raise Exit(code=8)


@task(
    help={
        "tail": "go on until stopped",
        "stack-name": _STACK,
        "region": _STACK_REGION,
        "profile": _PROFILE,
    }
)
@command
def logs(
    _ctx: Context,
    tail: bool = False,  # noqa: FBT001, FBT002
    stack_name: str = sam.STACK,
    region: str = "",
    profile: str = "",
) -> None:
    """Print the log of the deployed sample function, as SAM does."""
    place, account = _stack(stack_name, region, profile)
    sam.function_of(place, account.region(place.region).stack(place.stack))
    program = replace(_sam(Reporter()), to=lambda: sys.stdout)
    program.run(sam.logs_line(PROJECT, place, tail=tail))


@task(help={"stack-name": _STACK, "region": _STACK_REGION, "yes": "do not ask", "profile": _PROFILE})
@command
def destroy(
    _ctx: Context,
    stack_name: str = sam.STACK,
    region: str = "",
    yes: bool = False,  # noqa: FBT001, FBT002
    profile: str = "",
) -> None:
    """Delete the stack of the sample function and what was uploaded for it; published layers stay."""
    place, account = _stack(stack_name, region, profile)
    there = account.region(place.region)
    sam.check_own(place, there.stack(place.stack))
    if not yes:
        _confirm(f"Delete the stack {place.stack} in {place.region} of account {account.id}?")
    program = _sam(Reporter())
    program.run(sam.delete_line(PROJECT, place), place=place)
    if (left := there.stack(place.stack)) is not None and left.status != "DELETE_COMPLETE":
        raise RefusedError(
            f"the stack is not gone: it is in {left.status}",
            where=str(place),
            todo=there.stack_failure(place.stack) or "see AWS's console",
        )


@task(
    positional=["level"],
    help={
        "level": "patch, minor or major: the step of the version, by Semantic Versioning",
        "dry-run": "show the version, the changelog's section and the commands, and stop",
        "branch": "where releases are made",
        "remote": "what has to have nothing newer, and gets the tag",
    },
)
@command
def release(
    _ctx: Context,
    level: str,
    dry_run: bool = False,  # noqa: FBT001, FBT002
    branch: str = "main",
    remote: str = "origin",
) -> None:
    """Release nodelayer itself: raise its version, move the changelog, commit and tag. Pushes nothing."""
    reporter = Reporter()
    today = datetime.now(UTC).date()
    plan = own_release.plan(ROOT, level, today, branch=branch, remote=remote, reporter=reporter)
    if dry_run:
        print(plan.text())
        return
    own_release.release(ROOT, plan)
    reporter.say(f"Release {plan.version} is committed and tagged, here only. To push both or neither:")
    print(plan.push)


@task(
    name="check-tag",
    positional=["tag"],
    help={
        "tag": "the tag that was pushed, as in v1.2.3",
        "released": "and has a published release at GitHub already",
        "outputs": step_outputs.HELP + " (tag, version, major, prerelease)",
    },
)
@command
def check_tag(_ctx: Context, tag: str, released: bool = False, outputs: str = "") -> None:  # noqa: FBT001, FBT002
    """Check that a tag is this checkout's version, and that the changelog tells of it; print the version."""
    checked = own_release.check_tag(tag, ROOT)
    if released:
        watching.check_released(github.open_github(os.environ, Reporter()), tag)
    step_outputs.write(outputs, checked.outputs)
    print(checked.version)


@task(
    name="release-notes",
    help={
        "tag": "the release of nodelayer, as in v1.2.3: its changelog, and the layers it built",
        "node": "notes of new releases of Node.js instead, without changelog: versions with commas between",
        "manifest": "file or URL of the manifest; no AWS credentials are needed",
        "dist": "folder with built layers: those are among the release's assets",
        "repository": "OWNER/REPOSITORY on GitHub (default: $GITHUB_REPOSITORY)",
    },
)
@command
def print_release_notes(
    _ctx: Context,
    tag: str,
    node: str = "",
    manifest: str = "layers.json",
    dist: str = "dist",
    repository: str = "",
) -> None:
    """Print the notes of a GitHub release as Markdown: what is new, layers, ARNs, how to verify them."""
    known = manifests.open_manifest(manifest)
    print(_told(tag, known, node, Path(dist), repository, Reporter()), end="")


@task(
    name="test",
    help={"only": "folder or file of tests, for instance tests/unit", "keyword": "as pytest's -k"},
)
def run_tests(_ctx: Context, only: str = "", keyword: str = "") -> None:
    """Run the tests; what needs a Docker daemon is skipped with a reason where there is none."""
    chosen = [*([only] if only else []), *(["-k", keyword] if keyword else [])]
    # All of them go on in several processes; what shares something stays together (tests/conftest.py).
    _tool("pytest", *(chosen or ["--numprocesses=auto", "--maxprocesses=4"]))


@task
def lint(_ctx: Context) -> None:
    """Check style, types, the import contract, the Dockerfile, workflows and CloudFormation templates."""
    _tool("ruff", "check", ".")
    _tool("ruff", "format", "--check", ".")
    _tool("mypy")
    _tool("lint-imports")
    _tool("hadolint", "docker/Dockerfile")
    _tool("actionlint", "-shellcheck=", "-pyflakes=")  # the same whatever else is installed
    _tool("zizmor", "--offline", "--pedantic", "--quiet", ".github", "actions")
    regions = ["us-east-1", "cn-north-1", "us-gov-west-1"]  # one of each partition that cfn-lint knows
    _tool("cfn-lint", "--include-checks", "I", "--regions", *regions, "--", "aws/*.yaml")


@task(
    help={
        "only": "of "
        + ", ".join(pin.name for pin in refreshing.PINS)
        + ", with commas between (default: all)",
        "keep": "of the same: what is compared with its source and told, but stays as it is",
        "compare": "write nothing; exit code 1 where anything differs",
        "summary": "write what changed and what failed to this file, as Markdown",
        "outputs": step_outputs.HELP,
    }
)
@command
def refresh(
    _ctx: Context,
    only: str = "",
    keep: str = "",
    compare: bool = False,  # noqa: FBT001, FBT002
    summary: str = "",
    outputs: str = "",
) -> None:
    """Bring what is pinned up to date, each from its own source; one that fails stops no other."""
    pins = refreshing.chosen(only, "--only") or refreshing.PINS
    kept = pins if compare else refreshing.chosen(keep, "--keep")
    reporter = Reporter()
    done = refreshing.run(ROOT, pins, kept=kept, daemon=lambda: docker.connect(reporter), reporter=reporter)
    refreshing.write_summary(summary, done)
    changed = [each.pin.name for each in done if each.changed]
    print("".join(f"{name}\n" for name in changed), end="")
    written = any(each.changed and not each.kept for each in done)
    step_outputs.write(outputs, {"changed": "true" if written else "false"})
    if code := refreshing.code_of(done, compare=compare):
        raise Exit(code=code)


@task(name="bench", help={"only": f"{', '.join(BENCHMARKS)} (default: all of them)"})
def benchmark(_ctx: Context, only: str = "") -> None:
    """Measure sizes against Everynode's, the runtime client against AWS's, publishing against the AWS CLI."""
    if only and only not in BENCHMARKS:
        raise Exit(f"nodelayer: no benchmark {only!r} (--only): use {' or '.join(BENCHMARKS)}", code=2)
    for name in [only] if only else BENCHMARKS:
        _tool("python", f"benchmarks/{name}.py")


def _unless(json: bool) -> Callable[[str], None]:  # noqa: FBT001 - the flag itself
    """Where results go as text: nowhere if they are asked for as JSON."""
    return (lambda _: None) if json else print


def _reader(profile: str, aim: Aim, account: aws.Account) -> Callable[[str], aws.Region] | None:
    if not profile:
        return None
    other = aws.open_account(profile=profile, wanted=region_names.parse(aim.regions), partition=aim.partition)
    if other.id == account.id:
        raise InvalidInputError(
            f"{profile} is of account {other.id}, which publishes",
            where="--reader-profile",
            todo="name a profile of another account: this one can read its layers in any case",
        )
    return other.region


def _manifest_or_none(place: str) -> manifests.Manifest:
    """The manifest, an empty one where nothing has been published yet."""
    try:
        return manifests.open_manifest(place)
    except NotFoundError:
        return manifests.Manifest()


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


def _as_snippet(found: manifests.Found) -> snippets.Layer:
    return snippets.Layer(
        arn=found.published.arn,
        region=found.region,
        node_version=found.layer.node_version,
        architecture=found.layer.architecture,
        runtime=max(found.layer.compatible_runtimes, default="provided"),
        as_json=found.as_json(),
    )


def _wish(layer_arn: str, arch: str, http: str = "none", access: str = "iam") -> sam.Wish:
    if layer_arn:
        LayerVersionArn.parse(layer_arn)
    wanted = architecture.parse(arch)
    if len(wanted) > 1:
        raise InvalidInputError("a function has one architecture", where="--arch", todo="use x86_64 or arm64")
    return sam.Wish(layer_arn, wanted[0].name, http, access)


def _layer_for_make(node: str, wish: sam.Wish, out: Path) -> dict[str, str]:
    """The variables that tell sam/layer/Makefile which zip to unpack."""
    (found,) = artifact.built(node or "latest", [wish.architecture], out)
    return {"NODE": found.node_version, "ARCH": found.architecture, "DIST": str(out.resolve())}


def _sam(reporter: Reporter) -> sam.Sam:
    program = sam.find(DownloadCache(_cache_folder()), reporter, os.environ)
    return sam.Sam(program, os.environ, ROOT)


def _account(place: sam.Place) -> aws.Account:
    return aws.open_account(profile=place.profile or None, wanted=(place.region,))


def _stack(name: str, region: str, profile: str) -> tuple[sam.Place, aws.Account]:
    place = sam.Place(name, sam.region_of(region, aws.configured_region(profile or None), None), profile)
    return place, _account(place)


def _confirm(question: str, todo: str = "--yes does it without") -> None:
    """Ask on the terminal. Raises InvalidInputError where nobody can answer, Exit where the answer is no."""
    if not sys.stdin.isatty():
        raise InvalidInputError(question, where="nobody to ask", todo=todo)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Exit("nodelayer: nothing was deleted", code=1)


def _built(node: str | None, arch: str, out: Path) -> tuple[list[artifact.Artifact], list[NodelayerError]]:
    """What is built of it (None: everything there is), and what is not, told.

    Raises Exit where there is nothing at all.
    """
    if node is None:
        found, failures = artifact.all_built(out)
    else:
        names = [each.name for each in architecture.parse(arch)]
        found, failures = artifact.each_built(node_release.split(node), names, out)
    reporter = Reporter()
    for failure in failures:
        reporter.fail(f"nodelayer: {failure}")
    if not found:
        raise Exit(code=failures[0].code)
    return found, failures


def _built_or_newest(
    node: str, order: build.Order, bench: build.Workbench, host: architecture.Architecture
) -> BuildRecord:
    """The layer of that version, or the newest there is; built where it is missing."""
    if node:
        job = build.Job(sources.resolve_spec(node, host, bench.source, start=Path.cwd()), host)
    else:
        job = build.newest(order.out, host)
    return build.existing(job, order, HOUSE) or build.build(job, order, bench)


def _each_meant(
    node: str, arch: str, bench: build.Workbench, one: Callable[[str, architecture.Architecture], None]
) -> list[NodelayerError]:
    """Do one thing for each version and architecture the flags mean, once; returns what went wrong, told."""
    failures: list[NodelayerError] = []
    done: set[tuple[str, architecture.Architecture]] = set()
    wanted = architecture.parse(arch)
    for spec, each in itertools.product(node_release.split(node), wanted):
        try:
            others = [other for other in wanted if other != each]
            version = sources.resolve_spec(spec, each, bench.source, start=Path.cwd(), others=others)
            if (version, each) not in done:
                done.add((version, each))
                one(version, each)
        except NodelayerError as error:
            failures.append(error)
            bench.reporter.fail(f"nodelayer: {error}")
    return failures


def _bench(source: str, *, signature: bool) -> build.Workbench:
    reporter = Reporter()
    cache = DownloadCache(_cache_folder())
    return build.Workbench(
        house=HOUSE,
        source=sources.open_source(
            source, cache=cache, reporter=reporter, verify_signature=signature, environ=os.environ
        ),
        reporter=reporter,
        emulator=lambda arch: emulator.rie(arch, cache=cache, reporter=reporter),
        engine=functools.cache(lambda: docker.connect(reporter)),
    )


def _text_of(file: str, flag: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise machine_error(error, Path(file), flag) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError("not text in UTF-8", where=file, todo=f"mend {flag}") from error


def _matrix(
    wish: matrices.Wish,
    supported: str,
    source: str,
    architectures: Sequence[architecture.Architecture],
    reporter: Reporter,
) -> matrices.Matrix:
    """The matrix of a wish on this day; what is left out is told."""
    chosen = supporting.load(Path(supported) if supported else ROOT / supporting.FILE)
    opened = _bench(source, signature=True).source
    releases = {each: opened.releases(each) for each in chosen.of(architectures)}
    made = matrices.plan(chosen, releases, wish, today=datetime.now(UTC).date())
    for line in made.left_out:
        reporter.say(line)
    return made


def _notes(tag: str, manifest: str, assets: Path, repository: str, reporter: Reporter) -> str:
    """The notes of a release, whose part of the manifest is laid among the assets."""
    known = manifests.open_manifest(manifest)
    manifests.copy_into(assets, known.of_nodelayer(own_release.version_of(tag)))
    return _told(tag, known, "", assets, repository, reporter)


def _told(  # noqa: PLR0913, PLR0917 - what notes are made of
    tag: str, known: manifests.Manifest, node: str, dist: Path, repository: str, reporter: Reporter
) -> str:
    version = own_release.version_of(tag)
    told = release_notes.tell(
        version,
        known,
        artifact.built_records(dist),
        nodes=node_release.split(node) if node else (),
        changes="" if node else own_release.changes(version, ROOT),
        repository=repository or os.environ.get("GITHUB_REPOSITORY", ""),
    )
    text, left_out = release_notes.render(told)
    if left_out:
        reporter.warn(
            f"longer than GitHub takes, so left out of the notes: the tables of {' and '.join(left_out)}"
        )
    return text


def _report(  # noqa: PLR0913, PLR0917 - the flags of both
    tell: Callable[[github_failures.Report, github.GitHub], github_failures.Outcome],
    workflow: str,
    run_id: str,
    label: str,
    repository: str,
    outputs: str,
) -> None:
    reporter = Reporter()
    report = github_failures.Report(workflow, run_id or os.environ.get("GITHUB_RUN_ID", ""), label)
    outcome = tell(report, github.open_github(os.environ, reporter, repository))
    url = str(outcome.issue["html_url"]) if outcome.issue else ""
    _tell(outputs, {"issue": url})
    reporter.say(outcome.told)
    if url:
        print(url)


def _tell(place: str, values: Mapping[str, object]) -> None:
    step_outputs.write(place, {name: str(value) for name, value in values.items()})


def _cache_folder() -> Path | None:
    named = os.environ.get("NODELAYER_CACHE_DIR")
    return Path(named) if named else None


def _tool(name: str, *arguments: str) -> None:
    """Run a program of this environment in the repository's folder; its exit code becomes ours."""
    done = subprocess.run([Path(sys.executable).parent / name, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        raise Exit(code=done.returncode)
