"""Open built images by their build records, and check every digest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodelayer.errors import NotFoundError, NotVerifiedError
from nodelayer.image import oci
from nodelayer.image.base import Folder
from nodelayer.image.oci import Blob, Descriptor, ImageManifest, Index, Manifest
from nodelayer.image.record import SUFFIX, ImageRecord, load, stem
from nodelayer.project_paths import PROGRAM, command


@dataclass(frozen=True)
class PlatformImage:
    """The image for one architecture."""

    architecture: str
    manifest: ImageManifest
    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True)
class Image:
    """A built image. `digest` is the one of its index, `stem` the name of its files without extension."""

    node_version: str
    nodelayer_version: str
    architectures: tuple[str, ...]
    digest: str
    stem: str
    index: ImageManifest
    platforms: tuple[PlatformImage, ...]

    def blobs(self) -> Sequence[Blob]:
        """Return the configs and layers, those of the base image included, each once."""
        found = {blob.digest: blob for each in self.platforms for blob in (each.config, *each.layers)}
        return list(found.values())

    def manifests(self) -> Sequence[ImageManifest]:
        """Return the manifest of each architecture, and last the index that names them."""
        return [*(each.manifest for each in self.platforms), self.index]


def open_images(out: Path) -> list[Image]:
    """Return every image in a folder, sorted by the names of their records.

    Raises:
        NotFoundError: There is none.
        NotVerifiedError: An image does not match its build record.
    """
    paths = sorted(out.glob(f"nodejs-*{SUFFIX}"))
    if not paths:
        raise NotFoundError(
            "no image is built", where=str(out), todo=f"run {PROGRAM} build-image --node VERSION"
        )
    return [open_image(path) for path in paths]


def open_image(path: Path) -> Image:
    """Return the image of a build record.

    Raises:
        NotVerifiedError: A file of the image is missing, or has another digest.
    """
    record = load(path)
    try:
        return _opened(record, path.parent / record.layout)
    except NotVerifiedError as error:
        todo = f"run {command('build-image', '--node', record.node_version)}"
        raise NotVerifiedError(error.what, where=error.where, todo=todo) from error


def _opened(record: ImageRecord, folder: Path) -> Image:
    files = Folder(folder)
    roots = [each for each in files.root() if each.digest == record.digest]
    if not roots:
        raise NotVerifiedError("the image does not match its build record", where=str(folder))
    data = files.document(roots[0])
    platforms = []
    for descriptor in oci.parse(data, Index, str(folder)).manifests:
        document = files.document(descriptor)
        manifest = oci.parse(document, Manifest, str(folder))
        found = [each.architecture for each in record.platforms if each.manifest == descriptor.digest]
        if len(found) != 1:
            raise NotVerifiedError("the image does not match its build record", where=str(folder))
        platforms.append(
            PlatformImage(
                architecture=found[0],
                manifest=ImageManifest(descriptor.digest, descriptor.media_type, document),
                config=_blob(files, manifest.config),
                layers=tuple(_blob(files, each) for each in manifest.layers),
            )
        )
    return Image(
        node_version=record.node_version,
        nodelayer_version=record.nodelayer_version,
        architectures=tuple(each.architecture for each in platforms),
        digest=record.digest,
        stem=stem(record.node_version),
        platforms=tuple(platforms),
        index=ImageManifest(record.digest, roots[0].media_type, data),
    )


def _blob(files: Folder, descriptor: Descriptor) -> Blob:
    return Blob(descriptor.digest, descriptor.size, files.blob(descriptor))
