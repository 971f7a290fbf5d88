"""Extract files from the archive of a release; reject any archive that does not look like one."""

import io
import lzma
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Mapping
from typing import Any

from nodelayer.architecture import Architecture
from nodelayer.errors import NotVerifiedError

MEGABYTE = 1_000_000
WANTED: Mapping[str, int] = {"bin/node": 200 * MEGABYTE, "LICENSE": 5 * MEGABYTE}
"""The files to extract and their largest allowed size in bytes (Node.js 26: 130 MB and 0.2 MB)."""
MOST_ARCHIVE = 100 * MEGABYTE
"""The largest archive to read, in bytes (Node.js 26: 56 MB)."""

_MOST_BYTES = 600 * MEGABYTE  # unpacked, headers included (Node.js 26: 220 MB)
_MOST_MEMBERS = 20_000  # Node.js 26: 5,700
_MOST_HEADER = 16_384  # of a pax header or a long name; paths have at most 4,096 bytes
_MOST_GLOBAL = 1_024  # of a header for every later member; git's has a comment of 52 bytes
_MOST_HEADERS = 2 * MEGABYTE
_MOST_NESTED = 4  # headers before the header of one member
_MOST_MEMORY = 128 * MEGABYTE  # xz -9 needs 65
_CHUNK = 1 << 16
_BROKEN = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OverflowError, ValueError, RecursionError)
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
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
        if len(archive) > MOST_ARCHIVE:
            raise _refuse("the archive is larger than any release of Node.js", where)
        found = _read(_Measured(_Decompressed(archive, where), where), wanted, where)
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


class _Decompressed(io.RawIOBase):
    """Decompresses .xz or .gz. Unlike the standard library's files, it refuses data after the first stream.

    Thousands of empty streams take long to read, and no release of Node.js has more than one.
    """

    def __init__(self, archive: bytes, where: str) -> None:
        super().__init__()
        self._archive = memoryview(archive)
        self._at = 0
        self._rest = b""
        self._stream: Any
        if archive[:2] == b"\x1f\x8b":
            self._stream = zlib.decompressobj(wbits=31)
        elif archive[:6] == b"\xfd7zXZ\x00":
            self._stream = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
        else:
            raise _refuse("the file is neither .tar.xz nor .tar.gz", where)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return 1 to `size` bytes, or none at the end; raise LZMAError, zlib.error or EOFError."""
        while not self._stream.eof:
            # lzma keeps what it does not consume, zlib returns it
            waiting = self._rest or not getattr(self._stream, "needs_input", True)
            data: bytes = self._stream.decompress(self._rest if waiting else self._more(), size)
            self._rest = getattr(self._stream, "unconsumed_tail", b"")
            if data:
                return data
        if self._stream.unused_data.strip(b"\0") or bytes(self._archive[self._at :]).strip(b"\0"):
            raise EOFError
        return b""

    def _more(self) -> memoryview:
        """Return the next bytes of the archive. Small parts, because zlib copies what it does not consume."""
        part = self._archive[self._at : self._at + _CHUNK]
        if not part:
            raise EOFError
        self._at += len(part)
        return part


class LimitedTarFile(tarfile.TarFile):
    """A tar archive with limits for headers that describe a later header."""

    extended = 0
    nested = 0


class LimitedTarInfo(tarfile.TarInfo):
    """A member whose headers are checked before tarfile reads their content."""

    def _proc_member(self, tar: LimitedTarFile) -> tarfile.TarInfo:  # tarfile's extension point
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("it has a sparse file")
        extended = self.type in _EXTENDED
        tar.nested = tar.nested + 1 if extended else 0
        tar.extended += self.size if extended else 0
        if extended and (
            self.size > _MOST_HEADER
            or tar.extended > _MOST_HEADERS
            or tar.nested > _MOST_NESTED
            or (self.type == tarfile.XGLTYPE and (tar.pax_headers or self.size > _MOST_GLOBAL))
        ):
            raise tarfile.ReadError("its headers are too large")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]

    def _sparse(self, *_: object) -> None:
        raise tarfile.ReadError("it has a sparse file")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _sparse


class _Measured(io.RawIOBase):
    """The stream that tarfile reads: limits its length and records where the last non-zero byte ends."""

    def __init__(self, stream: _Decompressed, where: str) -> None:
        super().__init__()
        self._stream = stream
        self._where = where
        self._length = 0
        self.filled = 0
        """The offset after the last non-zero byte that was read."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        filled = data.rstrip(b"\0")
        if filled:
            self.filled = self._length + len(filled)
        self._length += len(data)
        if self._length > _MOST_BYTES:
            raise _refuse("the archive is larger than any release of Node.js", self._where)
        return data


def _read(stream: _Measured, wanted: Mapping[str, int], where: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    top_folders: set[str] = set()
    total = count = 0
    with LimitedTarFile.open(fileobj=stream, mode="r|", tarinfo=LimitedTarInfo) as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep them all
            count += 1
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
