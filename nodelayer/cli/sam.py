"""Commands for a function on AWS: sam-build, deploy, invoke-function, logs, destroy."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from nodelayer import architecture
from nodelayer.cli.command import (
    FUNCTION,
    HANDLER,
    PATHS,
    PROFILE,
    ROOT,
    SPEC,
    base_image,
    build_context,
    cache_folder,
    command,
    confirm,
)
from nodelayer.errors import InvalidInputError
from nodelayer.project_paths import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodelayer.aws import account as aws
    from nodelayer.sam.application import SamApplication
    from nodelayer.sam.function import Function
    from nodelayer.sam.program import SamProgram
    from nodelayer.sam.stack import StackTarget

_STACK = "name of the CloudFormation stack (default: nodelayer-sample)"
_REGION = "region of the stack (default: the region that AWS_REGION or the AWS profile sets)"
_ARCH = "architecture: x86_64 (default) or arm64"
_OUT = "folder with built layers (default: dist)"
_CODE_CACHE = "compile the function's code for the layer, as the command code-cache does"


@command(
    name="sam-build",
    help={
        "node": f"{SPEC} (default: the newest version in --out)",
        "arch": _ARCH,
        "layer-arn": "ARN of a published layer version; only the function is built",
        "function": FUNCTION,
        "handler": HANDLER,
        "code-cache": _CODE_CACHE,
        "out": _OUT,
        "build-dir": "folder for the build (default: .aws-sam/build, where the SAM CLI looks for it)",
    },
)
def sam_build(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    arch: str = "x86_64",
    layer_arn: str = "",
    function: str = "",
    handler: str = "function.handler",
    code_cache: bool = False,  # noqa: FBT001, FBT002
    out: str = "dist",
    build_dir: str = "",
) -> None:
    """Build a function and its layer with the SAM CLI, to run them on this machine.

    Installs the dependencies in package.json, and bundles a handler in TypeScript. Prints the command that
    runs the function. Example: sam-build --node 24
    """
    from nodelayer.sam.application import built_layer
    from nodelayer.sam.function import node_version_of
    from nodelayer.sam.stack import StackOptions
    from nodelayer.util.console import Reporter

    options = StackOptions(layer_arn, _one_architecture(arch))
    layer = None if layer_arn else built_layer(node, options.architecture, Path(out))
    version = layer.node_version if layer else node_version_of(layer_arn, exactly=code_cache)
    folder = Path(build_dir or ".aws-sam/build").resolve()
    source = _function(function, handler, version)
    application = _application(_compile(source, options.architecture, Path(out)) if code_cache else None)
    application.build(source, options, layer.path if layer else None, folder)
    Reporter().say(f"Run it: {application.local_invoke(folder, PATHS.event)}")


@command(
    help={
        "stack-name": _STACK,
        "region": _REGION,
        "layer-arn": "ARN of the published layer version to deploy on",
        "node": f"{SPEC}; the ARN comes from the manifest, or with --built the layer from --out",
        "built": "deploy a built layer together with the function: the newest in --out, or that of --node",
        "arch": _ARCH,
        "function": FUNCTION,
        "handler": HANDLER,
        "code-cache": _CODE_CACHE,
        "http": "HTTP endpoint: none (default), api (API Gateway HTTP API) or url (Lambda function URL)",
        "public": "let everyone call the endpoint (default: only requests signed with AWS credentials)",
        "manifest": "file or URL of the manifest (default: layers.json)",
        "out": _OUT,
        "profile": PROFILE,
    },
)
def deploy(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    stack_name: str = "nodelayer-sample",
    region: str = "",
    layer_arn: str = "",
    node: str = "",
    built: bool = False,  # noqa: FBT001, FBT002
    arch: str = "x86_64",
    function: str = "",
    handler: str = "function.handler",
    code_cache: bool = False,  # noqa: FBT001, FBT002
    http: str = "none",
    public: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    out: str = "dist",
    profile: str = "",
) -> None:
    """Build and deploy a function with the SAM CLI, on a published or a built layer.

    Set --layer-arn, --node or --built. Installs the dependencies in package.json, and bundles a handler in
    TypeScript. Prints the outputs of the stack.
    Example: deploy --node 24 --region eu-west-1 --http url
    """
    from dataclasses import replace

    from nodelayer.manifest.lookup import look_up
    from nodelayer.manifest.store import open_manifest
    from nodelayer.sam.application import built_layer
    from nodelayer.sam.function import node_version_of
    from nodelayer.sam.stack import StackOptions
    from nodelayer.util.console import Reporter
    from nodelayer.util.tables import columns

    if bool(layer_arn) + bool(node or built) != 1:
        raise InvalidInputError(
            "the layer is not clear",
            todo="use one of --layer-arn ARN, --node SPEC (from the manifest) or --built (from --out)",
        )
    reporter = Reporter()
    options = StackOptions(layer_arn, _one_architecture(arch), http, public)
    target = _target(stack_name, region, profile, layer_arn)
    version = node_version_of(layer_arn, exactly=code_cache) if layer_arn else ""
    if node and not built:
        found = look_up(open_manifest(manifest), node, target.region, options.architecture)
        options = replace(options, layer_arn=found.published.arn)
        version = found.layer.node_version
        reporter.say(f"Node.js {version}: {options.layer_arn}")
    layer = built_layer(node, options.architecture, Path(out)) if built else None
    source = _function(function, handler, layer.node_version if layer else version)
    account = _account(target)
    if public:
        reporter.warn("everyone on the internet will be able to call the function (--public)")
    application = _application(_compile(source, options.architecture, Path(out)) if code_cache else None)
    outputs = application.deploy(source, options, layer.path if layer else None, target, account)
    print(columns(sorted(outputs.items())), end="")
    reporter.say(f"Call it: {PROGRAM} invoke-function {target.our_flags}")


@command(
    name="invoke-function",
    help={
        "event": "JSON file with the event, or - for standard input (default: a greeting)",
        "stack-name": _STACK,
        "region": _REGION,
        "profile": PROFILE,
    },
)
def invoke_function(
    _ctx: Context, event: str = "", stack_name: str = "nodelayer-sample", region: str = "", profile: str = ""
) -> None:
    """Invoke the deployed function and print its response.

    Its log goes to standard error. Exit code 8 means that the function returned an error.
    """
    from nodelayer.emulation.invoke import read_event
    from nodelayer.sam.stack import function_name
    from nodelayer.util.console import Reporter

    payload = read_event(event or str(PATHS.event), sys.stdin.buffer.read() if event == "-" else None)
    target = _target(stack_name, region, profile)
    there = _account(target).region(target.region)
    invoked = there.functions.invoke(function_name(target, there.stacks.get(target.stack)), payload)
    reporter = Reporter()
    for line in invoked.logs.splitlines():
        reporter.say(f"  {line}")
    print(invoked.payload.decode(errors="replace"))
    if invoked.failed:
        raise Exit(code=8)


@command(
    help={
        "tail": "print new log lines until you press Ctrl-C",
        "stack-name": _STACK,
        "region": _REGION,
        "profile": PROFILE,
    }
)
def logs(
    _ctx: Context,
    tail: bool = False,  # noqa: FBT001, FBT002
    stack_name: str = "nodelayer-sample",
    region: str = "",
    profile: str = "",
) -> None:
    """Print the log of the deployed function."""
    from nodelayer.sam.stack import function_name

    target = _target(stack_name, region, profile)
    function_name(target, _account(target).region(target.region).stacks.get(target.stack))
    _application().logs(target, tail=tail)


@command(help={"stack-name": _STACK, "region": _REGION, "yes": "delete without asking", "profile": PROFILE})
def destroy(
    _ctx: Context,
    stack_name: str = "nodelayer-sample",
    region: str = "",
    yes: bool = False,  # noqa: FBT001, FBT002
    profile: str = "",
) -> None:
    """Delete the stack of a function and its uploaded files; published layers are kept."""
    from nodelayer.sam.stack import check_ours

    target = _target(stack_name, region, profile)
    account = _account(target)
    check_ours(target, account.region(target.region).stacks.get(target.stack))
    if not yes:
        confirm(f"Delete the stack {target.stack} in {target.region} of account {account.id}?")
    _application().delete(target, account)


def _compile(function: "Function", arch: str, out: Path) -> "Callable[[Path], object]":
    """Return what writes the code cache of a built function, for the layer's Node.js version."""
    from nodelayer.emulation.code_cache import CodeCacheRequest, write_on_layer
    from nodelayer.layer.build import BuildOptions
    from nodelayer.layer.record import LayerTarget

    (machine,) = architecture.parse(arch)
    options = BuildOptions(out, base_image=base_image())

    def compile_in(folder: Path) -> None:
        request = CodeCacheRequest(folder, function.handler)
        context = build_context("auto", signature=True)
        write_on_layer(LayerTarget(function.node_version, machine), request, options, context)

    return compile_in


def _one_architecture(arch: str) -> str:
    wanted = architecture.parse(arch)
    if len(wanted) > 1:
        raise InvalidInputError("a function has one architecture", where="--arch", todo="use x86_64 or arm64")
    return wanted[0].name


def _function(folder: str, handler: str, node_version: str) -> "Function":
    from nodelayer.sam.function import Function

    return Function(Path(folder or PATHS.function), handler, node_version)


def _application(finish: "Callable[[Path], object] | None" = None) -> "SamApplication":
    from nodelayer.sam.application import SamApplication
    from nodelayer.sam.program import find
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter

    def sam() -> "SamProgram":
        return find(DownloadCache(cache_folder()), Reporter(), os.environ)

    return SamApplication(ROOT, sam, finish)


def _target(stack_name: str, region: str, profile: str, layer_arn: str = "") -> "StackTarget":
    from nodelayer.aws.account import configured_region
    from nodelayer.sam.stack import StackTarget, choose_region

    return StackTarget(
        stack_name, choose_region(region, configured_region(profile or None), layer_arn), profile
    )


def _account(target: "StackTarget") -> "aws.Account":
    from nodelayer.aws.account import open_account

    return open_account(profile=target.profile or None, wanted=(target.region,))
