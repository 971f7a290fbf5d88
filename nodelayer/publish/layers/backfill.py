"""Publish recorded layers in further regions, with the same content and the same access."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nodelayer.aws.account import Account
from nodelayer.aws.layers import PRIVATE
from nodelayer.aws.regions import Selection
from nodelayer.errors import NodelayerError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.layer.artifact import Artifact, built_records, check_zip, of_record
from nodelayer.manifest.model import Layer, Manifest
from nodelayer.node.versions import sort_key
from nodelayer.project_paths import command
from nodelayer.publish.layers import download
from nodelayer.publish.layers.metadata import access_of
from nodelayer.publish.layers.plan import PublishOptions
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.publish.layers.run import run
from nodelayer.util.console import Reporter
from nodelayer.util.temporary import temporary_folder


@dataclass(frozen=True)
class MissingLayer:
    """A published layer, and the regions that lack it."""

    layer: Layer
    regions: tuple[str, ...]


def missing(
    known: Manifest, existing: Manifest, regions: Sequence[str], *, wanted: Callable[[Layer], bool]
) -> list[MissingLayer]:
    """Return the wanted layers that some of the regions lack; of each Node.js version the newest build.

    `existing` is the manifest without the layer versions that the account no longer has.
    """
    live = {layer.key: dict(layer.live()) for layer in existing.layers}
    newest: dict[tuple[str, str], Layer] = {}
    for layer in known.layers:
        key = (layer.node_version, layer.architecture)
        published = wanted(layer) and any(True for _ in layer.offered())
        if published and (key not in newest or _age(newest[key]) <= _age(layer)):
            newest[key] = layer
    found = [
        MissingLayer(layer, tuple(region for region in regions if region not in live[layer.key]))
        for layer in newest.values()
    ]
    return [each for each in found if each.regions]


def new_regions(
    known: Manifest,
    existing: Manifest,
    selection: Selection,
    wanted: Callable[[Layer], bool],
    reporter: Reporter,
) -> Selection:
    """Return the regions that have no layer yet, and print a command for those that lack only some."""
    used = {region for layer in known.layers for region, _ in layer.live()}
    new = tuple(region for region in selection.regions if region not in used)
    lacking = missing(known, existing, selection.regions, wanted=wanted)
    behind = {region for each in lacking for region in each.regions}
    if others := ",".join(sorted(behind - set(new))):
        again = command("backfill", "--regions", others)
        reporter.say(f"{others} have only some of the layers. Run: {again}")
    return replace(selection, regions=new)


def backfill(  # noqa: PLR0913 - what a run needs
    layers: Sequence[MissingLayer],
    *,
    account: Account,
    selection: Selection,
    manifest: Path,
    out: Path,
    report: RunReport,
    results: Callable[[str], None],
    parameters: bool = False,
    dry_run: bool = False,
) -> Mapping[str, object]:
    """Publish each layer in the regions that lack it, and return the JSON document of the run.

    A failure of one layer goes to the report, and does not stop the others.
    """
    document: dict[str, Any] = {}
    for each in layers:
        access = PRIVATE
        for _, published in each.layer.live():
            access |= access_of(published)
        options = PublishOptions(access=access, parameters=parameters)
        try:
            with recorded_artifact(each.layer, out, account, report.reporter) as artifact:
                outcome = run(
                    [artifact],
                    options,
                    account=account,
                    selection=replace(selection, regions=each.regions),
                    manifest=manifest,
                    report=report,
                    results=results,
                    dry_run=dry_run,
                )
        except NodelayerError as error:
            report.fail(Failure("", each.layer.layer_name, error, each.regions))
        else:
            _join(document, outcome.document)
        if report.stopped:
            break
    if document:
        document["failures"] = [failure.as_json() for failure in report.failures]
    return document


@contextmanager
def recorded_artifact(layer: Layer, out: Path, account: Account, reporter: Reporter) -> Iterator[Artifact]:
    """Yield the zip of a recorded layer: from `out`, or else from a region that has it.

    Its CodeSha256 is verified in both cases.

    Raises:
        NodelayerError: No region has it, or it cannot be downloaded.
    """
    if (built := _built(layer, out, reporter)) is not None:
        yield built
        return
    with temporary_folder("nodelayer-backfill-") as scratch:
        yield _downloaded(layer, account, scratch / f"{layer.layer_name}.zip", reporter)


def _join(document: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Add the document of another run: join lists and objects, and replace other values."""
    for name, value in other.items():
        if isinstance(value, list):
            document[name] = [*document.get(name, []), *value]
        elif isinstance(value, dict):
            document[name] = {**document.get(name, {}), **value}
        else:
            document[name] = value


def _age(layer: Layer) -> tuple[object, str, int]:
    every = [published for _, published in layer.live()]
    newest = max(published.published for published in every)
    return sort_key(layer.nodelayer_version), newest, max(published.version for published in every)


def _built(layer: Layer, out: Path, reporter: Reporter) -> Artifact | None:
    """Return the zip in `out` if it is the recorded one and not damaged."""
    for record in built_records(out):
        if (record.layer_name, record.code_sha256) == (layer.layer_name, layer.code_sha256):
            try:
                return of_record(record, out)
            except NotVerifiedError as error:
                reporter.warn(f"{error}; downloading the published one")
    return None


def _downloaded(layer: Layer, account: Account, path: Path, reporter: Reporter) -> Artifact:
    """Return the zip from the first region that has it, with the metadata it was published with."""
    failures = []
    for name, published in layer.live():
        layers = account.region(name).layers
        try:
            content = layers.content(layer.layer_name, published.version)
            if content is None:
                raise NotFoundError("the layer version was deleted", where=published.arn)
            reporter.say(f"{layer.layer_name}: downloading the zip from {name}")
            if content.code_sha256 != layer.code_sha256:
                raise NotVerifiedError(
                    "the layer version's content differs from the manifest", where=published.arn
                )
            download.download(content, path)
        except NodelayerError as error:
            failures.append(f"{name}: {error}")
            continue
        artifact = Artifact(
            path=path,
            layer_name=layer.layer_name,
            description=content.description,
            license=content.license,
            node_version=layer.node_version,
            nodelayer_version=layer.nodelayer_version,
            architecture=layer.architecture,
            compatible_runtimes=tuple(layer.compatible_runtimes),
            code_sha256=layer.code_sha256,
            size=layer.size,
            unzipped_size=layer.unzipped_size,
        )
        check_zip(artifact)
        return artifact
    raise UnreachableError(
        f"no region has {layer.layer_name} of nodelayer {layer.nodelayer_version}",
        where="; ".join(failures),
        todo="build the layer again, and name its folder with --out",
    )
