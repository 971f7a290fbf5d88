"""Commands that build and try layers: build-layer, run, test-layer, download, clean."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from nodelayer import architecture
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
from nodelayer.errors import InvalidInputError, NodelayerError
from nodelayer.github import step_outputs

if TYPE_CHECKING:
    from nodelayer.layer.artifact import Artifact
    from nodelayer.layer.build import BuildContext
    from nodelayer.layer.record import BuildRecord
    from nodelayer.node.releases import Choice
    from nodelayer.util.console import Reporter


@command(
    help={
        "node": SPECS,
        "arch": ARCH,
        "builder": "docker (inside Amazon Linux), local (on this host), auto (default): docker where it can",
        "out": "folder for the zip, its build record and SBOM (default: dist)",
        "compression": COMPRESSION,
        "source": SOURCE,
        "signature": SIGNATURE,
        "json": "print the build records as a JSON array instead of the paths",
        "outputs": step_outputs.HELP
        + " (zip, record, sbom, layer-name, sha256, code-sha256: a line a layer; node-version: with commas)",
    }
)
def build_layer(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    builder: str = "auto",
    out: str = "dist",
    compression: str = "best",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002 - invoke makes --no-signature of it
    json: bool = False,  # noqa: FBT001, FBT002
    outputs: str = "",
) -> None:
    """Build a layer zip of any Node.js version, proved to run, with its build record and SBOM."""
    from nodelayer.layer import build
    from nodelayer.layer.record import LayerTarget
    from nodelayer.util import tables
    from nodelayer.util.attempts import attempt_each

    options = build.BuildOptions(Path(out), builder, compression, _base_image())
    context = build_context(source, signature=signature)
    chosen, failures = _choose(node, arch, context)
    records: list[BuildRecord] = []

    def build_one(choice: "Choice") -> None:
        records.append(build.build(LayerTarget(*choice), options, context))
        if not json:
            print(options.out / records[-1].zip)

    failures += attempt_each(chosen, build_one, context.reporter, name=_name)
    if len(chosen) > 1 and records and context.reporter.on_terminal:  # where rows took the place of lines
        context.reporter.say(tables.columns(map(build.row, records)).rstrip("\n"))
    if json:
        print(f"[{', '.join(record.json_text().rstrip() for record in records)}]")
    step_outputs.write(outputs, build.outputs(records, options.out))
    _end(failures)


@command(
    name="run",
    help={
        "node": SPEC + "; left out: the newest layer in --out",
        "layer-arn": "run a published layer version instead: fetched from Lambda, verified",
        "profile": "the AWS profile for --layer-arn",
        "event": "JSON file, or - for standard input",
        "out": "folder with built layers; what is missing is built into it, as by build-layer",
        "function": "folder of the function",
        "handler": "file.export",
        "timeout": "seconds the function may take",
    },
)
def run_function(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    event: str = "",
    out: str = "dist",
    function: str = "",
    handler: str = "function.handler",
    timeout: int = 30,
    layer_arn: str = "",
    profile: str = "",
) -> None:
    """Run the sample function on a layer through AWS's Runtime Interface Emulator; no Docker needed."""
    from nodelayer.emulation import invoke
    from nodelayer.layer import build
    from nodelayer.layer.record import LayerTarget
    from nodelayer.node.releases import choose_one
    from nodelayer.node.versions import parse_specs
    from nodelayer.util.temporary import temporary_folder

    if node and layer_arn:
        raise InvalidInputError("--node and --layer-arn are mutually exclusive", todo="use one")
    data = invoke.read_event(event or str(PATHS.event), sys.stdin.buffer.read() if event == "-" else None)
    context = build_context("auto", signature=True)
    host = invoke.host_architecture()
    request = invoke.InvokeRequest(Path(function or PATHS.function), data, handler, timeout)
    with temporary_folder("nodelayer-run-") as scratch:
        if layer_arn:
            label, zipped = layer_arn, scratch / "layer.zip"
            _download_published(layer_arn, profile, zipped, context.reporter)
        else:
            options = build.BuildOptions(Path(out), base_image=_base_image())
            if node:
                spec, *others = parse_specs(node, Path.cwd())
                if others:
                    raise InvalidInputError("a function runs on one version at a time", where="--node")
                target = LayerTarget(choose_one(spec, host, context.source), host)
            else:
                target = build.newest(options.out, host)
            record = build.built_or_build(target, options, context)
            label, zipped = f"Node.js {record.node_version}", options.out / record.zip
        answer = invoke.run(zipped, request, context.emulator(host))
    invoke.show(answer, label, context.reporter)
    print(answer.payload.decode(errors="replace"))
    if answer.failed:
        raise Exit(code=8)


