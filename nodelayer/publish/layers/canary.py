"""Start a private layer version on Lambda itself, before anybody else may use it.

For each layer and each compatible runtime, a temporary function with the sample code is created, invoked and
deleted. A function that a killed run left is deleted by the next canary, or by prune.
"""

import io
import re
import secrets
import statistics
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from nodelayer.architecture import parse
from nodelayer.aws import runtimes
from nodelayer.aws.account import Account
from nodelayer.aws.functions import Functions, FunctionSpec
from nodelayer.aws.stacks import Invocation
from nodelayer.errors import FunctionError, InvalidInputError, NodelayerError
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Canary
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel
from nodelayer.util.console import Reporter
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
_INIT = re.compile(r"Init Duration: (\d+\.?\d*) ms")


@dataclass(frozen=True)
class CanaryOptions:
    """Where the canary runs, with which execution role, and how many cold starts are measured.

    `function` is the folder of the sample function.
    """

    regions: tuple[str, ...]
    role: str
    starts: int
    function: Path


@dataclass(frozen=True)
class Candidate:
    """A private layer version to start: of an artifact, in a region."""

    region: str
    artifact: Artifact
    arn: str

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


def check(regions: Sequence[str], selected: Sequence[str], starts: int) -> None:
    """Check the flags of the canary.

    Raises:
        InvalidInputError: A region is not among those that are published to, or `starts` is less than 1.
    """
    for region in regions:
        if region not in selected:
            raise InvalidInputError(
                f"the canary region {region} is not published to",
                where="--canary",
                todo="add it to --regions",
            )
    if starts < 1:
        raise InvalidInputError("at least one start is needed", where="--canary-starts", todo="use 1 or more")


def estimate(candidates: Sequence[Candidate], starts: int) -> str:
    """Return how many calls a canary makes, and how long it takes, in one line."""
    functions = sum(len(each.runtimes) for each in candidates)
    calls = functions * (_CALLS + starts - 1)
    longest = max(
        (
            sum(len(each.runtimes) for each in candidates if each.region == region)
            for region in {each.region for each in candidates}
        ),
        default=0,
    )
    minutes = longest * (_SECONDS_A_FUNCTION + 3 * (starts - 1)) / 60
    return f"Canary: {functions} functions, {calls} invocations, about {max(1, round(minutes))} min"


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
        ended: list[tuple[str, Canary | None] | Failure] = []
        for each in (one for one in candidates if one.region == region):
            name = each.artifact.layer_name
            try:
                stop.check()
                report.reporter.show(region, f"canary of {name}")
                ended.append((name, _start(functions, each, code, events, options, stop, report.reporter)))
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
            elif each[1] is not None:
                measured[region, each[0]] = each[1]
                report.reporter.say(
                    f"{region}: {each[0]} starts in {each[1].init_ms:.0f} ms on {MEMORY_MB} MB"
                )
            else:
                report.reporter.say(f"{region}: {each[0]} starts")
    return measured


def _start(  # noqa: PLR0913, PLR0917 - what a start needs
    functions: Functions,
    candidate: Candidate,
    code: bytes,
    events: Mapping[str, bytes],
    options: CanaryOptions,
    stop: Stop,
    reporter: Reporter,
) -> Canary | None:
    """Start a layer on each runtime. Return the median init duration, if Lambda reports any."""
    if not candidate.runtimes:
        raise FunctionError(
            f"Lambda creates no functions for {', '.join(candidate.artifact.compatible_runtimes)} any more",
            todo="publish without --canary, or update nodelayer",
        )
    inits: list[float] = []
    for runtime in candidate.runtimes:
        stop.check()
        spec = FunctionSpec(
            f"{PREFIX}{secrets.token_hex(6)}",
            runtime,
            candidate.artifact.architecture,
            "function.handler",
            options.role,
            code,
            (candidate.arn,),
            MEMORY_MB,
            _TIMEOUT_S,
            (("nodelayer", "canary"),),
        )
        with _function(functions, spec, reporter):
            inits += _init_ms(_started(functions, spec, candidate.artifact, events["hello"]))
            for number in range(1, options.starts):
                stop.check()
                functions.restart(spec.name, str(number), READY_S)
                inits += _init_ms(_started(functions, spec, candidate.artifact, events["hello"]))
            _check(functions, spec, candidate.artifact, events)
    if not inits:
        return None
    return Canary(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        region=candidate.region,
        memory_mb=MEMORY_MB,
        init_ms=round(statistics.median(inits), 1),
        starts=len(inits),
    )


@contextmanager
def _function(functions: Functions, spec: FunctionSpec, reporter: Reporter) -> Iterator[None]:
    """Create a function, and delete it afterwards, also if its creation fails."""
    try:
        functions.create(spec, READY_S)
        yield
    finally:
        try:
            functions.delete(spec.name)
        except NodelayerError as error:
            reporter.warn(f"{error}. The next canary deletes the function")


def _started(functions: Functions, spec: FunctionSpec, artifact: Artifact, event: bytes) -> Invocation:
    """Return the first invocation after a cold start."""
    found = functions.invoke(spec.name, event)
    _compare("the sample event", found, spec, artifact, event)
    return found


def _check(functions: Functions, spec: FunctionSpec, artifact: Artifact, events: Mapping[str, bytes]) -> None:
    """Invoke the function with the other events.

    Raises:
        FunctionError: An answer differs from that of the sample function on this layer.
    """
    over_http = functions.invoke(spec.name, events["http"])
    _compare("the HTTP event", over_http, spec, artifact, events["http"], over_http=True)
    streamed = functions.invoke_streaming(spec.name, events["hello"])
    _compare("the streamed response", streamed, spec, artifact, events["hello"])
    failed = functions.invoke(spec.name, events["fail"])
    message = _json(failed.payload).get("errorMessage")
    if not failed.failed or message != loads(events["fail"])["fail"]:
        raise _wrong("the event that fails", spec, failed)


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
    """Return the names of the functions that a killed canary left in the region."""
    now = datetime.now(UTC)
    return [
        name
        for name, changed in functions.names(PREFIX)
        if (now - datetime.fromisoformat(changed)).total_seconds() > _LEFT_S
    ]


def _delete_left(functions: Functions) -> None:
    """Delete functions that another canary left. Needs lambda:ListFunctions, and is skipped without."""
    with suppress(NodelayerError):
        for name in left(functions):
            with suppress(NodelayerError):
                functions.delete(name)


def _code(folder: Path) -> bytes:
    """Return the zip of the sample function."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.glob("*.js*")):
            packed.write(path, path.name)
    return data.getvalue()
