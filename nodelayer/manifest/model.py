"""The entries of the manifest, and how two manifests merge.

Merging two manifests keeps the entries of both, in any order. AWS never reuses layer version numbers, an
entry is never removed, and its changes (a permission added, a version deleted) go in one direction. So two
writers never lose each other's entries.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, to_builtins
from msgspec.structs import force_setattr, replace
from semver import Version

from nodelayer.aws.arn import LayerVersionArn
from nodelayer.node.versions import sort_key

MANIFEST_FILE = "layers.json"
SCHEMA_FILE = "layers.schema.json"

Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", max_length=20)]
"""UTC, to the second. In Python `$` also matches before a newline, so patterns have a length beside them."""


class Published(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One layer version in one region. Times are UTC; `deleted` is set once it can no longer be added."""

    version: Annotated[int, Meta(ge=1, description="The layer version number")]
    arn: Annotated[str, Meta(description="The ARN of the layer version")]
    published: Annotated[Time, Meta(description="When it was published, UTC")]
    public: Annotated[bool, Meta(description="Whether every AWS account may use it")] = False
    organizations: Annotated[list[str], Meta(description="The AWS Organizations that may use it")] = []
    deleted: Annotated[Time | None, Meta(description="When it was deleted, UTC")] = None

    def __post_init__(self) -> None:
        if LayerVersionArn.parse(self.arn).version != self.version:
            raise ValueError(f"{self.arn} is not version {self.version}")
        force_setattr(self, "organizations", sorted(set(self.organizations)))

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


class Layer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One layer zip, by what it holds, and where it is published. Sizes are bytes."""

    node_version: str
    architecture: Annotated[str, Meta(pattern="^(x86_64|arm64)$", max_length=6)]
    nodelayer_version: str
    layer_name: str
    code_sha256: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9+/]{43}=$",
            max_length=44,
            description="sha256 of the zip in base64, as Lambda reports it",
        ),
    ]
    size: Annotated[int, Meta(ge=0, description="Bytes of the zip")]
    unzipped_size: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="Bytes below /opt")] = None
    compatible_runtimes: list[str]
    regions: Annotated[dict[str, Published], Meta(description="By region, what is published there")] = {}

    def __post_init__(self) -> None:
        for version in (self.node_version, self.nodelayer_version):
            try:
                sort_key(version)
            except ValueError:
                raise ValueError(f"{version!r} is no version") from None
        for region, published in self.regions.items():
            arn = LayerVersionArn.parse(published.arn)
            if (arn.region, arn.name) != (region, self.layer_name):
                raise ValueError(f"{published.arn} is recorded for {self.layer_name} in {region}")

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
        sizes = (size for size in (self.unzipped_size, other.unzipped_size) if size is not None)
        return replace(
            self,
            unzipped_size=max(sizes, default=None),
            compatible_runtimes=sorted({*self.compatible_runtimes, *other.compatible_runtimes}),
            regions=regions,
        )


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it; `layers` sorted by Node.js version, architecture, nodelayer version and content."""

    schema_: Annotated[str | None, Meta(description="Where the schema lies")] = field(
        default=SCHEMA_FILE, name="$schema"
    )
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
        data: dict[str, Any] = to_builtins(self)
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
