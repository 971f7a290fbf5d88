"""Start a private layer version on Lambda itself, before anybody else may use it.

For each layer and each compatible runtime, a temporary function with the sample code is created, invoked and
deleted. A function that a killed run left is deleted by the next canary, or by prune. For the newest layer of
each Node.js major, AWS's own runtime of that major is measured in the same run.
"""

import io
import re
import secrets
import statistics
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from nodelayer.architecture import parse
from nodelayer.aws import runtimes
from nodelayer.aws.account import Account, Region
from nodelayer.aws.errors import RuntimeRefusedError
from nodelayer.aws.functions import Functions, FunctionSpec, Invocation
from nodelayer.errors import FunctionError, InvalidInputError, NodelayerError
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Canary, Manifest
from nodelayer.node.versions import sort_key
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel
from nodelayer.util.console import Reporter, counted
from nodelayer.util.json_text import loads
from nodelayer.util.parallel import Stop, StoppedError

PREFIX = "nodelayer-canary-"
"""The prefix of the functions' names; the publisher's role may only use such functions."""
MEMORY_MB = 512
READY_S = 120.0
"""Seconds until a new function must be active."""
_TIMEOUT_S = 30
_LEFT_S = 3600
"""Seconds after which a function of another run counts as left behind."""
_CALLS = 4
_SECONDS_A_FUNCTION = 15
_SECONDS_A_START = 3
_HEX_DIGITS = 12
_NAME = re.compile(rf"{PREFIX}[0-9a-f]{{{_HEX_DIGITS}}}")
_ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
_INIT = re.compile(r"Init Duration: (\d+\.?\d*) ms")


@dataclass(frozen=True)
class CanaryOptions:
    """Where the canary runs, with which execution role, and how many cold starts are measured.

    No `regions` means any region, an empty `role` the account's default role. `function` is the folder of the
    sample function.
    """

    regions: tuple[str, ...]
    role: str
    starts: int
    function: Path


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


def check(regions: Sequence[str], selected: Sequence[str] | None, starts: int, role: str) -> None:
    """Check the flags of the canary. `selected` is None if the regions to publish to are not known yet.

    Raises:
        InvalidInputError: A region is not among those that are published to, `starts` is less than 1, or
            `role` is not the ARN of a role.
    """
    for region in regions if selected is not None else ():
        if region not in (selected or ()):
            raise InvalidInputError(
                f"the canary region {region} is not published to",
                where="--canary",
                todo="add it to --regions",
            )
    if starts < 1:
        raise InvalidInputError("at least one start is needed", where="--canary-starts", todo="use 1 or more")
    if role and not _ROLE.fullmatch(role):
        raise InvalidInputError(
            f"{role} is not the ARN of a role",
            where="--canary-role",
            todo="for example arn:aws:iam::123456789012:role/nodelayer-canary",
        )


def in_account(
    options: CanaryOptions, account: Account, selected: Sequence[str], preferred: str
) -> CanaryOptions:
    """Return the options with the default role if none is set, and a region: the preferred one if possible.

    Raises:
        InvalidInputError: A region is not among those that are published to.
    """
    check(options.regions, selected, options.starts, options.role)
    default = f"arn:{account.partition.name}:iam::{account.id}:role/nodelayer-canary"
    region = preferred if preferred in selected else min(selected, default=preferred)
    return replace(options, regions=options.regions or (region,), role=options.role or default)


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
    code = _code(options.function)
    events = {each.stem: each.read_bytes() for each in sorted((options.function / "events").glob("*.json"))}

    def work(region: str) -> list[tuple[str, Canary | None] | Failure]:
        functions = account.open_region(region).functions
        _delete_left(functions)
        starter = _Starter(functions, options.role, code, events, stop, report.reporter)
        ended: list[tuple[str, Canary | None] | Failure] = []
        for each in (one for one in candidates if one.region == region):
            name = each.artifact.layer_name
            try:
                stop.check()
                report.reporter.show(region, f"canary of {name}")
                ended.append((name, starter.start(each)))
            except NodelayerError as error:
                ended.append(Failure("", name, _as_failed_canary(error), regions))
        return ended

    measured: dict[tuple[str, str], Canary] = {}
    for region, found in parallel.each(sorted({each.region for each in candidates}), work):
        if isinstance(found, NodelayerError):
            report.fail(Failure("", "canary", _as_failed_canary(found), regions))
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


