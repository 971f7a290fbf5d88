"""The published layer versions, as `layers.json` records them: merge, look up, read, write.

Two manifests merge to one that holds what either holds, whatever the order: layer version numbers are never
used again, nothing recorded is taken out, and what changes (a permission given, a version deleted) changes in
one direction only. So two writers and two machines never lose each other's entries.
"""

import glob
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from semver import Version

from nodelayer.aws.arn import LayerVersionArn
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    machine_error,
)
from nodelayer.node import versions as node_release
from nodelayer.node.versions import Release
from nodelayer.util.http import Web, shown

SCHEMA_VERSION = 2
FILE = "layers.json"
SCHEMA_FILE = "layers.schema.json"

_MOST_BYTES = 64 * 1024 * 1024  # of a manifest from a URL
_LOCK_SECONDS = 60
_UNFINISHED = ".unfinished"
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
_SHA256 = r"^[A-Za-z0-9+/]{43}=$"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Published(_Value):
    """One layer version in one region. Times are UTC; `deleted` is set once it can no longer be added."""

    version: int = Field(ge=1, description="The layer version number")
    arn: str = Field(description="The ARN of the layer version")
    published: str = Field(pattern=_TIME, description="When it was published, UTC")
    public: bool = Field(default=False, description="Whether every AWS account may use it")
    organizations: list[str] = Field(default=[], description="The AWS Organizations that may use it")
    deleted: str | None = Field(default=None, pattern=_TIME, description="When it was deleted, UTC")

    @field_validator("organizations")
    @classmethod
    def _each_once_and_sorted(cls, organizations: list[str]) -> list[str]:
        return sorted(set(organizations))

    @model_validator(mode="after")
    def _arn_and_number_agree(self) -> "Published":
        if LayerVersionArn.parse(self.arn).version != self.version:
            raise ValueError(f"{self.arn} is not version {self.version}")
        return self

    def join(self, other: "Published") -> "Published":
        """The later layer version; of the same one, what either knows of it."""
        if self.arn != other.arn:
            return max(self, other, key=lambda each: (each.version, each.published, each.arn))
        return Published(
            version=self.version,
            arn=self.arn,
            published=min(self.published, other.published),
            public=self.public or other.public,
            organizations=sorted({*self.organizations, *other.organizations}),
            deleted=min((each.deleted for each in (self, other) if each.deleted), default=None),
        )


