"""The image that a runtime's image is based on: from a registry, or from an OCI layout or an archive on disk.

No file of an image is unpacked: layers are taken as they are, by their digests.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import msgspec

from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError, machine_error
from nodelayer.image import oci
from nodelayer.image.oci import Blob, Descriptor, Index, Manifest, Platform
from nodelayer.image.registry import ImageReference, Repository
from nodelayer.node.tarball import LimitedTarFile, LimitedTarInfo
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter, megabytes
from nodelayer.util.json_text import loads
from nodelayer.util.temporary import temporary_folder

MOST_BYTES = 2_000_000_000
"""The size of all layers of a base image. Lambda allows images of 10 GB, unpacked."""

_MOST_LAYERS = 127  # Docker's limit, which Lambda has too
_MOST_MEMBERS = 10_000  # files of an archive
_DEPTH = 3  # of indexes in indexes
_CHUNK = 1 << 20
_TODO = (
    "name an image as host/name@sha256:…, the folder of an OCI layout, or an archive of one or of docker save"
)


@dataclass(frozen=True)
class BaseImage:
    """A base image for one architecture: the digest of its manifest, its parsed config, and its layers."""

    name: str
    digest: str
    config: dict[str, Any]
    layers: Sequence[tuple[Descriptor, Blob]]


class Base(Protocol):
    """A base image, for one or several architectures. `name` is its reference, or its file's name."""

    name: str

    def select(self, architecture: Architecture) -> BaseImage:
        """Return the image for an architecture.

        Raises:
            NotFoundError: There is none.
            NotVerifiedError: It is damaged.
        """


def pinned() -> str:
    """Return the reference of the base image that nodelayer pins."""
    images = loads((files("nodelayer.layer") / "base_images.json").read_text())["images"]
    return str(images["build-image"])


@contextmanager
def opened(name: str, cache: DownloadCache, reporter: Reporter) -> Iterator[Base]:
    """Open a base image: a reference with a digest, or the path of a folder or an archive.

    Raises:
        InvalidInputError: It is none of these.
    """
    path = Path(name)
    if path.is_dir():
        yield _Layout(path.name, Folder(path))
    elif path.is_file():
        with temporary_folder("nodelayer-base-") as scratch, _tar(path) as archive:
            files_in = _Archive(archive, scratch, str(path))
            if files_in.has("oci-layout"):
                yield _Layout(path.name, files_in)
            else:
                yield _DockerArchive(path.name, files_in)
    else:
        try:
            reference = ImageReference.parse(name)
        except InvalidInputError as error:
            raise InvalidInputError("no such base image", where=name, todo=_TODO) from error
        if reference.digest is None:
            raise InvalidInputError(
                "the base image has no digest, so that it may change", where=name, todo="add @sha256:…"
            )
        with Repository(reference.host, reference.name) as repository:
            yield _Layout(name, _Remote(repository, reference.digest, cache, reporter))


class _Files(Protocol):
    """The manifests and blobs of an image, by digest. Blobs are verified."""

    def root(self) -> list[Descriptor]: ...

    def document(self, descriptor: Descriptor) -> bytes: ...

    def blob(self, descriptor: Descriptor) -> Path: ...


class _Layout:
    """Manifests that name each other by digest."""

    def __init__(self, name: str, source: _Files) -> None:
        self.name = name
        self._files = source

    def select(self, architecture: Architecture) -> BaseImage:
        found = list(self._images(self._files.root(), architecture, _DEPTH))
        if len({manifest for manifest, *_ in found}) != 1:
            raise _wrong_number(len(found), self.name, architecture)
        digest, layers, config = found[0]
        total = sum(layer.size for layer in layers)
        if len(layers) > _MOST_LAYERS or total > MOST_BYTES:
            raise NotVerifiedError(
                f"the base image has {len(layers)} layers of {megabytes(total)}",
                where=self.name,
                todo=f"use one of at most {_MOST_LAYERS} layers and {megabytes(MOST_BYTES)}",
            )
        blobs = [(each, Blob(each.digest, each.size, self._files.blob(each))) for each in layers]
        return _based(self.name, digest, config, blobs)

    def _images(
        self, descriptors: Sequence[Descriptor], architecture: Architecture, depth: int
    ) -> Iterator[tuple[str, list[Descriptor], dict[str, Any]]]:
        """Yield digest, layers and config of each image for an architecture."""
        wanted = Platform.of(architecture)
        for each in descriptors:
            if each.platform and (each.platform.os, each.platform.architecture) != (
                wanted.os,
                wanted.architecture,
            ):
                continue
            data = self._files.document(each)
            kind = oci.media_type(data) or each.media_type
            if kind in oci.INDEXES and depth:
                index = oci.parse(data, Index, self.name)
                yield from self._images(index.manifests, architecture, depth - 1)
            elif kind in oci.MANIFESTS:
                manifest = oci.parse(data, Manifest, self.name)
                config = oci.parse_config(self._files.document(manifest.config), self.name)
                if (config["os"], config["architecture"]) == (wanted.os, wanted.architecture):
                    yield each.digest, [_layer(layer, self.name) for layer in manifest.layers], config


