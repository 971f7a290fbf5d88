"""Commands that build and try layers: build-layer, run, test-layer, download, clean."""

import itertools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from invoke import Context, Exit, task

from nodelayer import architecture
from nodelayer.aws import account as aws
from nodelayer.aws.arn import LayerVersionArn
from nodelayer.cli.command import (
    ARCH,
    COMPRESSION,
    PATHS,
    SIGNATURE,
    SOURCE,
    SPEC,
    SPECS,
    build_context,
    built_layers,
    cache_folder,
    command,
)
from nodelayer.emulation import invoke as run
from nodelayer.emulation import rie as emulator
from nodelayer.errors import (
    InvalidInputError,
    NodelayerError,
)
from nodelayer.github import step_outputs
from nodelayer.layer import build
from nodelayer.layer.record import BuildRecord
from nodelayer.node import versions as node_release
from nodelayer.node.sources import auto as sources
from nodelayer.publish.layers import download as fetch
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter, megabytes


@task(
    help={
        "node": SPECS,
        "arch": ARCH,
        "builder": "docker (inside Amazon Linux), local (on this host), auto (default): docker where it can",
        "out": "folder for the zip, its build record and SBOM (default: dist)",
        "runtime": "aim at these only: provided, provided.al2, provided.al2023, with commas between",
        "base-image": "image to prove it in instead of Amazon Linux; {arch} becomes amd64 or arm64",
        "library-folder": "where the local builder looks first for a library the target lacks",
        "compression": COMPRESSION,
        "source": SOURCE,
        "signature": SIGNATURE,
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
    order = build.BuildOptions(
        out=Path(out),
        builder=builder,
        compression=compression,
        runtimes=tuple(runtime.replace(" ", "").split(",")) if runtime else None,
        base_image=base_image or os.environ.get("NODELAYER_BASE_IMAGE") or None,
        library_folders=(Path(library_folder),) if library_folder else (),
    )
    bench = build_context(source, signature=signature)
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
        "node": SPEC + "; left out: the newest layer in --out",
        "layer-arn": "run a published layer version instead: fetched from Lambda, verified",
        "profile": "the AWS profile for --layer-arn",
        "event": "JSON file, or - for standard input",
        "out": "folder with built layers; what is missing is built into it",
        "function": "folder of the function",
        "handler": "file.export",
        "timeout": "seconds the function may take",
        "compression": COMPRESSION,
        "builder": "as for build-layer",
        "source": SOURCE,
        "signature": SIGNATURE,
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
    given = run.read_event(event or str(PATHS.event), sys.stdin.buffer.read() if event == "-" else None)
    bench = build_context(source, signature=signature)
    order = build.BuildOptions(out=Path(out), builder=builder, compression=compression)
    host = run.host_architecture()
    trial = run.InvokeRequest(Path(function or PATHS.function), given, handler, timeout)
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
        "arch": ARCH,
        "out": "folder with built layers",
    },
)
@command
def try_layer(_ctx: Context, node: str, arch: str = "x86_64", out: str = "dist") -> None:
    """Run the sample function on built layers, plain and over HTTP: does each answer as what it is called?"""
    artifacts, failures = built_layers(node, arch, Path(out))
    reporter, cache = Reporter(), DownloadCache(cache_folder())
    events = {name: PATHS.event.with_name(f"{name}.json").read_bytes() for name in run.EVENTS}
    for each in artifacts:
        try:
            (wanted,) = architecture.parse(each.architecture)
            rie = emulator.rie(wanted, cache=cache, reporter=reporter)
            print(run.check(each, PATHS.function, events, rie))
        except NodelayerError as error:
            failures.append(error)
            reporter.fail(f"nodelayer: {error}")
    if failures:
        raise Exit(code=failures[0].code)


@task(help={"node": SPECS, "arch": ARCH, "source": SOURCE, "signature": SIGNATURE})
@command
def download(
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002
) -> None:
    """Fetch and verify Node.js into the download cache, so that a later build needs no network."""
    bench = build_context(source, signature=signature)

    def one(version: str, each: architecture.Architecture) -> None:
        files = bench.source.fetch(version, each)
        print(f"{files.version} {each} {files.record.name} sha256:{files.record.sha256}")

    if failures := _each_meant(node, arch, bench, one):
        raise Exit(code=failures[0].code)


@task(help={"out": "folder with built layers", "downloads": "empty the download cache as well"})
@command
def clean(_ctx: Context, out: str = "dist", downloads: bool = False) -> None:  # noqa: FBT001, FBT002
    """Remove built layers, and the download cache if asked."""
    reporter = Reporter()
    gone = build.clean(Path(out))
    reporter.say(f"{len(gone)} files removed from {out}" if gone else f"nothing to remove in {out}")
    if downloads:
        freed = DownloadCache(cache_folder()).clear()
        reporter.say(f"{megabytes(freed)} of downloads removed")


def _built_or_newest(
    node: str, order: build.BuildOptions, bench: build.BuildContext, host: architecture.Architecture
) -> BuildRecord:
    """The layer of that version, or the newest there is; built where it is missing."""
    if node:
        job = build.Job(sources.resolve_spec(node, host, bench.source, start=Path.cwd()), host)
    else:
        job = build.newest(order.out, host)
    return build.existing(job, order, PATHS) or build.build(job, order, bench)


def _each_meant(
    node: str, arch: str, bench: build.BuildContext, one: Callable[[str, architecture.Architecture], None]
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
