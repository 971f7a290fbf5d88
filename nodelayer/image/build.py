"""Build the image of a Node.js version from its layer zips and a base image.

The layer zips are built and tested first if they are missing, so a zip and an image have the same files. The
record is written last, so it never describes another image.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deflate
import msgspec

from nodelayer.architecture import Architecture
from nodelayer.errors import IncompatibleError, NodelayerError, NotVerifiedError, UnreachableError
from nodelayer.image import oci, sbom, tar
from nodelayer.image.base import Base, BaseImage
from nodelayer.image.oci import Blob, Descriptor, Index, Manifest, Platform
from nodelayer.image.record import (
    SUFFIX,
    ImageRecord,
    PlatformRecord,
    docker_archive_name,
    layout_name,
    load,
    stem,
    tag_of,
)
from nodelayer.layer import archive, artifact
from nodelayer.layer import build as layer_build
from nodelayer.layer.build import BuildContext, BuildOptions
from nodelayer.layer.record import BuildRecord, LayerTarget
from nodelayer.project_paths import ProjectPaths
from nodelayer.util.console import megabytes
from nodelayer.version import __version__

RUNTIME = "provided.al2023"
"""The runtime whose image is the base by default."""

_CREATED = "1970-01-01T00:00:00Z"  # as other reproducible builders: the time of the build would change it
_COMPRESSION = "fast"  # "best" takes 13 times as long, and the layer is 4 % smaller
_LIBRARIES = f"/{tar.RUNTIME}/lib"
_TASK_ROOT = "/var/task"
_KEPT = (
    "architecture",
    "author",
    "config",
    "history",
    "os",
    "os.features",
    "os.version",
    "rootfs",
    "variant",
)
"""Fields of a config in the OCI's specification; Docker adds others, about the container that it built in."""


@dataclass(frozen=True)
class ImageOptions:
    """How to build an image: the options of its layers, and whether to write an archive for `docker load`."""

    layer: BuildOptions
    architectures: Sequence[Architecture]
    docker_archive: bool = False


@dataclass(frozen=True)
class _Platform:
    """The image for one architecture."""

    descriptor: Descriptor
    record: PlatformRecord
    config: Blob
    layers: Sequence[Blob]


def build(version: str, base: Base, options: ImageOptions, context: BuildContext) -> ImageRecord:
    """Build an image into the folder of the options: its layout, its SBOM and, last, its record.

    If it raises NodelayerError, an older image is unchanged.
    """
    out, architectures = options.layer.out, options.architectures
    try:
        bases = [base.select(each) for each in architectures]
    except UnreachableError as error:
        todo = "check the network, or name an image on disk with --base"
        raise UnreachableError(error.what, where=error.where, todo=todo) from error
    layers = [
        layer_build.built_or_build(LayerTarget(version, each), options.layer, context)
        for each in architectures
    ]
    for layer in layers:
        if RUNTIME not in layer.compatible_runtimes:
            raise IncompatibleError(
                f"Node.js {version} does not run on {RUNTIME}", where=layer.zip, todo="use the layer"
            )
    with layer_build.staging_folder(out, stem(version)) as staging:
        layout = staging / layout_name(version)
        platforms = [
            _platform(layer, each, chosen, out, layout)
            for layer, each, chosen in zip(layers, architectures, bases, strict=True)
        ]
        index = _write_index(layout, version, [each.descriptor for each in platforms])
        record = ImageRecord(
            node_version=version,
            nodelayer_version=__version__,
            digest=index,
            layout=layout.name,
            base=base.name,
            platforms=[each.record for each in platforms],
        )
        boms = {
            each.architecture: (out / each.zip).with_suffix(".cdx.json").read_text("utf-8") for each in layers
        }
        files = [layout, staging / f"{stem(version)}.image.cdx.json"]
        files[-1].write_text(sbom.render(record, boms), encoding="utf-8")
        if options.docker_archive:
            files.append(staging / docker_archive_name(version))
            tar.write_docker_archive(
                files[-1],
                [(tag_of(version, each.record.architecture), each.config, each.layers) for each in platforms],
            )
        written = staging / f"{stem(version)}{SUFFIX}"
        written.write_text(record.json_text(), encoding="utf-8")
        _put_in_place([*files, written], out, version)
    for each in record.platforms:
        context.reporter.say(
            f"{stem(version)} for {each.architecture}: {megabytes(each.size)} with its base image"
        )
    context.reporter.say(f"{stem(version)}: {record.digest}")
    return record


def built(
    options: BuildOptions, architectures: Sequence[Architecture], paths: ProjectPaths
) -> tuple[dict[str, list[Architecture]], list[NodelayerError]]:
    """Return the architectures of the built layers by Node.js version, and the failures.

    A layer that another nodelayer has built is a failure, because `build` would build it again.
    """
    found, failures = artifact.all_built(options.out)
    versions: dict[str, list[Architecture]] = {}
    for layer in found:
        version, name = layer.node_version, layer.architecture
        wanted = [each for each in architectures if each.name == name]
        for each in wanted:
            if layer_build.existing(LayerTarget(version, each), options, paths) is None:
                failures.append(
                    NotVerifiedError(
                        f"nodelayer {__version__} has not built this layer",
                        where=str(layer.path),
                        todo="build it again with build-layer",
                    )
                )
            else:
                versions.setdefault(version, []).append(each)
    return versions, failures


