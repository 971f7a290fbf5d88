"""The build record of an image: its digests, its base image, and the layer zips whose files it has."""

from pathlib import Path
from typing import Literal

import msgspec

from nodelayer.errors import NotVerifiedError
from nodelayer.node.versions import is_version

SUFFIX = ".image.json"


class PlatformRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The image for one architecture. `size` is the compressed size of all its layers in bytes.

    `manifest`, `config`, `layer`, `diff_id` (the layer, uncompressed) and `base` (the manifest of the base
    image) are digests. `zip_sha256`, in hex, is of the layer zip with the same files.
    """

    architecture: str
    manifest: str
    config: str
    layer: str
    diff_id: str
    size: int
    base: str
    zip: str
    zip_sha256: str


class ImageRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `nodejs-<version>.image.json`. `digest` is the one of the index of all architectures."""

    schema_version: Literal[1] = 1
    node_version: str
    nodelayer_version: str
    digest: str
    layout: str
    base: str
    platforms: list[PlatformRecord]

    def __post_init__(self) -> None:
        if not is_version(self.node_version) or self.layout != layout_name(self.node_version):
            raise ValueError(f"unknown image {self.node_version!r} in {self.layout!r}")

    @property
    def version(self) -> str:
        """The version of the image: of Node.js, and of nodelayer."""
        return f"{self.node_version}_{self.nodelayer_version}"

    def json_text(self) -> str:
        """Return the record as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"


def stem(version: str) -> str:
    """Return the name of an image's files without extension."""
    return f"nodejs-{version}"


def layout_name(version: str) -> str:
    """Return the name of the folder with the image's OCI layout."""
    return f"{stem(version)}.oci"


def docker_archive_name(version: str) -> str:
    """Return the name of the archive for `docker load`."""
    return f"{stem(version)}.docker.tar"


def tag_of(version: str, architecture: str) -> str:
    """Return the tag that `docker load` gives to an image."""
    return f"nodelayer/nodejs:{version}-{architecture}"


def load(path: Path) -> ImageRecord:
    """Read the build record of an image.

    Raises:
        NotVerifiedError: The file is not one.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=ImageRecord)
    except (ValueError, RecursionError) as error:
        raise NotVerifiedError(
            f"the file is not a build record of an image ({error})",
            where=str(path),
            todo="build the image again",
        ) from error
