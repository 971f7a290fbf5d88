"""The sample function on a built layer, on this machine: unpacked as Lambda does, through AWS's emulator."""

import json
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nodelayer import archive, emulator
from nodelayer.architecture import Architecture, of_host
from nodelayer.errors import InvalidInputError, MachineError
from nodelayer.progress import Reporter
from nodelayer.record import BuildRecord


@dataclass(frozen=True)
class Trial:
    """What to run: the folder of the function, its handler, one event as JSON, seconds it may take."""

    function: Path
    event: bytes
    handler: str = "function.handler"
    timeout_s: float = 30.0


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


def run(record: BuildRecord, folder: Path, trial: Trial, rie: Path, reporter: Reporter) -> emulator.Answer:
    """Unpack the layer the record in `folder` speaks of and invoke the function on it once, cold."""
    with tempfile.TemporaryDirectory(prefix="nodelayer-run-") as scratch:
        layer = Path(scratch) / "opt"
        archive.unpack(archive.read(folder / record.zip), layer)
        return emulator.invoke_once(
            layer,
            trial.function,
            trial.handler,
            trial.event,
            rie=rie,
            timeout_s=trial.timeout_s,
            reporter=reporter,
        )


def show(answer: emulator.Answer, record: BuildRecord, reporter: Reporter) -> None:
    """What the function logged and how long it took, on stderr."""
    for line in answer.logs.splitlines():
        reporter.say(f"  {line}")
    outcome = "failed" if answer.failed else "answered"
    times = f"{answer.duration_ms:.0f} ms, cold start {answer.cold_start_ms:.0f} ms"
    reporter.say(f"Node.js {record.node_version} {outcome} in {times}")
