"""Outputs of a GitHub Actions step: lines in the file that $GITHUB_OUTPUT names.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#setting-an-output-parameter
"""

import uuid
from collections.abc import Mapping
from pathlib import Path

from nodelayer.errors import machine_error

HELP = 'file for step outputs, name=value lines; in a GitHub Actions job: "$GITHUB_OUTPUT".'
"""The help of --outputs, in every command that has it."""


def write(place: str, values: Mapping[str, str]) -> None:
    """Append the values to the file, or do nothing if `place` is empty. Raises MachineError.

    A value of several lines ends at a random delimiter, so that no value can set another output.
    """
    if not place:
        return
    written = []
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            end = f"end-{uuid.uuid4().hex}"
            written.append(f"{name}<<{end}\n{value}\n{end}\n")
        else:
            written.append(f"{name}={value}\n")
    try:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write("".join(written))
    except OSError as error:
        raise machine_error(error, Path(place), "--outputs") from error
