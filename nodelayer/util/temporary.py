"""Temporary folders that the next run removes if a run was killed. Their errors are MachineErrors."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nodelayer.errors import MachineError

_LOCK = ".lock"
_ABANDONED_S = 600
"""Seconds after which a folder without a lock file is removed: its program was killed when it created it."""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Create a temporary folder, and remove it afterwards. Also remove those that killed programs left.

    Raises:
        MachineError: The folder, or a file that the caller writes, cannot be written.
    """
    try:
        _remove_abandoned(prefix)
        with tempfile.TemporaryDirectory(prefix=prefix) as outer, _locked(Path(outer)):
            folder = Path(outer, "files")
            folder.mkdir()
            yield folder
    except OSError as error:
        raise MachineError(
            f"temporary files cannot be written ({(error.strerror or type(error).__name__).lower()})",
            where=str(error.filename or os.environ.get("TMPDIR", "")),
            todo="free some space, or set TMPDIR to another folder",
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a file in the folder while this program runs. The file gets its name when it is locked."""
    created = folder / f"{_LOCK}.new"
    descriptor = os.open(created, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        created.rename(folder / _LOCK)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(prefix: str) -> None:
    """Remove this user's folders with the prefix whose program has ended."""
    name = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}", re.ASCII)  # as tempfile forms names
    for folder in Path(tempfile.gettempdir()).iterdir():
        with suppress(OSError):
            if name.fullmatch(folder.name) and folder.stat().st_uid == os.getuid() and _is_abandoned(folder):
                shutil.rmtree(folder)


def _is_abandoned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _ABANDONED_S
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
