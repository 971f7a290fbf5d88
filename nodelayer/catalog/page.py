"""The page of every published layer version: one HTML file with its style, script and data.

It works from a web server, a bucket or a disk. A Content Security Policy allows only the page's own script.
Values from the manifest never become HTML: the template escapes them, and the script sets `textContent`.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import to_builtins

from nodelayer import architecture
from nodelayer.aws import runtimes
from nodelayer.aws.arn import LayerVersionArn, RuntimeVersionArn
from nodelayer.catalog import snippets, templates
from nodelayer.manifest.model import Canary, Layer, Manifest, Published, RuntimeVersion, Source
from nodelayer.node import versions

_TEMPLATE = "page.html"
_ARCHITECTURES = tuple(each.name for each in architecture.ALL)
_COLUMNS = (
    *("node", "arch", "build", "name", "size", "unzipped", "runtimes"),
    *("places", "accounts", "versions", "time", "later", "access", "sha256", "source", "canary"),
)
_BUILD_FILES = (("SBOM (CycloneDX)", "cdx.json"), ("Build record", "json"), ("Zip", "zip"))

LiveLayer = tuple[Layer, Mapping[str, Published]]
LiveRuntime = tuple[RuntimeVersionArn, RuntimeVersion]
T = TypeVar("T")


def render(manifest: Manifest, region_names: Mapping[str, str], assets_url: str = "") -> str:
    """Render the page; the same input gives the same bytes.

    Raises:
        InvalidInputError: A runtime is not plain text. It could inject a command into a pasted snippet.
    """
    style, script = templates.read_asset("style.css"), templates.read_asset("page.js")
    return templates.render(
        _TEMPLATE,
        style=style,
        style_hash=_csp_hash(style),
        script=script,
        script_hash=_csp_hash(script),
        data=page_data(manifest, region_names, assets_url),
        newest=_newest_of_each_line(manifest),
        runtime_lines=_runtime_lines(manifest),
        withdrawn=[
            (layer, each)
            for layer in manifest.layers
            for each in sorted({one.withdrawn for one in layer.regions.values() if one.withdrawn}, key=str)[
                :1
            ]
        ],
        runtimes=runtimes.known().values(),
    )


def page_data(manifest: Manifest, region_names: Mapping[str, str], assets_url: str = "") -> dict[str, object]:
    """Return the data for the page's script: a column for each field, and indexes for repeated values."""
    layers = _live_layers(manifest)
    live_runtimes = _live_runtimes(manifest)
    entries: list[Layer | RuntimeVersion] = [
        *(layer for layer, _ in layers),
        *(version for _, version in live_runtimes),
    ]
    nodes = sorted({each.node_version for each in entries}, key=versions.sort_key)
    builds = sorted({each.nodelayer_version for each in entries}, key=versions.sort_key)
    regions = sorted(
        {region for _, live in layers for region in live} | {arn.region for arn, _ in live_runtimes}
    )
    accounts: dict[tuple[str, str], int] = {}
    access: dict[tuple[bool, tuple[str, ...], tuple[str, ...]], int] = {}
    places: dict[tuple[int, ...], int] = {}
    runtime_sets: dict[tuple[str, ...], int] = {}
    sources: dict[Source | None, int] = {}
    canaries: dict[Canary | None, int] = {}
    rows = []
    for layer, live in layers:
        arns = [LayerVersionArn.parse(each.arn) for each in live.values()]
        times = [_seconds(each.published) for each in live.values()]
        default_name = f"nodejs-{layer.node_version.replace('.', '-')}-{layer.architecture}"
        rows.append(
            (
                nodes.index(layer.node_version),
                _ARCHITECTURES.index(layer.architecture),
                builds.index(layer.nodelayer_version),
                "" if layer.layer_name == default_name else layer.layer_name,
                layer.size,
                layer.unzipped_size,
                _index(runtime_sets, tuple(layer.compatible_runtimes)),
                _index(places, tuple(regions.index(region) for region in live)),
                _one_if_equal([_index(accounts, (arn.partition, arn.account)) for arn in arns]),
                _one_if_equal([each.version for each in live.values()]),
                min(times),
                _one_if_equal([each - min(times) for each in times]),
                _one_if_equal([_index(access, _access(each)) for each in live.values()]),
                layer.code_sha256,
                _index(sources, layer.source),
                _index(canaries, layer.canary),
            )
        )
    grouped: dict[tuple[int, int, tuple[int, ...]], list[LiveRuntime]] = {}
    for arn, version in live_runtimes:
        kinds = tuple(_ARCHITECTURES.index(each) for each in version.architectures)
        key = nodes.index(version.node_version), builds.index(version.nodelayer_version), kinds
        grouped.setdefault(key, []).append((arn, version))
    return {
        "columns": {name: [row[column] for row in rows] for column, name in enumerate(_COLUMNS)},
        "runtimeVersions": [
            [
                *key,
                _index(places, tuple(regions.index(arn.region) for arn, _ in each)),
                _one_if_equal([_index(accounts, (arn.partition, arn.account)) for arn, _ in each]),
                _one_if_equal([_seconds(version.published) for _, version in each]),
                _one_if_equal([_index(access, _access(version)) for _, version in each]),
            ]
            for key, each in grouped.items()
        ],
        "nodes": nodes,
        "lts": _lts_nodes(layers, live_runtimes),
        "lines": _lts_lines(nodes),
        "builds": builds,
        "architectures": _ARCHITECTURES,
        "regions": [[region, region_names.get(region, "")] for region in regions],
        "accounts": list(accounts),
        "access": list(access),
        "places": list(places),
        "runtimeSets": list(runtime_sets),
        "sources": to_builtins(list(sources)),
        "canaries": to_builtins(list(canaries)),
        "runtimes": _runtime_dates(runtime_sets),
        "snippets": [
            [name, each.title, each.template, *([snippets.RUNTIME_FORMATS[name].template] if grouped else [])]
            for name, each in snippets.FORMATS.items()
        ],
        "words": _snippet_words([*runtime_sets, *([("custom",)] if grouped else [])]),
        "assets": [assets_url, _BUILD_FILES] if assets_url else None,
    }


