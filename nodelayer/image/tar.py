"""Write tar archives: the layer with our files, and the archive for `docker load`. Same input, same bytes."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from nodelayer.image.oci import Blob, encode
from nodelayer.layer.archive import EXECUTABLE, Entry
from nodelayer.layer.contents import NODE

RUNTIME = "var/runtime"
_ON_PATH = "usr/local/bin/node"


def layer(entries: Iterable[Entry]) -> bytes:
    """Return a layer with the entries in /var/runtime, and a link to node on PATH, for extensions."""
    packed = io.BytesIO()
    ordered = sorted(entries, key=lambda each: each.path.encode())
    folders = {str(folder) for entry in ordered for folder in PurePosixPath(RUNTIME, entry.path).parents} - {
        ".",
        "var",
    }
    with _writer(packed) as tar:
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, EXECUTABLE
            tar.addfile(info)
        for entry in ordered:
            _add(tar, f"{RUNTIME}/{entry.path}", io.BytesIO(entry.data), len(entry.data), entry.mode)
        link = tarfile.TarInfo(_ON_PATH)
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, f"/{RUNTIME}/{NODE}", 0o777
        tar.addfile(link)
    return packed.getvalue()


def write_docker_archive(path: Path, images: Sequence[tuple[str, Blob, Sequence[Blob]]]) -> None:
    """Write an archive for `docker load` of images, each as its tag, config and layers.

    https://github.com/moby/moby/blob/v20.10.24/image/spec/v1.2.md, "Combined Image JSON + Filesystem
    Changeset Format"
    """
    manifest = encode(
        [
            {
                "Config": _config_name(config),
                "RepoTags": [tag],
                "Layers": [_layer_name(each) for each in layers],
            }
            for tag, config, layers in images
        ]
    )
    files = {}
    for _, config, layers in images:
        files[_config_name(config)] = config
        files |= {_layer_name(each): each for each in layers}
    with path.open("wb") as stream, _writer(stream) as tar:
        for name, blob in sorted(files.items()):
            with blob.path.open("rb") as content:
                _add(tar, name, content, blob.size)
        _add(tar, "manifest.json", io.BytesIO(manifest), len(manifest))


def _writer(stream: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int, mode: int = 0o644) -> None:
    """Add a file of root, of 1970."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    tar.addfile(info, content)


def _config_name(blob: Blob) -> str:
    return f"{blob.digest.removeprefix('sha256:')}.json"


def _layer_name(blob: Blob) -> str:
    return f"{blob.digest.removeprefix('sha256:')}.tar"
