"""The sample function by the SAM CLI: built, deployed as a CloudFormation stack, invoked, deleted.

SAM is what is on PATH, or else its pinned version in an environment of its own. It prints its own progress;
what went wrong comes out as one line. Nothing is reported to its makers: SAM_CLI_TELEMETRY=0.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-command-reference.html
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import TextIO

from nodelayer.aws.account import Account
from nodelayer.aws.arn import LayerVersionArn
from nodelayer.aws.stacks import Stack
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

STACK = "nodelayer-sample"
TAG = ("nodelayer", "sample-function")
"""The tag of the stack, from samconfig.toml: a stack without it is somebody else's, and is left alone."""
FUNCTION = "Function"
HTTP = ("none", "api", "url")
ACCESS = ("iam", "public")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9:./_-]*", re.ASCII)
_KEPT = 1 << 16
_CHUNK = 1 << 12
_ONLY_DELETED = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
_STOPPED = 130


class StoppedError(NodelayerError):
    """A person stopped us while AWS was at work, and AWS goes on."""

    code = _STOPPED


@dataclass(frozen=True)
class StackTarget:
    """The stack, the region it is in, and the profile whose credentials are used, if one is named."""

    stack: str
    region: str
    profile: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.stack):
            raise InvalidInputError(
                f"{self.stack!r} is no name of a stack",
                where="--stack-name",
                todo="use letters, digits and hyphens, a letter first, 128 at most",
            )

    def flags(self) -> list[str]:
        profile = [f"--profile={self.profile}"] if self.profile else []
        return [f"--stack-name={self.stack}", f"--region={self.region}", *profile]

    def again(self) -> str:
        """The flags that lead our own commands to the same place."""
        words = ["--region", self.region]
        words += ["--stack-name", self.stack] if self.stack != STACK else []
        words += ["--profile", self.profile] if self.profile else []
        return shlex.join(words)

    def __str__(self) -> str:
        return f"{self.region} {self.stack}"


@dataclass(frozen=True)
class StackOptions:
    """What the stack is to be: the layer's ARN (empty: the one built here), and how HTTP gets to it."""

    layer_arn: str = ""
    architecture: str = "x86_64"
    http: str = "none"
    access: str = "iam"

    def __post_init__(self) -> None:
        for flag, value, known in (("--http", self.http, HTTP), ("--access", self.access, ACCESS)):
            if value not in known:
                raise InvalidInputError(
                    f"{value!r} is not known", where=flag, todo=f"use {', '.join(known[:-1])} or {known[-1]}"
                )

    @property
    def parameters(self) -> dict[str, str]:
        """All of them each time: SAM keeps the old value of one that is left out."""
        return {
            "LayerArn": self.layer_arn,
            "Architecture": self.architecture,
            "Http": self.http,
            "Access": self.access,
        }


@dataclass(frozen=True)
class Project:
    """The folder with template.yaml and samconfig.toml."""

    root: Path

    @property
    def template(self) -> Path:
        return self.root / "template.yaml"

    @property
    def config(self) -> list[str]:
        return [f"--config-file={self.root / 'samconfig.toml'}"]


def find(cache: DownloadCache, reporter: Reporter, environ: Mapping[str, str]) -> Path:
    """SAM's program: on PATH, or installed once in an environment of its own.

    Raises UnreachableError or MachineError.
    """
    there = shutil.which("sam", path=environ.get("PATH", os.defpath))
    if there:
        return Path(there)
    pinned = json.loads((resources("nodelayer.emulation") / "rie.json").read_bytes())
    requirement = f"{pinned['package']}=={pinned['version']}"
    reporter.say(f"No sam on PATH: {requirement} in the download cache (pip, about 200 MB, installed once)")
    try:
        folder, made = venv.environment(requirement, cache=cache, reporter=reporter)
    except (UnreachableError, MachineError) as error:
        raise type(error)(
            f"SAM cannot be installed: {error.what}",
            where=error.where,
            todo=f"{error.todo}; or install the SAM CLI yourself",
        ) from error
    if made:
        reporter.say(f"Installed: {requirement}")
    return folder / "bin" / "sam"