@dataclass(frozen=True)
class _Starter:
    """Starts candidates in one region."""

    functions: Functions
    role: str
    code: bytes
    events: Mapping[str, bytes]
    stop: Stop
    reporter: Reporter

    def start(self, candidate: Candidate) -> Canary | None:
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
            spec = self._spec(candidate, runtime, (candidate.arn,))
            with self._function(spec):
                for found in self._cold_starts(spec, candidate.starts):
                    _compare("the sample event", found, spec, candidate.artifact, self.events["hello"])
                    inits += _init_ms(found)
                self._check(spec, candidate.artifact)
        if not inits:
            return None
        of_aws = self._start_of_aws(candidate)
        return Canary(
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            region=candidate.region,
            memory_mb=MEMORY_MB,
            init_ms=round(statistics.median(inits), 1),
            starts=len(inits),
            aws_runtime=candidate.aws_runtime if of_aws else None,
            aws_init_ms=round(statistics.median(of_aws), 1) if of_aws else None,
        )

    def _start_of_aws(self, candidate: Candidate) -> list[float]:
        """Return the init durations of AWS's own runtime. It never fails the canary."""
        if candidate.aws_runtime is None:
            return []
        spec = self._spec(candidate, candidate.aws_runtime, ())
        try:
            with self._function(spec):
                inits: list[float] = []
                for found in self._cold_starts(spec, candidate.starts):
                    if found.failed:
                        raise FunctionError(f"it failed: {found.payload[:200].decode(errors='replace')}")
                    inits += _init_ms(found)
                return inits
        except StoppedError:
            raise
        except RuntimeRefusedError:  # AWS has retired this runtime, or does not offer it in this region yet
            return []
        except NodelayerError as error:
            self.reporter.warn(f"the start of AWS's {candidate.aws_runtime} is not measured: {error}")
            return []

    def _spec(self, candidate: Candidate, runtime: str, layers: tuple[str, ...]) -> FunctionSpec:
        return FunctionSpec(
            f"{PREFIX}{secrets.token_hex(_HEX_DIGITS // 2)}",
            runtime,
            candidate.artifact.architecture,
            "function.handler",
            self.role,
            self.code,
            layers,
            MEMORY_MB,
            _TIMEOUT_S,
            (("nodelayer", "canary"),),
        )

    @contextmanager
    def _function(self, spec: FunctionSpec) -> Iterator[None]:
        """Create a function, and delete it afterwards, also if its creation fails."""
        self.stop.check()
        try:
            self.functions.create(spec, READY_S)
            yield
        finally:
            try:
                self.functions.delete(spec.name)
            except NodelayerError as error:
                self.reporter.warn(f"{error}. The next canary deletes the function")

    def _cold_starts(self, spec: FunctionSpec, starts: int) -> Iterator[Invocation]:
        """Invoke a function with the sample event, each time after a cold start."""
        for number in range(starts):
            self.stop.check()
            if number:
                self.functions.restart(spec, str(number), READY_S)
            yield self.functions.invoke(spec.name, self.events["hello"])

    def _check(self, spec: FunctionSpec, artifact: Artifact) -> None:
        """Invoke the function with the other events, and its streaming handler.

        Raises:
            FunctionError: An answer differs from that of the sample function on this layer.
        """
        over_http = self.functions.invoke(spec.name, self.events["http"])
        _compare("the HTTP event", over_http, spec, artifact, self.events["http"], over_http=True)
        failed = self.functions.invoke(spec.name, self.events["fail"])
        message = _json(failed.payload).get("errorMessage")
        if not failed.failed or message != loads(self.events["fail"])["fail"]:
            raise _wrong("the event that fails", spec, failed)
        self.functions.restart(replace(spec, handler="streaming.handler"), "streaming", READY_S)
        streamed = self.functions.invoke_streaming(spec.name, self.events["hello"])
        _compare("the sample event with response streaming", streamed, spec, artifact, self.events["hello"])
        if _json(streamed.payload).get("streamed") is not True:
            raise _wrong("the sample event with response streaming", spec, streamed)


def _as_failed_canary(error: NodelayerError) -> NodelayerError:
    """Return the error with the exit code of a failed canary, unless the user stopped it."""
    if isinstance(error, (FunctionError, StoppedError)):
        return error
    return FunctionError(f"the canary cannot run: {error.what}", where=error.where, todo=error.todo)


def _compare(  # noqa: PLR0913 - what the answer depends on
    what: str,
    found: Invocation,
    spec: FunctionSpec,
    artifact: Artifact,
    event: bytes,
    *,
    over_http: bool = False,
) -> None:
    answer = _json(found.payload)
    if over_http:
        good = answer.get("statusCode") == HTTPStatus.OK
        answer = _json(str(answer.get("body", "")).encode()) if good else {}
    (architecture,) = parse(artifact.architecture)
    expected = (f"v{artifact.node_version}", architecture.node, loads(event))
    if found.failed or (answer.get("node"), answer.get("architecture"), answer.get("event")) != expected:
        raise _wrong(what, spec, found)


def _wrong(what: str, spec: FunctionSpec, found: Invocation) -> FunctionError:
    return FunctionError(
        f"the canary on {spec.runtime} gave a wrong answer to {what}: "
        f"{found.payload[:200].decode(errors='replace')!r}",
        where=spec.layers[0],
        todo="no access is granted; build it again, or report it as a bug",
    )


def _json(data: bytes) -> Mapping[str, object]:
    try:
        found = loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _init_ms(found: Invocation) -> list[float]:
    return [float(each) for each in _INIT.findall(found.logs)[:1]]


def left(functions: Functions) -> list[str]:
    """Return the names of the functions that a killed canary left in the region.

    A canary's name ends with random digits, so it identifies the function as well as its tag. Tags are not
    read: that takes a call for each function.
    """
    now = datetime.now(UTC)
    return [
        name
        for name, changed in functions.names(PREFIX)
        if _NAME.fullmatch(name) and (now - datetime.fromisoformat(changed)).total_seconds() > _LEFT_S
    ]


def _delete_left(functions: Functions) -> None:
    """Delete functions that another canary left. Needs lambda:ListFunctions, and is skipped without."""
    with suppress(NodelayerError):
        for name in left(functions):
            with suppress(NodelayerError):
                functions.delete(name)


def _code(folder: Path) -> bytes:
    """Return the zip of the sample function, and of the same with response streaming."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.glob("*.js*")):
            packed.write(path, path.name)
    return data.getvalue()
