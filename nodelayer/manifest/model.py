"""The entries of the manifest, and how two manifests merge.

Merging two manifests keeps the entries of both, in any order. AWS never reuses layer version numbers, an
entry is never removed, and its changes (a permission added, a version deleted) go in one direction. So two
writers never lose each other's entries.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from semver import Version

from nodelayer.aws.arn import LayerVersionArn
from nodelayer.node.versions import sort_key

MANIFEST_FILE = "layers.json"
SCHEMA_FILE = "layers.schema.json"

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
                sort_key(version)
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
                (sort_key(layer.node_version), layer.architecture, region, published.version),
                f"{region} {layer.node_version} {layer.architecture} {published.arn}\n",
            )
            for layer in self.layers
            for region, published in layer.live()
        ]
        return "".join(line for _, line in sorted(lines))


def _order(layer: Layer) -> tuple[Version, str, Version, str]:
    return (
        sort_key(layer.node_version),
        layer.architecture,
        sort_key(layer.nodelayer_version),
        layer.code_sha256,
    )
