"""Commands that read the manifest: arn, catalog."""

from pathlib import Path

from invoke import Context

from nodelayer import architecture
from nodelayer.catalog.snippets import FORMATS
from nodelayer.cli.command import command
from nodelayer.errors import InvalidInputError
from nodelayer.project_paths import PROGRAM

_MANIFEST = "file or URL of the manifest; no AWS credentials are needed"


@command(
    name="arn",
    help={
        "node": "version: 12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest",
        "region": "the function's region",
        "arch": "x86_64 (default) or arm64",
        "format": ", ".join(FORMATS),
        "manifest": _MANIFEST,
    },
)
def print_arn(
    _ctx: Context,
    node: str = "",
    region: str = "",
    arch: str = "x86_64",
    format: str = "arn",  # noqa: A002 - the flag's name
    manifest: str = "layers.json",
) -> None:
    """Look up the ARN of a published layer; bare, or as a snippet for the tool that needs it."""
    from nodelayer.catalog import snippets
    from nodelayer.manifest.lookup import look_up
    from nodelayer.manifest.store import open_manifest

    for flag, value in (("--node", node), ("--region", region)):
        if not value:
            raise InvalidInputError(f"{flag} is missing", todo=f"{PROGRAM} arn --node 24 --region eu-west-1")
    wanted = architecture.parse(arch)
    if len(wanted) > 1:
        raise InvalidInputError("a function has one architecture", where="--arch", todo="use x86_64 or arm64")
    found = look_up(open_manifest(manifest), node, region, wanted[0].name)
    layer = snippets.SnippetValues(
        arn=found.published.arn,
        region=found.region,
        node_version=found.layer.node_version,
        architecture=found.layer.architecture,
        runtime=max(found.layer.compatible_runtimes, default="provided"),
        as_json=found.as_json(),
    )
    print(snippets.render(format, layer))


@command(
    name="catalog",
    help={
        "manifest": _MANIFEST,
        "out": "folder for index.html, feed.atom, layers.json, layers.txt and the schema",
        "assets-url": "where a build's files are, to link its SBOM: {file} in it is filled in, and "
        "{node_version}, {architecture}, {nodelayer_version}, {layer_name}",
        "site-url": "where the page will be, for the links in the feed",
    },
)
def make_catalog(
    _ctx: Context,
    manifest: str = "layers.json",
    out: str = "site",
    assets_url: str = "",
    site_url: str = "",
) -> None:
    """Write the web page of every published layer, and a feed of new ones, to be hosted anywhere."""
    from nodelayer.aws import regions
    from nodelayer.catalog import site
    from nodelayer.manifest.store import open_manifest
    from nodelayer.util.console import Reporter

    options = site.SiteOptions(assets_url, site_url, regions.names())
    written = site.write(open_manifest(manifest), Path(out), options, source=Path(manifest))
    size = f"{written.size / 1e3:.0f} kB"
    Reporter().say(f"{written.layers} layers, {written.layer_versions} layer versions in a page of {size}")
    print(written.page)
