"""Temporary folders whose errors are MachineErrors."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodelayer.errors import MachineError


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Create a temporary folder and remove it afterwards.

    Raises:
        MachineError: The folder, or a file that the caller writes, cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            yield Path(folder)
    except OSError as error:
        raise MachineError(
            f"temporary files cannot be written ({(error.strerror or type(error).__name__).lower()})",
            where=str(error.filename or os.environ.get("TMPDIR", "")),
            todo="free some space, or set TMPDIR to another folder",
        ) from error
