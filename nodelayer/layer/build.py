"""Build a layer from a release.

Order of a build: download the release, strip the binary, check it against the runtimes' ABI, test it (in the
image of the target, or on this machine), write the zip, and only then move zip, SBOM and build record into
place, the record last. So a build record never describes a different zip, even if a build fails.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nodelayer.architecture import Architecture
from nodelayer.aws.quotas import DIRECT_UPLOAD, UNZIPPED
from nodelayer.errors import (
    IncompatibleError,
    InvalidInputError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    machine_error,
)
from nodelayer.layer import abi, archive, contents, docker_builder, local_builder, sbom
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import (
    BuildRecord,
    LayerProof,
    LayerTarget,
    describe,
    load,
    matches,
)
from nodelayer.node.sources.base import ReleaseSource
from nodelayer.node.versions import sort_key
from nodelayer.project_paths import ProjectPaths
from nodelayer.util.console import Reporter, megabytes
from nodelayer.version import __version__

BUILDERS = ("auto", "docker", "local")


@dataclass(frozen=True)
class BuildOptions:
    """How to build. `base_image` replaces the image of the target."""

    out: Path
    builder: str = "auto"
    compression: str = "best"
    base_image: str | None = None


@dataclass(frozen=True)
class BuildContext:
    """The collaborators of a build.

    `emulator` returns AWS's Runtime Interface Emulator for an architecture. `invoke` invokes the sample
    function on an unpacked layer on this machine. `engine` connects to Docker.
    """

    paths: ProjectPaths
    source: ReleaseSource
    reporter: Reporter
    emulator: Callable[[Architecture], Path]
    invoke: local_builder.Invoke
    engine: Callable[[], docker_builder.Engine]


def build(target: LayerTarget, options: BuildOptions, context: BuildContext) -> BuildRecord:
    """Build a layer into `options.out`: the zip, `.cdx.json` and, last, `.json`.

    If it raises NodelayerError, `options.out` is unchanged.
    """
    _check(options)
    say = context.reporter.say
    with staging_folder(options.out, target.stem) as staging:
        files = context.source.fetch(target.version, target.architecture)
        release = f"Node.js {target.version} for {target.architecture}"
        say(f"{release} from {files.record.name}: {files.record.checks}")
        entries = contents.assemble(context.paths.runtime, files)
        runtime = abi.choose_runtime(contents.elf_files(entries), target.architecture)
        proof = _prove(entries, runtime, target, options, context)
        entries += [Entry(f"lib/{name}", data) for name, data in proof.libraries.items()]
        verdict = abi.check(contents.elf_files(entries), target.architecture, policies=runtime.policies)
        if not verdict.compatible:
            raise abi.refuse(verdict)
        say(f"Runs on {', '.join(verdict.compatible)}")
        unzipped = sum(len(entry.data) for entry in entries)
        if unzipped > UNZIPPED:
            raise IncompatibleError(
                f"{target.stem} unpacks to {megabytes(unzipped)}; Lambda allows 250 MB",
                todo="choose another version",
            )
        zipped = staging / f"{target.stem}.zip"
        with (
            context.reporter.work(f"compressing {target.stem}.zip ({options.compression})"),
            zipped.open("wb") as stream,
        ):
            archive.write(entries, stream, options.compression)
        record = describe(
            target,
            entries,
            zipped,
            runtimes=verdict.compatible,
            compression=options.compression,
            source=files.record,
            builder=proof.builder,
        )
        (staging / f"{target.stem}.cdx.json").write_text(
            sbom.render(record, proof.versions), encoding="utf-8"
        )
        (staging / f"{target.stem}.json").write_text(record.json_text(), encoding="utf-8")
        _put_in_place(staging, options.out, target.stem)
    say(f"{record.zip}: {megabytes(record.size)}, unpacked {megabytes(unzipped)}, sha256 {record.sha256}")
    if record.size > DIRECT_UPLOAD:
        context.reporter.warn(
            f"{record.zip} is larger than 50 MB: Lambda accepts it only through S3, which publish uses"
        )
    return record


def outputs(records: Sequence[BuildRecord], out: Path) -> dict[str, str]:
    """Return the outputs for later steps of a GitHub job: one line for each layer, in the same order.

    `node-version` has each version once, separated by commas, as --node takes them.
    """
    stems = [record.zip.removesuffix(".zip") for record in records]
    lines: dict[str, Sequence[object]] = {
        "zip": [out / record.zip for record in records],
        "record": [out / f"{stem}.json" for stem in stems],
        "sbom": [out / f"{stem}.cdx.json" for stem in stems],
        "layer-name": [record.layer_name for record in records],
        "sha256": [record.sha256 for record in records],
        "code-sha256": [record.code_sha256 for record in records],
    }
    listed = {name: "\n".join(map(str, values)) for name, values in lines.items()}
    return listed | {"node-version": ",".join(dict.fromkeys(record.node_version for record in records))}


def row(record: BuildRecord) -> tuple[str, str, str, str]:
    """Return the row of a built layer in a table: layer, size of the zip, proof, runtimes."""
    proof = "invoked" if record.builder.invoked else "executed" if record.builder.executed else "not executed"
    name = f"{record.node_version} {record.architecture}"
    return name, megabytes(record.size), proof, ", ".join(record.compatible_runtimes)


def _check(options: BuildOptions) -> None:
    choices = {
        "builder": (options.builder, BUILDERS),
        "compression": (options.compression, tuple(archive.LEVELS)),
    }
    for flag, (value, known) in choices.items():
        if value not in known:
            raise InvalidInputError(
                f"unknown {flag} {value!r}", where=f"--{flag}", todo=f"use {', '.join(known)}"
            )


def existing(target: LayerTarget, options: BuildOptions, paths: ProjectPaths) -> BuildRecord | None:
    """Return the record of a finished layer in `options.out` with the current runtime client, or None."""
    path = options.out / f"{target.stem}.json"
    if not path.is_file():
        return None
    try:
        record = load(path)
    except NotVerifiedError:
        return None
    current = record.nodelayer_version == __version__ and record.runtime_sha256 == contents.digest(
        contents.client(paths.runtime)
    )
    return record if current and matches(record, options.out) else None


def built_or_build(target: LayerTarget, options: BuildOptions, context: BuildContext) -> BuildRecord:
    """Return the record of an existing layer, or build the layer."""
    return existing(target, options, context.paths) or build(target, options, context)


def newest(out: Path, architecture: Architecture) -> LayerTarget:
    """Return the layer with the newest Node.js version in a folder.

    Raises:
        NotFoundError: The folder has no layer for this architecture.
    """
    records = [load(path) for path in sorted(out.glob(f"nodejs-*-{architecture}.json"))]
    if not records:
        raise NotFoundError(
            f"no {architecture} layer is built",
            where=str(out),
            todo="pass a version with --node, and nodelayer builds it",
        )
    return LayerTarget(max((record.node_version for record in records), key=sort_key), architecture)


def _prove(
    entries: Sequence[Entry],
    runtime: abi.RuntimeTarget,
    target: LayerTarget,
    options: BuildOptions,
    context: BuildContext,
) -> LayerProof:
    base = docker_builder.base_reference(runtime.name, options.base_image, target.architecture)
    if options.builder != "local":
        try:
            engine = context.engine()
            engine.base_image(base, target.architecture)
        except NodelayerError as error:
            if options.builder == "docker":
                raise
            context.reporter.say(
                f"The layer is tested on this machine, not in {docker_builder.short(base)}, "
                f"because {error.what}"
            )
        else:
            return _prove_in_docker(engine, entries, base, runtime, target, context)
    return local_builder.prove(entries, target, runtime, invoke=context.invoke, reporter=context.reporter)


def _prove_in_docker(  # noqa: PLR0913, PLR0917 - every input of a proof
    engine: docker_builder.Engine,
    entries: Sequence[Entry],
    base: str,
    runtime: abi.RuntimeTarget,
    target: LayerTarget,
    context: BuildContext,
) -> LayerProof:
    context.reporter.say(f"Testing the layer in {docker_builder.short(base)} (Docker)")
    docker_context = docker_builder.DockerContext(
        dockerfiles=context.paths.dockerfiles,
        function=context.paths.function,
        event=context.paths.event.read_bytes(),
        emulator=context.emulator(target.architecture),
    )
    proof = engine.prove(
        entries,
        docker_builder.ProofRequest(target.version, target.architecture, base, runtime.libraries),
        docker_context,
    )
    note = "" if proof.builder.amazon_linux else ", which is not Amazon Linux"
    context.reporter.say(f"Executed and invoked inside {proof.builder.system}{note}")
    return proof


@contextmanager
def staging_folder(out: Path, stem: str) -> Iterator[Path]:
    """Create a temporary folder inside `out`; convert OSError to MachineError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{stem}-", dir=out) as folder:
            yield Path(folder)
    except OSError as error:
        raise machine_error(error, out, "--out") from error


def _put_in_place(staging: Path, out: Path, stem: str) -> None:
    record = f"{stem}.json"
    (out / record).unlink(missing_ok=True)
    for name in (f"{stem}.zip", f"{stem}.cdx.json", record):
        (staging / name).replace(out / name)


def clean(out: Path) -> list[Path]:
    """Remove the files of builds from a folder, and the folder if it is empty; return the removed paths."""
    if not out.is_dir():
        return []
    removed = [path for path in sorted(out.iterdir()) if path.name.lstrip(".").startswith("nodejs-")]
    try:
        for path in removed:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not any(out.iterdir()):
            out.rmdir()
    except OSError as error:
        raise machine_error(error, out, "--out") from error
    return removed
