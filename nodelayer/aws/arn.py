"""The ARNs of layer versions and of runtime versions, in any partition."""

import re
from dataclasses import dataclass
from typing import Self

from nodelayer.errors import InvalidInputError

_LAMBDA = r"arn:(?P<partition>aws[a-z-]*):lambda:(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+):(?P<account>\d{12})"
_LAYER_VERSION = re.compile(
    rf"{_LAMBDA}:layer:(?P<name>[A-Za-z0-9_-]{{1,140}}):(?P<version>[1-9]\d*)", re.ASCII
)
_RUNTIME_VERSION = re.compile(
    rf"{_LAMBDA}:runtime/(?P<name>[a-z0-9](?:[a-z0-9_.-]{{0,126}})?[a-z0-9])"
    r"/version/(?P<version>[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?)",
    re.ASCII,
)


@dataclass(frozen=True, order=True)
class LayerVersionArn:
    """The parts of `arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:3`.

    The format is that of `LayerVersionArn` in the Lambda API.
    """

    partition: str
    region: str
    account: str
    name: str
    version: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an ARN.

        Raises:
            InvalidInputError: The text is not the ARN of a layer version.
        """
        match = _LAYER_VERSION.fullmatch(text)
        if match is None:
            raise InvalidInputError(
                f"{text!r} is not the ARN of a layer version",
                todo="write it as arn:<partition>:lambda:<region>:<account>:layer:<name>:<number>",
            )
        return cls(
            match["partition"], match["region"], match["account"], match["name"], int(match["version"])
        )

    @property
    def layer(self) -> str:
        """The ARN of the layer, without a version."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:layer:{self.name}"

    def __str__(self) -> str:
        return f"{self.layer}:{self.version}"


@dataclass(frozen=True, order=True)
class RuntimeVersionArn:
    """The parts of `arn:aws:lambda:eu-west-1:123456789012:runtime/nodejs-12/version/12.16.1_1.0.0`.

    The names are limited as `RuntimeName` and `RuntimeVersionName` in the Lambda Core API.
    """

    partition: str
    region: str
    account: str
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an ARN.

        Raises:
            InvalidInputError: The text is not the ARN of a runtime version.
        """
        match = _RUNTIME_VERSION.fullmatch(text)
        if match is None:
            raise InvalidInputError(
                f"{text!r} is not the ARN of a runtime version",
                todo="write it as arn:<partition>:lambda:<region>:<account>:runtime/<name>/version/<version>",
            )
        return cls(**match.groupdict())

    @property
    def runtime(self) -> str:
        """The ARN of the runtime, without a version."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:runtime/{self.name}"

    def __str__(self) -> str:
        return f"{self.runtime}/version/{self.version}"
