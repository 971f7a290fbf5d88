"""The catalogue: a static page of every published layer version, and what a program reads, beside it.

One HTML file holds it all, style, program and data: it works from a server, from a bucket and from a disk.
Whatever a manifest says reaches the page as text only: escaped where Python writes it, `textContent` where
the page does, behind a Content Security Policy that runs the page's own program and nothing else.
"""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from nodelayer.aws import runtimes
from nodelayer.aws.arn import LayerVersionArn
from nodelayer.catalog import snippets
from nodelayer.errors import InvalidInputError, machine_error
from nodelayer.manifest import model as manifests
from nodelayer.manifest.model import Found, Layer, Manifest
from nodelayer.node import versions

PAGE = "index.html"
FEED = "feed.atom"

_ARCHITECTURES = ("x86_64", "arm64")
_COLUMNS = (
    *("node", "arch", "build", "name", "size", "unzipped", "runtimes"),
    *("places", "accounts", "versions", "time", "later", "access", "sha256"),
)
_FEED_ENTRIES = 100
_STALE_SECONDS = 3600
_ATOM = "http://www.w3.org/2005/Atom"
_PLACE = re.compile(r"\{(\w+)\}")
_TOKEN = re.compile(r"<!--(\w+)-->")
_TITLES = {
    "arn": "ARN",
    "json": "JSON",
    "sam": "SAM",
    "cloudformation": "CloudFormation",
    "cdk": "CDK",
    "cdk-python": "CDK (Python)",
    "terraform": "Terraform",
    "serverless": "Serverless",
    "cli": "AWS CLI",
}
_ASSETS = (("SBOM (CycloneDX)", "cdx.json"), ("Build record", "json"), ("Zip", "zip"))

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """What the page cannot learn from the manifest.

    `assets_url` says where the files of a build are, `{file}` in it becomes `nodejs-12.16.1-x86_64.cdx.json`;
    `url` is where the page will be, for the feed; `region_names` what people call a region. Raises
    InvalidInputError for an address that is none.
    """

    assets_url: str = ""
    url: str = ""
    region_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.url:
            _check_address(self.url, "--site-url")
        if self.assets_url:
            _check_address(_PLACE.sub("x", self.assets_url), "--assets-url")
            known = ("file", "node_version", "architecture", "nodelayer_version", "layer_name")
            named = _PLACE.findall(self.assets_url)
            unknown = [each for each in named if each not in known]
            if unknown or "file" not in named:
                raise InvalidInputError(
                    f"it knows no {{{unknown[0]}}}" if unknown else "it does not say where {file} goes",
                    where="--assets-url",
                    todo=f"write {{file}} in it; there are {', '.join(f'{{{name}}}' for name in known[1:])}",
                )


@dataclass(frozen=True)
class Written:
    """What there is now: the page, how much it shows, and its bytes."""

    page: Path
    layers: int
    layer_versions: int
    size: int


def write(known: Manifest, out: Path, site: Site, *, source: Path | None = None) -> Written:
    """The page and the files beside it in `out`, each replaced whole and the page last.

    `source` is the manifest's own file: where it lies in `out` it is not written over. Raises NodelayerError,
    on a full disk before the first file is touched.
    """
    text = page(known, site)
    files = {
        manifests.FILE: known.json_text(),
        f"{Path(manifests.FILE).stem}.txt": known.text(),
        manifests.SCHEMA_FILE: manifests.schema_text(),
    }
    if source is not None and source.resolve() == (out / manifests.FILE).resolve():
        files = {}  # a publisher may be at work on them
    _replace_all(out, {**files, FEED: feed(known, site), PAGE: text})
    live = [sum(1 for _ in layer.live()) for layer in known.layers]
    return Written(out / PAGE, sum(map(bool, live)), sum(live), len(text.encode()))


# ---- the page


def page(known: Manifest, site: Site) -> str:
    """The HTML page; the same input gives the same bytes. Raises InvalidInputError for an unfit runtime."""
    style, program = _source("style.css"), _source("page.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(program)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    data = json.dumps(columns(known, site), separators=(",", ":"), ensure_ascii=False)
    data = data.replace("<", "\\u003c")  # nothing in it can end the block, or open a comment
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
        "style": f"<style>{style}</style>",
        "data": f'<script type="application/json" id="data">{data}</script>',
        "program": f"<script>{program}</script>",
        "static": _static(known),
    }
    return _TOKEN.sub(lambda found: parts[found[1]], _source("page.html"))