class Layer(_Value):
    """One layer zip, by what it holds, and where it is published. Sizes are bytes."""

    node_version: str
    architecture: str = Field(pattern="^(x86_64|arm64)$")
    nodelayer_version: str
    layer_name: str
    code_sha256: str = Field(pattern=_SHA256, description="sha256 of the zip in base64, as Lambda reports it")
    size: int = Field(ge=0, description="Bytes of the zip")
    unzipped_size: int | None = Field(default=None, ge=0, description="Bytes below /opt")
    compatible_runtimes: list[str]
    regions: dict[str, Published] = Field(default={}, description="By region, what is published there")

    @model_validator(mode="after")
    def _regions_and_versions_agree(self) -> "Layer":
        for version in (self.node_version, self.nodelayer_version):
            try:
                node_release.sort_key(version)
            except ValueError:
                raise ValueError(f"{version!r} is no version") from None
        for region, published in self.regions.items():
            arn = LayerVersionArn.parse(published.arn)
            if (arn.region, arn.name) != (region, self.layer_name):
                raise ValueError(f"{published.arn} is recorded for {self.layer_name} in {region}")
        return self

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two entries the same one."""
        return self.node_version, self.architecture, self.nodelayer_version, self.code_sha256

    def live(self) -> Iterator[tuple[str, Published]]:
        """The regions where it can be added to a function, and as what."""
        return ((region, each) for region, each in sorted(self.regions.items()) if each.deleted is None)

    def join(self, other: "Layer") -> "Layer":
        """The same entry with what either knows of it; both have the same key."""
        regions = dict(self.regions)
        for region, published in other.regions.items():
            regions[region] = regions[region].join(published) if region in regions else published
        return Layer(
            **{
                **self.model_dump(exclude={"regions", "unzipped_size", "compatible_runtimes"}),
                "unzipped_size": max(
                    (size for size in (self.unzipped_size, other.unzipped_size) if size is not None),
                    default=None,
                ),
                "compatible_runtimes": sorted({*self.compatible_runtimes, *other.compatible_runtimes}),
                "regions": regions,
            }
        )


class Manifest(_Value):
    """All of it; `layers` sorted by Node.js version, architecture, nodelayer version and content."""

    schema_: str | None = Field(default=SCHEMA_FILE, alias="$schema", description="Where the schema lies")
    schema_version: Literal[2] = 2
    layers: list[Layer] = []

    @classmethod
    def of(cls, layers: Iterable[Layer]) -> "Manifest":
        """A manifest of these, joined where they speak of the same zip."""
        joined: dict[tuple[str, str, str, str], Layer] = {}
        for layer in layers:
            joined[layer.key] = joined[layer.key].join(layer) if layer.key in joined else layer
        return cls(layers=sorted(joined.values(), key=_order))

    def merge(self, other: "Manifest") -> "Manifest":
        """What either holds. The order does not matter, nor how often it is done."""
        return Manifest.of([*self.layers, *other.layers])

    def of_nodelayer(self, version: str) -> "Manifest":
        """What one version of nodelayer has built of it."""
        return Manifest.of(layer for layer in self.layers if layer.nodelayer_version == version)

    def json_text(self) -> str:
        """As it is written: sorted, two blanks to a step, one newline at the end."""
        data = self.model_dump(by_alias=True)
        for layer in data["layers"]:
            layer["regions"] = {
                region: {name: value for name, value in published.items() if value not in (None, [])}
                for region, published in sorted(layer["regions"].items())
            }
        return json.dumps(data, indent=2) + "\n"

    def text(self) -> str:
        """`region node architecture arn`, a line for each layer version that can be added to a function."""
        lines = [
            (
                (node_release.sort_key(layer.node_version), layer.architecture, region, published.version),
                f"{region} {layer.node_version} {layer.architecture} {published.arn}\n",
            )
            for layer in self.layers
            for region, published in layer.live()
        ]
        return "".join(line for _, line in sorted(lines))


@dataclass(frozen=True)
class Found:
    """What a look-up gives: the entry, the region, and what is published there."""

    layer: Layer
    region: str
    published: Published

    def as_json(self) -> Mapping[str, object]:
        """One object, flat, for a program."""
        return {
            "arn": self.published.arn,
            "region": self.region,
            "node_version": self.layer.node_version,
            "architecture": self.layer.architecture,
            "nodelayer_version": self.layer.nodelayer_version,
            "layer_name": self.layer.layer_name,
            "layer_version": self.published.version,
            "code_sha256": self.layer.code_sha256,
            "size": self.layer.size,
            "compatible_runtimes": self.layer.compatible_runtimes,
            "public": self.published.public,
            "published": self.published.published,
        }


def look_up(manifest: Manifest, spec: str, region: str, architecture: str) -> Found:
    """The newest layer version of the newest Node.js a spec means, in that region.

    Raises InvalidInputError for what is no spec, NotFoundError saying which regions and versions there are.
    """
    found = [
        Found(layer, region, layer.regions[region])
        for layer in manifest.layers
        if layer.architecture == architecture
        and region in layer.regions
        and layer.regions[region].deleted is None
    ]
    try:
        release = node_release.resolve(spec, _releases(found))
    except NotFoundError as error:
        raise NotFoundError(
            f"no layer of Node.js {spec} for {architecture} in {region}",
            todo=_instead(manifest, spec, region, architecture),
        ) from error
    return max(
        (each for each in found if each.layer.node_version == release.version),
        key=lambda each: (node_release.sort_key(each.layer.nodelayer_version), each.published.version),
    )


def versions_meant(manifest: Manifest, spec: str) -> set[str]:
    """Every Node.js version in the manifest that a spec means, not only the newest. Raises NodelayerError."""
    node_release.resolve(
        spec,
        releases := [
            Release(each, node_release.lts_codename(each))
            for each in {layer.node_version for layer in manifest.layers}
        ],
    )
    return {release.version for release in releases if _means(spec, release.version)}


def arn_for(
    node: str, region: str, *, architecture: str = "x86_64", manifest: str | os.PathLike[str] = FILE
) -> str:
    """The ARN of the layer of a Node.js version (`12.16.1`, `12`, `lts` …) in a region.

    `manifest` is a file or a URL; no AWS credentials are needed. Raises NodelayerError.
    """
    return look_up(open_manifest(str(manifest)), node, region, architecture).published.arn


def open_manifest(place: str) -> Manifest:
    """The manifest at a file or URL. Raises NodelayerError when there is none or it is not to be read."""
    if place.startswith(("https://", "http://")):
        with Web(todo="name another manifest with --manifest, or try again later") as web:
            answer = web.get(place, most=_MOST_BYTES)
        if answer.status == 404:  # noqa: PLR2004 - not found
            raise NotFoundError("there is no manifest", where=shown(place), todo="mend --manifest")
        return parse(answer.data, shown(place))
    path = Path(place)
    if not path.exists():
        raise NotFoundError(
            "there is no manifest", where=place, todo="name a file or a URL with --manifest, or publish first"
        )
    return read(path)


def read(path: Path) -> Manifest:
    """The manifest of a file; an empty one where there is no file. Raises NodelayerError."""
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error


def parse(data: bytes, where: str) -> Manifest:
    """A manifest of this or an older schema. Raises NotVerifiedError saying why it is not to be read."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotVerifiedError(
            "the manifest is not JSON", where=where, todo="take it from its last commit"
        ) from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version < 1:
        raise NotVerifiedError("no manifest: it has no schema_version", where=where, todo="mend --manifest")
    if version > SCHEMA_VERSION:
        raise NotVerifiedError(
            f"the manifest is of schema {version}, newer than the {SCHEMA_VERSION} known here",
            where=where,
            todo="use a newer nodelayer",
        )
    try:
        for older in range(version, SCHEMA_VERSION):
            raw = _MIGRATIONS[older](raw)
        return Manifest.of(Manifest.model_validate(raw).layers)
    except (ValidationError, NodelayerError, TypeError, AttributeError) as error:
        raise NotVerifiedError(
            f"the manifest does not hold what it should ({_first(error)})",
            where=where,
            todo="take it from its last commit",
        ) from error


