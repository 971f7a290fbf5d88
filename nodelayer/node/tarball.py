"""Extract files from the archive of a release; reject any archive that does not look like one."""

import gzip
import io
import lzma
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Mapping

from nodelayer.architecture import Architecture
from nodelayer.errors import NotVerifiedError

MEGABYTE = 1_000_000
WANTED: Mapping[str, int] = {"bin/node": 500 * MEGABYTE, "LICENSE": 5 * MEGABYTE}
"""The files to extract and their largest allowed size in bytes (Node.js 26: 130 MB and 0.2 MB)."""

_MOST_BYTES = 2_000 * MEGABYTE
_MOST_MEMBERS = 100_000
_MOST_MEMORY = 256 * MEGABYTE  # xz -9 needs 65
_CHUNK = 1 << 20
_BROKEN = (
    tarfile.TarError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    gzip.BadGzipFile,
    OverflowError,
    ValueError,
)

# e_machine as in the ELF specification's supplements
_MACHINES = {"EM_X86_64": 62, "EM_AARCH64": 183}
_EXECUTABLE, _SHARED_OBJECT = 2, 3


def members(archive: bytes, wanted: Mapping[str, int], *, where: str) -> dict[str, bytes]:
    """Extract files from a .tar.xz or .tar.gz by their names below its one top-level folder.

    `wanted` maps each name to its largest allowed size in bytes. The whole archive is read, so that its own
    checksums are verified.

    Raises:
        NotVerifiedError: The archive is damaged or unsafe, or lacks a file.
    """
    try:
        with _decompressed(archive, where) as stream:
            found = _read(_Measured(stream, where), wanted, where)
    except _BROKEN as error:
        raise _refuse("the archive is truncated or damaged", where) from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise _refuse(f"the archive does not contain {missing[0]}", where)
    return found


def check_binary(node: bytes, architecture: Architecture, *, where: str) -> None:
    """Check that a file is a 64-bit little-endian ELF program for this architecture.

    Raises:
        NotVerifiedError: It is not.
    """
    header = node[:20]
    if len(header) < 20 or header[:4] != b"\x7fELF":  # noqa: PLR2004 - as far as e_machine
        raise _refuse("bin/node is not an ELF program", where)
    if header[4:6] != b"\x02\x01":
        raise _refuse("bin/node is not 64-bit little-endian", where)
    kind, machine = struct.unpack_from("<HH", header, 16)
    if machine != _MACHINES[architecture.elf]:
        names = {number: name for name, number in _MACHINES.items()}
        raise _refuse(
            f"bin/node is for {names.get(machine, f'machine {machine}')}, not for {architecture}", where
        )
    if kind not in (_EXECUTABLE, _SHARED_OBJECT):
        raise _refuse("bin/node is an ELF file but not a program", where)


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)


class _Xz(io.RawIOBase):
    """Decompresses .xz. Unlike lzma.LZMAFile, it fails if other data follows the compressed data."""

    def __init__(self, archive: bytes) -> None:
        super().__init__()
        self._rest = archive
        self._stream = _xz()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return 1 to `size` bytes, or none at the end; raise LZMAError or EOFError."""
        while True:
            if self._stream.eof:
                self._rest = self._stream.unused_data.lstrip(b"\0")
                if not self._rest:
                    return b""
                self._stream = _xz()
            elif self._stream.needs_input and not self._rest:
                raise EOFError
            rest, self._rest = self._rest, b""
            data = self._stream.decompress(rest, max_length=size)
            if data:
                return data


class _Measured(io.RawIOBase):
    """The stream that tarfile reads: limits its length and records where the last non-zero byte ends."""

    def __init__(self, stream: io.RawIOBase | gzip.GzipFile, where: str) -> None:
        super().__init__()
        self._stream = stream
        self._where = where
        self._length = 0
        self.filled = 0
        """The offset after the last non-zero byte that was read."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size) or b""
        filled = data.rstrip(b"\0")
        if filled:
            self.filled = self._length + len(filled)
        self._length += len(data)
        if self._length > _MOST_BYTES + _MOST_MEMBERS * tarfile.BLOCKSIZE:
            raise _refuse("the archive is larger than any release of Node.js", self._where)
        return data


def _decompressed(archive: bytes, where: str) -> gzip.GzipFile | _Xz:
    if archive[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=io.BytesIO(archive))
    if archive[:6] == b"\xfd7zXZ\x00":
        return _Xz(archive)
    raise _refuse("the file is neither .tar.xz nor .tar.gz", where)


def _read(stream: _Measured, wanted: Mapping[str, int], where: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    top_folders: set[str] = set()
    total = 0
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for count, member in enumerate(tar, start=1):
            top, inner = _place(member, where)
            top_folders.add(top)
            total += member.size
            if len(top_folders) > 1:
                raise _refuse("the archive has more than one top-level folder", where)
            if count > _MOST_MEMBERS or total > _MOST_BYTES:
                raise _refuse("the archive is larger than any release of Node.js", where)
            if inner not in wanted:
                continue
            if inner in found:
                raise _refuse(f"the archive contains {inner} twice", where)
            found[inner] = _content(tar, member, wanted[inner], where)
        while stream.read(_CHUNK):
            pass
        if stream.filled > tar.offset:  # tarfile treats a damaged header as the end
            raise EOFError
    return found


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, most: int, where: str) -> bytes:
    file = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if file is None:
        raise _refuse(f"{member.name} in the archive is not a regular file", where)
    if member.size > most:
        raise _refuse(f"{member.name} in the archive is too large ({member.size} bytes)", where)
    data = file.read()
    if len(data) != member.size:
        raise _refuse(f"{member.name} in the archive is truncated", where)
    return data


def _place(member: tarfile.TarInfo, where: str) -> tuple[str, str]:
    """Return the top-level folder of a member and its name below it; reject unsafe paths and links."""
    name = member.name
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise _refuse(f"the archive contains an unsafe path: {name!r}", where)
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise _refuse(f"the archive contains a device or another special file: {name!r}", where)
    top, _, inner = posixpath.normpath(name).partition("/")
    if member.issym() or member.islnk():
        # A symbolic link is relative to its own folder, a hard link to the root of the archive.
        start = posixpath.dirname(name) if member.issym() else ""
        target = posixpath.normpath(posixpath.join(start, member.linkname))
        if target != top and not target.startswith(f"{top}/"):
            raise _refuse(f"the archive contains a link to a path outside of it: {name!r}", where)
    return top, inner


def _refuse(what: str, where: str) -> NotVerifiedError:
    return NotVerifiedError(what, where=where, todo="try again; if it fails again, use another --source")