def columns(known: Manifest, site: Site) -> dict[str, object]:
    """What the page's program works on: the live layer versions by columns, what repeats by its number."""
    layers = [(layer, dict(layer.live())) for layer in known.layers]
    layers = [(layer, live) for layer, live in layers if live]
    nodes = sorted({layer.node_version for layer, _ in layers}, key=versions.sort_key)
    builds = sorted({layer.nodelayer_version for layer, _ in layers}, key=versions.sort_key)
    regions = sorted({region for _, live in layers for region in live})
    accounts: dict[tuple[str, str], int] = {}
    access: dict[tuple[bool, tuple[str, ...]], int] = {}
    places: dict[tuple[int, ...], int] = {}
    sets: dict[tuple[str, ...], int] = {}
    rows = []
    for layer, live in layers:
        arns = [LayerVersionArn.parse(each.arn) for each in live.values()]
        times = [_seconds(each.published) for each in live.values()]
        usual = _usual_name(layer)
        rows.append(
            (
                nodes.index(layer.node_version),
                _ARCHITECTURES.index(layer.architecture),
                builds.index(layer.nodelayer_version),
                "" if layer.layer_name == usual else layer.layer_name,
                layer.size,
                layer.unzipped_size,
                _number(sets, tuple(layer.compatible_runtimes)),
                _number(places, tuple(regions.index(region) for region in live)),
                _one([_number(accounts, (arn.partition, arn.account)) for arn in arns]),
                _one([each.version for each in live.values()]),
                min(times),
                _one([each - min(times) for each in times]),
                _one([_number(access, (each.public, tuple(each.organizations))) for each in live.values()]),
                layer.code_sha256,
            )
        )
    return {
        "columns": {name: [row[column] for row in rows] for column, name in enumerate(_COLUMNS)},
        "nodes": nodes,
        "lts": _lts_nodes(layers),
        "lines": _lines(nodes),
        "builds": builds,
        "architectures": _ARCHITECTURES,
        "regions": [[region, site.region_names.get(region, "")] for region in regions],
        "accounts": list(accounts),
        "access": list(access),
        "places": list(places),
        "runtimeSets": list(sets),
        "runtimes": _runtimes(sets),
        "snippets": [[name, _TITLES[name], text] for name, text in snippets.TEMPLATES.items()],
        "words": _words(sets),
        "json": list(_sample_json()),
        "assets": [site.assets_url, _ASSETS] if site.assets_url else None,
    }


def _lts_nodes(layers: Sequence[tuple[Layer, Mapping[str, manifests.Published]]]) -> list[str]:
    """The LTS releases, as a look-up in the manifest sees them."""
    return sorted(
        {
            layer.node_version
            for layer, live in layers
            if any(versions.lts_codename(layer.node_version, each.published) for each in live.values())
        },
        key=versions.sort_key,
    )


def _lines(nodes: Iterable[str]) -> dict[str, tuple[str, str]]:
    """By major its codename and end of life, for the lines that are LTS."""
    majors = {versions.sort_key(node).major for node in nodes}
    return {
        str(major): (line.codename, line.end_of_life)
        for major, line in versions.lts_lines().items()
        if major in majors
    }


def _runtimes(sets: Iterable[Sequence[str]]) -> dict[str, object]:
    known = runtimes.known()
    named = sorted({name for each in sets for name in each})
    return {
        name: [one.system, one.deprecated, one.create_block, one.update_block, one.creates]
        for name in named
        if (one := known.get(name))
    }


def _words(sets: Iterable[Sequence[str]]) -> dict[str, dict[str, dict[str, str]]]:
    """What a snippet says of an architecture and of a runtime, beyond their names.

    Raises InvalidInputError for a runtime that is not plain text: it would be pasted into a shell.
    """
    of_runtime, of_architecture = {}, {}
    for name in sorted({max(each) for each in sets if each}) or ["provided"]:
        for architecture in _ARCHITECTURES:
            layer = snippets.Layer("arn", "region", "0.0.0", architecture, name, {})
            words = snippets.words(layer)
            of_runtime[name] = {"runtime": name, "cdk_runtime": words["cdk_runtime"]}
            of_architecture[architecture] = {"cdk_architecture": words["cdk_architecture"]}
    return {"runtime": of_runtime, "architecture": of_architecture}


def _sample_json() -> Mapping[str, object]:
    """The names in the JSON of a look-up, in their order."""
    arn = "arn:aws:lambda:xx-none-1:000000000000:layer:layer:1"
    published = manifests.Published(version=1, arn=arn, published="1970-01-01T00:00:00Z")
    layer = Layer(
        node_version="0.0.0",
        architecture="x86_64",
        nodelayer_version="0.0.0",
        layer_name="layer",
        code_sha256="A" * 43 + "=",
        size=0,
        compatible_runtimes=[],
    )
    return Found(layer, "", published).as_json()


