"""Small base images on disk, and a container registry that tests start: Debian's docker-registry."""

import gzip
import io
import json
import subprocess
import tarfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from support import find_program

from nodelayer.emulation.loopback import free_ports
from nodelayer.image import oci

_CONFIG = """version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %s}
http: {addr: "%s"}
"""
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class Registry:
    """A running registry: its address, and the folder with what it stores."""

    address: str
    folder: Path


@contextmanager
def docker_registry(folder, auth=""):
    """Start Debian's docker-registry with its files in a folder; `auth` is a part of its configuration."""
    program = find_program("docker-registry", "docker-registry")
    folder.mkdir(exist_ok=True)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    config = folder / "config.yml"
    config.write_text(_CONFIG % (folder, address) + auth)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
    try:
        _wait(process, f"http://{address}/v2/", folder / "log")
        yield Registry(address, folder)
    finally:
        process.kill()
        process.wait()


def _wait(process, url, log):
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(requests.RequestException):
            requests.get(url, timeout=5)
            return
        time.sleep(0.02)
    raise AssertionError(f"docker-registry does not start: {log.read_text()}")


def layer(text):
    """Return an uncompressed layer with one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("etc/base")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def config(architecture, layers, **changes):
    """Return the config of an image with layers, as Docker writes it."""
    return {
        "architecture": architecture,
        "os": "linux",
        "docker_version": "20.10",
        "created": "2026-11-01T00:00:00Z",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin"], "Entrypoint": ["/entry.sh"]},
        "rootfs": {"type": "layers", "diff_ids": [oci.digest(each) for each in layers]},
        "history": [{"created_by": "base"} for _ in layers],
        **changes,
    }


class Layout:
    """An OCI layout that a test writes: `add` a blob, then `finish` it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)

    def add(self, data, media_type, platform=None):
        (self.folder / oci.blob_path(oci.digest(data))).write_bytes(data)
        return oci.Descriptor(
            media_type=media_type, digest=oci.digest(data), size=len(data), platform=platform
        )

    def add_image(self, architecture, layers, **changes):
        """Add an image of Docker's media types; return the descriptor of its manifest."""
        packed = [self.add(gzip.compress(each, mtime=0), DOCKER_LAYER) for each in layers]
        described = self.add(json.dumps(config(architecture, layers, **changes)).encode(), oci.CONFIG)
        manifest = oci.Manifest(
            schema_version=2, media_type=oci.MANIFESTS[1], config=described, layers=packed
        )
        return self.add(oci.encode(manifest), oci.MANIFESTS[1], oci.Platform(architecture, "linux"))

    def add_index(self, manifests):
        return self.add(
            oci.encode(oci.Index(schema_version=2, media_type=oci.INDEX, manifests=manifests)), oci.INDEX
        )

    def finish(self, *roots):
        (self.folder / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
        index = oci.Index(schema_version=2, media_type=oci.INDEX, manifests=list(roots))
        (self.folder / "index.json").write_bytes(oci.encode(index))
        return self.folder


def base_layout(folder):
    """Write an OCI layout with a base image for both architectures, with an index as a registry has it."""
    made = Layout(folder)
    unknown = made.add_image("unknown", [layer("attestation")])
    images = [made.add_image(each, [layer("both"), layer(each)]) for each in ("amd64", "arm64")]
    return made.finish(made.add_index([*images, unknown]))


def archived(folder, path):
    """Write the archive of an OCI layout."""
    with tarfile.open(path, "w") as tar:
        tar.add(folder, ".")
    return path


def docker_archive(path, *architectures, linked=False):
    """Write an archive as `docker save` does; a `linked` one has its second layer as a link to the first."""
    files, entries = {}, []
    for architecture in architectures:
        layers = [layer("both"), layer("both" if linked else architecture)]
        data = json.dumps(config(architecture, layers)).encode()
        names = [f"{oci.digest(each)[7:]}-{number}/layer.tar" for number, each in enumerate(layers)]
        files |= {f"{oci.digest(data)[7:]}.json": data, **dict(zip(names, layers, strict=True))}
        entries.append({"Config": f"{oci.digest(data)[7:]}.json", "RepoTags": None, "Layers": names})
    files["manifest.json"] = json.dumps(entries).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if linked and name.endswith("-1/layer.tar"):
                info.type, info.linkname = tarfile.SYMTYPE, f"../{name.partition('-')[0]}-0/layer.tar"
            info.size = 0 if info.issym() else len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
