"""Start a private layer version on Lambda itself, before anybody else may use it.

For each layer and each compatible runtime, a temporary function with the sample code is created, invoked and
deleted. A function that a killed run left is deleted by the next canary, or by prune. For the newest layer of
each Node.js major, AWS's own runtime of that major is measured in the same run.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nodelayer.aws import runtimes
from nodelayer.aws.account import Account, Region
from nodelayer.aws.errors import RuntimeRefusedError
from nodelayer.errors import FunctionError, NodelayerError
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Canary, Manifest
from nodelayer.node.versions import sort_key
from nodelayer.publish.canary import MEMORY_MB, CanaryOptions, Starter, as_failed, init_ms
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel
from nodelayer.util.console import counted
from nodelayer.util.parallel import Stop, StoppedError

_CALLS = 4
_SECONDS_A_FUNCTION = 15
_SECONDS_A_START = 3


@dataclass(frozen=True)
class Candidate:
    """A private layer version to start: of an artifact, in a region, and how often on each runtime.

    `aws_runtime` is AWS's own runtime to measure beside it.
    """

    region: str
    artifact: Artifact
    arn: str
    starts: int = 1
    aws_runtime: str | None = None

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The compatible runtimes for which Lambda still creates functions."""
        known = runtimes.known()
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        return tuple(
            each
            for each in self.artifact.compatible_runtimes
            if each in known and known[each].creates and today < (known[each].create_block or "9999")
        )


def candidate(known: Manifest, region: Region, artifact: Artifact, arn: str, starts: int) -> Candidate:
    """Return the candidate of a layer version: the starts of the newest of each major are measured."""
    major = artifact.node_version.partition(".")[0]
    version = sort_key(artifact.node_version)
    if any(
        sort_key(layer.node_version) > version
        for layer in known.layers
        if (layer.architecture, layer.node_version.partition(".")[0]) == (artifact.architecture, major)
        and region.name in dict(layer.offered())
    ):
        return Candidate(region.name, artifact, arn)
    of_aws = f"nodejs{major}.x"
    return Candidate(region.name, artifact, arn, starts, of_aws if region.functions.knows(of_aws) else None)


def estimate(candidates: Sequence[Candidate]) -> str:
    """Return how many calls a canary makes at most, and how long it takes, in one line."""
    functions = invocations = 0
    seconds: dict[str, int] = {}
    for each in candidates:
        ours, of_aws = len(each.runtimes), each.aws_runtime is not None
        functions += ours + of_aws
        invocations += ours * (_CALLS + each.starts - 1) + of_aws * each.starts
        seconds[each.region] = seconds.get(each.region, 0) + (ours + of_aws) * (
            _SECONDS_A_FUNCTION + _SECONDS_A_START * (each.starts - 1)
        )
    minutes = max(1, round(max(seconds.values(), default=0) / 60))
    return (
        f"Canary: {counted(functions, 'function')}, {counted(invocations, 'invocation')}, about {minutes} min"
    )


def run(  # noqa: PLR0913, PLR0917 - what a run needs
    account: Account,
    candidates: Sequence[Candidate],
    options: CanaryOptions,
    regions: tuple[str, ...],
    stop: Stop,
    report: RunReport,
) -> dict[tuple[str, str], Canary]:
    """Start each candidate, and return the measurements by region and layer name.

    A candidate that fails goes to the report, and does not stop the others. Then all `regions` are to retry.
    """

    def work(region: str) -> list[tuple[str, Canary | None] | Failure]:
        functions = account.open_region(region).functions
        starter = Starter.open(functions, options, stop, report.reporter)
        ended: list[tuple[str, Canary | None] | Failure] = []
        for each in (one for one in candidates if one.region == region):
            name = each.artifact.layer_name
            try:
                stop.check()
                report.reporter.show(region, f"canary of {name}")
                ended.append((name, _start(starter, each)))
            except NodelayerError as error:
                ended.append(Failure("", name, as_failed(error), regions))
        return ended

    measured: dict[tuple[str, str], Canary] = {}
    for region, found in parallel.each(sorted({each.region for each in candidates}), work):
        if isinstance(found, NodelayerError):
            report.fail(Failure("", "canary", as_failed(found), regions))
            continue
        for each in found:
            if isinstance(each, Failure):
                report.fail(each)
                continue
            name, canary = each
            if canary is not None:
                measured[region, name] = canary
            report.reporter.say(f"{region}: {name} starts{_how(canary)}")
    return measured


def _how(canary: Canary | None) -> str:
    if canary is None:
        return ""
    of_aws = (
        "" if canary.aws_init_ms is None else f"; AWS's {canary.aws_runtime}: {canary.aws_init_ms:.0f} ms"
    )
    return f" in {canary.init_ms:.0f} ms on {canary.memory_mb} MB{of_aws}"


def _start(starter: Starter, candidate: Candidate) -> Canary | None:
    """Start a layer on each runtime. Return the median init duration, if Lambda reports any.

    Raises:
        FunctionError: An answer differs from that of the sample function on this layer.
    """
    if not candidate.runtimes:
        retired = ", ".join(candidate.artifact.compatible_runtimes)
        raise FunctionError(
            f"Lambda creates no functions for {retired} any more",
            todo="publish without --canary, or update nodelayer",
        )
    inits: list[float] = []
    for runtime in candidate.runtimes:
        spec = starter.spec(runtime, candidate.artifact.architecture, (candidate.arn,))
        inits += starter.start(spec, candidate.artifact.node_version, candidate.starts)
    if not inits:
        return None
    of_aws = _start_of_aws(starter, candidate)
    return Canary(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        region=candidate.region,
        memory_mb=MEMORY_MB,
        init_ms=round(statistics.median(inits), 1),
        starts=len(inits),
        aws_runtime=candidate.aws_runtime if of_aws else None,
        aws_init_ms=round(statistics.median(of_aws), 1) if of_aws else None,
    )


def _start_of_aws(starter: Starter, candidate: Candidate) -> list[float]:
    """Return the init durations of AWS's own runtime. It never fails the canary."""
    if candidate.aws_runtime is None:
        return []
    spec = starter.spec(candidate.aws_runtime, candidate.artifact.architecture)
    try:
        with starter.function(spec):
            inits: list[float] = []
            for found in starter.cold_starts(spec, candidate.starts):
                if found.failed:
                    raise FunctionError(f"it failed: {found.payload[:200].decode(errors='replace')}")
                inits += init_ms(found)
            return inits
    except StoppedError:
        raise
    except RuntimeRefusedError:  # AWS has retired this runtime, or does not offer it in this region yet
        return []
    except NodelayerError as error:
        starter.reporter.warn(f"the start of AWS's {candidate.aws_runtime} is not measured: {error}")
        return []