def _live_layers(manifest: Manifest) -> list[LiveLayer]:
    return [(layer, live) for layer in manifest.layers if (live := dict(layer.offered()))]


def _live_runtimes(manifest: Manifest) -> list[LiveRuntime]:
    return [
        (RuntimeVersionArn.parse(arn), version) for arn, version in manifest.runtimes.items() if version.live
    ]


def _access(each: Published | RuntimeVersion) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    public = isinstance(each, Published) and each.public
    return public, tuple(each.organizations), tuple(each.accounts)


def _lts_nodes(layers: Sequence[LiveLayer], live_runtimes: Sequence[LiveRuntime]) -> list[str]:
    """Return the LTS releases, by the rule of `invoke arn`."""
    published = [(layer.node_version, each.published) for layer, live in layers for each in live.values()]
    published += [(version.node_version, version.published) for _, version in live_runtimes]
    return sorted(
        {version for version, when in published if versions.lts_codename(version, when)},
        key=versions.sort_key,
    )


def _runtime_lines(manifest: Manifest) -> list[tuple[str, str, list[str]]]:
    """Return the table of runtimes for readers without JavaScript: name, newest Node.js version, ARNs."""
    lines: dict[int, list[LiveRuntime]] = {}
    for arn, version in _live_runtimes(manifest):
        lines.setdefault(versions.sort_key(version.node_version).major, []).append((arn, version))
    return [
        (
            each[0][0].name,
            max((version.node_version for _, version in each), key=versions.sort_key),
            sorted({arn.runtime for arn, _ in each}),
        )
        for _, each in sorted(lines.items(), reverse=True)
    ]


def _lts_lines(nodes: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return codename and end of life by major version."""
    majors = {versions.sort_key(node).major for node in nodes}
    return {
        str(major): (line.codename, line.end_of_life)
        for major, line in versions.lts_lines().items()
        if major in majors
    }


def _runtime_dates(runtime_sets: Iterable[Sequence[str]]) -> dict[str, object]:
    used = {name for names in runtime_sets for name in names}
    return {
        name: [each.deprecated, each.create_block, each.update_block, each.creates]
        for name, each in sorted(runtimes.known().items())
        if name in used
    }


def _snippet_words(runtime_sets: Iterable[Sequence[str]]) -> dict[str, dict[str, dict[str, str]]]:
    """Return the words of a snippet by the newest runtime of a layer and by its architecture."""
    newest = {max(names) for names in runtime_sets if names}
    return {
        runtime: {name: snippets.words(name, runtime) for name in _ARCHITECTURES}
        for runtime in sorted(newest)
    }


def _newest_of_each_line(manifest: Manifest) -> list[tuple[Layer, versions.LtsLine | None, list[str]]]:
    """Return the table for readers without JavaScript: newest layers, their lines, and their ARNs."""
    newest: dict[tuple[int, int], LiveLayer] = {}
    for layer, live in _live_layers(manifest):  # sorted, so the last is the newest
        if versions.is_stable(layer.node_version):
            newest[-versions.sort_key(layer.node_version).major, _ARCHITECTURES.index(layer.architecture)] = (
                layer,
                live,
            )
    lines = versions.lts_lines()
    return [
        (layer, lines.get(-major), [each.arn for each in live.values()])
        for (major, _), (layer, live) in sorted(newest.items(), key=lambda each: each[0])
    ]


def _csp_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _index(known: dict[T, int], value: T) -> int:
    return known.setdefault(value, len(known))


def _one_if_equal(values: list[int]) -> int | list[int]:
    """Return a single number if all are equal, which is the usual case."""
    return values[0] if len(set(values)) == 1 else values
