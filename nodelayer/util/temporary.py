"""Temporary files, with an error that a person can act on."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodelayer.errors import MachineError


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder among the temporary files, gone afterwards. Raises MachineError if it cannot be written."""
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            yield Path(folder)
    except OSError as error:
        raise MachineError(
            f"temporary files cannot be written ({(error.strerror or type(error).__name__).lower()})",
            where=str(error.filename or os.environ.get("TMPDIR", "")),
            todo="free some space, or name another folder in TMPDIR",
        ) from error
