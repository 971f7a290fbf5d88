"""Read and write layer zips. The same entries always give the same bytes.

The zip contains no time, user, umask or file order of the building machine, and is compressed by libdeflate
rather than by the installed zlib. Format: PKWARE's APPNOTE.TXT 6.3.10, without ZIP64 (a layer is at most
250 MB unpacked).
"""

import errno
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import deflate

from nodelayer.aws.quotas import UNZIPPED
from nodelayer.errors import InvalidInputError, NotVerifiedError

LEVELS = {"best": 12, "fast": 6}
"""The libdeflate level for each value of --compression."""

EXECUTABLE = 0o755
PLAIN = 0o644

_DOS_TIME, _DOS_DATE = 0, 1 << 5 | 1  # 1980-01-01 00:00:00, the oldest a zip can hold
_MADE_BY_UNIX_20 = 3 << 8 | 20
_NEEDS_20 = 20
_UTF8_NAMES = 1 << 11
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_REGULAR_FILE = 0o100000
_LOCAL_HEADER = 30  # bytes, without the name
_END = struct.Struct("<4sHHHHIIH")
MOST_ENTRIES = 1_000
_MOST_ROW = 1_024  # bytes of an entry in the central directory
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    OSError,
    InvalidInputError,
)


@dataclass(frozen=True)
class Entry:
    """A file of a layer: its path below /opt, its bytes, and its mode (0o644 or 0o755)."""

    path: str
    data: bytes
    mode: int = PLAIN

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or str(path) != self.path or not self.path.isascii():
            raise InvalidInputError(f"{self.path!r} is not a relative path of ASCII characters without ..")


def write(entries: Iterable[Entry], out: BinaryIO, compression: str = "best") -> None:
    """Write a zip of the entries, sorted by path; `compression` is a key of LEVELS.

    Raises:
        InvalidInputError: Two entries have the same path.
    """
    offset, directory, seen = 0, bytearray(), set()
    for entry in sorted(entries, key=lambda each: each.path.encode()):
        if entry.path in seen:
            raise InvalidInputError(f"two files of the layer have the path {entry.path}", todo="rename one")
        seen.add(entry.path)
        name = entry.path.encode()
        compressed = compress(entry.data, compression, deflate.deflate_compress)
        method = _DEFLATED
        if len(compressed) >= len(entry.data):
            compressed, method = entry.data, _STORED
        common = struct.pack(
            "<HHHHHIIIHH",
            _NEEDS_20,
            _UTF8_NAMES,
            method,
            _DOS_TIME,
            _DOS_DATE,
            zlib.crc32(entry.data),
            len(compressed),
            len(entry.data),
            len(name),
            0,
        )
        directory += b"PK\x01\x02" + struct.pack("<H", _MADE_BY_UNIX_20) + common
        directory += struct.pack("<HHHII", 0, 0, 0, (_REGULAR_FILE | entry.mode) << 16, offset) + name
        local = b"PK\x03\x04" + common + name
        out.write(local)
        out.write(compressed)
        offset += len(local) + len(compressed)
    out.write(directory)
    out.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(seen), len(seen), len(directory), offset, 0))


def compress(data: bytes, compression: str, method: Callable[[bytes, int], bytes | bytearray]) -> bytes:
    """Compress with a function of libdeflate; `compression` is a key of LEVELS.

    It takes seconds, so it runs in a daemon thread: otherwise Python would handle Ctrl-C only afterwards.
    """
    results: list[bytes] = []
    thread = threading.Thread(
        target=lambda: results.append(bytes(method(data, LEVELS[compression]))), daemon=True
    )
    thread.start()
    thread.join()
    return results[0]


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a layer zip. Sizes are checked before anything is unpacked.

    Raises:
        NotVerifiedError: The zip is damaged, or `write` did not make it.
    """
    with _opened(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                data = file.read(info.file_size)  # read() would unpack everything before it counts
                if len(data) < info.file_size or file.read(1):
                    raise zipfile.BadZipFile(f"{info.filename!r} has another size")
            yield Entry(info.filename, data, info.external_attr >> 16 & 0o777)


def names(path: Path) -> set[str]:
    """Return the paths of the entries of a layer zip. Raises NotVerifiedError."""
    with _opened(path) as archive:
        return set(archive.namelist())


def check_layout(path: Path) -> None:
    """Check that a zip has regular files only, and no byte that its central directory does not explain.

    Programs that unpack a zip otherwise disagree about its files. Raises NotVerifiedError.
    """
    with _opened(path) as archive:
        offset = 0
        for info in sorted(archive.infolist(), key=lambda each: each.header_offset):
            kind = info.external_attr >> 16 & ~0o777
            if info.header_offset != offset or info.extra or info.comment or kind != _REGULAR_FILE:
                raise zipfile.BadZipFile(f"nodelayer would write {info.filename!r} in another way")
            offset += _LOCAL_HEADER + len(info.filename.encode()) + info.compress_size
        if archive.start_dir != offset or archive.comment:
            raise zipfile.BadZipFile("it has bytes that belong to no file")


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a layer zip whose sizes are within Lambda's limits; raise NotVerifiedError for what is broken."""
    try:
        with path.open("rb") as stream:
            _check_directory(stream)
            with zipfile.ZipFile(stream) as archive:
                _check_entries(archive.infolist())
                yield archive
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise  # of the disk; EINVAL is of an offset before the start
        raise NotVerifiedError(
            f"the layer is damaged ({error})", where=str(path), todo="delete it and build it again"
        ) from error


def _check_directory(stream: BinaryIO) -> None:
    """Check the size of the central directory, which zipfile reads as a whole."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END.size))
    end = stream.read()
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06"):
        raise zipfile.BadZipFile("it does not end as a layer does")
    _, _, _, _, entries, length, _, _ = _END.unpack(end)
    if entries > MOST_ENTRIES or length > MOST_ENTRIES * _MOST_ROW:
        raise zipfile.BadZipFile(f"it has more than {MOST_ENTRIES} files")


def _check_entries(infos: Sequence[zipfile.ZipInfo]) -> None:
    paths = {info.filename for info in infos}
    folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    if len(paths) < len(infos) or paths & folders:
        raise zipfile.BadZipFile("two files have the same path")
    if sum(info.file_size for info in infos) > UNZIPPED:
        raise zipfile.BadZipFile("it unpacks to more than 250 MB")
    for info in infos:
        if info.compress_type not in (_STORED, _DEFLATED) or info.flag_bits & _ENCRYPTED:
            raise zipfile.BadZipFile(f"{info.filename!r} is encrypted, or compressed in another way")


def unpack(entries: Iterable[Entry], folder: Path) -> None:
    """Write the entries below a folder, as Lambda does below /opt: readable for all users."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(EXECUTABLE)
    for entry in entries:
        target = folder / entry.path
        for parent in reversed(target.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(exist_ok=True)
            (folder / parent).chmod(EXECUTABLE)
        target.write_bytes(entry.data)
        target.chmod(entry.mode)
