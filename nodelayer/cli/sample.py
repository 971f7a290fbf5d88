"""Commands for the sample function on AWS: sam-build, deploy, invoke-function, logs, destroy."""

import functools
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from invoke import Context, Exit, task

from nodelayer import architecture
from nodelayer.aws import account as aws
from nodelayer.aws.arn import LayerVersionArn
from nodelayer.cli.command import PATHS, PROFILE, ROOT, cache_folder, command, confirm
from nodelayer.emulation import invoke as run
from nodelayer.errors import (
    InvalidInputError,
    RefusedError,
)
from nodelayer.layer import artifact
from nodelayer.manifest.lookup import look_up
from nodelayer.manifest.store import open_manifest
from nodelayer.sam import stack as sam
from nodelayer.util import tables
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

PROJECT = sam.Project(ROOT)


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
        "profile": PROFILE,
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
    place = sam.StackTarget(
        stack_name, sam.region_of(region, aws.configured_region(profile or None), given), profile
    )
    if node and not built:
        found = look_up(open_manifest(manifest), node, place.region, wish.architecture)
        wish = replace(wish, layer_arn=found.published.arn)
        reporter.say(f"Node.js {found.layer.node_version}: {wish.layer_arn}")
    layer = {} if wish.layer_arn else _layer_for_make(node, wish, Path(out))
    account = _account(place)
    sam.check_free(place, account.region(place.region).stacks.get(place.stack))
    if wish.layer_arn:
        sam.check_layer(wish, account)
    if wish.http != "none" and wish.access == "public":
        reporter.warn("everybody on the internet will be able to call the function (--access public)")
    program = _sam(reporter)
    with tempfile.TemporaryDirectory(prefix="nodelayer-sam-") as scratch:
        folder = Path(scratch) / "build"
        program.run(sam.build_line(PROJECT, wish, folder), variables=layer)
        try:
            program.run(sam.deploy_line(PROJECT, wish, place, folder), target=place)
        except RefusedError as error:
            why = functools.partial(account.region(place.region).stacks.failure, place.stack)
            raise sam.with_reason(error, why) from error
    stack = sam.check_own(place, account.region(place.region).stacks.get(place.stack))
    print(tables.columns(sorted(stack.outputs.items())), end="")
    reporter.say(f"Call it: invoke invoke-function {place.again()}")


@task(
    name="invoke-function",
    help={
        "event": "JSON file, or - for standard input",
        "stack-name": _STACK,
        "region": _STACK_REGION,
        "profile": PROFILE,
    },
)
@command
def invoke_function(
    _ctx: Context, event: str = "", stack_name: str = sam.STACK, region: str = "", profile: str = ""
) -> None:
    """Invoke the deployed sample function and print its answer; its log goes to standard error."""
    given = run.read_event(event or str(PATHS.event), sys.stdin.buffer.read() if event == "-" else None)
    place, account = _stack(stack_name, region, profile)
    stacks = account.region(place.region).stacks
    name = sam.function_of(place, stacks.get(place.stack))
    invoked = stacks.invoke(name, given)
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
        "profile": PROFILE,
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
    sam.function_of(place, account.region(place.region).stacks.get(place.stack))
    program = replace(_sam(Reporter()), to=lambda: sys.stdout)
    program.run(sam.logs_line(PROJECT, place, tail=tail))


@task(help={"stack-name": _STACK, "region": _STACK_REGION, "yes": "do not ask", "profile": PROFILE})
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
    stacks = account.region(place.region).stacks
    sam.check_own(place, stacks.get(place.stack))
    if not yes:
        confirm(f"Delete the stack {place.stack} in {place.region} of account {account.id}?")
    program = _sam(Reporter())
    program.run(sam.delete_line(PROJECT, place), target=place)
    if (left := stacks.get(place.stack)) is not None and left.status != "DELETE_COMPLETE":
        raise RefusedError(
            f"the stack is not gone: it is in {left.status}",
            where=str(place),
            todo=stacks.failure(place.stack) or "see AWS's console",
        )


def _wish(layer_arn: str, arch: str, http: str = "none", access: str = "iam") -> sam.StackOptions:
    if layer_arn:
        LayerVersionArn.parse(layer_arn)
    wanted = architecture.parse(arch)
    if len(wanted) > 1:
        raise InvalidInputError("a function has one architecture", where="--arch", todo="use x86_64 or arm64")
    return sam.StackOptions(layer_arn, wanted[0].name, http, access)


def _layer_for_make(node: str, wish: sam.StackOptions, out: Path) -> dict[str, str]:
    """The variables that tell sam/layer/Makefile which zip to unpack."""
    (found,) = artifact.built(node or "latest", [wish.architecture], out)
    return {"NODE": found.node_version, "ARCH": found.architecture, "DIST": str(out.resolve())}


def _sam(reporter: Reporter) -> sam.Sam:
    program = sam.find(DownloadCache(cache_folder()), reporter, os.environ)
    return sam.Sam(program, os.environ, ROOT)


def _account(place: sam.StackTarget) -> aws.Account:
    return aws.open_account(profile=place.profile or None, wanted=(place.region,))


def _stack(name: str, region: str, profile: str) -> tuple[sam.StackTarget, aws.Account]:
    place = sam.StackTarget(
        name, sam.region_of(region, aws.configured_region(profile or None), None), profile
    )
    return place, _account(place)