def _static(known: Manifest) -> str:
    """What is seen without JavaScript: the newest of each line, with its ARN in every region."""
    newest: dict[tuple[int, str], Layer] = {}
    for layer in known.layers:  # sorted, so the last is the newest
        version = versions.sort_key(layer.node_version)
        if version.prerelease is None and any(layer.live()):
            newest[version.major, layer.architecture] = layer
    if not newest:
        return "<p>Nothing is published yet.</p>"
    rows = []
    order = sorted(newest, key=lambda each: (-each[0], _ARCHITECTURES.index(each[1])))
    for major, architecture in order:
        layer = newest[major, architecture]
        line = versions.lts_lines().get(major)
        live = list(layer.live())
        arns = "\n".join(each.arn for _, each in live)
        cells = (
            f'<th scope="row">{_text(layer.node_version)}</th>',
            f"<td>{_text(line.codename) if line else 'not LTS'}</td>",
            f"<td>{_date(line.end_of_life) if line else 'not known'}</td>",
            f"<td>{_text(architecture)}</td>",
            f"<td>{_text(', '.join(layer.compatible_runtimes))}</td>",
            f"<td><details><summary>{_many_regions(live)}</summary><pre>{_text(arns)}</pre></details></td>",
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Node.js", "Line", "End of life", "Architecture", "Runs on", "ARN")
    )
    dates = "".join(
        f"<li>{_text(name)} ({_text(one.system)}): deprecated {_date(one.deprecated)}</li>"
        for name, one in runtimes.known().items()
    )
    return (
        "<p>The newest layer of each Node.js line. Every other is in "
        '<a href="layers.txt">layers.txt</a>, a line each: region, Node.js, architecture, ARN.</p>'
        '<div class="sheet"><table><caption class="unseen">The newest of each line</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div><ul>{dates}</ul>"
    )


# ---- the feed


def feed(known: Manifest, site: Site) -> str:
    """An Atom feed (RFC 4287) of the newest layers; an entry's id is of its zip, and stays."""
    live = [(layer, dict(layer.live())) for layer in known.layers]
    dated = [
        (min(each.published for each in regions.values()), layer, regions)
        for layer, regions in live
        if regions
    ]
    dated.sort(key=lambda each: (each[0], versions.sort_key(each[1].node_version)), reverse=True)
    publishers = {
        LayerVersionArn.parse(each.arn).account for layer in known.layers for each in layer.regions.values()
    }
    ET.register_namespace("", _ATOM)
    root = ET.Element(f"{{{_ATOM}}}feed")
    _element(root, "id", site.url or _urn("catalogue", min(publishers, default="")))
    _element(root, "title", "Node.js layers for AWS Lambda")
    _element(root, "subtitle", "What is newly published")
    _element(
        root, "updated", max((_last(regions) for _, _, regions in dated), default="1970-01-01T00:00:00Z")
    )
    _element(_element(root, "author"), "name", "nodelayer")
    _element(root, "link", rel="alternate", type="text/html", href=site.url or PAGE)
    _element(root, "link", rel="self", type="application/atom+xml", href=_beside(site.url, FEED))
    for published, layer, regions in dated[:_FEED_ENTRIES]:
        entry = _element(root, "entry")
        link = f"{site.url or PAGE}#node={layer.node_version}&arch={layer.architecture}"
        _element(entry, "id", _urn(*layer.key))
        _element(entry, "title", f"Node.js {layer.node_version} for {layer.architecture}")
        _element(entry, "published", published)
        _element(entry, "updated", _last(regions))
        _element(entry, "link", rel="alternate", type="text/html", href=link)
        _element(
            entry,
            "summary",
            f"Runs on {', '.join(layer.compatible_runtimes)}. "
            f"In {_many_regions(regions)}: {', '.join(regions)}. "
            f"{layer.size / 1e6:.1f} MB, sha256 {layer.code_sha256}. nodelayer {layer.nodelayer_version}.",
        )
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _element(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    made = ET.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    made.text = text
    return made


def _urn(*words: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, " ".join(("nodelayer", *words))).urn


def _last(regions: Mapping[str, manifests.Published]) -> str:
    return max(each.published for each in regions.values())


def _beside(url: str, name: str) -> str:
    return f"{url[: url.rfind('/') + 1]}{name}" if url else name


# ---- small things


def _check_address(text: str, flag: str) -> None:
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"https", "http"} and parts.hostname and not re.search(r"[\s\"<>#]", text)
    except ValueError:
        good = False
    if not good:
        raise InvalidInputError(
            f"{text!r} is no address", where=flag, todo="write one as https://example.org/"
        )


def _replace_all(out: Path, files: Mapping[str, str]) -> None:
    """Every text is on the disk before the first file takes its place."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for left in out.glob(".catalog-*"):  # by one that was killed
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".catalog-") as folder:
            for name, text in files.items():
                with (Path(folder) / name).open("wb") as stream:
                    stream.write(text.encode())
                    stream.flush()
                    os.fsync(stream.fileno())
            for name in files:
                (Path(folder) / name).replace(out / name)
    except OSError as error:
        raise machine_error(error, out, "--out") from error


def _source(name: str) -> str:
    return resources.files("nodelayer.catalog").joinpath(f"assets/{name}").read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text: str) -> str:
    return html.escape(text)


def _many_regions(regions: Sized) -> str:
    return f"{len(regions)} region{'s' if len(regions) != 1 else ''}"


def _date(text: str) -> str:
    return f'<time datetime="{_text(text)}">{_text(text)}</time>'


def _usual_name(layer: Layer) -> str:
    return f"nodejs-{layer.node_version.replace('.', '-')}-{layer.architecture}"


def _seconds(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def _number(known: dict[T, int], what: T) -> int:
    return known.setdefault(what, len(known))


def _one(values: list[int]) -> int | list[int]:
    """A single number where they are all the same: most often they are."""
    return values[0] if len(set(values)) == 1 else values