class _DockerArchive:
    """An archive of `docker save`: https://github.com/moby/moby/blob/v20.10.24/image/spec/v1.2.md."""

    def __init__(self, name: str, archive: "_Archive") -> None:
        self.name = name
        self._archive = archive

    def select(self, architecture: Architecture) -> BaseImage:
        try:
            images = msgspec.json.decode(self._archive.read("manifest.json"), type=list[_Saved])
        except (ValueError, RecursionError) as error:
            raise NotVerifiedError("not the archive of an image", where=self.name, todo=_TODO) from error
        wanted = Platform.of(architecture)
        found = {}
        for each in images:
            data = self._archive.read(each.config)
            config = oci.parse_config(data, self.name)
            if (config["os"], config["architecture"]) == (wanted.os, wanted.architecture):
                found[oci.digest(data)] = each, config
        if len(found) != 1:
            raise _wrong_number(len(found), self.name, architecture)
        ((digest, (saved, config)),) = found.items()
        if len(saved.layers) > _MOST_LAYERS:
            raise NotVerifiedError(
                f"the base image has {len(saved.layers)} layers", where=self.name, todo="use another"
            )
        blobs = [self._archive.extract(layer) for layer in saved.layers]
        if [blob.digest for blob in blobs] != config["rootfs"]["diff_ids"]:
            raise NotVerifiedError(
                "a layer of the base image has another digest than its config says",
                where=self.name,
                todo="save the image again",
            )
        layers = [
            (Descriptor(media_type=oci.LAYER, digest=blob.digest, size=blob.size), blob) for blob in blobs
        ]
        return _based(self.name, digest, config, layers)


class _Saved(msgspec.Struct, rename="pascal"):
    config: str
    layers: list[str]


class Folder:
    """The files of an OCI layout in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def root(self) -> list[Descriptor]:
        """Return what the layout's index names."""
        return _root(self._read(self._folder / "index.json"), str(self._folder))

    def document(self, descriptor: Descriptor) -> bytes:
        """Return an index, a manifest or a config. Raises NotVerifiedError."""
        _check_document(descriptor, str(self._folder))
        return self._read(self.blob(descriptor))

    def blob(self, descriptor: Descriptor) -> Path:
        """Return the file of a blob. Raises NotVerifiedError."""
        path = self._folder / oci.blob_path(descriptor.digest)
        try:
            if path.stat().st_size != descriptor.size or oci.digest_of_file(path) != descriptor.digest:
                raise _damaged(str(path))
        except OSError as error:
            raise _damaged(str(path)) from error
        return path

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as stream:
                return stream.read(oci.MOST_DOCUMENT)
        except OSError as error:
            raise NotVerifiedError("the folder is not an OCI layout", where=str(path), todo=_TODO) from error


class _Archive:
    """The files of an image in a tar archive; blobs are copied to a folder under their digests."""

    def __init__(self, archive: tarfile.TarFile, scratch: Path, name: str) -> None:
        self._archive = archive
        self._scratch = scratch
        self._name = name
        self._members = {}
        self._extracted: dict[str, Blob] = {}
        self._left = MOST_BYTES
        for number, member in enumerate(archive):
            if number >= _MOST_MEMBERS:
                raise NotVerifiedError(
                    f"the archive has more than {_MOST_MEMBERS} files", where=name, todo=_TODO
                )
            self._members[member.name.removeprefix("./")] = member

    def has(self, name: str) -> bool:
        return name in self._members

    def root(self) -> list[Descriptor]:
        return _root(self.read("index.json"), self._name)

    def document(self, descriptor: Descriptor) -> bytes:
        _check_document(descriptor, self._name)
        data = self.read(oci.blob_path(descriptor.digest))
        if oci.digest(data) != descriptor.digest:
            raise _damaged(f"{self._name}: {descriptor.digest}")
        return data

    def blob(self, descriptor: Descriptor) -> Path:
        blob = self.extract(oci.blob_path(descriptor.digest))
        if (blob.digest, blob.size) != (descriptor.digest, descriptor.size):
            raise _damaged(f"{self._name}: {descriptor.digest}")
        return blob.path

    def read(self, name: str) -> bytes:
        """Return the bytes of a small file."""
        return b"".join(self._chunks(name, oci.MOST_DOCUMENT))

    def extract(self, name: str) -> Blob:
        """Copy a file of the archive to the folder, once."""
        if name in self._extracted:
            return self._extracted[name]
        partial = self._scratch / "partial"
        content, size = hashlib.sha256(), 0
        with partial.open("wb") as stream:
            for chunk in self._chunks(name, self._left):
                size += len(chunk)
                content.update(chunk)
                stream.write(chunk)
        self._left -= size
        path = partial.rename(self._scratch / content.hexdigest())
        blob = Blob(f"sha256:{content.hexdigest()}", size, path)
        self._extracted[name] = blob
        return blob

    def _chunks(self, name: str, most: int) -> Iterator[bytes]:
        try:
            member = self._members.get(name)
            stream = member and self._archive.extractfile(member)  # follows links inside of the archive
            if not stream:
                raise NotVerifiedError(f"the archive lacks {name}", where=self._name, todo=_TODO)
            with stream:
                size = 0
                while chunk := stream.read(_CHUNK):
                    size += len(chunk)
                    if size > most:
                        raise NotVerifiedError(
                            f"{name} is longer than {megabytes(most)}", where=self._name, todo=_TODO
                        )
                    yield chunk
        except (tarfile.TarError, KeyError, ValueError, RecursionError, EOFError) as error:
            raise _damaged(self._name) from error


