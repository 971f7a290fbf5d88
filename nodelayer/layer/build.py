"""A layer from a release: plan, then act.

Order of a build: fetch, strip, check against the runtimes' ABI, prove (inside the target's image, or on this
host), pack, and only then put zip, SBOM and build record in place, the record last. Whatever ends a build
early, no record stands beside a zip it does not speak of.
"""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nodelayer.architecture import ARM64, Architecture, of_host
from nodelayer.aws.quotas import DIRECT_UPLOAD, UNZIPPED
from nodelayer.errors import (
    IncompatibleError,
    InvalidInputError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    machine_error,
)
from nodelayer.layer import abi, archive, docker_builder, elf, sbom, system_library
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import BuilderRecord, BuildRecord, FileRecord, code_sha256, load, matches
from nodelayer.node.sources import auto as source
from nodelayer.node.versions import sort_key
from nodelayer.project_paths import ProjectPaths
from nodelayer.util.console import Reporter, megabytes
from nodelayer.version import __version__

BUILDERS = ("auto", "docker", "local")
_NODE = "nodejs/bin/node"
_LICENSE = "nodejs/LICENSE"
_HEAP = "aws/heap"
_HEAP_PERCENT = b"90\n"  # of the function's memory, as AWS's own runtimes have it; read by bootstrap
_HEAP_FROM = 18  # the majors before throw V8's compiled code away for the flag: docs/runtime.md


@dataclass(frozen=True)
class BuildOptions:
    """How to build, whichever the version. `runtimes` narrows what is aimed at; None means every runtime."""

    out: Path
    builder: str = "auto"
    compression: str = "best"
    runtimes: tuple[str, ...] | None = None
    base_image: str | None = None
    library_folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Job:
    """One layer to be built, and the names it will have."""

    version: str
    architecture: Architecture

    @property
    def stem(self) -> str:
        return f"nodejs-{self.version}-{self.architecture}"

    @property
    def layer_name(self) -> str:
        return f"nodejs-{self.version.replace('.', '-')}-{self.architecture}"

    @property
    def description(self) -> str:
        return f"Node.js {self.version} for AWS Lambda ({self.architecture}), nodelayer {__version__}"


@dataclass(frozen=True)
class BuildContext:
    """The collaborators of a build. `emulator` gives AWS's Runtime Interface Emulator for an architecture."""

    paths: ProjectPaths
    source: source.Source
    reporter: Reporter
    emulator: Callable[[Architecture], Path]
    engine: Callable[[], docker_builder.Engine]


