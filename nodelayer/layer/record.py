"""The build record: describes a layer zip, its source, and how it was tested."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import msgspec

from nodelayer.architecture import ALL, Architecture, parse
from nodelayer.errors import InvalidInputError, NotVerifiedError
from nodelayer.layer.archive import Entry
from nodelayer.layer.contents import client_digest
from nodelayer.node.sources.base import SourceRecord
from nodelayer.node.versions import is_version
from nodelayer.version import __version__

_LAYER_NAME = re.compile(r"nodejs-(\d+-\d+-\d+)-(x86_64|arm64)", re.ASCII)
_NODELAYER = re.compile(r"\d+\.\d+\.\d+[a-z0-9.+]*", re.ASCII)


@dataclass(frozen=True)
class LayerTarget:
    """A layer to build, and its names."""

    version: str
    architecture: Architecture

    @property
    def stem(self) -> str:
        """The name of its files without extension."""
        return f"nodejs-{self.version}-{self.architecture}"

    @property
    def layer_name(self) -> str:
        """The name of the layer in an AWS account."""
        return f"nodejs-{self.version.replace('.', '-')}-{self.architecture}"

    @property
    def description(self) -> str:
        """The description of its layer versions."""
        return f"Node.js {self.version} for AWS Lambda ({self.architecture}), nodelayer {__version__}"

    @classmethod
    def of_layer_name(cls, name: str) -> Self:
        """Parse the name of a layer in an AWS account.

        Raises:
            InvalidInputError: Nodelayer does not name layers so.
        """
        match = _LAYER_NAME.fullmatch(name)
        if not match:
            raise InvalidInputError(
                f"{name!r} is not the name of a layer of nodelayer",
                todo="name a layer like nodejs-24-1-0-x86_64",
            )
        return cls(match[1].replace("-", "."), *parse(match[2]))

    def described(self, description: str) -> str | None:
        """Return the nodelayer version in a description of this layer; None if it describes another one."""
        start = self.description.removesuffix(__version__)
        match = _NODELAYER.match(description.removeprefix(start))
        return match[0] if match and description.startswith(start) else None


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the layer: path below /opt, mode as in `0755`, size in bytes, sha256 in hex."""

    path: str
    mode: str
    size: int
    sha256: str


class BuilderRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The builder and the result of its tests. `system` is PRETTY_NAME of /etc/os-release."""

    name: Literal["docker", "local"]
    base_image: str | None = None
    system: str | None = None
    amazon_linux: bool = False
    executed: bool = False
    invoked: bool = False
    libraries: dict[str, str] = {}


class BuildRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `nodejs-<version>-<architecture>.json`. Sizes are bytes."""

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

    def __post_init__(self) -> None:
        if not is_version(self.node_version) or self.architecture not in {each.name for each in ALL}:
            raise ValueError(f"unknown layer {self.node_version!r} {self.architecture!r}")
        if self.zip != f"nodejs-{self.node_version}-{self.architecture}.zip":
            raise ValueError(f"its zip has another name: {self.zip!r}")

    def json_text(self) -> str:
        """Return the record as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"


@dataclass(frozen=True)
class LayerProof:
    """The result of a builder: its record, added libraries by soname, and `process.versions`."""

    builder: BuilderRecord
    libraries: Mapping[str, bytes] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def describe(  # noqa: PLR0913 - every input of a record
    target: LayerTarget,
    entries: Sequence[Entry],
    packed: Path,
    *,
    runtimes: Sequence[str],
    compression: str,
    source: SourceRecord,
    builder: BuilderRecord,
) -> BuildRecord:
    """Create the build record of a zip of these entries."""
    with packed.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").digest()
    return BuildRecord(
        layer_name=target.layer_name,
        description=target.description,
        license="MIT",
        node_version=target.version,
        architecture=target.architecture.name,
        nodelayer_version=__version__,
        compatible_runtimes=list(runtimes),
        compatible_architectures=[target.architecture.name],
        zip=packed.name,
        sha256=sha256.hex(),
        code_sha256=code_sha256(sha256),
        size=packed.stat().st_size,
        unzipped_size=sum(len(entry.data) for entry in entries),
        compression=compression,
        source=source,
        runtime_sha256=client_digest(entries),
        builder=builder,
        files=[
            FileRecord(
                path=entry.path,
                mode=f"{entry.mode:04o}",
                size=len(entry.data),
                sha256=hashlib.sha256(entry.data).hexdigest(),
            )
            for entry in sorted(entries, key=lambda each: each.path)
        ],
    )


def code_sha256(digest: bytes) -> str:
    """Format a sha256 as Lambda does: base64 of the 32 bytes."""
    return base64.b64encode(digest).decode()


def load(path: Path) -> BuildRecord:
    """Read a build record.

    Raises:
        NotVerifiedError: The file is not a build record of this nodelayer version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=BuildRecord)
    except (ValueError, RecursionError) as error:
        raise NotVerifiedError(
            f"the file is not a build record of this nodelayer version ({error})",
            where=str(path),
            todo="build the layer again",
        ) from error


def matches(record: BuildRecord, folder: Path) -> bool:
    """Check that the zip of a record is in the folder and has the recorded content."""
    path = folder / record.zip
    if not path.is_file() or path.stat().st_size != record.size:
        return False
    content = file_sha256(path)
    return (record.code_sha256, record.sha256) == (content, base64.b64decode(content).hex())


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in Lambda's format."""
    with path.open("rb") as stream:
        return code_sha256(hashlib.file_digest(stream, "sha256").digest())