@command(
    name="test-layer",
    help={
        "node": "built version: 12.16.1, 12, lts, latest …; several with commas between",
        "arch": ARCH,
        "out": "folder with built layers",
    },
)
def try_layer(_ctx: Context, node: str, arch: str = "x86_64", out: str = "dist") -> None:
    """Check that built layers answer, plain and over HTTP, as the Node.js and architecture of their names."""
    from nodelayer.emulation import invoke, rie
    from nodelayer.util.attempts import attempt_each
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter

    artifacts, failures = built_layers(node, arch, Path(out))
    reporter, cache = Reporter(), DownloadCache(cache_folder())
    events = {name: PATHS.event.with_name(f"{name}.json").read_bytes() for name in invoke.EVENTS}

    def check_one(each: "Artifact") -> None:
        (wanted,) = architecture.parse(each.architecture)
        program = rie.rie(wanted, cache=cache, reporter=reporter)
        print(invoke.check(each, PATHS.function, events, program))

    _end([*failures, *attempt_each(artifacts, check_one, reporter, name=lambda each: each.layer_name)])


@command(help={"node": SPECS, "arch": ARCH, "source": SOURCE, "signature": SIGNATURE})
def download(
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002
) -> None:
    """Fetch and verify Node.js into the download cache, so that a later build needs no network."""
    from nodelayer.util.attempts import attempt_each

    context = build_context(source, signature=signature)
    chosen, failures = _choose(node, arch, context)

    def download_one(choice: "Choice") -> None:
        files = context.source.fetch(*choice)
        print(f"{files.version} {files.architecture} {files.record.name} sha256:{files.record.sha256}")

    _end([*failures, *attempt_each(chosen, download_one, context.reporter, name=_name)])


@command(help={"out": "folder with built layers", "downloads": "empty the download cache as well"})
def clean(_ctx: Context, out: str = "dist", downloads: bool = False) -> None:  # noqa: FBT001, FBT002
    """Remove built layers, and the download cache if asked."""
    from nodelayer.layer import build
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter, megabytes

    reporter = Reporter()
    removed = build.clean(Path(out))
    reporter.say(f"{len(removed)} files removed from {out}" if removed else f"nothing to remove in {out}")
    if downloads:
        freed = DownloadCache(cache_folder()).clear()
        reporter.say(f"{megabytes(freed)} of downloads removed")


def _base_image() -> str | None:
    return os.environ.get("NODELAYER_BASE_IMAGE") or None


def _name(choice: "Choice") -> str:
    return " ".join(map(str, choice))


def _choose(node: str, arch: str, context: "BuildContext") -> "tuple[list[Choice], list[NodelayerError]]":
    from nodelayer.node.releases import choose
    from nodelayer.node.versions import parse_specs

    chosen, failures = choose(parse_specs(node, Path.cwd()), architecture.parse(arch), context.source)
    for failure in failures:
        context.reporter.fail(f"nodelayer: {failure}")
    return chosen, failures


def _download_published(arn: str, profile: str, path: Path, reporter: "Reporter") -> None:
    from nodelayer.aws import account
    from nodelayer.aws.arn import LayerVersionArn
    from nodelayer.publish.layers import download as published

    parsed = LayerVersionArn.parse(arn)
    opened = account.open_account(profile=profile or None, wanted=(parsed.region,))
    content = published.by_arn(opened, parsed.region, arn, path)
    reporter.say(f"{parsed.name}:{parsed.version} from {parsed.region}: CodeSha256 {content.code_sha256}")


def _end(failures: "list[NodelayerError]") -> None:
    if failures:
        raise Exit(code=failures[0].code)
