"""A layer zip: the same bytes from the same input.

Nothing of the machine gets in: no clock, no user, no umask, no file order, no deflate that depends on the
zlib at hand. Format: PKWARE's APPNOTE.TXT 6.3.10, without ZIP64 (a layer is at most 250 MB unpacked).
"""

import io
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import deflate

from nodelayer.errors import InvalidInputError, NotVerifiedError

LEVELS = {"best": 12, "fast": 6}
"""libdeflate levels by the word the `--compression` flag takes."""

EXECUTABLE = 0o755
PLAIN = 0o644

_DOS_TIME, _DOS_DATE = 0, 1 << 5 | 1  # 1980-01-01 00:00:00, the oldest a zip can hold
_MADE_BY_UNIX_20 = 3 << 8 | 20
_NEEDS_20 = 20
_UTF8_NAMES = 1 << 11
_STORED, _DEFLATED = 0, 8
_REGULAR_FILE = 0o100000


@dataclass(frozen=True)
class Entry:
    """One file of a layer: its path below /opt, its bytes, its mode (0o644 or 0o755)."""

    path: str
    data: bytes
    mode: int = PLAIN

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or str(path) != self.path or not self.path.isascii():
            raise InvalidInputError(f"{self.path!r} cannot be the path of a file in a layer")


def write(entries: Iterable[Entry], out: BinaryIO, compression: str = "best") -> None:
    """Write a zip of the entries, sorted by path, to a binary stream.

    `compression` is a key of LEVELS. Raises InvalidInputError for a path given twice.
    """
    offset, directory, seen = 0, bytearray(), set()
    for entry in sorted(entries, key=lambda each: each.path.encode()):
        if entry.path in seen:
            raise InvalidInputError(f"{entry.path} is in the layer twice")
        seen.add(entry.path)
        name = entry.path.encode()
        packed = _compress(entry.data, LEVELS[compression])
        method = _DEFLATED
        if len(packed) >= len(entry.data):
            packed, method = entry.data, _STORED
        common = struct.pack(
            "<HHHHHIIIHH",
            _NEEDS_20,
            _UTF8_NAMES,
            method,
            _DOS_TIME,
            _DOS_DATE,
            zlib.crc32(entry.data),
            len(packed),
            len(entry.data),
            len(name),
            0,
        )
        directory += b"PK\x01\x02" + struct.pack("<H", _MADE_BY_UNIX_20) + common
        directory += struct.pack("<HHHII", 0, 0, 0, (_REGULAR_FILE | entry.mode) << 16, offset) + name
        local = b"PK\x03\x04" + common + name
        out.write(local)
        out.write(packed)
        offset += len(local) + len(packed)
    out.write(directory)
    out.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(seen), len(seen), len(directory), offset, 0))


def _compress(data: bytes, level: int) -> bytes:
    """Compress in a daemon thread: Python answers Ctrl-C only between calls, and this one takes seconds."""
    packed: list[bytes] = []
    thread = threading.Thread(
        target=lambda: packed.append(bytes(deflate.deflate_compress(data, level))), daemon=True
    )
    thread.start()
    thread.join()
    return packed[0]


def read(path: Path) -> Iterator[Entry]:
    """The entries of a layer zip. Raises NotVerifiedError where it is damaged or not made by `write`."""
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            for info in archive.infolist():
                yield Entry(info.filename, archive.read(info), info.external_attr >> 16 & 0o777)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise NotVerifiedError(
            f"the layer is damaged ({error})", where=str(path), todo="delete it and build it again"
        ) from error


def unpack(entries: Iterable[Entry], folder: Path) -> None:
    """Lay the entries out below a folder, as Lambda does below /opt."""
    for entry in entries:
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(entry.data)
        target.chmod(entry.mode)
