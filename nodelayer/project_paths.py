"""Where nodelayer's own files are: the runtime client, Docker's files, the sample function."""

from dataclasses import dataclass
from pathlib import Path

_PACKAGED = Path(__file__).resolve().parent / "_files"

PROGRAM = "nodelayer" if _PACKAGED.is_dir() else "invoke"
"""The program that runs the commands: the installed one, or Invoke in a checkout. For messages."""


@dataclass(frozen=True)
class ProjectPaths:
    """Where a build finds its own parts: folders and the event of the proof."""

    runtime: Path
    function: Path
    dockerfiles: Path
    event: Path


def project_root() -> Path:
    """Return the folder of these files: the checkout, or the copy that an installed wheel holds."""
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
