"""Read what an ELF file requires of its system, and strip an ELF file.

Formats: System V gABI, chapters 4 and 5; symbol versions: Linux Standard Base Core 5.0, chapter 10.7.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nodelayer.errors import NotVerifiedError

_IDENT = b"\x7fELF\x02\x01"  # ELF, 64 bits, little-endian
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<qQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NOTE = struct.Struct("<III")
_NEED = struct.Struct("<HHIII")
_NEED_NODE = struct.Struct("<IHHII")
_DEFINITION = struct.Struct("<HHHHIII")
_DEFINITION_NAME = struct.Struct("<II")

_MACHINES = {3: "EM_386", 62: "EM_X86_64", 183: "EM_AARCH64"}
_ET_EXEC, _ET_DYN = 2, 3
_PT_NULL, _PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 0, 1, 2, 3, 4
_DT_NULL, _DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_SONAME = 0, 1, 4, 5, 6, 14
_DT_GNU_HASH, _DT_VERSYM = 0x6FFFFEF5, 0x6FFFFFF0
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = range(0x6FFFFFFC, 0x70000000)
_NT_GNU_BUILD_ID = 3
_SHT_STRTAB, _SHT_NOBITS = 3, 8
_SHF_ALLOC, _SHF_INFO_LINK = 0x2, 0x40
_SHN_UNDEF = 0
_VER_FLG_BASE, _VER_FLG_WEAK = 0x1, 0x2
_VERSION_MASK = 0x7FFF  # the top bit of a version index is a flag: the symbol is hidden
_ALIGNMENT = 8

# Limits far above the tables of Node.js: tables may overlap, so a small file may describe very large ones.
_MOST_ROWS = 4_096  # segments, sections, dynamic tags, notes, version nodes
_MOST_SYMBOLS = 1_000_000
_MOST_TEXT = 4_096  # bytes of a name
_MOST_NAMES = 1 << 20  # bytes of all names of sections

_DAMAGE = (struct.error, ArithmeticError, LookupError, ValueError)
"""The errors that this module raises for a damaged file."""


@dataclass(frozen=True)
class SymbolVersion:
    """A version node that the file needs from a library, and its imported symbols, sorted.

    `weak` is VER_FLG_WEAK: the loader starts the program even if the version node is missing.
    """

    library: str
    version: str
    symbols: tuple[str, ...]
    weak: bool


@dataclass(frozen=True)
class Elf:
    """What the dynamic loader reads from a file.

    `machine` as in `EM_X86_64`; `libraries` is DT_NEEDED in its order; `provides` are the version nodes that
    the file defines; `build_id` is hex.
    """

    machine: str
    soname: str | None
    interpreter: str | None
    libraries: tuple[str, ...]
    requires: tuple[SymbolVersion, ...]
    provides: frozenset[str]
    build_id: str | None


def read(data: bytes, *, name: str) -> Elf:
    """Read the segments of a file, as the loader does; a section table is not needed.

    Raises:
        NotVerifiedError: It is damaged, or not a 64-bit little-endian ELF program or library.
    """
    _recognise(data, name)
    try:
        header = _HEADER.unpack_from(data)
        segments = _segments(data, header)
        interpreter = [_text(data, at, at + size) for kind, at, _, size in segments if kind == _PT_INTERP]
        dynamic = [(at, size) for kind, at, _, size in segments if kind == _PT_DYNAMIC]
        linked = _Linked(data, segments, *dynamic[0]) if dynamic else None
        return Elf(
            machine=_MACHINES.get(header[2], f"machine {header[2]}"),
            soname=linked.soname if linked else None,
            interpreter=interpreter[0] if interpreter else None,
            libraries=linked.libraries if linked else (),
            requires=tuple(linked.requires()) if linked else (),
            provides=frozenset(linked.provides()) if linked else frozenset(),
            build_id=_build_id(data, [(at, size) for kind, at, _, size in segments if kind == _PT_NOTE]),
        )
    except _DAMAGE as error:
        raise _damaged(name, error) from error


_Segment = tuple[int, int, int, int]
"""Type, offset in the file, address, size in the file."""


def _segments(data: bytes, header: Sequence[int]) -> list[_Segment]:
    at, count = header[5], _limited(header[10])
    rows = (_PROGRAM.unpack_from(data, at + _PROGRAM.size * index) for index in range(count))
    return [(kind, offset, address, size) for kind, _, offset, address, _, size, _, _ in rows]


def _limited(count: int, most: int = _MOST_ROWS) -> int:
    if count > most:
        raise ValueError(f"it has a table of {count} rows")
    return count


def _text(data: bytes, start: int, limit: int | None = None) -> str:
    end = start + _MOST_TEXT
    return data[start : data.index(b"\0", start, min(end, limit or end))].decode("ascii")


class _Linked:
    """The dynamic segment of a file. Tables are found by address, as the loader finds them."""

    def __init__(self, data: bytes, segments: Sequence[_Segment], at: int, size: int) -> None:
        self._data = data
        self._loaded = [segment for segment in segments if segment[0] == _PT_LOAD]
        tags: list[tuple[int, int]] = []
        for offset in range(at, at + size - _DYNAMIC.size + 1, _DYNAMIC.size):
            tag, value = _DYNAMIC.unpack_from(data, offset)
            if tag == _DT_NULL:
                break
            tags.append((tag, value))
            _limited(len(tags))
        self._tags = dict(tags)
        self._strings = self._table(_DT_STRTAB)
        self.libraries = tuple(self._string(value) for tag, value in tags if tag == _DT_NEEDED)
        self.soname = self._string(self._tags[_DT_SONAME]) if _DT_SONAME in self._tags else None

    def requires(self) -> Iterator[SymbolVersion]:
        if _DT_VERNEED not in self._tags:
            return
        carried = self._imports_by_version()
        at = self._table(_DT_VERNEED)
        rows = 0
        for _ in range(self._tags[_DT_VERNEEDNUM]):
            _, nodes, library, first, following = _NEED.unpack_from(self._data, at)
            node_at = at + first
            for _ in range(nodes):
                rows = _limited(rows + 1)
                _, flags, index, version, next_node = _NEED_NODE.unpack_from(self._data, node_at)
                yield SymbolVersion(
                    library=self._string(library),
                    version=self._string(version),
                    symbols=tuple(sorted(carried.get(index & _VERSION_MASK, ()))),
                    weak=bool(flags & _VER_FLG_WEAK),
                )
                node_at += next_node
            rows = _limited(rows + 1)
            if not following:  # the last one, even if the count is larger
                return
            at += following

    def provides(self) -> Iterator[str]:
        if _DT_VERDEF not in self._tags:
            return
        at = self._table(_DT_VERDEF)
        for rows in range(self._tags[_DT_VERDEFNUM]):
            _limited(rows)
            _, flags, _, _, _, first, following = _DEFINITION.unpack_from(self._data, at)
            if not flags & _VER_FLG_BASE:  # the base definition names the file itself
                version, _ = _DEFINITION_NAME.unpack_from(self._data, at + first)
                yield self._string(version)
            if not following:
                return
            at += following

    def _imports_by_version(self) -> Mapping[int, list[str]]:
        found: defaultdict[int, list[str]] = defaultdict(list)
        if _DT_VERSYM not in self._tags:
            return found
        count = _limited(self._symbols(), _MOST_SYMBOLS)
        versions = struct.unpack_from(f"<{count}H", self._data, self._table(_DT_VERSYM))
        symbols = self._table(_DT_SYMTAB)
        table = memoryview(self._data)[symbols : symbols + count * _SYMBOL.size]
        for index, (name, _, _, section, _, _) in zip(versions, _SYMBOL.iter_unpack(table), strict=True):
            if section == _SHN_UNDEF and name:
                found[index & _VERSION_MASK].append(self._string(name))
        return found

    def _symbols(self) -> int:
        """Return the number of dynamic symbols, which only a hash table tells (gABI, glibc's dl-lookup.c)."""
        if _DT_HASH in self._tags:
            return int(struct.unpack_from("<II", self._data, self._table(_DT_HASH))[1])
        at = self._table(_DT_GNU_HASH)
        buckets, first, bloom, _ = struct.unpack_from("<IIII", self._data, at)
        start = at + 16 + 8 * bloom
        chains = start + 4 * buckets
        if chains > len(self._data):
            raise ValueError("its hash table ends outside of it")
        last = max(memoryview(self._data)[start:chains].cast("I"), default=0)
        if last < first:
            return int(first)
        for index in range(last, _MOST_SYMBOLS):
            (hashed,) = struct.unpack_from("<I", self._data, chains + 4 * (index - first))
            if hashed & 1:  # the end of the last chain
                return index + 1
        raise ValueError("its hash table has a chain without an end")

    def _table(self, tag: int) -> int:
        """Return the offset of the table at the address of a tag."""
        address = self._tags[tag]
        for _, offset, start, size in self._loaded:
            if start <= address < start + size and offset + address - start < len(self._data):
                return offset + address - start
        raise ValueError(f"no segment contains the table of tag {tag:#x}")

    def _string(self, offset: int) -> str:
        return _text(self._data, self._strings + offset)


def _build_id(data: bytes, segments: Iterable[tuple[int, int]]) -> str | None:
    rows = 0
    for start, size in segments:
        at = start
        while at + _NOTE.size <= start + size:
            rows = _limited(rows + 1)
            name_size, length, kind = _NOTE.unpack_from(data, at)
            name_at = at + _NOTE.size
            content = name_at + -(-name_size // 4) * 4
            if kind == _NT_GNU_BUILD_ID and data[name_at : name_at + name_size] == b"GNU\0":
                return data[content : content + _limited(length)].hex()
            at = content + -(-length // 4) * 4
    return None


def strip(data: bytes, *, name: str) -> bytes:
    """Remove symbols, debug data and comments from a program or library: everything outside of its segments.

    The bytes that the kernel and the loader read do not change. Only the section table is rewritten, for the
    remaining sections. The result is the same on every host and for every architecture, and stripping twice
    gives the same bytes; GNU strip guarantees neither. A file without section table is returned unchanged.

    Raises:
        NotVerifiedError: It is damaged, or not a 64-bit little-endian ELF program or library.
    """
    _recognise(data, name)
    try:
        return _stripped(data)
    except _DAMAGE as error:
        raise _damaged(name, error) from error


@dataclass(frozen=True)
class _Section:
    """A row of the section table (gABI, figure 4-8) with its name resolved."""

    name: bytes
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int

    @property
    def end(self) -> int:
        """The offset after its bytes in the file; .bss has no bytes in the file."""
        return 0 if self.type == _SHT_NOBITS else self.offset + self.size

    def packed(self, name: int) -> bytes:
        return _SECTION.pack(
            name,
            self.type,
            self.flags,
            self.address,
            self.offset,
            self.size,
            self.link,
            self.info,
            self.alignment,
            self.entry_size,
        )


_EMPTY = _Section(b"", 0, 0, 0, 0, 0, 0, 0, 0, 0)


def _stripped(data: bytes) -> bytes:
    header = list(_HEADER.unpack_from(data))
    programs_at, sections_at, programs, sections, names_in = (header[at] for at in (5, 6, 10, 12, 13))
    rows = [
        _PROGRAM.unpack_from(data, programs_at + _PROGRAM.size * index) for index in range(_limited(programs))
    ]
    if not any(kind == _PT_LOAD for kind, *_ in rows):
        raise ValueError("it has no segment to load")
    kept = _kept(_sections(data, sections_at, sections, names_in))
    end = max(
        _HEADER.size,
        programs_at + _PROGRAM.size * programs,
        *(offset + size for kind, _, offset, _, _, size, _, _ in rows if kind != _PT_NULL),
        *(section.end for section in kept),
    )
    if max(end, sections_at + _SECTION.size * sections) > len(data):
        raise ValueError(f"it has {len(data)} bytes, and its headers describe more")
    if not kept:  # without a section table
        return data
    names = bytearray(b"\0")
    table = b"".join(section.packed(_place(names, section.name)) for section in kept)
    own = _place(names, b".shstrtab")
    table += _Section(b"", _SHT_STRTAB, 0, 0, end, len(names), 0, 0, 1, 0).packed(own)
    padding = -(end + len(names)) % _ALIGNMENT
    header[6] = end + len(names) + padding
    header[12], header[13] = len(kept) + 1, len(kept)
    return b"".join((_HEADER.pack(*header), data[_HEADER.size : end], names, bytes(padding), table))


def _sections(data: bytes, at: int, count: int, names_in: int) -> list[_Section]:
    rows = [_SECTION.unpack_from(data, at + _SECTION.size * index) for index in range(_limited(count))]
    if not rows:
        return []
    start, size = rows[names_in][4:6]
    names = data[start : start + _limited(size, _MOST_NAMES)]
    ends = (names.index(b"\0", row[0], row[0] + _MOST_TEXT) for row in rows)
    return [_Section(names[row[0] : end], *row[1:]) for row, end in zip(rows, ends, strict=True)]


def _kept(sections: list[_Section]) -> list[_Section]:
    """Return the table up to the last section that is loaded into memory.

    Dynamic symbols refer to sections by number, so an empty row replaces each removed section.
    """
    loaded = [number for number, each in enumerate(sections) if each.flags & _SHF_ALLOC]
    kept = set(loaded)
    return [
        replace(
            section,
            link=section.link if section.link in kept else 0,
            info=0 if section.flags & _SHF_INFO_LINK and section.info not in kept else section.info,
        )
        if number in kept
        else _EMPTY
        for number, section in enumerate(sections[: max(loaded, default=-1) + 1])
    ]


def _place(names: bytearray, name: bytes) -> int:
    """Return the offset of `name` in the name table: an existing tail of a name, or a new entry."""
    at = names.find(name + b"\0")
    if at < 0:
        at = len(names)
        names += name + b"\0"
    return at


def _recognise(data: bytes, name: str) -> None:
    if not data.startswith(_IDENT):
        raise _refused(name, "not a 64-bit little-endian ELF file")
    if len(data) < _HEADER.size:
        raise _refused(name, f"a damaged ELF file (it ends after {len(data)} bytes)")
    if _HEADER.unpack_from(data)[1] not in {_ET_EXEC, _ET_DYN}:
        raise _refused(name, "neither a program nor a shared library")


def _damaged(name: str, error: Exception) -> NotVerifiedError:
    return _refused(name, f"a damaged ELF file ({str(error) or type(error).__name__})")


def _refused(name: str, what: str) -> NotVerifiedError:
    return NotVerifiedError(
        f"{name} is {what}", todo="download it again; if it fails again, report it to its publisher"
    )
