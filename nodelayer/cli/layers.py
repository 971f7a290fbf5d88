"""Commands that build, try and check layers and images: build-layer, build-image, run, test-layer, others."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from nodelayer import architecture
from nodelayer.cli.command import (
    ARCH,
    COMMAS,
    COMPRESSION,
    FILE_SPEC,
    FUNCTION,
    HANDLER,
    PATHS,
    PROFILE,
    SIGNATURE,
    SOURCE,
    SPEC,
    base_image,
    build_context,
    built_layers,
    cache_folder,
    command,
)
from nodelayer.errors import InvalidInputError, NodelayerError, NotVerifiedError
from nodelayer.github import step_outputs

if TYPE_CHECKING:
    from nodelayer.architecture import Architecture
    from nodelayer.aws.layers import Content
    from nodelayer.emulation.invoke import InvokeRequest
    from nodelayer.emulation.rie import Answer
    from nodelayer.layer.artifact import Artifact
    from nodelayer.layer.build import BuildContext, BuildOptions
    from nodelayer.layer.record import BuildRecord, LayerTarget
    from nodelayer.node.releases import Choice
    from nodelayer.node.versions import Spec
    from nodelayer.util.console import Reporter


@command(
    help={
        "node": f"(required) {FILE_SPEC}{COMMAS}",
        "arch": ARCH,
        "builder": "where to build and test the layer: docker (in an Amazon Linux image), local (on this "
        "machine) or auto (default: docker if a Docker daemon runs and has the image, else local)",
        "out": "folder for the zip, its build record and its SBOM (default: dist)",
        "compression": COMPRESSION,
        "source": SOURCE,
        "signature": SIGNATURE,
        "active_keys": "accept no signature by a retired key of the release team, for unattended builds",
        "json": "print the build records as a JSON array instead of the paths of the zips",
        "outputs": step_outputs.HELP
        + " Names: node-version (separated by commas); zip, record, sbom, layer-name, sha256, code-sha256 "
        "(one line for each layer)",
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
    active_keys: bool = False,  # noqa: FBT001, FBT002
    json: bool = False,  # noqa: FBT001, FBT002
    outputs: str = "",
) -> None:
    """Build and test a layer zip of a Node.js version, with a build record and an SBOM.

    Prints the path of each zip. Example: build-layer --node 24,22 --arch all
    """
    from nodelayer.layer import build
    from nodelayer.layer.record import LayerTarget
    from nodelayer.node.versions import outdated
    from nodelayer.util import tables
    from nodelayer.util.attempts import attempt_each

    options = build.BuildOptions(Path(out), builder, compression, base_image())
    context = build_context(source, signature=signature, active_keys=active_keys)
    chosen, failures = _choose(node, arch, context)
    for version in dict.fromkeys(version for version, _ in chosen):
        if why := outdated(version):
            context.reporter.warn(why)
    records: list[BuildRecord] = []

    def build_one(choice: "Choice") -> None:
        records.append(build.build(LayerTarget(*choice), options, context))
        if not json:
            print(options.out / records[-1].zip)

    failures += attempt_each(chosen, build_one, context.reporter, name=_name)
    if len(chosen) > 1 and records and context.reporter.on_terminal:  # where rows took the place of lines
        context.reporter.say_lines(tables.columns(map(build.row, records)))
    if json:
        print(f"[{', '.join(record.json_text().rstrip() for record in records)}]")
    step_outputs.write(outputs, build.outputs(records, options.out))
    _end(failures)


@command(
    name="build-image",
    help={
        "node": f"{FILE_SPEC}{COMMAS}",
        "built": "build an image of every layer in --out, and no layer, instead of --node",
        "arch": "architecture: x86_64, arm64 or all (default), which one image then supports",
        "base": "base image, as host/name@sha256:..., as the folder of an OCI layout, or as an archive of "
        "one or of docker save (default: Lambda's image of provided.al2023, pinned by its digest)",
        "out": "folder for the image; layers that are missing are built there, too (default: dist)",
        "docker_archive": "also write an archive for docker load",
    },
)
def build_image(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    built: bool = False,  # noqa: FBT001, FBT002
    arch: str = "all",
    base: str = "",
    out: str = "dist",
    docker_archive: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Build an OCI image of a Node.js version, with the files of its layers in /var/runtime. Needs no Docker.

    Prints the folder of each image, an OCI layout. Set --node or --built. Example: build-image --node 24
    """
    if built == bool(node):
        raise InvalidInputError("--node or --built is required, not both", todo="use --node VERSION")
    from nodelayer.image import base as bases
    from nodelayer.image import build as images
    from nodelayer.layer.build import BuildOptions
    from nodelayer.util.attempts import attempt_each
    from nodelayer.util.cache import DownloadCache

    layer_options = BuildOptions(Path(out), base_image=base_image())
    context = build_context("auto", signature=True)
    wanted: Mapping[str, Sequence[Architecture]]
    if built:
        wanted, failures = images.built(layer_options, architecture.parse(arch), context.paths)
        for failure in failures:
            context.reporter.fail(f"nodelayer: {failure}")
    else:
        chosen, failures = _choose(node, arch, context)
        wanted = {version: architecture.parse(arch) for version, _ in chosen}
    with bases.opened(base or bases.pinned(), DownloadCache(cache_folder()), context.reporter) as opened:

        def build_one(version: str) -> None:
            options = images.ImageOptions(layer_options, wanted[version], docker_archive)
            print(Path(out) / images.build(version, opened, options, context).layout)

        failures += attempt_each(list(wanted), build_one, context.reporter, name=str)
    _end(failures)


