"""The sample function on a built layer, on this machine: unpacked as Lambda does, through AWS's emulator."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nodelayer import archive, emulator
from nodelayer.errors import InvalidInputError
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


def run(record: BuildRecord, folder: Path, trial: Trial, rie: Path) -> emulator.Answer:
    """Unpack the layer the record in `folder` speaks of and invoke the function on it once, cold."""
    with tempfile.TemporaryDirectory(prefix="nodelayer-run-") as scratch:
        layer = Path(scratch) / "opt"
        archive.unpack(archive.read(folder / record.zip), layer)
        return emulator.invoke_once(
            layer, trial.function, trial.handler, trial.event, rie=rie, timeout_s=trial.timeout_s
        )
