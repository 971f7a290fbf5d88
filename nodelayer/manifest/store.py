"""The manifest as a file or URL: read, lock, write atomically."""

import glob
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nodelayer.errors import InvalidInputError, MachineError, NotFoundError, machine_error
from nodelayer.manifest.model import MANIFEST_FILE, SCHEMA_FILE, Manifest
from nodelayer.manifest.schema import parse, schema_text

_MOST_BYTES = 64 * 1024 * 1024  # of a manifest from a URL
_LOCK_SECONDS = 60
_UNFINISHED = ".unfinished"


def open_manifest(place: str) -> Manifest:
    """The manifest at a file or URL. Raises NodelayerError when there is none or it is not to be read."""
    if place.startswith(("https://", "http://")):
        from nodelayer.util.http import Web, shown  # noqa: PLC0415 - takes long to import

        with Web(todo="name another manifest with --manifest, or try again later") as web:
            answer = web.get(place, most=_MOST_BYTES)
        if answer.status == 404:  # noqa: PLR2004 - not found
            raise NotFoundError("there is no manifest", where=shown(place), todo="mend --manifest")
        return parse(answer.data, shown(place))
    path = Path(place)
    if not path.exists():
        raise NotFoundError(
            "there is no manifest", where=place, todo="name a file or a URL with --manifest, or publish first"
        )
    return read(path)


def read(path: Path) -> Manifest:
    """The manifest of a file; an empty one where there is no file. Raises NodelayerError."""
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error


def update(path: Path, change: Callable[[Manifest], Manifest]) -> Manifest:
    """Read, change and write a manifest and the files beside it while no other writer can.

    Each file is replaced whole. Raises NodelayerError; then each is what it was.
    """
    path = path.resolve()
    with _locked(path):
        changed = change(read(path))
        files = {
            path.name: changed.json_text(),
            f"{path.stem}.txt": changed.text(),
            SCHEMA_FILE: schema_text(),
        }
        for name, text in files.items():
            # By a writer that was killed; none is at work now.
            for left in path.parent.glob(f".{glob.escape(name)}.*{_UNFINISHED}"):
                left.unlink(missing_ok=True)
            _replace(path.with_name(name), text)
    return changed


def copy_into(folder: Path, known: Manifest) -> None:
    """A manifest and its text as files of a folder that nobody else writes to. Raises MachineError."""
    _replace(folder / MANIFEST_FILE, known.json_text())
    _replace(folder / f"{Path(MANIFEST_FILE).stem}.txt", known.text())


def check_writable(path: Path) -> None:
    """Raises MachineError where the manifest could not be written: known before anything is published.

    And InvalidInputError where its name is that of another file that is written with it.
    """
    path = path.resolve()
    if path.suffix == ".txt" or path.name == SCHEMA_FILE:
        raise InvalidInputError(
            "this name is for a file beside the manifest",
            where=str(path),
            todo=f"use --manifest {MANIFEST_FILE}",
        )
    with _locked(path):
        try:
            if path.exists():
                path.open("rb+").close()
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise machine_error(error, path, "--manifest") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import filelock  # noqa: PLC0415 - readers do not need it

    if not path.parent.is_dir():  # FileLock would create it
        raise MachineError(
            "there is no such folder", where=str(path.parent), todo="make it, or mend --manifest"
        )
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InvalidInputError(
            f"another process has held the manifest for {_LOCK_SECONDS} s",
            where=str(path),
            todo="wait for it, or end it",
        ) from error
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error
    try:
        yield
    finally:
        lock.release()


def _replace(path: Path, text: str) -> None:
    """The file with this text, or as it was; not touched where it says so already."""
    data = text.encode()
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)  # noqa: PTH101
            os.replace(name, path)  # noqa: PTH105 - as the rest
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error
