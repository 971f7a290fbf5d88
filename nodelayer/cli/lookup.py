"""Commands that read the manifest: arn, catalog."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from nodelayer import architecture
from nodelayer.catalog.snippets import FORMATS, REGION_FORMATS, RuntimeSnippetValues, SnippetValues
from nodelayer.cli.command import SPEC, command
from nodelayer.errors import InvalidInputError
from nodelayer.project_paths import PROGRAM

if TYPE_CHECKING:
    from nodelayer.manifest.lookup import Found, FoundRuntime

_MANIFEST = "file or URL of the manifest (default: layers.json); no AWS credentials are needed"


@command(
    name="arn",
    help={
        "node": f"{SPEC}; the newest published version that matches is used",
        "region": "region of the function, for example eu-west-1; all prints the ARN of each region "
        f"({', '.join(['json', *REGION_FORMATS])})",
        "newer-than": "ARN of a layer version: print the newest one that may replace it, of the same region, "
        "architecture and major version (or of --node); exit code 3 if there is none",
        "arch": "architecture: x86_64 (default) or arm64",
        "as": "layer (default), or runtime: a customer-managed runtime, with alias latest if --node means a "
        "line (24, lts), else with alias of the exact version",
        "format": f"what to print: {', '.join(FORMATS)} (default: arn)",
        "manifest": _MANIFEST,
    },
)
def print_arn(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    region: str = "",
    newer_than: str = "",
    arch: str = "",
    as_: str = "layer",
    format: str = "arn",  # noqa: A002 - the flag's name
    manifest: str = "layers.json",
) -> None:
    """Print the ARN of a published layer or runtime, or a snippet that adds it with your tool.

    Needs --node and --region, or --newer-than. Example: arn --node 24 --region eu-west-1 --format sam
    """
    from nodelayer.catalog import snippets
    from nodelayer.manifest.lookup import look_up, look_up_everywhere, look_up_newer, look_up_runtime
    from nodelayer.manifest.store import open_manifest

    _check_flags(as_, newer_than, region, arch)
    if newer_than:
        print(snippets.render(format, _values(look_up_newer(open_manifest(manifest), newer_than, node))))
        return
    for flag, value in (("--node", node), ("--region", region)):
        if not value:
            raise InvalidInputError(f"{flag} is missing", todo=f"{PROGRAM} arn --node 24 --region eu-west-1")
    wanted = architecture.parse(arch or "x86_64")
    if len(wanted) > 1:
        raise InvalidInputError("a function has one architecture", where="--arch", todo="use x86_64 or arm64")
    known = open_manifest(manifest)
    if region == "all":
        everywhere, lacking = look_up_everywhere(known, node, wanted[0].name)
        if lacking:
            from nodelayer.util.console import Reporter  # slow to import

            release = everywhere[0].layer.node_version
            Reporter().warn(f"{', '.join(lacking)}: no layer of Node.js {release} for {wanted[0].name}")
        print(snippets.render_regions(format, [_values(each) for each in everywhere]))
        return
    values: SnippetValues | RuntimeSnippetValues
    if as_ == "runtime":
        values = _runtime_values(look_up_runtime(known, node, region, wanted[0].name))
        _say_if_outdated(values.node_version, (each.node_version for each in known.runtimes.values()))
    else:
        values = _values(look_up(known, node, region, wanted[0].name))
        _say_if_outdated(values.node_version, (each.node_version for each in known.layers))
    print(snippets.render(format, values))


def _check_flags(as_: str, newer_than: str, region: str, arch: str) -> None:
    if as_ not in {"layer", "runtime"}:
        raise InvalidInputError(f"unknown value {as_!r}", where="--as", todo="use layer or runtime")
    for excluded, flags, todo in (
        (newer_than and region, "--newer-than and --region", "omit --region: the ARN has one"),
        (newer_than and arch, "--newer-than and --arch", "omit --arch: the layer version of the ARN has one"),
        (as_ == "runtime" and newer_than, "--as runtime and --newer-than", "use the alias latest instead"),
        (as_ == "runtime" and region == "all", "--as runtime and --region all", "name one region"),
    ):
        if excluded:
            raise InvalidInputError(f"{flags} are mutually exclusive", todo=todo)


def _say_if_outdated(version: str, published: Iterable[str]) -> None:
    from nodelayer.node.versions import outdated

    if why := outdated(version, published):
        from nodelayer.util.console import Reporter  # slow to import

        Reporter().say(why)


def _values(found: "Found") -> SnippetValues:
    return SnippetValues(
        arn=found.published.arn,
        region=found.region,
        node_version=found.layer.node_version,
        architecture=found.layer.architecture,
        runtime=max(found.layer.compatible_runtimes, default="provided"),
        as_json=found.as_json(),
    )


def _runtime_values(found: "FoundRuntime") -> RuntimeSnippetValues:
    return RuntimeSnippetValues(
        arn=found.arn.runtime,
        alias=found.alias,
        region=found.arn.region,
        node_version=found.version.node_version,
        architecture=found.architecture,
        as_json=found.as_json(),
    )


@command(
    name="catalog",
    help={
        "manifest": _MANIFEST,
        "out": "folder for index.html, feed.atom, layers.json, layers.txt and the schema (default: site)",
        "assets-url": "URL of the files of a build, to link each SBOM; {file} is replaced, as are "
        "{node_version}, {architecture}, {nodelayer_version}, {layer_name} (default: no links)",
        "site-url": "URL of the published page, for the links in the feed (default: relative links)",
    },
)
def make_catalog(
    _ctx: Context,
    manifest: str = "layers.json",
    out: str = "site",
    assets_url: str = "",
    site_url: str = "",
) -> None:
    """Write a web page with every published layer, and an Atom feed of new layers.

    The page is static: any web server can host it. Example: catalog --manifest layers.json --out site
    """
    from nodelayer.aws import regions
    from nodelayer.catalog import site
    from nodelayer.manifest.store import open_manifest
    from nodelayer.util.console import Reporter

    options = site.SiteOptions(assets_url, site_url, regions.names())
    written = site.write(open_manifest(manifest), Path(out), options, source=Path(manifest))
    size = f"{written.size / 1e3:.0f} kB"
    Reporter().say(f"{written.layers} layers, {written.layer_versions} layer versions in a page of {size}")
    print(written.page)
