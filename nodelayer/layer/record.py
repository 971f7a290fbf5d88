"""The build record: what a layer zip is, where it came from and what was proved about it."""

import base64
import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nodelayer.errors import NotVerifiedError
from nodelayer.node.sources.auto import SourceRecord


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Value):
    """One file of the layer: path below /opt, mode as in `0755`, bytes, sha256 in hex."""

    path: str
    mode: str
    size: int
    sha256: str


class BuilderRecord(_Value):
    """Who built it, and what was seen to work there. `system` is the PRETTY_NAME of /etc/os-release."""

    name: Literal["docker", "local"]
    base_image: str | None = None
    base_image_id: str | None = None
    system: str | None = None
    amazon_linux: bool = False
    executed: bool = False
    invoked: bool = False
    libraries: dict[str, str] = {}


class BuildRecord(_Value):
    """What stands in `nodejs-<version>-<architecture>.json`. Sizes are bytes."""

    schema_version: Literal[1] = 1
    layer_name: str
    description: str
    license: str
    node_version: str
    architecture: str
    nodelayer_version: str
    compatible_runtimes: list[str]
    compatible_architectures: list[str]
    zip: str
    sha256: str
    code_sha256: str
    size: int
    unzipped_size: int
    compression: str
    source: SourceRecord
    runtime_sha256: str
    builder: BuilderRecord
    files: list[FileRecord]


def code_sha256(digest: bytes) -> str:
    """The sha256 of a zip as Lambda writes it: base64 of the 32 bytes."""
    return base64.b64encode(digest).decode()


def load(path: Path) -> BuildRecord:
    """Read a build record. Raises NotVerifiedError where the file is none."""
    try:
        return BuildRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise NotVerifiedError(
            f"not a build record of this nodelayer: {field} {first['msg'].lower()}",
            where=str(path),
            todo="build the layer again",
        ) from error


def matches(record: BuildRecord, folder: Path) -> bool:
    """Whether the zip the record speaks of lies beside it, unchanged."""
    path = folder / record.zip
    if not path.is_file() or path.stat().st_size != record.size:
        return False
    content = file_sha256(path)
    return (record.code_sha256, record.sha256) == (content, base64.b64decode(content).hex())


def file_sha256(path: Path) -> str:
    """The sha256 of a file as Lambda writes it."""
    with path.open("rb") as stream:
        return code_sha256(hashlib.file_digest(stream, "sha256").digest())
