"""Base images: from a registry, a folder and archives; damaged and hostile ones are refused in one line."""

import io
import json
import tarfile

import pytest
from container_images import (
    Layout,
    archived,
    base_layout,
    docker_archive,
    docker_registry,
    layer,
)

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import InvalidInputError, NodelayerError, NotFoundError, NotVerifiedError
from nodelayer.image import base, oci
from nodelayer.image.oci import Blob, ImageManifest
from nodelayer.image.registry import Repository
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter


@pytest.fixture
def layout(tmp_path):
    return base_layout(tmp_path / "layout")


@pytest.fixture
def cache(tmp_path):
    return DownloadCache(tmp_path / "cache")


@pytest.fixture
def select(cache):
    """Open a base image; return its digest, config and layers for an architecture."""

    def selected(name, architecture=X86_64):
        with base.opened(str(name), cache, Reporter(quiet=True)) as opened:
            found = opened.select(architecture)
            return found, [blob.path.read_bytes() for _, blob in found.layers]

    return selected


def index_of(layout):
    (root,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return root["digest"]


def push(layout, address):
    """Push a layout to a registry; return its reference."""
    digest = index_of(layout)
    index = json.loads((layout / oci.blob_path(digest)).read_bytes())
    with Repository(address, "base/provided") as repository:
        for path in (layout / "blobs/sha256").iterdir():
            repository.push_blob(Blob(f"sha256:{path.name}", path.stat().st_size, path))
        for each in [*index["manifests"], {"digest": digest, "mediaType": oci.INDEX}]:
            data = (layout / oci.blob_path(each["digest"])).read_bytes()
            repository.push_manifest(each["digest"], ImageManifest(each["digest"], each["mediaType"], data))
    return f"{address}/base/provided:al2023@{digest}"


def test_folder_archive_and_registry_give_the_same_image(layout, tmp_path, select, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    expected, contents = select(layout)
    assert expected.config["architecture"] == "amd64"
    assert [descriptor.media_type for descriptor, _ in expected.layers] == [oci.LAYER_GZIP] * 2
    with docker_registry(tmp_path / "registry") as registry:
        reference = push(layout, registry.address)
        found, read = select(reference)
    for image, data in (select(archived(layout, tmp_path / "base.tar")), (found, read)):
        assert (image.digest, image.config, data) == (expected.digest, expected.config, contents)
    again, read = select(reference)  # from the cache, now that the registry has ended
    assert (again, read) == (found, contents)
    assert select(layout, ARM64)[0].config["architecture"] == "arm64"


@pytest.mark.parametrize("linked", [False, True])
def test_an_archive_of_docker_save_has_an_image_for_each_architecture(tmp_path, select, linked):
    archive = docker_archive(tmp_path / "saved.tar", "amd64", "arm64", linked=linked)
    for architecture in (X86_64, ARM64):
        found, read = select(archive, architecture)
        assert found.config["architecture"] == architecture.debian
        assert read == [layer("both"), layer("both" if linked else architecture.debian)]
        assert {descriptor.media_type for descriptor, _ in found.layers} == {oci.LAYER}


def test_a_missing_architecture_is_not_found(tmp_path, select):
    made = Layout(tmp_path / "one")
    folder = made.finish(made.add_image("amd64", [layer("x")]))
    for name in (docker_archive(tmp_path / "saved.tar", "amd64"), folder):
        assert select(name)[0].config["architecture"] == "amd64"
        with pytest.raises(NotFoundError, match="no image for linux/arm64"):
            select(name, ARM64)


def test_two_images_for_one_architecture_are_refused(tmp_path, select):
    made = Layout(tmp_path / "two")
    folder = made.finish(*(made.add_image("amd64", [layer(each)]) for each in ("a", "b")))
    with pytest.raises(NotFoundError, match="2 images for linux/amd64"):
        select(folder)


def test_a_name_that_is_no_image_is_invalid(select, tmp_path):
    for name, why in (
        (tmp_path / "none.tar", "no such base image"),
        ("public.ecr.aws/lambda/provided:al2023", "has no digest"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            select(name)


def test_the_pinned_image_has_a_digest():
    assert base.pinned().startswith("public.ecr.aws/lambda/provided:al2023@sha256:")


def test_a_changed_or_missing_blob_is_not_verified(layout, tmp_path, select):
    found, _ = select(layout)
    manifest = json.loads((layout / oci.blob_path(found.digest)).read_bytes())
    used = [index_of(layout), found.digest, manifest["config"]["digest"]]
    used += [descriptor.digest for descriptor, _ in found.layers]
    for digest in used:
        path = layout / oci.blob_path(digest)
        data = path.read_bytes()
        path.write_bytes(data.swapcase())
        for name in (layout, archived(layout, tmp_path / "changed.tar")):
            with pytest.raises(NotVerifiedError, match="does not have its size and digest"):
                select(name)
        path.unlink()
        for name in (layout, archived(layout, tmp_path / "changed.tar")):
            with pytest.raises(NotVerifiedError):
                select(name)
        path.write_bytes(data)
    assert select(layout)[0].digest == found.digest


def test_a_layer_that_is_not_the_one_of_its_config_is_not_verified(tmp_path, select):
    archive = docker_archive(tmp_path / "saved.tar", "amd64")
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"\0amd64\0", b"\0other\0").replace(b"amd64\0\0\0", b"other\0\0\0"))
    assert archive.read_bytes() != data
    with pytest.raises(NotVerifiedError, match="another digest"):
        select(archive)


def tar_of(path, **files):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        b"{}",
        b"[]",
        b"[1]",
        b'[{"Config": "none.json", "Layers": []}]',
        b'[{"Config": "/etc/passwd", "Layers": []}]',
        b'[{"Config": "link", "Layers": []}]',
        b'[{"Config": "loop", "Layers": []}]',
        b'[{"Config": "manifest.json", "Layers": ["manifest.json"]}]',
        b"[" * 100_000,
    ],
)
def test_an_archive_of_something_else_is_refused_and_nothing_outside_is_read(tmp_path, select, data):
    archive = tar_of(tmp_path / "other.tar", manifest_json=data, link="../../../etc/passwd", loop="loop")
    with pytest.raises(NodelayerError) as caught:
        select(archive)
    assert "\n" not in str(caught.value)
    archive.write_bytes(data)
    with pytest.raises(NodelayerError):
        select(archive)


