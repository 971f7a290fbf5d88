"""What comes after publishing: is all still there, what do new regions lack, which old versions may go."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nodelayer.aws.account import Access, Account, LayerMetadata, Region
from nodelayer.aws.quotas import DESCRIPTION
from nodelayer.errors import NodelayerError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.layer.artifact import Artifact, built_records, check_zip, of_record
from nodelayer.manifest import model as manifest
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.node.versions import sort_key
from nodelayer.publish.layers import download
from nodelayer.publish.layers.plan import Failure, check_account, is_padding
from nodelayer.util import parallel
from nodelayer.util.console import Reporter
from nodelayer.util.parallel import Stop


@dataclass(frozen=True)
class Problem:
    """What the manifest says of a layer version that is not so. `kind`: missing, changed, not public …"""

    region: str
    arn: str
    kind: str


def verify(
    known: Manifest, account: Account, regions: Sequence[str], reader: Callable[[str], Region] | None = None
) -> tuple[list[Problem], list[Failure], int]:
    """The problems, the regions that could not be asked, and how many layer versions were looked at.

    `reader` gives a second account's view, which has to be able to read what is public. Raises RefusedError
    where the manifest is another account's.
    """
    check_account(known, account)
    problems: list[Problem] = []
    failures: list[Failure] = []
    seen = 0

    def look(region: str) -> list[Problem]:
        found = []
        for layer, published in _in(known, region):
            kind = _problem(account.region(region), layer, published, reader(region) if reader else None)
            if kind:
                found.append(Problem(region, published.arn, kind))
        return found

    for region, found in parallel.each(regions, look):
        if isinstance(found, NodelayerError):
            failures.append(Failure(region, "", found))
        else:
            problems += found
            seen += sum(1 for _ in _in(known, region))
    return sorted(problems, key=lambda each: (each.region, each.arn)), failures, seen


def lacking(
    known: Manifest, regions: Sequence[str], *, wanted: Callable[[Layer], bool]
) -> list[tuple[Layer, list[str]]]:
    """Which layers published somewhere are not in those regions; of each Node.js the newest build."""
    newest: dict[tuple[str, str], Layer] = {}
    for layer in known.layers:
        key = (layer.node_version, layer.architecture)
        if wanted(layer) and any(True for _ in layer.live()):
            held = newest.get(key)
            if held is None or _age(held) <= _age(layer):
                newest[key] = layer
    return [
        (layer, missing)
        for layer in newest.values()
        if (missing := [region for region in regions if region not in dict(layer.live())])
    ]


def access_of(layer: Layer) -> Access:
    """Who may use a layer where it is published: in new regions the same."""
    every = [published for _, published in layer.live()]
    return Access(
        any(published.public for published in every),
        frozenset(each for published in every for each in published.organizations),
    )


@contextmanager
def recorded_artifact(layer: Layer, out: Path, account: Account, reporter: Reporter) -> Iterator[Artifact]:
    """The zip that the manifest speaks of: from `out` where it lies there, else from a region that has it.

    Verified by its CodeSha256 either way. Raises NodelayerError where no region gives it.
    """
    if (lying := _lying(layer, out, reporter)) is not None:
        yield lying
        return
    with tempfile.TemporaryDirectory(prefix="nodelayer-backfill-") as scratch:
        yield _fetched(layer, account, Path(scratch) / f"{layer.layer_name}.zip", reporter)


@dataclass(frozen=True)
class PrunableVersion:
    """A layer version that may go: not among the newest of its layer in the region."""

    region: str
    layer_name: str
    version: int
    arn: str


@dataclass(frozen=True)
class Prunable:
    """What `prune` would delete, what the manifest holds and is gone already, what could not be asked."""

    old: tuple[PrunableVersion, ...]
    gone: tuple[str, ...]
    failures: tuple[Failure, ...]


def prunable(known: Manifest, account: Account, names: Mapping[str, Sequence[str]], keep: int) -> Prunable:
    """Of the layers named by region: every version but the newest `keep`, recorded or not.

    Raises RefusedError where the manifest is another account's: it would find all of it gone.
    """
    check_account(known, account)
    old: list[PrunableVersion] = []
    gone: list[str] = []
    failures: list[Failure] = []

    def look(region: str) -> tuple[list[PrunableVersion], list[str]]:
        mine, lost = [], []
        for name in names[region]:
            versions = account.region(region).versions(name)
            # What fills the numbering is nobody's: it takes no place among those that are kept.
            kept = [each.version for each in versions if not is_padding(each)][-keep:]
            mine += [
                PrunableVersion(region, name, each.version, each.arn)
                for each in versions
                if len(kept) == keep and each.version < kept[0]
            ]
            there = {each.arn for each in versions}
            lost += [
                published.arn
                for layer, published in _in(known, region)
                if layer.layer_name == name and published.arn not in there
            ]
        return mine, lost

    for region, found in parallel.each(sorted(names), look):
        if isinstance(found, NodelayerError):
            failures.append(Failure(region, "", found))
        else:
            old += found[0]
            gone += found[1]
    old.sort(key=lambda each: (each.region, each.layer_name, each.version))
    return Prunable(tuple(old), tuple(sorted(gone)), tuple(failures))


def prune(
    account: Account, plan: Prunable, path: Path, stop: Stop, reporter: Reporter
) -> tuple[list[PrunableVersion], list[Failure]]:
    """Delete those layer versions, and mark them and what was gone already in the manifest.

    Functions that use them keep working. A run that is killed between the two is mended by the next one,
    which finds them gone.
    """
    manifest.check_writable(path)
    deleted: list[PrunableVersion] = []
    failures = list(plan.failures)

    def delete(region: str) -> list[PrunableVersion | Failure]:
        ended: list[PrunableVersion | Failure] = []
        for each in (each for each in plan.old if each.region == region):
            try:
                stop.check()
                account.region(region).delete(each.layer_name, each.version)
                ended.append(each)
            except NodelayerError as error:
                ended.append(Failure(region, f"{each.layer_name}:{each.version}", error))
        return ended

    with stop.on_signals(lambda: reporter.warn("stopping after the calls under way")):
        for region, ended in parallel.each(sorted({each.region for each in plan.old}), delete):
            for each in [Failure(region, "", ended)] if isinstance(ended, NodelayerError) else ended:
                if isinstance(each, Failure):
                    failures.append(each)
                else:
                    deleted.append(each)
                    reporter.say(f"{region}: {each.layer_name}:{each.version} deleted")
        arns = {*plan.gone, *(each.arn for each in deleted)}
        manifest.update(path, lambda known: marked_deleted(known, arns))
    return deleted, failures


def marked_deleted(known: Manifest, arns: set[str]) -> Manifest:
    """The manifest with those layer versions marked as deleted now."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Manifest.of(
        layer.model_copy(
            update={
                "regions": {
                    region: published.model_copy(update={"deleted": now})
                    if published.arn in arns and published.deleted is None
                    else published
                    for region, published in layer.regions.items()
                }
            }
        )
        for layer in known.layers
    )


