"""The two architectures of Lambda, and their names in AWS, Docker, Node.js, ELF and Debian."""

import platform
from dataclasses import dataclass

from nodelayer.errors import InvalidInputError


@dataclass(frozen=True)
class Architecture:
    """An architecture. `name` is AWS's name (`CompatibleArchitectures`)."""

    name: str
    docker: str
    node: str
    elf: str
    debian: str

    @property
    def npm_package(self) -> str:
        """The npm package with the node binary for this architecture."""
        return f"node-linux-{self.node}"

    def __str__(self) -> str:
        return self.name


X86_64 = Architecture(name="x86_64", docker="linux/amd64", node="x64", elf="EM_X86_64", debian="amd64")
ARM64 = Architecture(name="arm64", docker="linux/arm64", node="arm64", elf="EM_AARCH64", debian="arm64")
ALL = (X86_64, ARM64)

_ALIASES = {
    "x86_64": X86_64,
    "amd64": X86_64,
    "x64": X86_64,
    "arm64": ARM64,
    "aarch64": ARM64,
}


def parse(text: str) -> tuple[Architecture, ...]:
    """Return the architectures that a flag names: one, or both for `all`.

    Raises:
        InvalidInputError: The name is unknown.
    """
    name = text.strip().lower()
    if name == "all":
        return ALL
    if name in _ALIASES:
        return (_ALIASES[name],)
    raise InvalidInputError(f"unknown architecture {text!r}", where="--arch", todo="use x86_64, arm64 or all")


def of_host() -> Architecture | None:
    """Return this machine's architecture; None if it is another one, or the system is not Linux."""
    if platform.system() != "Linux":
        return None
    return _ALIASES.get(platform.machine().lower())
