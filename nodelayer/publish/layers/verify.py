"""Compare the manifest with the account: layer versions, their access, and SSM parameters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nodelayer.aws.account import Account, Region
from nodelayer.errors import NodelayerError
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.publish.layers import ssm
from nodelayer.publish.layers.metadata import access_of
from nodelayer.publish.layers.plan import check_account
from nodelayer.publish.layers.prune import marked_deleted
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel


@dataclass(frozen=True)
class Problem:
    """A layer version that differs from the manifest; `kind` says how.

    `layer` is None for an SSM parameter, and for what consumers read: then `arn` is an address or a release,
    and `region` is empty. `healed` tells whether publishing the layer there again heals it.
    """

    region: str
    arn: str
    kind: str
    layer: Layer | None = None
    healed: bool = True

    def as_json(self) -> dict[str, str]:
        """Return the JSON object of the problem."""
        return {"region": self.region, "arn": self.arn, "kind": self.kind}


def verify(
    known: Manifest,
    account: Account,
    regions: Sequence[str],
    report: RunReport,
    reader: Callable[[str], Region] | None = None,
) -> tuple[list[Problem], int]:
    """Return the problems, and how many layer versions were compared.

    `reader` is a second account, to check that it can read public layers.

    Raises:
        RefusedError: The manifest is another account's.
    """
    check_account(known, account)
    problems: list[Problem] = []
    compared = 0

    def compare(name: str) -> list[Problem]:
        region = account.region(name)
        second = reader(name) if reader else None
        found = [
            problem
            for layer, published in recorded_in(known, name)
            if (problem := _problem(region, layer, published, second))
        ]
        wanted = ssm.wanted_in(known, name)
        existing = region.parameters.get(sorted(wanted)) if wanted else {}
        return found + [
            Problem(name, arn, f"the SSM parameter {parameter} {_names(existing.get(parameter))}")
            for parameter, arn in sorted(wanted.items())
            if existing.get(parameter) != arn
        ]

    for region, found in parallel.each(regions, compare):
        if isinstance(found, NodelayerError):
            report.fail(Failure(region, "", found))
        else:
            problems += found
            compared += sum(1 for _ in recorded_in(known, region))
    return sorted(problems, key=lambda each: (each.region, each.arn, each.kind)), compared


def recorded_in(known: Manifest, region: str) -> Iterator[tuple[Layer, Published]]:
    """Yield the layers of a region with their layer versions."""
    return ((layer, each) for layer in known.layers if (each := layer.live_in(region)))


def without_deleted(
    known: Manifest,
    account: Account,
    regions: Sequence[str],
    wanted: Callable[[Layer], bool],
    report: RunReport,
) -> Manifest:
    """Return the manifest, with the layer versions marked as deleted that the account no longer has.

    Only the wanted layers in these regions are looked up. A failure of a region goes to the report, and its
    layer versions count as existing.
    """

    def gone(name: str) -> set[str]:
        layers = account.region(name).layers
        return {
            published.arn
            for layer, published in recorded_in(known, name)
            if wanted(layer) and layers.content(layer.layer_name, published.version) is None
        }

    arns: set[str] = set()
    recorded = {region for layer in known.layers for region, _ in layer.live()}
    for region, found in parallel.each(sorted(recorded & set(regions)), gone):
        if isinstance(found, NodelayerError):
            report.fail(Failure(region, "", found))
        else:
            arns |= found
    return marked_deleted(known, arns)


def _problem(  # noqa: PLR0911 - one for each kind
    region: Region, layer: Layer, published: Published, reader: Region | None
) -> Problem | None:
    def problem(kind: str, *, healed: bool = True) -> Problem:
        return Problem(region.name, published.arn, kind, layer, healed and published.withdrawn is None)

    content = region.layers.content(layer.layer_name, published.version)
    if content is None:
        return problem("missing: it was deleted, or never published")
    if content.arn != published.arn:
        return problem(f"wrong ARN: in this account it is {content.arn}", healed=False)
    if content.code_sha256 != layer.code_sha256:
        return problem(
            f"changed: CodeSha256 is {content.code_sha256}, not {layer.code_sha256}; restore the manifest",
            healed=False,
        )
    access = region.layers.access(layer.layer_name, published.version)
    if published.withdrawn and access:
        return problem(f"withdrawn, but still accessible: {access}; run withdraw again")
    if lost := access_of(published) - access:
        return problem(f"access was removed: {lost}")
    if reader is not None and access_of(published).public:
        read = reader.layers.content_by_arn(published.arn)
        if read is None or read.code_sha256 != layer.code_sha256:
            return problem("not readable by the second account", healed=False)
    return None


def _names(arn: str | None) -> str:
    return f"names {arn}" if arn else "does not exist"
