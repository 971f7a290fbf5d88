"""Open built layer zips by their build records, and check that each record matches its zip."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodelayer.errors import NodelayerError, NotFoundError, NotVerifiedError, machine_error
from nodelayer.layer import archive
from nodelayer.layer.record import BuildRecord, load, matches
from nodelayer.node.sources.base import SourceRecord
from nodelayer.node.versions import Release, lts_codename, resolve, sort_key
from nodelayer.project_paths import PROGRAM, command


@dataclass(frozen=True)
class Artifact:
    """A built layer zip. Sizes are bytes; `code_sha256` is base64, as Lambda reports it.

    `invoked` is false if the build record says that the layer has never answered an invocation.
    """

    path: Path
    layer_name: str
    description: str
    license: str
    node_version: str
    nodelayer_version: str
    architecture: str
    compatible_runtimes: tuple[str, ...]
    code_sha256: str
    size: int
    unzipped_size: int | None
    invoked: bool = True
    source: SourceRecord | None = None

    @property
    def signed(self) -> bool:
        """Whether an OpenPGP signature of the Node.js release was verified."""
        return self.source is not None and self.source.signed_by is not None


def built(spec: str, architectures: Sequence[str], out: Path) -> list[Artifact]:
    """Return the layers of the newest built version that matches a spec, one for each architecture.

    Raises:
        NotFoundError: No such layer is built.
        NotVerifiedError: A zip does not match its build record.
    """
    records = built_records(out)
    return [of_record(_newest(records, spec, each, out), out) for each in architectures]


def each_built(
    specs: Sequence[str], architectures: Sequence[str], out: Path
) -> tuple[list[Artifact], list[NodelayerError]]:
    """Return the layers of the newest built version for each spec, without duplicates, and the failures.

    Raises:
        NotVerifiedError: A build record cannot be read.
    """
    records = built_records(out)
    found: dict[str, Artifact] = {}
    failures: list[NodelayerError] = []
    for spec in specs:
        for architecture in architectures:
            try:
                record = _newest(records, spec, architecture, out)
                if record.layer_name not in found:
                    found[record.layer_name] = of_record(record, out)
            except NodelayerError as error:
                failures.append(error)
    return list(found.values()), failures


def all_built(out: Path) -> tuple[list[Artifact], list[NodelayerError]]:
    """Return every layer of a folder, and an error for each zip that does not match its build record.

    Raises:
        NotVerifiedError: A build record cannot be read.
        NotFoundError: The folder has no build record.
    """
    found: list[Artifact] = []
    failures: list[NodelayerError] = []
    for record in built_records(out):
        try:
            found.append(of_record(record, out))
        except NodelayerError as error:
            failures.append(error)
    if not found and not failures:
        raise NotFoundError(
            "no layer is built", where=str(out), todo=f"run {PROGRAM} build-layer --node VERSION"
        )
    return found, failures


def _newest(records: Sequence[BuildRecord], spec: str, architecture: str, out: Path) -> BuildRecord:
    by_version = {record.node_version: record for record in records if record.architecture == architecture}
    releases = [Release(version, lts_codename(version)) for version in by_version]
    try:
        return by_version[resolve(spec, releases).version]
    except NotFoundError as error:
        available = sorted(by_version, key=sort_key)
        raise NotFoundError(
            f"no layer of Node.js {spec} for {architecture} is built",
            where=str(out),
            todo=f"run {command('build-layer', '--node', spec, '--arch', architecture)}"
            + (f"; built versions: {', '.join(available)}" if available else ""),
        ) from error


def built_records(out: Path) -> list[BuildRecord]:
    """Return the build records in a folder.

    Raises:
        NotVerifiedError: A file is not a build record.
    """
    others = (".cdx.json", ".image.json")
    files = sorted(path for path in out.glob("nodejs-*.json") if not path.name.endswith(others))
    return [load(path) for path in files]


def of_record(record: BuildRecord, folder: Path) -> Artifact:
    """Return the artifact of a build record.

    Raises:
        NotVerifiedError: The zip is missing, or does not match the record.
    """
    path = folder / record.zip
    todo = f"run {command('build-layer', '--node', record.node_version, '--arch', record.architecture)}"
    try:
        if not matches(record, folder):
            raise NotVerifiedError(
                "the zip does not match its build record" if path.exists() else "the zip is missing",
                where=str(path),
                todo=todo,
            )
    except OSError as error:
        raise machine_error(error, path, "--out") from error
    artifact = Artifact(
        path=path,
        layer_name=record.layer_name,
        description=record.description,
        license=record.license,
        node_version=record.node_version,
        nodelayer_version=record.nodelayer_version,
        architecture=record.architecture,
        compatible_runtimes=tuple(record.compatible_runtimes),
        code_sha256=record.code_sha256,
        size=record.size,
        unzipped_size=record.unzipped_size,
        invoked=record.builder.invoked,
        source=record.source,
    )
    check_zip(artifact)
    return artifact


def check_zip(artifact: Artifact) -> None:
    """Check that a file is a layer with a Lambda runtime.

    Raises:
        NotVerifiedError: It is not.
    """
    if "bootstrap" not in archive.names(artifact.path):
        raise NotVerifiedError(
            "the zip is not a layer with a runtime: it has no bootstrap",
            where=str(artifact.path),
            todo="build the layer again",
        )
