"""Invoke a function on a built layer on this machine, with AWS's Runtime Interface Emulator."""

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from nodelayer.architecture import Architecture, of_host, parse
from nodelayer.emulation import rie as emulator
from nodelayer.errors import FunctionError, InvalidInputError, MachineError, NotVerifiedError
from nodelayer.layer import archive
from nodelayer.layer.artifact import Artifact
from nodelayer.util import confined
from nodelayer.util.console import Reporter
from nodelayer.util.json_text import loads
from nodelayer.util.temporary import temporary_folder

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
EVENTS = ("hello", "http")
"""The events of a layer's test, by file name: a plain one, and one of an HTTP API."""


@dataclass(frozen=True)
class InvokeRequest:
    """The folder of the function, its handler, an event as JSON, and the timeout in seconds.

    `environ` are environment variables of the function. A `confined` function has no network and sees no
    files except its own and the layer's.
    """

    function: Path
    event: bytes
    handler: str = "function.handler"
    timeout_s: int = 30
    environ: Mapping[str, str] = field(default_factory=dict)
    confined: bool = False


def read_event(name: str, standard_input: bytes | None = None) -> bytes:
    """Return the event of a file, or of standard input if it is given.

    Raises:
        InvalidInputError: The file cannot be read, or is not JSON.
    """
    if standard_input is not None:
        data = standard_input
    else:
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise InvalidInputError(
                f"the event cannot be read ({(error.strerror or 'unknown reason').lower()})",
                where=name,
                todo="pass the path of a JSON file, or - and the JSON on standard input",
            ) from error
    try:
        loads(data)
    except ValueError as error:
        raise InvalidInputError(
            f"the event is not valid JSON ({error})", where=name, todo="correct the JSON"
        ) from error
    return data


def variables(pairs: Sequence[str], file: str) -> dict[str, str]:
    """Return the environment variables of NAME=value pairs and of a file with one on each line.

    Raises:
        InvalidInputError: The file cannot be read, or something is not NAME=value.
    """
    lines: list[str] = []
    if file:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                "the file of environment variables cannot be read", where=file, todo="correct --env-file"
            ) from error
        lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    found = {}
    for each in (*lines, *pairs):
        name, equals, value = each.partition("=")
        if not (equals and _NAME.fullmatch(name.strip())) or "\0" in value:
            raise InvalidInputError(  # without the text, which may be a secret
                "an environment variable is not NAME=value", where=file if each in lines else "--env"
            )
        found[name.strip()] = value
    return found


def host_architecture() -> Architecture:
    """Return the architecture of functions that this machine can run.

    Raises:
        MachineError: It cannot run any.
    """
    found = of_host()
    if found is None:
        raise MachineError(
            "this machine cannot run Lambda functions",
            where=f"{platform.system()} {platform.machine()}",
            todo="use Linux on x86_64 or arm64",
        )
    return found


def run(zipped: Path, request: InvokeRequest, rie: Path) -> emulator.Answer:
    """Unpack a layer and invoke the function on it once, as a cold start.

    The answer may be an error of the function; NodelayerError means that there is no answer.
    """
    with temporary_folder("nodelayer-run-") as layer:
        archive.unpack(archive.read(zipped), layer)
        return _invoke(layer, request, rie)


def _invoke(layer: Path, request: InvokeRequest, rie: Path) -> emulator.Answer:
    sandbox = emulator.Sandbox(
        layer, request.function, request.handler, request.timeout_s, request.environ, request.confined
    )
    return emulator.invoke_once(sandbox, request.event, rie=rie)


def check(layer: Artifact, function: Path, events: Mapping[str, bytes], rie: Path) -> str:
    """Test a built layer as `check_unpacked` does."""
    (architecture,) = parse(layer.architecture)
    with temporary_folder("nodelayer-run-") as folder:
        archive.unpack(archive.read(layer.path), folder)
        return check_unpacked(folder, layer.node_version, architecture, function, events, rie)


def check_unpacked(  # noqa: PLR0913, PLR0917 - every input of a test
    layer: Path,
    version: str,
    architecture: Architecture,
    function: Path,
    events: Mapping[str, bytes],
    rie: Path,
) -> str:
    """Invoke the sample function on an unpacked layer, cold for each event; return a line with the times.

    `events` maps names to JSON; `http` is an event of an HTTP API.

    Raises:
        FunctionError: The function failed or did not answer.
        NotVerifiedError: The function reports another Node.js version or architecture.
    """
    times = []
    for name, event in events.items():
        answer = _invoke(layer, InvokeRequest(function, event, confined=not confined.available()), rie)
        payload = answer.payload.decode(errors="replace")
        if answer.failed:
            raise FunctionError(
                f"the sample function failed on Node.js {version} for {architecture}: {payload[:200]}",
                where=name,
                todo="build the layer again; if it fails again, report it as a bug",
            )
        expected = (f"v{version}", architecture.node, loads(event))
        if _sample_answer(payload, over_http=name == "http") != expected:
            raise NotVerifiedError(
                f"the layer does not report Node.js {version} for {architecture}: {payload[:200]}",
                where=name,
                todo="build the layer again",
            )
        times.append(f"{name} in {answer.duration_ms or 0:.1f} ms")
    return f"Node.js {version} for {architecture} answered {' and '.join(times)}"


def _sample_answer(answer: str, *, over_http: bool) -> tuple[object, object, object] | None:
    """Return version, architecture and event from the sample function's answer; None for other answers."""
    try:
        fields = loads(answer)
        if over_http:
            fields = loads(fields["body"]) if fields["statusCode"] == HTTPStatus.OK else None
        return fields["node"], fields["architecture"], fields["event"]
    except (ValueError, KeyError, TypeError):
        return None


def show(answer: emulator.Answer, layer: str, reporter: Reporter) -> None:
    """Print the function's logs and its duration on stderr. `layer` describes the layer."""
    for line in answer.logs.splitlines():
        reporter.say(f"  {line}")
    outcome = f"failed with {answer.error_type}" if answer.failed else "answered"
    taken = "" if answer.duration_ms is None else f" in {answer.duration_ms:.1f} ms"
    start = "" if answer.init_ms is None else f", cold start {answer.init_ms:.1f} ms"
    reporter.say(f"{layer} {outcome}{taken}{start}")
