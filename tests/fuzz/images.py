"""Readers of images: a base image as a layout or an archive, and what a registry answers."""

import hashlib
import io
import json
import shutil
import tarfile

from nodelayer.architecture import X86_64
from nodelayer.image import base, oci, record, registry
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def described(kind, data, **more):
    return {"mediaType": kind, "digest": digest(data), "size": len(data), **more}


def indexed(manifest):
    platform = {"architecture": "amd64", "os": "linux"}
    described_manifest = described(oci.MANIFEST, manifest, platform=platform)
    return json.dumps({"schemaVersion": 2, "manifests": [described_manifest]}).encode()


def manifest_of(config):
    whole = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described(oci.CONFIG, config)}
    return json.dumps({**whole, "layers": [described(oci.LAYER, LAYER)]}).encode()


LAYER = b"layer" * 10
CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["A=b"], "Labels": {"a": "b"}},
        "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]},
        "history": [{"created_by": "x"}],
    }
).encode()
MANIFEST = manifest_of(CONFIG)
INDEX = indexed(MANIFEST)


def tar_of(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def blobs(*contents):
    return {f"blobs/sha256/{digest(each).removeprefix('sha256:')}": each for each in contents}


SAVED = tar_of(
    {
        "manifest.json": b'[{"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["l/layer.tar"]}]',
        "c.json": CONFIG,
        "l/layer.tar": LAYER,
    }
)
ARCHIVE = tar_of({"oci-layout": b"{}", "index.json": INDEX, **blobs(CONFIG, MANIFEST, LAYER)})


def select(path, folder):
    with base.opened(str(path), DownloadCache(folder / "cache"), Reporter(quiet=True)) as image:
        image.select(X86_64)


def read_layout(index, contents, folder):
    layout = folder / "layout"
    shutil.rmtree(layout, ignore_errors=True)
    for name, data in {"oci-layout": b"{}", "index.json": index, **blobs(*contents)}.items():
        (layout / name).parent.mkdir(parents=True, exist_ok=True)
        (layout / name).write_bytes(data)
    select(layout, folder)


def read_index(data, folder):
    read_layout(data, (CONFIG, MANIFEST, LAYER), folder)


def read_manifest(data, folder):
    read_layout(indexed(data), (CONFIG, data, LAYER), folder)


def read_config(data, folder):
    manifest = manifest_of(data)
    read_layout(indexed(manifest), (data, manifest, LAYER), folder)


def read_archive(data, folder):
    path = folder / "image.tar"
    path.write_bytes(data)
    select(path, folder)


def read_error(data, _folder):
    assert isinstance(registry._message(data), str)


def read_record(data, folder):
    path = folder / "image.json"
    path.write_bytes(data)
    record.load(path)


def read_reference(data, _folder):
    registry.ImageReference.parse(data.decode("utf-8", "replace"))
