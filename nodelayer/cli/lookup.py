"""Commands that read the manifest: arn, catalog."""

from pathlib import Path

from invoke import Context, task

from nodelayer import architecture
from nodelayer.aws import account as aws
from nodelayer.catalog import site, snippets
from nodelayer.cli.command import command
from nodelayer.errors import (
    InvalidInputError,
)
from nodelayer.manifest import model as manifests
from nodelayer.util.console import Reporter


@task(
    name="arn",
    help={
        "node": "version: 12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest",
        "region": "the function's region",
        "arch": "x86_64 (default) or arm64",
        "format": ", ".join(snippets.FORMATS),
        "manifest": "file or URL of the manifest; no AWS credentials are needed",
    },
)
@command
def print_arn(
    _ctx: Context,
    node: str,
    region: str,
    arch: str = "x86_64",
    format: str = "arn",  # noqa: A002 - the flag's name
    manifest: str = "layers.json",
) -> None:
    """Look up the ARN of a published layer; bare, or as a snippet for the tool that needs it."""
    wanted = architecture.parse(arch)
    if len(wanted) > 1:
        raise InvalidInputError("a function has one architecture", where="--arch", todo="use x86_64 or arm64")
    found = manifests.look_up(manifests.open_manifest(manifest), node, region, wanted[0].name)
    print(snippets.render(format, _as_snippet(found)))


@task(
    name="catalog",
    help={
        "manifest": "file or URL of the manifest; no AWS credentials are needed",
        "out": "folder for index.html, feed.atom, layers.json, layers.txt and the schema",
        "assets-url": "where a build's files are, to link its SBOM: {file} in it is filled in, and "
        "{node_version}, {architecture}, {nodelayer_version}, {layer_name}",
        "site-url": "where the page will be, for the links in the feed",
    },
)
@command
def make_catalog(
    _ctx: Context,
    manifest: str = "layers.json",
    out: str = "site",
    assets_url: str = "",
    site_url: str = "",
) -> None:
    """Write the web page of every published layer, and a feed of new ones, to be hosted anywhere."""
    known = manifests.open_manifest(manifest)
    options = site.SiteOptions(assets_url, site_url, aws.region_names())
    written = site.write(known, Path(out), options, source=Path(manifest))
    size = f"{written.size / 1e3:.0f} kB"
    Reporter().say(f"{written.layers} layers, {written.layer_versions} layer versions in a page of {size}")
    print(written.page)


def _as_snippet(found: manifests.Found) -> snippets.Layer:
    return snippets.Layer(
        arn=found.published.arn,
        region=found.region,
        node_version=found.layer.node_version,
        architecture=found.layer.architecture,
        runtime=max(found.layer.compatible_runtimes, default="provided"),
        as_json=found.as_json(),
    )
