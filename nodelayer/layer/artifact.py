"""A layer zip to be published: from a build record, checked to be what the record says."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nodelayer.aws import quotas
from nodelayer.aws.account import LayerMetadata
from nodelayer.errors import NodelayerError, NotFoundError, NotVerifiedError, machine_error
from nodelayer.layer.record import BuildRecord, load, matches
from nodelayer.manifest.model import Layer, Published
from nodelayer.node.versions import Release, lts_codename, resolve, sort_key

PADDING = " (fills the numbering)"
"""Ends the description of a layer version that is there for its number only."""


@dataclass(frozen=True)
class Artifact:
    """A layer zip to be published: what it is, and where it lies."""

    path: Path
    node_version: str
    nodelayer_version: str
    code_sha256: str
    size: int
    unzipped_size: int | None
    metadata: LayerMetadata

    @property
    def architecture(self) -> str:
        return self.metadata.architectures[0]

    @property
    def padding(self) -> LayerMetadata:
        """The terms of the same content where it stands for a number only."""
        return replace(
            self.metadata,
            description=self.metadata.description[: quotas.DESCRIPTION - len(PADDING)] + PADDING,
        )

    def entry(self, region: str, published: Published) -> Layer:
        """What the manifest says of it in one region."""
        return Layer(
            node_version=self.node_version,
            architecture=self.architecture,
            nodelayer_version=self.nodelayer_version,
            layer_name=self.metadata.name,
            code_sha256=self.code_sha256,
            size=self.size,
            unzipped_size=self.unzipped_size,
            compatible_runtimes=list(self.metadata.runtimes),
            regions={region: published},
        )


def built(spec: str, architectures: Sequence[str], out: Path) -> list[Artifact]:
    """The layers of the newest built version a spec means, one for each architecture.

    Raises NotFoundError where it is not built, NotVerifiedError where zip and record do not agree.
    """
    records = built_records(out)
    return [of_record(_newest(records, spec, each, out), out) for each in architectures]


def each_built(
    specs: Sequence[str], architectures: Sequence[str], out: Path
) -> tuple[list[Artifact], list[NodelayerError]]:
    """The layers of the newest built version of each spec, each once, and what is not to be had.

    Raises NotVerifiedError where a build record cannot be read.
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
    """Every layer that lies in a folder, by its build record, and what is not what its record says.

    Raises NotVerifiedError where a build record cannot be read, NotFoundError where there is none.
    """
    found: list[Artifact] = []
    failures: list[NodelayerError] = []
    for record in built_records(out):
        try:
            found.append(of_record(record, out))
        except NodelayerError as error:
            failures.append(error)
    if not found and not failures:
        raise NotFoundError("no layer is built", where=str(out), todo="invoke build-layer --node VERSION")
    return found, failures


def _newest(records: Sequence[BuildRecord], spec: str, architecture: str, out: Path) -> BuildRecord:
    here = {record.node_version: record for record in records if record.architecture == architecture}
    try:
        return here[resolve(spec, [Release(version, lts_codename(version)) for version in here]).version]
    except NotFoundError as error:
        have = sorted(here, key=sort_key)
        raise NotFoundError(
            f"no layer of Node.js {spec} for {architecture} is built",
            where=str(out),
            todo=f"invoke build-layer --node '{spec}' --arch {architecture}"
            + (f"; built are {', '.join(have)}" if have else ""),
        ) from error


def built_records(out: Path) -> list[BuildRecord]:
    """The build records in a folder. Raises NotVerifiedError for one that is none."""
    files = sorted(path for path in out.glob("nodejs-*.json") if not path.name.endswith(".cdx.json"))
    return [load(path) for path in files]


def of_record(record: BuildRecord, folder: Path) -> Artifact:
    """The artifact a build record speaks of. Raises NotVerifiedError where the zip is not what it says."""
    path = folder / record.zip
    again = f"invoke build-layer --node {record.node_version} --arch {record.architecture}"
    try:
        if not matches(record, folder):
            raise NotVerifiedError(
                "the zip is not the one its build record speaks of" if path.exists() else "there is no zip",
                where=str(path),
                todo=again,
            )
    except OSError as error:
        raise machine_error(error, path, "--out") from error
    artifact = Artifact(
        path=path,
        node_version=record.node_version,
        nodelayer_version=record.nodelayer_version,
        code_sha256=record.code_sha256,
        size=record.size,
        unzipped_size=record.unzipped_size,
        metadata=LayerMetadata(
            name=record.layer_name,
            description=record.description[: quotas.DESCRIPTION],
            license=record.license,
            runtimes=tuple(record.compatible_runtimes[: quotas.COMPATIBLE_RUNTIMES]),
            architectures=tuple(record.compatible_architectures),
        ),
    )
    check_zip(artifact)
    return artifact


def check_zip(artifact: Artifact) -> None:
    """Raises NotVerifiedError where the file is no layer of a runtime."""
    try:
        with zipfile.ZipFile(artifact.path) as opened:
            names = set(opened.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise NotVerifiedError("not a zip", where=str(artifact.path), todo="build the layer again") from error
    if "bootstrap" not in names:
        raise NotVerifiedError(
            "not a layer with a runtime: it has no bootstrap",
            where=str(artifact.path),
            todo="build the layer again",
        )