def test_an_archive_with_too_many_or_too_large_files_is_refused(tmp_path, select, monkeypatch):
    archive = docker_archive(tmp_path / "saved.tar", "amd64")
    monkeypatch.setattr(base, "MOST_BYTES", 11_000)  # one layer has 10,240 bytes
    with pytest.raises(NotVerifiedError, match="is longer than"):
        select(archive)
    monkeypatch.setattr(base, "_MOST_MEMBERS", 3)
    with pytest.raises(NotVerifiedError, match="more than 3 files"):
        select(archive)


def test_an_archive_with_nested_or_huge_headers_is_refused(tmp_path, select):
    header = tarfile.TarInfo("pax")
    header.type = tarfile.XHDTYPE
    nested, huge = tmp_path / "nested.tar", tmp_path / "huge.tar"
    nested.write_bytes(header.tobuf() * 20_000)
    header.size = 600_000_000
    huge.write_bytes(header.tobuf() + bytes(1024))
    for archive in (nested, huge):
        with pytest.raises(NotVerifiedError, match="its headers are too large"):
            select(archive)


def test_indexes_that_name_each_other_end(tmp_path, select):
    made = Layout(tmp_path / "deep")
    nested = made.add_index([made.add_image("amd64", [layer("x")])])
    for _ in range(5):
        nested = made.add_index([nested])
    with pytest.raises(NotFoundError, match="no image"):
        select(made.finish(nested))


def test_a_layer_of_an_unknown_type_is_refused(tmp_path, select):
    made = Layout(tmp_path / "foreign")
    config = made.add(b'{"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}}', oci.CONFIG)
    foreign = made.add(b"x", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    manifest = oci.Manifest(schema_version=2, media_type=oci.MANIFEST, config=config, layers=[foreign])
    with pytest.raises(NotVerifiedError, match="a layer of the type"):
        select(made.finish(made.add(oci.encode(manifest), oci.MANIFEST)))
