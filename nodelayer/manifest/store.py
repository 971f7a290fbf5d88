"""Read the manifest from a file or URL, lock it, and write it atomically."""

import glob
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from nodelayer.errors import InvalidInputError, MachineError, NotFoundError, NotVerifiedError, machine_error
from nodelayer.manifest.model import MANIFEST_FILE, SCHEMA_FILE, Manifest
from nodelayer.manifest.schema import MOST_BYTES, parse, schema_text
from nodelayer.node.versions import sort_key
from nodelayer.version import __version__

_LOCK_SECONDS = 60
_UNFINISHED = ".unfinished"
_SCHEMA_BYTES = 16 * 1024  # more than a new manifest, or the schema, has


def open_manifest(location: str) -> Manifest:
    """Read the manifest from a file or URL.

    Raises:
        NotFoundError: It does not exist.
        NodelayerError: It cannot be read, or is not valid.
    """
    if location.startswith(("https://", "http://")):
        from nodelayer.util.http import Web, shown  # noqa: PLC0415 - takes long to import

        with Web(todo="name another manifest with --manifest, or try again later") as web:
            answer = web.get(location, most=MOST_BYTES)
        if answer.status == 404:  # noqa: PLR2004 - not found
            raise NotFoundError(
                "the manifest does not exist", where=shown(location), todo="correct --manifest"
            )
        return parse(answer.data, shown(location))
    path = Path(location)
    if not path.exists():
        raise NotFoundError(
            "the manifest does not exist",
            where=location,
            todo="name a file or a URL with --manifest, or publish a layer first",
        )
    return read(path)


def read(path: Path) -> Manifest:
    """Read the manifest from a file; an empty one if the file does not exist.

    Raises:
        NodelayerError: It cannot be read, or is not valid.
    """
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error


class Reserve:
    """Disk space for the next writes of a manifest, which then has `growth` bytes more.

    An unnamed file occupies the space, so it is free again when the program ends.
    """

    def __init__(self, path: Path, growth: int) -> None:
        self._path = path.resolve()
        self._growth = growth
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Occupy the space.

        Raises:
            MachineError: The disk is full, or the folder is not writable.
        """
        if self._file is not None:
            return
        size = self._growth
        for path in (self._path, self._path.with_suffix(".txt"), self._path.with_name(SCHEMA_FILE)):
            size += path.stat().st_size if path.exists() else _SCHEMA_BYTES
        try:
            self._file = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115 - free() closes it
            self._file.write(bytes(size))
            self._file.flush()
        except OSError as error:
            self.free()
            raise machine_error(error, self._path, "--manifest") from error

    def free(self) -> None:
        """Release the space."""
        if self._file is not None:
            with suppress(OSError):  # what it could not write when the disk is full
                self._file.close()
            self._file = None


def update(path: Path, change: Callable[[Manifest], Manifest], reserve: Reserve | None = None) -> Manifest:
    """Read, change and write a manifest, its text and its schema, while other writers are locked out.

    Each file is replaced as a whole, or not at all. The writes use the space of the `reserve`; afterwards it
    takes space again if it can.

    Raises:
        NodelayerError: The manifest is not valid, or a file cannot be written.
    """
    path = path.resolve()
    with _locked(path), _freed(reserve):
        changed = change(read(path))
        files = {
            path.name: changed.json_text(),
            f"{path.stem}.txt": changed.text(),
            SCHEMA_FILE: schema_text(),
        }
        for name, text in files.items():
            # Left by killed writers: the lock excludes running ones.
            for unfinished in path.parent.glob(f".{glob.escape(name)}.*{_UNFINISHED}"):
                unfinished.unlink(missing_ok=True)
            _replace(path.with_name(name), text)
    return changed


def accept(known: Manifest, new: Manifest) -> Manifest:
    """Merge new entries into a manifest.

    Raises:
        NotVerifiedError: A new entry names a newer nodelayer than this one, which it would hide from then on.
    """
    keys = {layer.key for layer in known.layers}
    versions = [
        (layer.layer_name, layer.nodelayer_version) for layer in new.layers if layer.key not in keys
    ] + [(arn, each.nodelayer_version) for arn, each in new.runtimes.items() if arn not in known.runtimes]
    for name, version in versions:
        if sort_key(version) > sort_key(__version__):
            raise NotVerifiedError(
                f"a new entry for {name} names nodelayer {version}, but this is {__version__}",
                todo="do not use this manifest; or update nodelayer",
            )
    return known.merge(new)


def copy_into(folder: Path, known: Manifest) -> None:
    """Write a manifest and its text to a folder without a lock.

    Raises:
        MachineError: A file cannot be written.
    """
    _replace(folder / MANIFEST_FILE, known.json_text())
    _replace(folder / f"{Path(MANIFEST_FILE).stem}.txt", known.text())


def check_writable(path: Path) -> None:
    """Check that the manifest can be written, before anything is published.

    Raises:
        MachineError: It cannot be written.
        InvalidInputError: Its name is that of a file that is written with it.
    """
    path = path.resolve()
    if path.suffix == ".txt" or path.name == SCHEMA_FILE:
        raise InvalidInputError(
            "nodelayer writes another file with this name next to the manifest",
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
def _freed(reserve: Reserve | None) -> Iterator[None]:
    if reserve is None:
        yield
        return
    reserve.free()
    try:
        yield
    finally:
        with suppress(MachineError):
            reserve.take()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import filelock  # noqa: PLC0415 - readers do not need it

    if not path.parent.is_dir():  # FileLock would create it
        raise MachineError(
            "this folder does not exist", where=str(path.parent), todo="create it, or correct --manifest"
        )
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InvalidInputError(
            f"another process has locked the manifest for {_LOCK_SECONDS} s",
            where=str(path),
            todo="wait until that process ends, or stop it",
        ) from error
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error
    try:
        yield
    finally:
        lock.release()


def _replace(path: Path, text: str) -> None:
    """Write a file atomically, unless it has this text already."""
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
            os.replace(name, path)  # noqa: PTH105
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise machine_error(error, path, "--manifest") from error
