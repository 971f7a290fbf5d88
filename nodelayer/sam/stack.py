"""The CloudFormation stack of a function: its name, its parameters, and checks before each use."""

import re
import shlex
from dataclasses import dataclass

from nodelayer.aws.account import Account
from nodelayer.aws.arn import LayerVersionArn
from nodelayer.aws.stacks import Stack
from nodelayer.errors import InvalidInputError, NotFoundError, RefusedError
from nodelayer.project_paths import PROGRAM

DEFAULT_NAME = "nodelayer-sample"
DESCRIPTION = "A function on a Node.js version of your choice, deployed by nodelayer"
"""The description in template.yaml, by which deploy and destroy recognize their stacks."""
RESOURCES = ("Function", "Layer", "Api", "Url")
"""How the logical IDs of the resources in template.yaml begin."""
RUNTIME = "provided.al2023"
HTTP = ("none", "api", "url")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}", re.ASCII)
_ONLY_DELETABLE = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})


@dataclass(frozen=True)
class StackTarget:
    """Name and region of the stack, and the AWS profile, if one is named."""

    stack: str
    region: str
    profile: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.stack):
            raise InvalidInputError(
                f"{self.stack!r} is not a stack name",
                where="--stack-name",
                todo="use up to 128 letters, digits and hyphens; start with a letter",
            )

    @property
    def sam_flags(self) -> list[str]:
        """The flags with which SAM finds this stack."""
        profile = [f"--profile={self.profile}"] if self.profile else []
        return [f"--stack-name={self.stack}", f"--region={self.region}", *profile]

    @property
    def our_flags(self) -> str:
        """The flags with which nodelayer's commands find this stack."""
        words = ["--region", self.region]
        words += ["--stack-name", self.stack] if self.stack != DEFAULT_NAME else []
        words += ["--profile", self.profile] if self.profile else []
        return shlex.join(words)

    def __str__(self) -> str:
        return f"{self.region} {self.stack}"


@dataclass(frozen=True)
class StackOptions:
    """The layer's ARN (empty: the layer built here), its architecture, and the access by HTTP."""

    layer_arn: str = ""
    architecture: str = "x86_64"
    http: str = "none"
    public: bool = False

    def __post_init__(self) -> None:
        if self.layer_arn:
            LayerVersionArn.parse(self.layer_arn)
        if self.http not in HTTP:
            raise InvalidInputError(
                f"unknown kind of HTTP endpoint {self.http!r}", where="--http", todo="use none, api or url"
            )
        if self.public and self.http == "none":
            raise InvalidInputError(
                "there is no endpoint to make public", where="--public", todo="add --http api or --http url"
            )

    @property
    def parameters(self) -> dict[str, str]:
        """All parameters of the template: SAM keeps the old value of one that is left out."""
        return {
            "LayerArn": self.layer_arn,
            "Architecture": self.architecture,
            "Http": self.http,
            "Access": "public" if self.public else "iam",
        }


def choose_region(requested: str, configured: str | None, layer_arn: str) -> str:
    """Return the requested region, else the configured one, else the layer's.

    Raises:
        InvalidInputError: No region is known, or the layer is in another region, which Lambda rejects.
    """
    layer = LayerVersionArn.parse(layer_arn) if layer_arn else None
    region = requested or configured or (layer.region if layer else "")
    if not region:
        raise InvalidInputError(
            "no region is named or configured",
            where="--region",
            todo="name one, for example --region eu-west-1",
        )
    if layer is not None and layer.region != region:
        raise InvalidInputError(
            f"the layer is in {layer.region}, but the stack would be in {region}",
            where=layer_arn,
            todo=f"use --region {layer.region}, or the ARN of the layer in {region}",
        )
    return region


def check_layer(options: StackOptions, account: Account) -> None:
    """Raise RefusedError if the function cannot use its published layer version."""
    layer_arn = options.layer_arn
    arn = LayerVersionArn.parse(layer_arn)
    if (content := account.region(arn.region).layers.content_by_arn(layer_arn)) is not None:
        for value, compatible, todo in (
            (options.architecture, content.architectures, f"use --arch {' or '.join(content.architectures)}"),
            (RUNTIME, content.runtimes, "use another layer"),
        ):
            if compatible and value not in compatible:
                raise RefusedError(
                    f"the layer is for {', '.join(compatible)}, but the function would be for {value}",
                    where=layer_arn,
                    todo=todo,
                )
        return
    if arn.account == account.id:
        raise RefusedError(
            "this layer version does not exist in this account",
            where=layer_arn,
            todo=f"check the layers in this account with {PROGRAM} verify",
        )
    raise RefusedError(
        f"account {account.id} cannot read the layer: it does not exist or is not shared with this account",
        where=layer_arn,
        todo="ask its owner to publish it with --public or --organization-id, or use a layer of your own",
    )


def check_deployable(target: StackTarget, found: Stack | None) -> None:
    """Raise RefusedError if CloudFormation would not deploy to the stack, or it belongs to somebody else."""
    if found is None or found.status == "REVIEW_IN_PROGRESS":
        return
    check_ours(target, found)
    if found.status in _ONLY_DELETABLE:
        raise RefusedError(
            f"the stack can only be deleted: its status is {found.status}",
            where=str(target),
            todo=f"run {PROGRAM} destroy {target.our_flags}, then deploy again",
        )
    if found.status.endswith("_IN_PROGRESS"):
        raise RefusedError(
            f"another operation is running: the status of the stack is {found.status}",
            where=str(target),
            todo="wait until it ends, then run the command again",
        )


def check_ours(target: StackTarget, found: Stack | None) -> Stack:
    """Return the stack.

    Raises:
        NotFoundError: It does not exist.
        RefusedError: nodelayer did not deploy it, or it has other resources.
    """
    if found is None:
        raise NotFoundError(
            "this stack does not exist",
            where=str(target),
            todo="correct --stack-name and --region",
        )
    foreign = sorted(each for each in found.resources if not each.startswith(RESOURCES))
    if found.description != DESCRIPTION or foreign:
        why = f"it contains {foreign[0]}" if foreign else f"its description is {found.description!r}"
        raise RefusedError(
            f"nodelayer did not deploy this stack: {why}",
            where=str(target),
            todo="use another --stack-name",
        )
    return found


def function_name(target: StackTarget, found: Stack | None) -> str:
    """Return the name of the stack's function.

    Raises:
        NotFoundError: The stack or the function does not exist.
        RefusedError: The stack belongs to somebody else.
    """
    stack = check_ours(target, found)
    try:
        return stack.outputs["FunctionName"]
    except KeyError:
        raise NotFoundError(
            f"the stack has no function: its status is {stack.status}",
            where=str(target),
            todo=f"run {PROGRAM} destroy {target.our_flags}, then deploy again",
        ) from None
