"""The ARN of a layer version, in any partition."""

import re
from dataclasses import dataclass
from typing import Self

from nodelayer.errors import InvalidInputError

_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):lambda:(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+):(?P<account>\d{12})"
    r":layer:(?P<name>[A-Za-z0-9_-]{1,140}):(?P<version>[1-9]\d*)",
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
        match = _ARN.fullmatch(text)
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
