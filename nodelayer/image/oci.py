"""The terms of the OCI Image Format: descriptors, manifests and indexes.

https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from nodelayer.architecture import Architecture
from nodelayer.errors import NotVerifiedError
from nodelayer.util.json_text import loads

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = f"{LAYER}+gzip"
INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
LAYERS = {
    LAYER: LAYER,
    LAYER_GZIP: LAYER_GZIP,
    f"{LAYER}+zstd": f"{LAYER}+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
}
"""The media types that a layer may have, and the OCI's type of the same bytes."""

MOST_DOCUMENT = 4_000_000
"""Bytes of an index, manifest or config: "at least 4 megabytes" says the OCI Distribution Spec."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)

_Digest = Annotated[str, msgspec.Meta(pattern=rf"^{DIGEST.pattern}\Z")]
_Size = Annotated[int, msgspec.Meta(ge=0)]


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """The system that an image is for, in the words of Go: linux, amd64."""

    architecture: str
    os: str
    variant: str = ""

    @classmethod
    def of(cls, architecture: Architecture) -> "Platform":
        """Return the platform of an architecture of Lambda."""
        return cls(architecture.debian, "linux")


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Names content by its media type, digest and size in bytes."""

    media_type: str
    digest: _Digest
    size: _Size
    platform: Platform | None = None
    annotations: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """An image for one platform."""

    schema_version: Literal[2]
    media_type: str = ""
    config: Descriptor
    layers: list[Descriptor]
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """An image for several platforms."""

    schema_version: Literal[2]
    media_type: str = ""
    manifests: list[Descriptor]
    annotations: dict[str, str] = {}


@dataclass(frozen=True)
class Blob:
    """A config or a layer: its digest, its size in bytes, and its file."""

    digest: str
    size: int
    path: Path


@dataclass(frozen=True)
class ImageManifest:
    """The bytes of a manifest or index."""

    digest: str
    media_type: str
    data: bytes


_Document = TypeVar("_Document", Manifest, Index)


def digest(data: bytes) -> str:
    """Return the digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_file(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def blob_path(digest: str) -> str:
    """Return the path of a blob below the folder of an OCI layout."""
    return f"blobs/{digest.replace(':', '/')}"


def encode(document: object) -> bytes:
    """Return a document as JSON; equal documents give equal bytes."""
    return msgspec.json.encode(document, order="deterministic")


def media_type(data: bytes) -> str:
    """Return the media type that a manifest or an index states, or an empty string."""
    try:
        return msgspec.json.decode(data, type=_Typed).media_type
    except (ValueError, RecursionError):
        return ""


def parse(data: bytes, kind: type[_Document], where: str) -> _Document:
    """Parse a manifest or an index. Raises NotVerifiedError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise _unreadable(kind.__name__.lower(), where, error) from error


def parse_config(data: bytes, where: str) -> dict[str, Any]:
    """Parse the config of an image, keeping fields that nodelayer does not know. Raises NotVerifiedError."""
    try:
        config = loads(data)
        known = msgspec.convert(config, _Config)
    except (ValueError, RecursionError) as error:
        raise _unreadable("config", where, error) from error
    if any(not DIGEST.fullmatch(each) for each in known.rootfs.diff_ids):
        raise NotVerifiedError("the config of the image is not valid", where=where, todo="use another image")
    return dict(config)


class _Typed(msgspec.Struct, rename="camel"):
    media_type: str = ""


class _RootFilesystem(msgspec.Struct):
    diff_ids: list[str]


class _Config(msgspec.Struct):
    """The fields of a config that nodelayer reads."""

    architecture: str
    os: str
    rootfs: _RootFilesystem
    config: dict[str, Any] | None = None
    history: list[dict[str, Any]] | None = None


def _unreadable(what: str, where: str, error: Exception) -> NotVerifiedError:
    return NotVerifiedError(
        f"the {what} of the image is not valid ({error})", where=where, todo="use another image"
    )