def record_path(out: Path, version: str) -> Path:
    """Return the path of an image's build record."""
    return out / f"{stem(version)}{SUFFIX}"


def existing(target: LayerTarget, options: BuildOptions, context: BuildContext) -> ImageRecord | None:
    """Return the record of an image with the files of the current layer, or None."""
    path = record_path(options.out, target.version)
    layer = layer_build.existing(target, options, context.paths)
    if layer is None or not path.is_file():
        return None
    record = load(path)
    same = any(each.zip_sha256 == layer.sha256 for each in record.platforms)
    return record if same and record.nodelayer_version == __version__ else None


def _platform(
    layer: BuildRecord, architecture: Architecture, chosen: BaseImage, out: Path, layout: Path
) -> _Platform:
    """Write the blobs and the manifest for one architecture."""
    unpacked = tar.layer(archive.read(out / layer.zip))
    diff_id = oci.digest(unpacked)
    packed = archive.compress(unpacked, _COMPRESSION, deflate.gzip_compress)
    ours = _write(layout, packed, oci.LAYER_GZIP)
    for _, blob in chosen.layers:
        _copy(layout, blob)
    labels = {
        **_annotations(layer.node_version),
        "org.opencontainers.image.base.digest": chosen.digest,
    }
    config = _write(layout, oci.encode(_config(chosen.config, diff_id, layer, labels)), oci.CONFIG)
    descriptors = [*(descriptor for descriptor, _ in chosen.layers), ours]
    document = Manifest(
        schema_version=2,
        media_type=oci.MANIFEST,
        config=config,
        layers=descriptors,
        annotations=labels,
    )
    manifest = _write(layout, oci.encode(document), oci.MANIFEST, Platform.of(architecture))
    blobs = [
        Blob(each.digest, each.size, layout / oci.blob_path(each.digest)) for each in (config, *descriptors)
    ]
    return _Platform(
        descriptor=manifest,
        record=PlatformRecord(
            architecture=architecture.name,
            manifest=manifest.digest,
            config=config.digest,
            layer=ours.digest,
            diff_id=diff_id,
            size=sum(each.size for each in descriptors),
            base=chosen.digest,
            zip=layer.zip,
            zip_sha256=layer.sha256,
        ),
        config=blobs[0],
        layers=blobs[1:],
    )


def _config(
    base: Mapping[str, Any], diff_id: str, layer: BuildRecord, labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return the config of the base with our layer; its entry point and environment variables stay.

    LD_LIBRARY_PATH gets the folder of the layer's libraries, if there are any and AWS's base image, which has
    it, is not the base.
    """
    run: dict[str, Any] = base.get("config") or {}
    environ = dict(each.split("=", 1) for each in run.get("Env") or [] if "=" in each)
    searched = [each for each in environ.get("LD_LIBRARY_PATH", "").split(":") if each]
    if any(each.path.startswith("lib/") for each in layer.files) and _LIBRARIES not in searched:
        environ["LD_LIBRARY_PATH"] = ":".join([*searched, _LIBRARIES])
    step = f"nodelayer {layer.nodelayer_version}: Node.js {layer.node_version} in /{tar.RUNTIME}"
    return {
        **{key: value for key, value in base.items() if key in _KEPT},
        "created": _CREATED,
        "config": {
            **run,
            "Env": [f"{name}={value}" for name, value in environ.items()],
            "WorkingDir": _TASK_ROOT,
            "Labels": {**(run.get("Labels") or {}), **labels},
        },
        "rootfs": {"type": "layers", "diff_ids": [*base["rootfs"]["diff_ids"], diff_id]},
        "history": [*(base.get("history") or []), {"created": _CREATED, "created_by": step}],
    }


def _annotations(version: str) -> dict[str, str]:
    """Return annotations by the keys of the OCI: specs-go/v1/annotations.go of its image-spec."""
    return {
        "org.opencontainers.image.title": f"Node.js {version} for AWS Lambda",
        "org.opencontainers.image.version": f"{version}_{__version__}",
    }


def _write_index(layout: Path, version: str, manifests: list[Descriptor]) -> str:
    """Write the index of the architectures and the files of an OCI layout; return the index's digest."""
    notes = _annotations(version)
    document = Index(schema_version=2, media_type=oci.INDEX, manifests=manifests, annotations=notes)
    index = _write(layout, oci.encode(document), oci.INDEX)
    name = {"org.opencontainers.image.ref.name": notes["org.opencontainers.image.version"]}
    root = Index(
        schema_version=2, media_type=oci.INDEX, manifests=[msgspec.structs.replace(index, annotations=name)]
    )
    (layout / "index.json").write_bytes(oci.encode(root))
    (layout / "oci-layout").write_bytes(oci.encode({"imageLayoutVersion": "1.0.0"}))
    return index.digest


def _write(layout: Path, data: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
    path = layout / oci.blob_path(oci.digest(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Descriptor(media_type=media_type, digest=oci.digest(data), size=len(data), platform=platform)


def _copy(layout: Path, blob: Blob) -> None:
    path = layout / oci.blob_path(blob.digest)
    if not path.exists():
        shutil.copyfile(blob.path, path)


def _put_in_place(files: Sequence[Path], out: Path, version: str) -> None:
    for name in (f"{stem(version)}{SUFFIX}", docker_archive_name(version)):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / layout_name(version), ignore_errors=True)
    for each in files:
        each.replace(out / each.name)
