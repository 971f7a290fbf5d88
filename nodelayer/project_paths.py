"""Paths of nodelayer's own files: the runtime client, Docker's files, the sample function."""

import shlex
from dataclasses import dataclass
from pathlib import Path

_PACKAGED = Path(__file__).resolve().parent / "_files"

PROGRAM = "nodelayer" if _PACKAGED.is_dir() else "invoke"
"""The program that runs the commands, for messages: `nodelayer` if installed, `invoke` in a checkout."""


@dataclass(frozen=True)
class ProjectPaths:
    """The paths that a build needs; `event` is the event of the test invocation."""

    runtime: Path
    function: Path
    dockerfiles: Path
    event: Path


def project_root() -> Path:
    """Return the folder of these files: the checkout, or the copy in an installed wheel."""
    return _PACKAGED if _PACKAGED.is_dir() else _PACKAGED.parent.parent


def project_paths() -> ProjectPaths:
    """Return the paths in `project_root()`."""
    root = project_root()
    return ProjectPaths(
        runtime=root / "runtime",
        function=root / "function",
        dockerfiles=root / "docker",
        event=root / "function" / "events" / "hello.json",
    )


def command(*words: str) -> str:
    """Return a command of this program to suggest in a message, with its arguments quoted for a shell."""
    return shlex.join([PROGRAM, *words])
