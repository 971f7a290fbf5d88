"""Look up a published layer version or runtime by Node.js version, region and architecture."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import to_builtins

from nodelayer.aws.arn import RuntimeVersionArn
from nodelayer.errors import NodelayerError, NotFoundError, RefusedError
from nodelayer.manifest.model import MANIFEST_FILE, Layer, Manifest, Published, RuntimeVersion
from nodelayer.manifest.store import open_manifest
from nodelayer.node.versions import Release, exact, is_stable, lts_codename, resolve, sort_key

LATEST = "latest"
"""The alias that `publish-runtime` moves to the newest version of a runtime."""


@dataclass(frozen=True)
class Found:
    """The result of a look-up: the entry, the region, and the layer version there."""

    layer: Layer
    region: str
    published: Published

    def as_json(self) -> Mapping[str, object]:
        """Return the object that `invoke arn --format json` prints."""
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
            "source": to_builtins(self.layer.source),
            "public": self.published.public,
            "published": self.published.published,
        }


@dataclass(frozen=True)
class FoundRuntime:
    """A runtime for a function: the alias to use, and the runtime version that was published last for it."""

    arn: RuntimeVersionArn
    version: RuntimeVersion
    alias: str
    architecture: str

    def as_json(self) -> Mapping[str, object]:
        """Return the object that `invoke arn --as runtime --format json` prints."""
        return {
            "runtime_arn": self.arn.runtime,
            "runtime_alias": self.alias,
            "region": self.arn.region,
            "node_version": self.version.node_version,
            "architecture": self.architecture,
            "nodelayer_version": self.version.nodelayer_version,
            "runtime_version_arn": str(self.arn),
            "published": self.version.published,
        }


def look_up(manifest: Manifest, spec: str, region: str, architecture: str) -> Found:
    """Return the newest layer version, in that region, of the newest Node.js release that a spec means.

    Raises:
        InvalidInputError: The spec is not valid.
        NotFoundError: No layer matches. The error lists the regions and versions that exist.
    """
    try:
        return newest(offered_in(manifest, region, architecture), spec)
    except NotFoundError as error:
        offers = [
            (layer.node_version, layer.architecture, other)
            for layer in manifest.layers
            for other, _ in layer.offered()
        ]
        withdrawn = [
            f"{published.arn} was withdrawn ({published.withdrawn.reason})"
            for layer in manifest.layers
            if layer.architecture == architecture and _means(spec, layer.node_version)
            for other, published in layer.live()
            if other == region and published.withdrawn
        ]
        raise NotFoundError(
            f"no layer of Node.js {spec} for {architecture} in {region}",
            todo="; ".join(
                [*withdrawn[-1:], _alternatives("layer", offers, spec, region, architecture)],
            ),
        ) from error


def offered_in(manifest: Manifest, region: str, architecture: str) -> list[Found]:
    """Return the layer versions of a region and architecture that are neither deleted nor withdrawn."""
    return [
        Found(layer, region, published)
        for layer in manifest.layers
        if layer.architecture == architecture and (published := layer.offered_in(region))
    ]


def newest(found: Sequence[Found], spec: str) -> Found:
    """Return the newest of these layer versions of the newest Node.js release that a spec means.

    Raises:
        InvalidInputError: The spec is not valid.
        NotFoundError: No layer version matches.
    """
    release = resolve(spec, _releases((each.layer.node_version, each.published) for each in found))
    return max((each for each in found if each.layer.node_version == release.version), key=_age)


def look_up_runtime(manifest: Manifest, spec: str, region: str, architecture: str) -> FoundRuntime:
    """Return the runtime and the alias, in that region, for the newest Node.js release that a spec means.

    The alias is `latest` if the spec also means every later release of that major version (`24`, `lts`), else
    the exact Node.js version.

    Raises:
        InvalidInputError: The spec is not valid.
        NotFoundError: No runtime matches. The error lists the regions and versions that exist.
    """
    live = [
        (RuntimeVersionArn.parse(arn), version) for arn, version in manifest.runtimes.items() if version.live
    ]
    found = {
        arn: version
        for arn, version in live
        if arn.region == region and architecture in version.architectures
    }
    releases = _releases((each.node_version, each) for each in found.values())
    try:
        node = resolve(spec, releases).version
    except NotFoundError as error:
        offers = [(each.node_version, name, arn.region) for arn, each in live for name in each.architectures]
        raise NotFoundError(
            f"no runtime of Node.js {spec} for {architecture} in {region}",
            todo=_alternatives("runtime", offers, spec, region, architecture),
        ) from error
    arn, version = max(
        ((arn, each) for arn, each in found.items() if each.node_version == node),
        key=lambda item: (sort_key(item[1].nodelayer_version), item[1].published),
    )
    return FoundRuntime(arn, version, LATEST if _follows(spec, version, releases) else node, architecture)


def look_up_everywhere(manifest: Manifest, spec: str, architecture: str) -> tuple[list[Found], list[str]]:
    """Return the layer of the newest release that a spec means, by region, and the regions that lack it.

    Raises:
        InvalidInputError: The spec is not valid.
        NotFoundError: No layer matches.
    """
    regions = {region for layer in manifest.layers for region, _ in layer.offered()}
    found = []
    for region in sorted(regions):
        try:
            found.append(look_up(manifest, spec, region, architecture))
        except NotFoundError:
            continue
    if not found:
        raise NotFoundError(
            f"no layer of Node.js {spec} for {architecture} in any region", todo="publish it first"
        )
    newest = max(sort_key(each.layer.node_version) for each in found)
    everywhere = [each for each in found if sort_key(each.layer.node_version) == newest]
    return everywhere, sorted(regions - {each.region for each in everywhere})


def look_up_newer(manifest: Manifest, arn: str, spec: str = "") -> Found:
    """Return the layer version that replaces another one: of the same region and architecture, and newer.

    `spec` says up to which Node.js release; empty means the same major version.

    Raises:
        InvalidInputError: The spec is not valid.
        NotFoundError: The manifest does not contain the ARN, or nothing newer.
        RefusedError: The layer version was withdrawn, and nothing replaces it.
    """
    recorded = (
        Found(layer, region, published)
        for layer in manifest.layers
        for region, published in layer.regions.items()
    )
    current = next((each for each in recorded if each.published.arn == arn), None)
    if current is None:
        raise NotFoundError(
            "the manifest does not contain this layer version", where=arn, todo="use another --manifest"
        )
    spec = spec or current.layer.node_version.partition(".")[0]
    try:
        found = newest(offered_in(manifest, current.region, current.layer.architecture), spec)
    except NotFoundError:
        found = current
    if _age(found) > _age(current):
        return found
    if withdrawn := current.published.withdrawn:
        raise RefusedError(
            f"it was withdrawn ({withdrawn.reason}), and no layer of Node.js {spec} is newer",
            where=arn,
            todo="stop using it",
        )
    raise NotFoundError(f"no layer of Node.js {spec} is newer", where=arn)


def versions_meant(manifest: Manifest, spec: str) -> set[str]:
    """Return every Node.js version in the manifest that a spec means, not only the newest.

    Raises:
        InvalidInputError: The spec is not valid.
        NotFoundError: No version matches.
    """
    resolve(
        spec,
        releases := [
            Release(each, lts_codename(each)) for each in {layer.node_version for layer in manifest.layers}
        ],
    )
    return {release.version for release in releases if _means(spec, release.version)}


def arn_for(
    node: str, region: str, *, architecture: str = "x86_64", manifest: str | os.PathLike[str] = MANIFEST_FILE
) -> str:
    """Return the ARN of the layer of a Node.js version (`12.16.1`, `12`, `lts` …) in a region.

    `manifest` is a file or a URL. AWS credentials are not needed.

    Raises:
        NodelayerError: The manifest cannot be read, or no layer matches.
    """
    return look_up(open_manifest(str(manifest)), node, region, architecture).published.arn


def _age(found: Found) -> tuple[object, object, int]:
    """Return the key by which a newer layer version of the same region and architecture is greater."""
    layer = found.layer
    return sort_key(layer.node_version), sort_key(layer.nodelayer_version), found.published.version


def _follows(spec: str, version: RuntimeVersion, releases: Sequence[Release]) -> bool:
    """Check that a spec means the newest release of its major version, and every later one."""
    major = sort_key(version.node_version).major
    line = [
        each.version for each in releases if sort_key(each.version).major == major and is_stable(each.version)
    ]
    later = f"{major}.999999.0"
    codename = lts_codename(later, version.published)
    return (
        exact(spec) is None
        and version.node_version == max(line, key=sort_key)
        and resolve(spec, [*releases, Release(later, codename)]).version == later
    )


def _releases(found: Iterable[tuple[str, Published | RuntimeVersion]]) -> list[Release]:
    return [
        Release(version, lts_codename(version, published))
        for version, published in {version: each.published for version, each in found}.items()
    ]


def _alternatives(
    kind: str, offers: Iterable[tuple[str, str, str]], spec: str, region: str, architecture: str
) -> str:
    """Return the regions that have the version, and the versions that the region has.

    `offers` are a Node.js version, an architecture and a region each.
    """
    elsewhere: dict[str, set[str]] = {}
    here: set[str] = set()
    for node_version, name, other in offers:
        if (other, name) == (region, architecture):
            here.add(node_version)
        if _means(spec, node_version):
            elsewhere.setdefault(name, set()).add(other)
    parts = []
    for name, regions in sorted(elsewhere.items(), key=lambda item: item[0] != architecture):
        regions.discard(region if name == architecture else "")
        if regions:
            parts.append(f"available for {name} in {_few(sorted(regions))}")
    versions = sorted(here, key=sort_key, reverse=True)
    parts.append(f"{region} has {_few(versions) or f'no {kind}'} for {architecture}")
    return "; ".join(parts)


def _means(spec: str, version: str) -> bool:
    try:
        resolve(spec, [Release(version, lts_codename(version))])
    except NodelayerError:
        return False
    return True


def _few(words: Sequence[str], most: int = 8) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
