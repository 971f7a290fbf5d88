"""x86_64 and arm64, and what AWS, Docker, Node.js, ELF and Debian each call them."""

import platform
from dataclasses import dataclass

from nodelayer.errors import InvalidInputError


@dataclass(frozen=True)
class Architecture:
    """`name` is AWS's word (`CompatibleArchitectures`), the rest are the words of others."""

    name: str
    docker: str
    node: str
    elf: str
    debian: str

    @property
    def npm_package(self) -> str:
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
    """The architectures a flag names: one, or both for `all`.

    Raises InvalidInputError.
    """
    word = text.strip().lower()
    if word == "all":
        return ALL
    if word in _ALIASES:
        return (_ALIASES[word],)
    raise InvalidInputError(f"unknown architecture {text!r}", where="--arch", todo="use x86_64, arm64 or all")


def of_host() -> Architecture | None:
    """This machine's architecture, or None where it is neither, or not Linux."""
    if platform.system() != "Linux":
        return None
    return _ALIASES.get(platform.machine().lower())