@dataclass(frozen=True)
class _Evidence:
    """What a builder adds to a layer, and what it saw."""

    builder: BuilderRecord
    libraries: Mapping[str, bytes] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def build(job: Job, options: BuildOptions, context: BuildContext) -> BuildRecord:
    """Build one layer into `order.out`: the zip, `.cdx.json` and, last, `.json`.

    Raises NodelayerError; then nothing new stands in `order.out`, and what stood there still does.
    """
    _check(options)
    say = context.reporter.say
    with _staging(options.out, job.stem) as staging:
        files = context.source.fetch(job.version, job.architecture)
        say(f"Node.js {job.version} for {job.architecture} from {files.record.name}: {files.record.verified}")
        entries = assemble(context.paths.runtime, files)
        aim = _aim(entries, job, options)
        evidence = _prove(entries, aim, job, options, context)
        entries += [Entry(f"lib/{name}", data, archive.PLAIN) for name, data in evidence.libraries.items()]
        verdict = abi.check(
            _elves(entries), job.architecture, policies=aim.policies, runtimes=options.runtimes
        )
        if not verdict.compatible:
            raise abi.refuse(verdict)
        say(f"Runs on {', '.join(verdict.compatible)}")
        unzipped = sum(len(entry.data) for entry in entries)
        if unzipped > UNZIPPED:
            raise IncompatibleError(
                f"{job.stem} unpacks to {megabytes(unzipped)}, more than the 250 MB Lambda takes",
                todo="take another version",
            )
        packed = staging / f"{job.stem}.zip"
        with (
            context.reporter.work(f"packing {job.stem}.zip ({options.compression})"),
            packed.open("wb") as stream,
        ):
            archive.write(entries, stream, options.compression)
        record = describe(
            job,
            entries,
            packed,
            runtimes=verdict.compatible,
            compression=options.compression,
            came_from=files.record,
            builder=evidence.builder,
        )
        (staging / f"{job.stem}.cdx.json").write_text(
            sbom.render(record, evidence.versions), encoding="utf-8"
        )
        (staging / f"{job.stem}.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _put_in_place(staging, options.out, job.stem)
    say(f"{record.zip}: {megabytes(record.size)}, unpacked {megabytes(unzipped)}, sha256 {record.sha256}")
    if record.size > DIRECT_UPLOAD:
        context.reporter.warn(
            f"{record.zip} is over 50 MB: Lambda takes it through S3 only, not by a direct upload"
        )
    return record


def describe(  # noqa: PLR0913 - what a record says
    job: Job,
    entries: Sequence[Entry],
    packed: Path,
    *,
    runtimes: Sequence[str],
    compression: str,
    came_from: source.SourceRecord,
    builder: BuilderRecord,
) -> BuildRecord:
    """The build record of a zip of these entries."""
    with packed.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").digest()
    ours = [entry for entry in entries if entry.path == "bootstrap" or entry.path.startswith("aws/")]
    return BuildRecord(
        layer_name=job.layer_name,
        description=job.description,
        license="MIT",
        node_version=job.version,
        architecture=job.architecture.name,
        nodelayer_version=__version__,
        compatible_runtimes=list(runtimes),
        compatible_architectures=[job.architecture.name],
        zip=packed.name,
        sha256=sha256.hex(),
        code_sha256=code_sha256(sha256),
        size=packed.stat().st_size,
        unzipped_size=sum(len(entry.data) for entry in entries),
        compression=compression,
        source=came_from,
        runtime_sha256=digest([entry for entry in ours if entry.path != _HEAP]),
        builder=builder,
        files=[
            FileRecord(
                path=entry.path,
                mode=f"{entry.mode:04o}",
                size=len(entry.data),
                sha256=hashlib.sha256(entry.data).hexdigest(),
            )
            for entry in sorted(entries, key=lambda each: each.path)
        ],
    )


def outputs(records: Sequence[BuildRecord], out: Path) -> dict[str, str]:
    """What is told to a later step of a GitHub job: a line for each layer, in the same order throughout.

    `node-version` has the versions once each, with commas between, as --node takes them.
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
    told = {name: "\n".join(map(str, values)) for name, values in lines.items()}
    return told | {"node-version": ",".join(dict.fromkeys(record.node_version for record in records))}


def _check(options: BuildOptions) -> None:
    """Refuses a word that is none of the known ones before anything is fetched."""
    given = {
        "builder": ((options.builder,), BUILDERS),
        "compression": ((options.compression,), tuple(archive.LEVELS)),
        "runtime": (options.runtimes or (), abi.RUNTIMES),
    }
    for flag, (words, known) in given.items():
        for word in words:
            if word not in known:
                raise InvalidInputError(
                    f"unknown {flag} {word!r}", where=f"--{flag}", todo=f"use {', '.join(known)}"
                )


def existing(job: Job, options: BuildOptions, paths: ProjectPaths) -> BuildRecord | None:
    """The record of a finished layer in `order.out` that holds this runtime client, or None."""
    path = options.out / f"{job.stem}.json"
    if not path.is_file():
        return None
    try:
        record = load(path)
    except NotVerifiedError:
        return None
    fresh = record.nodelayer_version == __version__ and record.runtime_sha256 == digest(client(paths.runtime))
    return record if fresh and matches(record, options.out) else None


def newest(out: Path, architecture: Architecture) -> Job:
    """The newest Node.js of that architecture that lies built in a folder. Raises NotFoundError."""
    records = [load(path) for path in sorted(out.glob(f"nodejs-*-{architecture}.json"))]
    if not records:
        raise NotFoundError(
            f"no {architecture} layer is built",
            where=str(out),
            todo="name a version with --node, and it will be",
        )
    return Job(max((record.node_version for record in records), key=sort_key), architecture)


def client(runtime: Path) -> list[Entry]:
    """What the layer takes from the runtime folder: bootstrap (0755) and aws/*.js (0644)."""
    files = [runtime / "bootstrap", *sorted((runtime / "aws").rglob("*.js"))]
    return [
        Entry(
            file.relative_to(runtime).as_posix(),
            file.read_bytes(),
            archive.EXECUTABLE if file.name == "bootstrap" else archive.PLAIN,
        )
        for file in files
    ]


def heap(version: str) -> list[Entry]:
    """What tells bootstrap how much of the function's memory the JavaScript heap of this Node.js may take."""
    return [Entry(_HEAP, _HEAP_PERCENT)] if sort_key(version)[0] >= _HEAP_FROM else []


def assemble(runtime: Path, files: source.NodeFiles) -> list[Entry]:
    """The files of a layer but for what the target lacks, the binary stripped."""
    return [
        *client(runtime),
        *heap(files.version),
        Entry(_NODE, elf.strip(files.node, name=_NODE), archive.EXECUTABLE),
        Entry(_LICENSE, files.license, archive.PLAIN),
    ]


def digest(entries: Sequence[Entry]) -> str:
    """The sha256 in hex over paths, modes and bytes of these entries, whatever their order."""
    whole = hashlib.sha256()
    for entry in sorted(entries, key=lambda each: each.path):
        whole.update(f"{entry.path}\0{entry.mode:o}\0{hashlib.sha256(entry.data).hexdigest()}\n".encode())
    return whole.hexdigest()


@dataclass(frozen=True)
class _BuildTarget:
    """The newest runtime a build is for, the libraries its layer has to carry, the policies that said so."""

    runtime: str
    libraries: tuple[str, ...]
    policies: Sequence[abi.Policy]


def _elves(entries: Sequence[Entry]) -> dict[str, elf.Elf]:
    return {
        entry.path: elf.read(entry.data, name=entry.path)
        for entry in entries
        if entry.path == _NODE or entry.path.startswith("lib/")
    }


def _aim(entries: Sequence[Entry], job: Job, options: BuildOptions) -> _BuildTarget:
    policies = abi.load_policies()
    verdict = abi.check(_elves(entries), job.architecture, policies=policies, runtimes=options.runtimes)
    lacking = {problem.runtime for problem in verdict.problems}
    wrong = {problem.runtime for problem in verdict.problems if problem.version is not None}
    fixable = lacking - wrong
    reachable = [name for name in abi.RUNTIMES if name in fixable or name in verdict.compatible]
    if not reachable:
        raise abi.refuse(verdict)
    libraries = sorted({name for runtime in fixable for name in verdict.missing_libraries(runtime)})
    return _BuildTarget(reachable[-1], tuple(libraries), policies)


def _prove(
    entries: Sequence[Entry], aim: _BuildTarget, job: Job, options: BuildOptions, context: BuildContext
) -> _Evidence:
    base = docker_builder.base_reference(aim.runtime, options.base_image, job.architecture)
    if options.builder == "local":
        return _prove_here(entries, aim, job, options, context)
    try:
        engine = context.engine()
        engine.base_image(base, job.architecture)
    except NodelayerError as error:
        if options.builder == "docker":
            raise
        context.reporter.say(
            f"Local builder, so not proved inside {docker_builder.short(base)}: {error.what}"
        )
        return _prove_here(entries, aim, job, options, context)
    context.reporter.say(f"Docker builder, inside {docker_builder.short(base)}")
    docker_context = docker_builder.DockerContext(
        dockerfiles=context.paths.dockerfiles,
        function=context.paths.function,
        event=context.paths.event.read_bytes(),
        emulator=context.emulator(job.architecture),
    )
    proof = engine.prove(
        entries,
        docker_builder.ProofRequest(job.version, job.architecture, base, aim.libraries),
        docker_context,
    )
    system = proof.system.get("PRETTY_NAME", "an unnamed system")
    stand_in = "" if proof.amazon_linux else ", a stand-in: not Amazon Linux"
    context.reporter.say(f"Executed and invoked inside {system}{stand_in}")
    return _Evidence(
        builder=BuilderRecord(
            name="docker",
            base_image=base,
            base_image_id=proof.image_id,
            system=system,
            amazon_linux=proof.amazon_linux,
            executed=True,
            invoked=True,
            libraries=dict.fromkeys(proof.libraries, f"packages of {system}"),
        ),
        libraries=proof.libraries,
        versions=proof.versions,
    )


def _prove_here(
    entries: Sequence[Entry], aim: _BuildTarget, job: Job, options: BuildOptions, context: BuildContext
) -> _Evidence:
    libraries = {name: _host_library(name, aim, job, options) for name in aim.libraries}
    for name in libraries:
        context.reporter.say(
            f"{name}, which {aim.runtime} lacks, comes from this host and passes the ABI check itself"
        )
    carried = [Entry(f"lib/{name}", data) for name, data in libraries.items()]
    with tempfile.TemporaryDirectory(prefix="nodelayer-") as folder:
        archive.unpack([*entries, *carried], Path(folder))
        versions = _versions(Path(folder), job, context.reporter)
    return _Evidence(
        builder=BuilderRecord(
            name="local",
            executed=bool(versions),
            libraries=dict.fromkeys(libraries, "the building host"),
        ),
        libraries=libraries,
        versions=versions,
    )


def _host_library(soname: str, aim: _BuildTarget, job: Job, options: BuildOptions) -> bytes:
    way_out = "use --builder docker, or --library-folder with one of Amazon Linux"
    path = system_library.find(soname, job.architecture, extra_dirs=options.library_folders)
    if path is None:
        raise IncompatibleError(
            f"Node.js {job.version} needs {soname}, which {aim.runtime} lacks and this host has not got",
            where=str(job.architecture),
            todo=way_out,
        )
    data = path.read_bytes()
    found = {f"lib/{soname}": elf.read(data, name=str(path))}
    verdict = abi.check(found, job.architecture, policies=aim.policies, runtimes=(aim.runtime,))
    if not verdict.compatible:
        raise IncompatibleError(
            f"this host's {soname} would not load on {aim.runtime} ({abi.refuse(verdict).what})",
            where=str(path),
            todo=way_out,
        )
    return data


def _versions(layer: Path, job: Job, reporter: Reporter) -> dict[str, str]:
    """`process.versions` as the binary in an unpacked layer says it; empty where this host cannot run it.

    Raises NotVerifiedError when it runs and is another version, or should run here and does not.
    """
    command = [str(layer / _NODE), "-p", "JSON.stringify(process.versions)"]
    environ = {"LD_LIBRARY_PATH": str(layer / "lib"), "PATH": os.environ.get("PATH", os.defpath)}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    except OSError as error:
        if error.errno in {errno.ENOEXEC, errno.ENOENT, errno.EACCES}:
            reporter.say(f"Not executed: this host cannot run it ({os.strerror(error.errno)})")
            return {}
        raise
    except subprocess.TimeoutExpired as error:
        raise NotVerifiedError(f"the binary of Node.js {job.version} does not end when run") from error
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        alien = job.architecture != of_host()
        if alien or "GLIBC" in why or "cannot open shared object" in why:
            reporter.say(f"Not executed: this host cannot run it ({why})")
            return {}
        raise NotVerifiedError(f"the binary of Node.js {job.version} does not run: {why}")
    versions: dict[str, str] = json.loads(done.stdout)
    if versions.get("node") != job.version:
        raise NotVerifiedError(f"the binary says it is Node.js {versions.get('node')}, not {job.version}")
    reporter.say(f"Executed on this host{' (emulated)' if job.architecture == ARM64 != of_host() else ''}")
    return versions


@contextmanager
def _staging(out: Path, stem: str) -> Iterator[Path]:
    """A folder inside `out`, gone afterwards; what the file system refuses becomes a MachineError."""
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
    """Remove what builds put into a folder, and the folder where nothing else is in it; returns what went."""
    if not out.is_dir():
        return []
    gone = [path for path in sorted(out.iterdir()) if path.name.lstrip(".").startswith("nodejs-")]
    try:
        for path in gone:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not any(out.iterdir()):
            out.rmdir()
    except OSError as error:
        raise machine_error(error, out, "--out") from error
    return gone
