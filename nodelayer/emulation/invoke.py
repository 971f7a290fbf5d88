"""The sample function on a built layer, on this machine: unpacked as Lambda does, through AWS's emulator."""

import json
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from nodelayer.architecture import Architecture, of_host, parse
from nodelayer.emulation import rie as emulator
from nodelayer.errors import FunctionError, InvalidInputError, MachineError, NotVerifiedError
from nodelayer.layer import archive
from nodelayer.layer.artifact import Artifact
from nodelayer.util.console import Reporter

EVENTS = ("hello", "http")
"""The events a layer is checked with, by the name of their file: a plain one, and one of an HTTP API."""


@dataclass(frozen=True)
class InvokeRequest:
    """What to run: the folder of the function, its handler, one event as JSON, seconds it may take."""

    function: Path
    event: bytes
    handler: str = "function.handler"
    timeout_s: int = 30


def read_event(name: str, standard_input: bytes | None = None) -> bytes:
    """The event a flag names: a file's bytes, or those of standard input for `-`.

    Raises InvalidInputError when there is no such file or it holds no JSON.
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
                todo="name a JSON file, or - for standard input",
            ) from error
    try:
        json.loads(data)
    except ValueError as error:
        raise InvalidInputError(
            f"the event is not JSON ({error})", where=name, todo="mend the file"
        ) from error
    return data


def host_architecture() -> Architecture:
    """The architecture functions can be run on here. Raises MachineError where there is none."""
    found = of_host()
    if found is None:
        raise MachineError(
            "Lambda functions cannot be run here",
            where=f"{platform.system()} {platform.machine()}",
            todo="use Linux on x86_64 or arm64",
        )
    return found


def run(zipped: Path, trial: InvokeRequest, rie: Path) -> emulator.Answer:
    """Unpack a layer and invoke the function on it once, cold.

    Raises NodelayerError where there is no answer; an answer may be the function's own error.
    """
    with tempfile.TemporaryDirectory(prefix="nodelayer-run-") as scratch:
        layer = Path(scratch) / "opt"
        archive.unpack(archive.read(zipped), layer)
        sandbox = emulator.Sandbox(layer, trial.function, trial.handler, trial.timeout_s)
        return emulator.invoke_once(sandbox, trial.event, rie=rie)


def check(layer: Artifact, function: Path, events: Mapping[str, bytes], rie: Path) -> str:
    """Run the sample function on a layer, cold for each of EVENTS; returns how that went, in a line.

    Raises FunctionError where it fails, NotVerifiedError where it runs on another Node.js than it should.
    """
    (architecture,) = parse(layer.architecture)
    wanted = f"v{layer.node_version}", architecture.node
    took = []
    for name in EVENTS:
        answer = run(layer.path, InvokeRequest(function, events[name]), rie)
        told = answer.payload.decode(errors="replace")
        if answer.failed:
            raise FunctionError(f"the sample function failed: {told[:200]}", where=f"{layer.path}, {name}")
        if _said(told, over_http=name == "http") != (*wanted, json.loads(events[name])):
            raise NotVerifiedError(
                f"the layer does not answer as Node.js {layer.node_version} for {architecture}: {told[:200]}",
                where=f"{layer.path}, {name}",
                todo="build the layer again",
            )
        took.append(f"{name} in {answer.duration_ms or 0:.1f} ms")
    return f"Node.js {layer.node_version} for {architecture} answered {' and '.join(took)}"


def _said(answer: str, *, over_http: bool) -> tuple[object, object, object] | None:
    """Node.js, architecture and event as the sample function tells them; None where it is no such answer."""
    try:
        said = json.loads(answer)
        if over_http:
            said = json.loads(said["body"]) if said["statusCode"] == HTTPStatus.OK else None
        return said["node"], said["architecture"], said["event"]
    except (ValueError, KeyError, TypeError):
        return None


def show(answer: emulator.Answer, layer: str, reporter: Reporter) -> None:
    """What the function logged and how long it took, on stderr. `layer` says what it ran on."""
    for line in answer.logs.splitlines():
        reporter.say(f"  {line}")
    outcome = f"failed with {answer.error_type}" if answer.failed else "answered"
    taken = "" if answer.duration_ms is None else f" in {answer.duration_ms:.1f} ms"
    start = "" if answer.init_ms is None else f", cold start {answer.init_ms:.1f} ms"
    reporter.say(f"{layer} {outcome}{taken}{start}")
