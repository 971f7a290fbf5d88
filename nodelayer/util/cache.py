"""The download cache: archives by their sha256, small documents by name, one lock for each download.

- blobs/sha256/<hex>: complete, verified archives; each is hashed again when it is read
- documents/<name>: indexes, checksum lists, signatures and keys; the reader verifies them
- partial/: unfinished downloads
- programs/: virtual environments of programs that pip installed
- locks/: one file for each download, so that concurrent builds share it
"""

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import platformdirs

from nodelayer.errors import MachineError
from nodelayer.util.console import Reporter

_FOLDERS = ("blobs", "documents", "partial", "programs", "locks")
_PRUNED = ("blobs/sha256/*", "partial/*", "programs/*", "tests/*")
_LIMIT = 2 << 30
_RECENT_S = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_CHUNK = 1 << 20


class DownloadCache:
    """Content-addressed files below `root`, by default the user's cache folder for nodelayer.

    Threads and processes may share one cache. Every method raises MachineError if the disk is full or not
    writable.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = (
            root if root is not None else Path(platformdirs.user_cache_dir("nodelayer", appauthor=False))
        )

    def blob_path(self, sha256: str) -> Path:
        """Return the path of the archive with this sha256 (hex), whether it exists or not."""
        return self.root / "blobs" / "sha256" / _flat(sha256)

    def read(self, sha256: str, reporter: Reporter) -> bytes | None:
        """Return the bytes with this sha256 (hex), or None; remove a damaged file and warn about it."""
        path = self.blob_path(sha256)
        with self._machine():
            try:
                data = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if hashlib.sha256(data).hexdigest() == sha256:
                with suppress(OSError):  # a read-only cache
                    path.touch()  # for prune()
                return data
            reporter.warn(f"a cached download is damaged and is downloaded again: {path}")
            path.unlink(missing_ok=True)
            return None

    def add(self, partial: Path, *, prune: bool = True) -> str:
        """Move a complete file from `partial/` to the blobs, atomically; return its sha256 in hex.

        For several files, it is enough to `prune` the cache once, which looks at every file.
        """
        with self._machine():
            with partial.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
            path = self.blob_path(sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(path)
            path.touch()
        if prune:
            self.prune()
        return sha256

    def read_document(self, name: str) -> bytes | None:
        """Return the document with this name (`nodejs.org/index.json`), or None."""
        with self._machine():
            try:
                return self._document(name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write_document(self, name: str, data: bytes) -> None:
        """Write a small document atomically."""
        path = self._document(name)
        with self._machine():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise

    def drop_document(self, name: str) -> None:
        """Remove a document, if it exists."""
        with self._machine():
            self._document(name).unlink(missing_ok=True)

    def partial(self, name: str) -> Path:
        """Return the path of an unfinished download; the file is kept, so that the download can resume."""
        with self._machine():
            folder = self.root / "partial"
            folder.mkdir(parents=True, exist_ok=True)
            return folder / _flat(name)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Create a temporary folder on the file system of the cache."""
        with self._machine():
            parent = self.root / "partial"
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=parent, prefix="work-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, name: str, reporter: Reporter) -> Iterator[None]:
        """Let only one thread of one process at a time continue with this name."""
        with self._machine():
            folder = self.root / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(folder / f"{_flat(name)}.lock", thread_local=False)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                reporter.say(f"Another build is downloading {name}; waiting for it")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def prune(self, limit: int = _LIMIT) -> None:
        """Remove what was used longest ago until `limit` bytes are left, but not what was used today."""
        with self._machine(), suppress(FileNotFoundError):  # another process removes it
            found = []
            for path in (path for pattern in _PRUNED for path in self.root.glob(pattern)):
                files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
                used = path / ".whole" if (path / ".whole").exists() else path
                found.append((used.stat().st_mtime, path, sum(each.lstat().st_size for each in files)))
            total = sum(size for _, _, size in found)
            for used_at, path, size in sorted(found):
                if total <= limit or used_at > time.time() - _RECENT_S:
                    return
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
                total -= size

    def clear(self) -> int:
        """Remove every download and return the number of bytes freed. Other files below `root` stay."""
        with self._machine():
            freed = 0
            for folder in (self.root / name for name in _FOLDERS):
                freed += sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
                if folder.exists():
                    shutil.rmtree(folder)
            return freed

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Convert an OSError of the cache's disk to a MachineError."""
        with self._machine():
            yield

    def _document(self, name: str) -> Path:
        return self.root / "documents" / Path(*(_flat(part) for part in name.split("/")))

    @contextmanager
    def _machine(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            other = "use another folder: NODELAYER_CACHE_DIR=<folder>"
            if error.errno in _FULL:
                raise MachineError(
                    "no disk space left for the download",
                    where=str(self.root),
                    todo=f"free space, or {other}",
                ) from error
            if error.errno in _FORBIDDEN:
                raise MachineError(
                    "no permission to write the download cache", where=str(self.root), todo=other
                ) from error
            raise MachineError(
                f"the download cache cannot be read or written ({error.strerror or type(error).__name__})",
                where=str(self.root),
                todo=other,
            ) from error


def _flat(part: str) -> str:
    """Return a file name that stays inside its folder."""
    flat = "".join(letter if letter.isalnum() or letter in "._@-+" else "_" for letter in part)
    return f"_{flat}" if flat in ("", ".", "..") else flat