def update(path: Path, change: Callable[[Manifest], Manifest]) -> Manifest:
    """Read, change and write a manifest and the files beside it while no other writer can.

    Each file is replaced whole. Raises NodelayerError; then each is what it was.
    """
    path = path.resolve()
    with _locked(path):
        changed = change(read(path))
        files = {
            path.name: changed.json_text(),
            f"{path.stem}.txt": changed.text(),
            SCHEMA_FILE: schema_text(),
        }
        for name, text in files.items():
            # By a writer that was killed; none is at work now.
            for left in path.parent.glob(f".{glob.escape(name)}.*{_UNFINISHED}"):
                left.unlink(missing_ok=True)
            _replace(path.with_name(name), text)
    return changed


def copy_into(folder: Path, known: Manifest) -> None:
    """A manifest and its text as files of a folder that nobody else writes to. Raises MachineError."""
    _replace(folder / FILE, known.json_text())
    _replace(folder / f"{Path(FILE).stem}.txt", known.text())


def check_writable(path: Path) -> None:
    """Raises MachineError where the manifest could not be written: known before anything is published.

    And InvalidInputError where its name is that of another file that is written with it.
    """
    path = path.resolve()
    if path.suffix == ".txt" or path.name == SCHEMA_FILE:
        raise InvalidInputError(
            "this name is for a file beside the manifest", where=str(path), todo=f"use --manifest {FILE}"
        )
    with _locked(path):
        try:
            if path.exists():
                path.open("rb+").close()
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise machine_error(error, path, "--manifest") from error


def schema_text() -> str:
    """The JSON Schema of the manifest, as `layers.schema.json` holds it."""
    schema = Manifest.model_json_schema(by_alias=True)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Published layers of Node.js for AWS Lambda",
        **{name: value for name, value in schema.items() if name != "title"},
    }
    return json.dumps(schema, indent=2) + "\n"


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 kept `time` for `published`, and did not say who may use a layer version."""
    layers = [
        {
            **layer,
            "regions": {
                region: {
                    **{name: value for name, value in published.items() if name != "time"},
                    "published": published.get("time"),
                }
                for region, published in layer.get("regions", {}).items()
            },
        }
        for layer in raw.get("layers", [])
    ]
    return {"schema_version": 2, "layers": layers}


_MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}


def _order(layer: Layer) -> tuple[Version, str, Version, str]:
    return (
        node_release.sort_key(layer.node_version),
        layer.architecture,
        node_release.sort_key(layer.nodelayer_version),
        layer.code_sha256,
    )


def _releases(found: Iterable[Found]) -> list[Release]:
    return [
        Release(version, node_release.lts_codename(version, published))
        for version, published in {
            each.layer.node_version: each.published.published for each in found
        }.items()
    ]


def _instead(manifest: Manifest, spec: str, region: str, architecture: str) -> str:
    """Where the version is to be had, and what else is there."""
    elsewhere: dict[str, set[str]] = {}
    here: set[str] = set()
    for layer in manifest.layers:
        for other, _ in layer.live():
            if other == region:
                here.add(f"{layer.node_version}" if layer.architecture == architecture else "")
            if _means(spec, layer.node_version):
                elsewhere.setdefault(layer.architecture, set()).add(other)
    parts = []
    for name, regions in sorted(elsewhere.items(), key=lambda item: item[0] != architecture):
        regions.discard(region if name == architecture else "")
        if regions:
            parts.append(f"for {name} it is in {_few(sorted(regions))}")
    versions = sorted(here - {""}, key=node_release.sort_key, reverse=True)
    parts.append(f"{region} has {_few(versions)} for {architecture}" if versions else f"{region} has none")
    return "; ".join(parts)


def _means(spec: str, version: str) -> bool:
    try:
        node_release.resolve(spec, [Release(version, node_release.lts_codename(version))])
    except NodelayerError:
        return False
    return True


def _few(words: Sequence[str], most: int = 8) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _first(error: Exception) -> str:
    if isinstance(error, NodelayerError):
        return error.what
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if not path.parent.is_dir():  # the lock would make it
        raise MachineError(
            "there is no such folder", where=str(path.parent), todo="make it, or mend --manifest"
        )
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InvalidInputError(
            f"another process has held the manifest for {_LOCK_SECONDS} s",
            where=str(path),
            todo="wait for it, or end it",
        ) from error
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error
    try:
        yield
    finally:
        lock.release()


def _replace(path: Path, text: str) -> None:
    """The file with this text, or as it was; not touched where it says so already."""
    data = text.encode()
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)  # noqa: PTH101
            os.replace(name, path)  # noqa: PTH105 - as the rest
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error
