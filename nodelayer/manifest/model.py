"""The entries of the manifest, and how two manifests merge.

A merge keeps the entries of both manifests, in any order. AWS never reuses layer version numbers, entries are
never removed, and their changes (a permission added, a version deleted) are never undone. So two writers
never lose each other's entries. A runtime version can be restored, and its name can be used again: there, the
later time counts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, to_builtins
from msgspec.structs import force_setattr, replace
from semver import Version

from nodelayer.aws.arn import LayerVersionArn, RuntimeVersionArn
from nodelayer.node.versions import sort_key

MANIFEST_FILE = "layers.json"
SCHEMA_FILE = "layers.schema.json"

Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", max_length=20)]
"""UTC, to the second. In Python, `$` also matches before a final newline, so each needs a maximum length."""

Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f\ufffe\uffff]*$(?!\n)")]
"""Text without control characters, which XML does not allow and which a terminal obeys."""

Reason = Annotated[Text, Meta(min_length=1, max_length=500)]

AccountId = Annotated[str, Meta(pattern=r"^\d{12}$", max_length=12)]


class Withdrawal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a layer version is no longer offered, and which one replaces it."""

    time: Annotated[Time, Meta(description="When it was withdrawn, UTC")]
    reason: Reason
    successor: Annotated[str | None, Meta(description="The ARN to use instead")] = None

    def __post_init__(self) -> None:
        if self.successor is not None:
            LayerVersionArn.parse(self.successor)


Architecture = Annotated[str, Meta(pattern="^(x86_64|arm64)$", max_length=6)]
Runtime = Annotated[str, Meta(pattern=r"^(provided|nodejs)[a-z0-9.]*$", max_length=40)]
Organization = Annotated[str, Meta(pattern=r"^o-[a-z0-9]{10,32}$", max_length=34)]


