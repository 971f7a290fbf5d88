"""Start functions on Lambda with what is published, before others may use it.

Each function has the sample code, is invoked with the sample events, and is deleted. A function that a killed
run left is deleted by the next canary, or by prune.
"""

import io
import re
import secrets
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Self

from nodelayer.architecture import parse
from nodelayer.aws.account import Account
from nodelayer.aws.functions import Functions, FunctionSpec, Invocation
from nodelayer.errors import FunctionError, InvalidInputError, NodelayerError
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


@dataclass(frozen=True)
class Starter:
    """Starts functions in one region, all with the sample code."""

    functions: Functions
    role: str
    code: bytes
    events: Mapping[str, bytes]
    stop: Stop
    reporter: Reporter

    @classmethod
    def open(cls, functions: Functions, options: CanaryOptions, stop: Stop, reporter: Reporter) -> Self:
        """Delete the functions that a killed canary left in the region, and read the sample code."""
        _delete_left(functions)
        paths = sorted((options.function / "events").glob("*.json"))
        events = {each.stem: each.read_bytes() for each in paths}
        return cls(functions, options.role, _code(options.function), events, stop, reporter)

    def spec(
        self,
        runtime: str,
        architecture: str,
        layers: tuple[str, ...] = (),
        managed: tuple[str, str] | None = None,
    ) -> FunctionSpec:
        """Return a function on a runtime with layers, or on the alias of a customer-managed runtime."""
        return FunctionSpec(
            f"{PREFIX}{secrets.token_hex(_HEX_DIGITS // 2)}",
            runtime,
            architecture,
            "function.handler",
            self.role,
            self.code,
            layers,
            MEMORY_MB,
            _TIMEOUT_S,
            (("nodelayer", "canary"),),
            managed,
        )

    def start(self, spec: FunctionSpec, node_version: str, starts: int = 1) -> list[float]:
        """Start a function, and check its answers. Return the init durations that Lambda reports.

        Raises:
            FunctionError: An answer differs from that of the sample function on this Node.js version.
        """
        inits: list[float] = []
        with self.function(spec):
            for found in self.cold_starts(spec, starts):
                _compare("the sample event", found, spec, node_version, self.events["hello"])
                inits += init_ms(found)
            self._check(spec, node_version)
        return inits

    @contextmanager
    def function(self, spec: FunctionSpec) -> Iterator[None]:
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

    def cold_starts(self, spec: FunctionSpec, starts: int) -> Iterator[Invocation]:
        """Invoke a function with the sample event, each time after a cold start."""
        for number in range(starts):
            self.stop.check()
            if number:
                self.functions.restart(spec, str(number), READY_S)
            yield self.functions.invoke(spec.name, self.events["hello"])

    def _check(self, spec: FunctionSpec, node_version: str) -> None:
        """Invoke the function with the other events, and its streaming handler.

        Raises:
            FunctionError: An answer differs from that of the sample function.
        """
        over_http = self.functions.invoke(spec.name, self.events["http"])
        _compare("the HTTP event", over_http, spec, node_version, self.events["http"], over_http=True)
        failed = self.functions.invoke(spec.name, self.events["fail"])
        message = _json(failed.payload).get("errorMessage")
        if not failed.failed or message != loads(self.events["fail"])["fail"]:
            raise _wrong("the event that fails", spec, failed)
        self.functions.restart(replace(spec, handler="streaming.handler"), "streaming", READY_S)
        streamed = self.functions.invoke_streaming(spec.name, self.events["hello"])
        _compare(
            "the sample event with response streaming", streamed, spec, node_version, self.events["hello"]
        )
        if _json(streamed.payload).get("streamed") is not True:
            raise _wrong("the sample event with response streaming", spec, streamed)


def as_failed(error: NodelayerError) -> NodelayerError:
    """Return the error with the exit code of a failed canary, unless the user stopped it."""
    if isinstance(error, (FunctionError, StoppedError)):
        return error
    return FunctionError(f"the canary cannot run: {error.what}", where=error.where, todo=error.todo)


def _compare(  # noqa: PLR0913 - what the answer depends on
    what: str,
    found: Invocation,
    spec: FunctionSpec,
    node_version: str,
    event: bytes,
    *,
    over_http: bool = False,
) -> None:
    answer = _json(found.payload)
    if over_http:
        good = answer.get("statusCode") == HTTPStatus.OK
        answer = _json(str(answer.get("body", "")).encode()) if good else {}
    (architecture,) = parse(spec.architecture)
    expected = (f"v{node_version}", architecture.node, loads(event))
    if found.failed or (answer.get("node"), answer.get("architecture"), answer.get("event")) != expected:
        raise _wrong(what, spec, found)


def _wrong(what: str, spec: FunctionSpec, found: Invocation) -> FunctionError:
    return FunctionError(
        f"the canary on {spec.runtime} gave a wrong answer to {what}: "
        f"{found.payload[:200].decode(errors='replace')!r}",
        where=" ".join(spec.managed or spec.layers),
        todo=("no alias is set" if spec.managed else "no access is granted")
        + "; build it again, or report it as a bug",
    )


def _json(data: bytes) -> Mapping[str, object]:
    try:
        found = loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def init_ms(found: Invocation) -> list[float]:
    """Return the init duration of an invocation, if Lambda reports one."""
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