def _in(known: Manifest, region: str) -> Iterator[tuple[Layer, Published]]:
    return (
        (layer, published) for layer in known.layers for where, published in layer.live() if where == region
    )


def _problem(region: Region, layer: Layer, published: Published, reader: Region | None) -> str:
    content = region.content(layer.layer_name, published.version)
    if content is None:
        return "missing: it was deleted, or never there"
    if content.arn != published.arn:
        return f"of another account: there it is {content.arn}"
    if content.code_sha256 != layer.code_sha256:
        return f"changed: it holds {content.code_sha256}, not {layer.code_sha256}"
    recorded = Access(published.public, frozenset(published.organizations))
    lost = recorded - region.access(layer.layer_name, published.version)
    if lost:
        return f"not {lost} any more"
    if reader is not None and published.public:
        read = reader.content_by_arn(published.arn)
        if read is None or read.code_sha256 != layer.code_sha256:
            return "not readable by the second account"
    return ""


def _age(layer: Layer) -> tuple[object, str, int]:
    every = [published for _, published in layer.live()]
    newest = max(published.published for published in every)
    return sort_key(layer.nodelayer_version), newest, max(published.version for published in every)


def _lying(layer: Layer, out: Path, reporter: Reporter) -> Artifact | None:
    """What was built in `out`, if it is what the manifest speaks of; None where it is not, or is broken."""
    for record in built_records(out):
        if (record.layer_name, record.code_sha256) == (layer.layer_name, layer.code_sha256):
            try:
                return of_record(record, out)
            except NotVerifiedError as error:
                reporter.warn(f"{error}; taking it from where it is published")
    return None


def _fetched(layer: Layer, account: Account, path: Path, reporter: Reporter) -> Artifact:
    """The zip from the first of the regions that gives it, and the terms it was published on."""
    failures = []
    for name, published in layer.live():
        region = account.region(name)
        try:
            content = region.content(layer.layer_name, published.version)
            if content is None:
                raise NotFoundError("it is gone", where=published.arn)
            reporter.say(f"{layer.layer_name}: taking the zip from {name}")
            if content.code_sha256 != layer.code_sha256:
                raise NotVerifiedError("what is there is not what the manifest says", where=published.arn)
            download.download(content, path)
            listed = {each.version: each for each in region.versions(layer.layer_name)}[published.version]
        except NodelayerError as error:
            failures.append(f"{name}: {error}")
            continue
        artifact = Artifact(
            path=path,
            node_version=layer.node_version,
            nodelayer_version=layer.nodelayer_version,
            code_sha256=layer.code_sha256,
            size=layer.size,
            unzipped_size=layer.unzipped_size,
            metadata=LayerMetadata(
                name=layer.layer_name,
                description=listed.description[:DESCRIPTION],
                license=listed.license,
                runtimes=tuple(layer.compatible_runtimes),
                architectures=(layer.architecture,),
            ),
        )
        check_zip(artifact)
        return artifact
    raise UnreachableError(
        f"no region gives {layer.layer_name} of nodelayer {layer.nodelayer_version}",
        where="; ".join(failures),
        todo="build it again, and name its folder with --out",
    )


def new_regions(known: Manifest, regions: Sequence[str]) -> list[str]:
    """Those in which nothing is published yet."""
    used = {region for layer in known.layers for region, _ in layer.live()}
    return [region for region in regions if region not in used]


def layer_names(
    known: Manifest, wanted: Callable[[Layer], bool], regions: Iterable[str]
) -> dict[str, list[str]]:
    """By region the names of the layers that are or were published there, of those wanted."""
    chosen = set(regions)
    names: dict[str, set[str]] = {}
    for layer in known.layers:
        for region in layer.regions if wanted(layer) else ():
            if region in chosen:
                names.setdefault(region, set()).add(layer.layer_name)
    return {region: sorted(each) for region, each in sorted(names.items())}