def region_of(named: str, configured: str | None, layer: LayerVersionArn | None) -> str:
    """The stack's region: the one named, or the configured one, or the layer's.

    Raises InvalidInputError where there is none, or where it is not the layer's: Lambda takes no other.
    """
    region = named or configured or (layer.region if layer else "")
    if not region:
        raise InvalidInputError(
            "no region is named or configured", where="--region", todo="name one, as --region eu-west-1"
        )
    if layer is not None and layer.region != region:
        raise InvalidInputError(
            f"the layer is in {layer.region}, and the stack would be in {region}",
            where=str(layer),
            todo=f"use --region {layer.region}, or the ARN of the layer in {region}",
        )
    return region


def overrides(parameters: Mapping[str, str]) -> list[str]:
    """Parameters as `sam` takes them. Raises InvalidInputError for a value it could misunderstand.

    SAM splits and unquotes what stands after --parameter-overrides by rules of its own, which lose
    backslashes and quotation marks: so only what needs no quoting is let through.
    """
    for name, value in parameters.items():
        if not _VALUE.fullmatch(value):
            raise InvalidInputError(
                f"{value!r} cannot be a value of {name}", todo="use letters, digits and : . / _ - only"
            )
    return ["--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())]


def build_line(project: Project, options: StackOptions, out: Path | None = None) -> list[str]:
    """`sam build`; of the function alone where the layer is published already."""
    target = [f"--build-dir={out}"] if out else []
    line = ["build", *([FUNCTION] if options.layer_arn else []), f"--template-file={project.template}"]
    return [*line, *project.config, *target, *overrides(options.parameters)]


def deploy_line(project: Project, options: StackOptions, target: StackTarget, built: Path) -> list[str]:
    """`sam deploy` of what was built. Nobody is asked; a stack that is so already is well."""
    line = ["deploy", f"--template-file={built / 'template.yaml'}", *project.config, *target.flags()]
    line += ["--capabilities=CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    return [*line, *overrides(options.parameters)]


def delete_line(project: Project, target: StackTarget) -> list[str]:
    """`sam delete`: the stack, and what was uploaded for it."""
    return ["delete", "--no-prompts", *project.config, *target.flags()]


def logs_line(project: Project, target: StackTarget, *, tail: bool) -> list[str]:
    """`sam logs` of the function."""
    return ["logs", f"--name={FUNCTION}", *project.config, *target.flags(), *(["--tail"] if tail else [])]


def check_layer(options: StackOptions, account: Account) -> None:
    """Raises RefusedError where this account cannot read the layer version: no function could have it."""
    arn = LayerVersionArn.parse(options.layer_arn)
    if account.region(arn.region).layers.content_by_arn(str(arn)) is None:
        own = arn.account == account.id
        raise RefusedError(
            "there is no such layer version in this account"
            if own
            else f"account {account.id} cannot read the layer: there is none, or it is not shared with it",
            where=str(arn),
            todo="see `invoke verify`"
            if own
            else "publish it with --public or --organization-id, or use a layer of your own",
        )


def check_free(target: StackTarget, found: Stack | None) -> None:
    """Raises RefusedError where CloudFormation would not deploy to the stack, or it is somebody else's."""
    if found is None or found.status == "REVIEW_IN_PROGRESS":
        return
    check_own(target, found)
    if found.status in _ONLY_DELETED:
        raise RefusedError(
            f"the stack is in {found.status}: it can only be deleted",
            where=str(target),
            todo=f"invoke destroy {target.again()}, then deploy again",
        )
    if found.status.endswith("_IN_PROGRESS"):
        raise RefusedError(
            f"the stack is in {found.status}: something is at work on it",
            where=str(target),
            todo="wait until it is done",
        )


def check_own(target: StackTarget, found: Stack | None) -> Stack:
    """The stack that is there. Raises NotFoundError, or RefusedError where it is somebody else's."""
    if found is None:
        raise NotFoundError(
            "there is no such stack",
            where=str(target),
            todo=f"invoke deploy {target.again()}, or name another with --stack-name and --region",
        )
    if found.tags.get(TAG[0]) != TAG[1]:
        raise RefusedError(
            f"the stack lacks the tag {'='.join(TAG)}: it is not of the sample function, and is left alone",
            where=str(target),
            todo="use another --stack-name",
        )
    return found


def function_of(target: StackTarget, found: Stack | None) -> str:
    """The name of the stack's function. Raises NotFoundError or RefusedError."""
    stack = check_own(target, found)
    try:
        return stack.outputs["FunctionName"]
    except KeyError:
        raise NotFoundError(
            f"the stack has no function: it is in {stack.status}",
            where=str(target),
            todo=f"invoke destroy {target.again()}, then deploy again",
        ) from None


@dataclass(frozen=True)
class Sam:
    """SAM's program with the variables it runs in. `to` is where what it prints goes."""

    program: Path
    environ: Mapping[str, str]
    cwd: Path
    to: Callable[[], TextIO] = lambda: sys.stderr

    def run(
        self,
        line: Sequence[str],
        *,
        target: StackTarget | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Run a command of SAM to its end, with its output shown as it comes.

        Raises what `explain` makes of a failure, StoppedError where a person stops it while AWS is at work.
        """
        out = self.to()
        out.flush()
        tail = b""
        process = subprocess.Popen(
            [str(self.program), *line],
            cwd=self.cwd,
            env={**self.environ, **(variables or {}), "SAM_CLI_TELEMETRY": "0", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            try:
                while piece := os.read(process.stdout.fileno(), _CHUNK):
                    tail = (tail + piece)[-_KEPT:]
                    out.buffer.write(piece)
                    out.flush()
            except BaseException as error:
                process.terminate()
                if target is not None and isinstance(error, KeyboardInterrupt):
                    raise StoppedError(
                        "stopped; what CloudFormation has begun goes on",
                        where=str(target),
                        todo=f"see it in AWS's console, or invoke destroy {target.again()} when it is done",
                    ) from error
                raise
        if process.returncode:
            raise explain(line[0], tail.decode(errors="replace"), process.returncode, target)


def explain(command: str, output: str, code: int, target: StackTarget | None = None) -> NodelayerError:
    """The one line for a `sam` that failed, by what it printed."""
    where = str(target) if target else ""
    again = target.again() if target else ""
    for pattern, what, todo in _KNOWN:
        if pattern.search(output):
            return RefusedError(what, where=where, todo=todo.format(again=again))
    told = re.findall(r"^(?:Error|ERROR)[:\s]+(\S.*)", output, flags=re.MULTILINE)
    kind = MachineError if command == "build" else RefusedError
    return kind(f"sam {command} failed ({told[-1] if told else f'exit code {code}'})", where=where)


def with_reason(error: NodelayerError, reason: Callable[[], str]) -> NodelayerError:
    """The same, with CloudFormation's own reason where it was CloudFormation that failed."""
    if "create/update the stack" in error.what and (told := reason()):
        return RefusedError(f"the deployment failed: {told}", where=error.where, todo=error.todo)
    return error


_KNOWN = (
    (
        re.compile(r"not authorized to perform: lambda:GetLayerVersion"),
        "the layer cannot be read from this account",
        "publish it with --public or --organization-id, or use a layer of your own",
    ),
    (
        re.compile(r"is in (?:ROLLBACK_COMPLETE|ROLLBACK_FAILED) state"),
        "the stack's first deployment failed: it can only be deleted",
        "invoke destroy {again}, then deploy again",
    ),
    (
        re.compile(r"Unable to locate credentials|NoCredentialsError"),
        "no AWS credentials",
        "run `aws sso login` or `aws configure`, or name a profile with --profile",
    ),
    (
        re.compile(r"ExpiredToken|security token included in the request is expired"),
        "the AWS credentials have expired",
        "sign in again, for instance `aws sso login`",
    ),
)