@command(
    name="run",
    repeated=["env"],
    help={
        "node": f"{FILE_SPEC} (default: the newest version in --out)",
        "layer-arn": "ARN of a published layer version to download, verify and run, instead of --node",
        "image": "run on the image of that version in Docker; a missing image is built",
        "env": "environment variable of the function, as NAME=value; may be repeated",
        "env_file": "file with environment variables of the function, one NAME=value on each line",
        "aws_credentials": "give the function your AWS credentials and region; not with --layer-arn",
        "profile": f"{PROFILE}, for --layer-arn, or to give its credentials to the function",
        "event": "JSON file with the event, or - for standard input (default: a greeting)",
        "out": "folder with built layers; a missing layer is built there (default: dist)",
        "function": FUNCTION,
        "handler": HANDLER,
        "timeout": "timeout of the function in seconds (default: 30)",
    },
)
def run_function(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str | None = None,
    event: str = "",
    out: str = "dist",
    function: str = "",
    handler: str = "function.handler",
    timeout: int = 30,
    layer_arn: str | None = None,
    profile: str = "",
    env: Sequence[str] | None = None,
    env_file: str = "",
    aws_credentials: bool = False,  # noqa: FBT001, FBT002
    image: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Run a function on a layer in AWS's Runtime Interface Emulator, and print its answer.

    The function gets the variables that Lambda sets and those that you name. With --layer-arn, it also has
    no network and sees no other files, if this machine can do that. Exit code 8 means that the function
    returned an error. Example: run --node 24 --event event.json
    """
    from nodelayer.emulation import invoke
    from nodelayer.layer import build
    from nodelayer.layer.record import LayerTarget
    from nodelayer.node.releases import choose_one
    from nodelayer.util import confined
    from nodelayer.util.temporary import temporary_folder

    _check_origin(node, layer_arn, aws_credentials=aws_credentials, image=image)
    variables = invoke.variables(env or (), env_file)
    if aws_credentials or (profile and not layer_arn):
        from nodelayer.aws.credentials import variables as aws_variables

        variables = aws_variables(profile or None) | variables
    data = invoke.read_event(event or str(PATHS.event), sys.stdin.buffer.read() if event == "-" else None)
    context = build_context("auto", signature=True)
    host = invoke.host_architecture()
    folder, why = Path(function or PATHS.function), confined.available() if layer_arn else ""
    if why:
        context.reporter.warn(
            f"the layer runs with network and with your files, because of this machine: {why}"
        )
    request = invoke.InvokeRequest(
        folder, data, handler, timeout, variables, confined=bool(layer_arn) and not why
    )
    with temporary_folder("nodelayer-run-") as scratch:
        if layer_arn:
            label, zipped = layer_arn, scratch / "layer.zip"
            _download_published(layer_arn, profile, zipped, context.reporter)
        else:
            options = build.BuildOptions(Path(out), base_image=base_image())
            if node:
                target = LayerTarget(choose_one(_only_spec(node), host, context.source), host)
            else:
                target = build.newest(options.out, host)
            label = f"Node.js {target.version}"
            if not image:
                zipped = options.out / build.built_or_build(target, options, context).zip
        if image:
            answer = _run_image(target, options, request, context)
        else:
            answer = invoke.run(zipped, request, context.emulator(host))
    invoke.show(answer, label, context.reporter)
    print(answer.payload.decode(errors="replace"))
    if answer.failed:
        raise Exit(code=8)


@command(
    name="code-cache",
    help={
        "function": "(required) folder of the function, as it is packaged",
        "node": f"(required) {FILE_SPEC}",
        "arch": ARCH,
        "handler": "handler of the function, as file.export (default: function.handler)",
        "event": "JSON file with an event, which the function answers before its code is saved, so that its "
        "first invocation is faster too",
        "files": "compile these files of the function, separated by commas, and run nothing",
        "out": "folder with built layers; a missing layer is built there (default: dist)",
    },
)
def code_cache(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    function: str,
    node: str,
    arch: str = "x86_64",
    handler: str = "function.handler",
    event: str = "",
    files: str = "",
    out: str = "dist",
) -> None:
    """Compile a function's code for a layer, so that it starts faster on Lambda.

    Loads the handler as Lambda does and saves V8's compiled code in .nodelayer/code-cache in the function's
    folder, which you deploy with it. Example: code-cache --function build --node 24 --handler index.handler
    """
    from nodelayer.emulation import code_cache as caches
    from nodelayer.emulation import invoke
    from nodelayer.layer import build
    from nodelayer.layer.record import LayerTarget
    from nodelayer.util.attempts import attempt_each

    _only_spec(node)
    data = invoke.read_event(event) if event else None
    names = tuple(name.strip() for name in files.split(",") if name.strip())
    request = caches.CodeCacheRequest(Path(function), handler, data, names)
    options = build.BuildOptions(Path(out), base_image=base_image())
    context = build_context("auto", signature=True)
    caches.check(request)
    chosen, failures = _choose(node, arch, context)

    def write_one(choice: "Choice") -> None:
        print(caches.write_on_layer(LayerTarget(*choice), request, options, context).folder)

    _end([*failures, *attempt_each(chosen, write_one, context.reporter, name=_name)])


@command(
    name="test-layer",
    help={
        "node": f"(required) {SPEC}{COMMAS}; the newest built version that matches is tested",
        "arch": ARCH,
        "out": "folder with built layers (default: dist)",
    },
)
def try_layer(_ctx: Context, node: str, arch: str = "x86_64", out: str = "dist") -> None:
    """Check that each built layer runs the Node.js version and architecture in its name.

    Invokes the sample function on it, with a plain event and with an event of an HTTP API, in AWS's Runtime
    Interface Emulator. Example: test-layer --node 24
    """
    from nodelayer.emulation import invoke, rie
    from nodelayer.util import confined
    from nodelayer.util.attempts import attempt_each
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter

    artifacts, failures = built_layers(node, arch, Path(out))
    reporter, cache = Reporter(), DownloadCache(cache_folder())
    events = {name: PATHS.event.with_name(f"{name}.json").read_bytes() for name in invoke.EVENTS}

    if why := confined.available():
        reporter.warn(f"the layers run with network and with your files, because of this machine: {why}")

    def check_one(each: "Artifact") -> None:
        (wanted,) = architecture.parse(each.architecture)
        program = rie.rie(wanted, cache=cache, reporter=reporter)
        print(invoke.check(each, PATHS.function, events, program))

    _end([*failures, *attempt_each(artifacts, check_one, reporter, name=lambda each: each.layer_name)])


@command(
    name="verify-layer",
    help={
        "arn": "(required) ARN of a published layer version, of any publisher",
        "profile": PROFILE,
        "repository": "GitHub repository that publishes the layer, as OWNER/NAME: also check that its "
        "workflow layer.yml attested these bytes; needs the gh program",
        "rebuild": "also build the same layer here, and compare its bytes with those of the published one",
    },
)
def verify_layer(
    _ctx: Context,
    arn: str,
    profile: str = "",
    repository: str = "",
    rebuild: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Check what a published layer version contains, without running any of it.

    Compares each file with the verified release of Node.js and with the runtime client of this nodelayer.
    Exit code 5 means that something differs. Example: verify-layer --arn ARN --rebuild
    """
    from nodelayer.aws.arn import LayerVersionArn
    from nodelayer.github import builds
    from nodelayer.github.api import open_github
    from nodelayer.layer import build, inspection
    from nodelayer.layer.record import LayerTarget
    from nodelayer.util.temporary import temporary_folder
    from nodelayer.version import __version__

    context = build_context("auto", signature=True)
    github = open_github(os.environ, context.reporter, repository) if repository else None
    target = LayerTarget.of_layer_name(LayerVersionArn.parse(arn).name)
    with temporary_folder("nodelayer-verify-") as scratch:
        zipped = scratch / f"{target.stem}.zip"
        content = _download_published(arn, profile, zipped, context.reporter)
        described = target.described(content.description)
        release = described or __version__
        wrong = []
        if not described:
            wrong.append(f"its description is {content.description!r}, not {target.description!r}")
        entries = inspection.read(zipped, arn)
        files = context.source.fetch(target.version, target.architecture)
        found = inspection.inspect(entries, files, context.paths.runtime)
        for line in found.lines:
            print(line)
        wrong += found.wrong
        if found.libraries and not (github or rebuild):
            wrong.append("only --rebuild or --repository can check a library")
        if rebuild:
            # A library comes from the base image of the published build, which only Docker has.
            builder = "auto" if found.libraries else "local"
            options = build.BuildOptions(scratch / "dist", builder, "fast", base_image())
            compression, others = inspection.rebuild(entries, content.code_sha256, target, options, context)
            if compression:
                print(f"Rebuild: the same bytes (--compression {compression})")
            wrong += [f"{each} (compared with the rebuild)" for each in others if each not in wrong]
        if wrong:
            todo = "do not use it"
            if release != __version__ and found.node_equal:
                todo = f"check it with nodelayer {release}; this is nodelayer {__version__}"
            raise NotVerifiedError(f"the layer is not verified: {', '.join(wrong)}", where=arn, todo=todo)
        if github:
            builds.attested_for_release(
                zipped, repository, release, program=github.program, environ=github.environ
            )
            print(f"Attestation: {builds.WORKFLOW} of {repository} at v{release}")


@command(
    help={
        "node": f"(required) {FILE_SPEC}{COMMAS}",
        "arch": ARCH,
        "source": SOURCE,
        "signature": SIGNATURE,
    }
)
def download(
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002
) -> None:
    """Download and verify Node.js, so that a later build needs no network.

    The files go to the download cache, whose folder $NODELAYER_CACHE_DIR sets. Example: download --node lts
    """
    from nodelayer.util.attempts import attempt_each

    context = build_context(source, signature=signature)
    chosen, failures = _choose(node, arch, context)

    def download_one(choice: "Choice") -> None:
        files = context.source.fetch(*choice)
        print(f"{files.version} {files.architecture} {files.record.name} sha256:{files.record.sha256}")

    _end([*failures, *attempt_each(chosen, download_one, context.reporter, name=_name)])


@command(
    help={
        "out": "folder with built layers (default: dist)",
        "downloads": "also empty the download cache",
    }
)
def clean(_ctx: Context, out: str = "dist", downloads: bool = False) -> None:  # noqa: FBT001, FBT002
    """Delete built layers; with --downloads also the download cache."""
    from nodelayer.layer import build
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter, megabytes

    reporter = Reporter()
    removed = build.clean(Path(out))
    reporter.say(f"{len(removed)} files deleted from {out}" if removed else f"nothing to delete in {out}")
    if downloads:
        freed = DownloadCache(cache_folder()).clear()
        reporter.say(f"{megabytes(freed)} of downloads deleted")


def _check_origin(node: str | None, layer_arn: str | None, *, aws_credentials: bool, image: bool) -> None:
    for flag, value in (("--node", node), ("--layer-arn", layer_arn)):
        if value == "":
            raise InvalidInputError(
                f"{flag} has no value", todo="check the command that should print it, or omit the flag"
            )
    if layer_arn and (node or aws_credentials or image):
        other = "--node" if node else "--aws-credentials" if aws_credentials else "--image"
        raise InvalidInputError(f"{other} and --layer-arn are mutually exclusive", todo="use one")


def _run_image(
    target: "LayerTarget", options: "BuildOptions", request: "InvokeRequest", context: "BuildContext"
) -> "Answer":
    """Run a function on an image in Docker; build the image first if it is missing."""
    from nodelayer.emulation import image
    from nodelayer.image import artifact, base
    from nodelayer.image import build as images
    from nodelayer.util.cache import DownloadCache

    engine = context.engine()
    if not images.existing(target, options, context):
        image_options = images.ImageOptions(options, (target.architecture,))
        with base.opened(base.pinned(), DownloadCache(cache_folder()), context.reporter) as opened:
            images.build(target.version, opened, image_options, context)
    built = artifact.open_image(images.record_path(options.out, target.version))
    loaded = image.load(built, target.architecture, engine)
    return image.invoke_once(loaded, request, context.emulator(target.architecture))


def _name(choice: "Choice") -> str:
    return " ".join(map(str, choice))


def _only_spec(node: str) -> "Spec":
    from nodelayer.node.versions import parse_specs

    spec, *others = parse_specs(node, Path.cwd())
    if others:
        raise InvalidInputError("this command takes one version", where="--node", todo="name one")
    return spec


def _choose(node: str, arch: str, context: "BuildContext") -> "tuple[list[Choice], list[NodelayerError]]":
    from nodelayer.node.releases import choose
    from nodelayer.node.versions import parse_specs

    chosen, failures = choose(parse_specs(node, Path.cwd()), architecture.parse(arch), context.source)
    for failure in failures:
        context.reporter.fail(f"nodelayer: {failure}")
    return chosen, failures


def _download_published(arn: str, profile: str, path: Path, reporter: "Reporter") -> "Content":
    from nodelayer.aws import account
    from nodelayer.aws.arn import LayerVersionArn
    from nodelayer.publish.layers import download as published

    parsed = LayerVersionArn.parse(arn)
    opened = account.open_account(profile=profile or None, wanted=(parsed.region,))
    content = published.by_arn(opened, parsed.region, arn, path)
    reporter.say(f"{parsed.name}:{parsed.version} from {parsed.region}: CodeSha256 {content.code_sha256}")
    return content


def _end(failures: "list[NodelayerError]") -> None:
    if failures:
        raise Exit(code=failures[0].code)
