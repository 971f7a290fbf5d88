"""Withdraw layers: mark them in the manifest, then remove their permissions in every region."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from nodelayer.aws.account import Account
from nodelayer.errors import InvalidInputError, NodelayerError, NotFoundError
from nodelayer.manifest import store
from nodelayer.manifest.lookup import look_up
from nodelayer.manifest.model import Layer, Manifest, Reason, Withdrawal
from nodelayer.publish.layers.plan import check_account
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel
from nodelayer.util.parallel import Stop


@dataclass(frozen=True)
class WithdrawnVersion:
    """A layer version to withdraw, and the ARN to use instead, if there is one."""

    region: str
    layer_name: str
    version: int
    arn: str
    successor: str | None


def check_reason(reason: str) -> None:
    """Check that a manifest can hold a reason. Raises InvalidInputError."""
    try:
        msgspec.convert(reason, Reason)
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            "the reason is empty, longer than 500 characters, or has a control character",
            where="--reason",
            todo="say in one sentence why the layer is withdrawn",
        ) from error


def layers_of(known: Manifest, arn: str, node: str, nodelayer: str) -> list[Layer]:
    """Return the layers that the flags name: the one with a layer version, or those of a version and a build.

    Raises:
        NotFoundError: The manifest does not contain it.
    """
    found = [
        layer
        for layer in known.layers
        if any(each.arn == arn for each in layer.regions.values())
        or (not arn and (layer.node_version, layer.nodelayer_version) == (node, nodelayer))
    ]
    if not found:
        raise NotFoundError(
            "the manifest has no such layer",
            where=arn or f"Node.js {node}, nodelayer {nodelayer}",
            todo="see the layers in layers.txt",
        )
    return found


def plan(
    known: Manifest, account: Account, layers: list[Layer], successor: str | None
) -> list[WithdrawnVersion]:
    """Return the layer versions to withdraw: all that exist, in every region.

    Their successor is the build whose layer version `successor` is, in the same region and for the same
    architecture, else the newest layer of the same major version that is not withdrawn.

    Raises:
        RefusedError: The manifest is another account's.
        NotFoundError: The manifest does not contain `successor`.
    """
    check_account(known, account)
    keys = {layer.key for layer in layers}
    named = _build(known, successor) if successor else []
    others = Manifest.of(layer for layer in known.layers if layer.key not in keys)
    return [
        WithdrawnVersion(
            region,
            layer.layer_name,
            published.version,
            published.arn,
            _arn_in(named, layer.architecture, region) or _newest(others, layer, region),
        )
        for layer in layers
        for region, published in layer.live()
    ]


def withdraw(  # noqa: PLR0913, PLR0917 - what a run needs
    account: Account,
    planned: list[WithdrawnVersion],
    reason: str,
    path: Path,
    regions: frozenset[str],
    report: RunReport,
) -> int:
    """Mark the layer versions in the manifest, make them private in `regions`, and return how many are.

    A run that was interrupted is completed by the next one. A failure of a region goes to the report.

    Raises:
        NodelayerError: The manifest cannot be written. Nothing has been done.
    """
    store.check_writable(path)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    marks = {each.arn: Withdrawal(time=now, reason=reason, successor=each.successor) for each in planned}
    store.update(path, lambda known: _marked(known, marks))  # first, so that nobody is pointed to them
    stop = Stop()

    def forbid(region: str) -> int:
        mine = [each for each in planned if each.region == region]
        for each in mine:
            stop.check()
            account.region(region).layers.forbid(each.layer_name, each.version)
        return len(mine)

    count = 0
    with stop.on_signals(lambda: report.reporter.warn("stopping when the running calls to AWS have ended")):
        for region, ended in parallel.each(sorted({each.region for each in planned} & regions), forbid):
            if isinstance(ended, NodelayerError):
                report.fail(Failure(region, "", ended))
            else:
                count += ended
                report.reporter.say(f"{region}: {ended} layer versions are private")
    return count


def _build(known: Manifest, arn: str) -> list[Layer]:
    """Return the layers of one build of nodelayer and one Node.js version, of which one has this ARN."""
    (layer, *_) = layers_of(known, arn, "", "")
    build = (layer.node_version, layer.nodelayer_version)
    return [each for each in known.layers if (each.node_version, each.nodelayer_version) == build]


def _arn_in(layers: list[Layer], architecture: str, region: str) -> str | None:
    return next(
        (
            published.arn
            for layer in layers
            if layer.architecture == architecture
            for name, published in layer.offered()
            if name == region
        ),
        None,
    )


def _newest(others: Manifest, layer: Layer, region: str) -> str | None:
    try:
        return look_up(others, layer.node_version.partition(".")[0], region, layer.architecture).published.arn
    except NotFoundError:
        return None


def _marked(known: Manifest, marks: Mapping[str, Withdrawal]) -> Manifest:
    layers = (
        replace(
            layer,
            regions={
                region: replace(published, withdrawn=published.withdrawn or marks.get(published.arn))
                for region, published in layer.regions.items()
            },
        )
        for layer in known.layers
    )
    return Manifest.of(layers, known.runtimes)