class _Remote:
    """The files of an image in a registry. The download cache keeps them."""

    def __init__(self, repository: Repository, digest: str, cache: DownloadCache, reporter: Reporter) -> None:
        self._repository = repository
        self._digest = digest
        self._has_pruned = False
        self._cache = cache
        self._reporter = reporter

    def root(self) -> list[Descriptor]:
        return [Descriptor(media_type=oci.INDEX, digest=self._digest, size=0)]

    def document(self, descriptor: Descriptor) -> bytes:
        _check_document(descriptor, self._repository.name)
        name = f"images/{descriptor.digest}"
        data = self._cache.read_document(name)
        if data is None or oci.digest(data) != descriptor.digest:
            data = self._download(descriptor)
            self._cache.write_document(name, data)
        return data

    def blob(self, descriptor: Descriptor) -> Path:
        sha256 = descriptor.digest.removeprefix("sha256:")
        with self._cache.lock(sha256, self._reporter):
            if self._cache.read(sha256, self._reporter) is None:
                partial = self._cache.partial(sha256)
                label = f"downloading {megabytes(descriptor.size)} of the base image"
                with self._cache.guard(), self._reporter.work(label):
                    self._repository.read_blob(descriptor, partial)
                self._cache.add(partial, prune=not self._has_pruned)
                self._has_pruned = True
        return self._cache.blob_path(sha256)

    def _download(self, descriptor: Descriptor) -> bytes:
        if descriptor.media_type in {*oci.INDEXES, *oci.MANIFESTS}:
            return self._repository.read_manifest(descriptor.digest).data
        with self._cache.workspace() as folder, self._cache.guard():
            self._repository.read_blob(descriptor, folder / "config")
            return (folder / "config").read_bytes()


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with LimitedTarFile(path, "r", tarinfo=LimitedTarInfo) as archive:
            yield archive
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise NotVerifiedError(
            f"not an uncompressed tar archive ({error})", where=str(path), todo=_TODO
        ) from error
    except OSError as error:
        raise machine_error(error, path, "--base") from error


def _based(
    name: str, digest: str, config: dict[str, Any], layers: Sequence[tuple[Descriptor, Blob]]
) -> BaseImage:
    if len(layers) != len(config["rootfs"]["diff_ids"]):
        raise NotVerifiedError(
            "the config of the base image names another number of layers", where=name, todo="use another"
        )
    return BaseImage(name, digest, config, layers)


def _layer(layer: Descriptor, name: str) -> Descriptor:
    """Return the descriptor of a layer with the media type of the OCI."""
    if layer.media_type not in oci.LAYERS:
        raise NotVerifiedError(
            f"the base image has a layer of the type {layer.media_type}", where=name, todo="use another"
        )
    return Descriptor(media_type=oci.LAYERS[layer.media_type], digest=layer.digest, size=layer.size)


def _root(data: bytes, name: str) -> list[Descriptor]:
    return oci.parse(data, Index, name).manifests


def _check_document(descriptor: Descriptor, name: str) -> None:
    if descriptor.size > oci.MOST_DOCUMENT:
        raise NotVerifiedError(
            f"{descriptor.digest} is longer than {megabytes(oci.MOST_DOCUMENT)}", where=name, todo=_TODO
        )


def _damaged(where: str) -> NotVerifiedError:
    return NotVerifiedError(
        "a file of the image is missing, or does not have its size and digest",
        where=where,
        todo="get the image again",
    )


def _wrong_number(number: int, name: str, architecture: Architecture) -> NotFoundError:
    what = f"{number} images" if number else "no image"
    return NotFoundError(
        f"the base has {what} for {architecture.docker}",
        where=name,
        todo="name another base, or build only the architectures that it has, with --arch",
    )
