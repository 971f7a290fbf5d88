"""Compare the manifest with the layer versions in the account."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nodelayer.aws.account import Account, Region
from nodelayer.errors import NodelayerError
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.publish.layers.metadata import access_of
from nodelayer.publish.layers.plan import check_account
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel


@dataclass(frozen=True)
class Problem:
    """A layer version that differs from the manifest; `kind` says how."""

    region: str
    arn: str
    kind: str


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

    def compare(region: str) -> list[Problem]:
        second = reader(region) if reader else None
        found = []
        for layer, published in recorded_in(known, region):
            if kind := _problem(account.region(region), layer, published, second):
                found.append(Problem(region, published.arn, kind))
        return found

    for region, found in parallel.each(regions, compare):
        if isinstance(found, NodelayerError):
            report.fail(Failure(region, "", found))
        else:
            problems += found
            compared += sum(1 for _ in recorded_in(known, region))
    return sorted(problems, key=lambda each: (each.region, each.arn)), compared


def recorded_in(known: Manifest, region: str) -> Iterator[tuple[Layer, Published]]:
    """Yield the layers of a region with their layer versions."""
    return ((layer, each) for layer in known.layers for name, each in layer.live() if name == region)


def _problem(region: Region, layer: Layer, published: Published, reader: Region | None) -> str:
    content = region.layers.content(layer.layer_name, published.version)
    if content is None:
        return "missing: it was deleted, or never published"
    if content.arn != published.arn:
        return f"wrong ARN: in this account it is {content.arn}"
    if content.code_sha256 != layer.code_sha256:
        return f"changed: CodeSha256 is {content.code_sha256}, not {layer.code_sha256}"
    lost = access_of(published) - region.layers.access(layer.layer_name, published.version)
    if lost:
        return f"access was removed: {lost}"
    if reader is not None and published.public:
        read = reader.layers.content_by_arn(published.arn)
        if read is None or read.code_sha256 != layer.code_sha256:
            return "not readable by the second account"
    return ""