class Published(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One layer version in one region. Times are UTC; `deleted` is set if it no longer exists."""

    version: Annotated[int, Meta(ge=1, le=2**53, description="The layer version number")]
    arn: Annotated[str, Meta(description="The ARN of the layer version")]
    published: Annotated[Time, Meta(description="When it was published, UTC")]
    public: Annotated[bool, Meta(description="Whether every AWS account may use it")] = False
    organizations: Annotated[
        list[Organization], Meta(description="The AWS Organizations that may use it")
    ] = []
    accounts: Annotated[list[AccountId], Meta(description="The AWS accounts that may use it")] = []
    parameters: Annotated[bool, Meta(description="Whether SSM parameters name the newest layer here")] = False
    deleted: Annotated[Time | None, Meta(description="When it was deleted, UTC")] = None
    withdrawn: Annotated[Withdrawal | None, Meta(description="Why it is no longer offered")] = None

    def __post_init__(self) -> None:
        for time in (self.published, self.deleted or self.published):
            datetime.fromisoformat(time)  # the pattern accepts a month 99
        if LayerVersionArn.parse(self.arn).version != self.version:
            raise ValueError(f"{self.arn} is not version {self.version}")
        force_setattr(self, "organizations", sorted(set(self.organizations)))
        force_setattr(self, "accounts", sorted(set(self.accounts)))

    def join(self, other: "Published") -> "Published":
        """Return the later layer version; if both are the same one, merge them."""
        if self.arn != other.arn:
            later = max(self, other, key=lambda each: (each.version, each.published, each.arn))
            return replace(later, parameters=self.parameters or other.parameters)
        return Published(
            version=self.version,
            arn=self.arn,
            published=min(self.published, other.published),
            public=self.public or other.public,
            organizations=sorted({*self.organizations, *other.organizations}),
            accounts=sorted({*self.accounts, *other.accounts}),
            parameters=self.parameters or other.parameters,
            deleted=min((each.deleted for each in (self, other) if each.deleted), default=None),
            withdrawn=min(
                (each.withdrawn for each in (self, other) if each.withdrawn), key=_text, default=None
            ),
        )


class Source(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the Node.js binary came from, and how the download was verified."""

    name: Annotated[Text, Meta(description="The source: nodejs.org or npm")]
    verified: Annotated[
        Literal["openpgp", "checksum"],
        Meta(description="openpgp: a signature of the Node.js release team; checksum: the source's own only"),
    ]
    key: Annotated[
        Annotated[str, Meta(pattern="^[0-9A-F]{40,64}$", max_length=64)] | None,
        Meta(description="Fingerprint of the key that signed the release"),
    ] = None


class Canary(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the layer started on Lambda before it was made public."""

    date: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$", max_length=10)]
    region: Text
    memory_mb: Annotated[int, Meta(ge=128)]
    init_ms: Annotated[float, Meta(ge=0, description="Median init duration in milliseconds")]
    starts: Annotated[int, Meta(ge=1)] = 1
    aws_runtime: Annotated[Text | None, Meta(description="AWS's runtime that was measured with it")] = None
    aws_init_ms: Annotated[Annotated[float, Meta(ge=0)] | None, Meta(description="Its median")] = None


class Layer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One layer zip, identified by its content, and its layer version in each region. Sizes are in bytes."""

    node_version: str
    architecture: Architecture
    nodelayer_version: str
    layer_name: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", max_length=140)]
    code_sha256: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9+/]{43}=$",
            max_length=44,
            description="SHA-256 of the zip in base64, as Lambda reports it",
        ),
    ]
    size: Annotated[int, Meta(ge=0, le=2**53, description="Size of the zip in bytes")]
    unzipped_size: Annotated[
        Annotated[int, Meta(ge=0, le=2**53)] | None, Meta(description="Size of the unzipped files in bytes")
    ] = None
    compatible_runtimes: list[Runtime]
    source: Annotated[Source | None, Meta(description="Where Node.js came from")] = None
    canary: Canary | None = None
    regions: Annotated[dict[str, Published], Meta(description="The layer version in each region")] = {}

    def __post_init__(self) -> None:
        _check_versions(self.node_version, self.nodelayer_version)
        for region, published in self.regions.items():
            arn = LayerVersionArn.parse(published.arn)
            if (arn.region, arn.name) != (region, self.layer_name):
                raise ValueError(f"{published.arn} is recorded for {self.layer_name} in {region}")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The values that identify an entry."""
        return self.node_version, self.architecture, self.nodelayer_version, self.code_sha256

    @property
    def withdrawn(self) -> bool:
        """Whether the layer was withdrawn in some region."""
        return any(each.withdrawn for each in self.regions.values())

    def live_in(self, region: str) -> Published | None:
        """Return the layer version of a region unless it is deleted."""
        published = self.regions.get(region)
        return published if published and published.deleted is None else None

    def offered_in(self, region: str) -> Published | None:
        """Return the layer version of a region unless it is deleted or withdrawn."""
        published = self.live_in(region)
        return published if published and published.withdrawn is None else None

    def live(self) -> Iterator[tuple[str, Published]]:
        """Return the regions and layer versions that are not deleted."""
        return ((region, each) for region, each in sorted(self.regions.items()) if each.deleted is None)

    def offered(self) -> Iterator[tuple[str, Published]]:
        """Return the regions and layer versions that are neither deleted nor withdrawn."""
        return ((region, each) for region, each in self.live() if each.withdrawn is None)

    def join(self, other: "Layer") -> "Layer":
        """Merge two entries that have the same key."""
        regions = dict(self.regions)
        for region, published in other.regions.items():
            regions[region] = regions[region].join(published) if region in regions else published
        sizes = (size for size in (self.unzipped_size, other.unzipped_size) if size is not None)
        return replace(
            self,
            unzipped_size=max(sizes, default=None),
            source=max(filter(None, (self.source, other.source)), key=_strength, default=None),
            compatible_runtimes=sorted({*self.compatible_runtimes, *other.compatible_runtimes}),
            canary=max(filter(None, (self.canary, other.canary)), key=_recency, default=None),
            regions=regions,
        )


class RuntimeVersion(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A version of a customer-managed Lambda runtime with Node.js, in one region.

    `published` is the time that AWS reports. Aliases are not recorded, because they move.
    """

    node_version: str
    nodelayer_version: str
    architectures: Annotated[list[Architecture], Meta(min_length=1, description="What its image runs on")]
    image: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$(?!\n)",
            max_length=512,
            description="The URI of its image, with the digest",
        ),
    ]
    published: Annotated[Time, Meta(description="When it was created, UTC")]
    organizations: Annotated[
        list[Organization], Meta(description="The AWS Organizations that may use it")
    ] = []
    accounts: Annotated[list[AccountId], Meta(description="The AWS accounts that may use it")] = []
    deleted: Annotated[Time | None, Meta(description="When it was last deleted, UTC")] = None
    restored: Annotated[Time | None, Meta(description="When its deletion was last cancelled, UTC")] = None

    def __post_init__(self) -> None:
        _check_versions(self.node_version, self.nodelayer_version)
        for time in (self.published, self.deleted, self.restored):
            datetime.fromisoformat(time or self.published)  # the pattern accepts a month 99
        for name in ("architectures", "organizations", "accounts"):
            force_setattr(self, name, sorted(set(getattr(self, name))))

    @property
    def live(self) -> bool:
        """Whether it is not deleted, or was restored."""
        return self.deleted is None or (self.restored or "") >= self.deleted

    def join(self, other: "RuntimeVersion") -> "RuntimeVersion":
        """Return the later version of the same name; if both are the same one, merge them."""
        if (self.published, self.image) != (other.published, other.image):
            return max(self, other, key=lambda each: (each.published, each.image))
        return RuntimeVersion(
            node_version=max(self.node_version, other.node_version),
            nodelayer_version=max(self.nodelayer_version, other.nodelayer_version),
            architectures=[*self.architectures, *other.architectures],
            image=self.image,
            published=self.published,
            organizations=[*self.organizations, *other.organizations],
            accounts=[*self.accounts, *other.accounts],
            deleted=max((each.deleted for each in (self, other) if each.deleted), default=None),
            restored=max((each.restored for each in (self, other) if each.restored), default=None),
        )


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The manifest; `layers` are sorted by Node.js version, architecture, nodelayer version and content.

    `runtimes` are the runtime versions by ARN.
    """

    schema_: Annotated[Text | None, Meta(description="Path of the JSON Schema")] = field(
        default=SCHEMA_FILE, name="$schema"
    )
    schema_version: Literal[3] = 3
    layers: list[Layer] = []
    runtimes: Annotated[
        dict[Text, RuntimeVersion], Meta(description="Versions of customer-managed runtimes, by ARN")
    ] = {}

    def __post_init__(self) -> None:
        for text, runtime in self.runtimes.items():
            arn = RuntimeVersionArn.parse(text)
            major = sort_key(runtime.node_version).major
            name, version = f"nodejs-{major}", f"{runtime.node_version}_{runtime.nodelayer_version}"
            if (arn.name, arn.version) != (name, version):
                raise ValueError(f"{text} is recorded for Node.js {runtime.node_version}")

    @classmethod
    def of(cls, layers: Iterable[Layer], runtimes: Mapping[str, RuntimeVersion] | None = None) -> "Manifest":
        """Create a manifest of these layers and runtimes; entries for the same zip are merged."""
        joined: dict[tuple[str, str, str, str], Layer] = {}
        for layer in layers:
            joined[layer.key] = joined[layer.key].join(layer) if layer.key in joined else layer
        return cls(
            layers=sorted(joined.values(), key=_order), runtimes=dict(sorted((runtimes or {}).items()))
        )

    def merge(self, other: "Manifest") -> "Manifest":
        """Return a manifest with the entries of both. Order and repetition make no difference."""
        runtimes = dict(self.runtimes)
        for arn, runtime in other.runtimes.items():
            runtimes[arn] = runtimes[arn].join(runtime) if arn in runtimes else runtime
        return Manifest.of([*self.layers, *other.layers], runtimes)

    def of_nodelayer(self, version: str) -> "Manifest":
        """Return a manifest of the layers that one version of nodelayer built."""
        return Manifest.of(
            (layer for layer in self.layers if layer.nodelayer_version == version),
            {arn: each for arn, each in self.runtimes.items() if each.nodelayer_version == version},
        )

    def json_text(self) -> str:
        """Return the JSON text: sorted, indented by two spaces, with a newline at the end."""
        data: dict[str, Any] = to_builtins(self)
        for runtime in data["runtimes"].values():
            for name in ("organizations", "accounts", "deleted", "restored"):
                if not runtime[name]:
                    del runtime[name]
        if not self.runtimes:
            del data["runtimes"]
        for layer in data["layers"]:
            for name in ("source", "canary"):
                if layer[name] is None:
                    del layer[name]
            layer["regions"] = {
                region: {
                    name: value
                    for name, value in published.items()
                    if value not in (None, []) and (name, value) != ("parameters", False)
                }
                for region, published in sorted(layer["regions"].items())
            }
        return json.dumps(data, indent=2) + "\n"

    def text(self) -> str:
        """Return a line `region node architecture arn` for each layer version that is offered."""
        lines = [
            (
                (sort_key(layer.node_version), layer.architecture, region, published.version),
                f"{region} {layer.node_version} {layer.architecture} {published.arn}\n",
            )
            for layer in self.layers
            for region, published in layer.offered()
        ]
        return "".join(line for _, line in sorted(lines))


def _check_versions(*versions: str) -> None:
    for version in versions:
        try:
            sort_key(version)
        except ValueError:
            raise ValueError(f"{version!r} is not a version") from None


def _recency(canary: Canary) -> tuple[str, int, str]:
    return canary.date, canary.starts, _text(canary)


def _text(record: Struct) -> str:
    return json.dumps(to_builtins(record))


def _strength(source: Source) -> tuple[bool, str, str]:
    return source.verified == "openpgp", source.name, source.key or ""


def _order(layer: Layer) -> tuple[Version, str, Version, str]:
    return (
        sort_key(layer.node_version),
        layer.architecture,
        sort_key(layer.nodelayer_version),
        layer.code_sha256,
    )
