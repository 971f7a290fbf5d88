"""Read what an ELF file requires of its system, and strip an ELF file.

Formats: System V gABI, chapters 4 and 5; symbol versions: Linux Standard Base Core 5.0, chapter 10.7.
"""

import io
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment, NoteSegment

from nodelayer.errors import NotVerifiedError

_IDENT = b"\x7fELF\x02\x01"  # ELF, 64 bits, little-endian
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NEED = struct.Struct("<HHIII")
_NEED_NODE = struct.Struct("<IHHII")
_DEFINITION = struct.Struct("<HHHHIII")
_DEFINITION_NAME = struct.Struct("<II")

_ET_EXEC, _ET_DYN = 2, 3
_PT_NULL, _PT_LOAD = 0, 1
_SHT_STRTAB, _SHT_NOBITS = 3, 8
_SHF_ALLOC, _SHF_INFO_LINK = 0x2, 0x40
_SHN_UNDEF = 0
_VER_FLG_BASE, _VER_FLG_WEAK = 0x1, 0x2
_VERSION_MASK = 0x7FFF  # the top bit of a version index is a flag: the symbol is hidden
_ALIGNMENT = 8

_DAMAGE = (
    ELFError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""The errors that pyelftools and this module raise for a damaged file."""


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
        opened = ELFFile(io.BytesIO(data))
        segments = list(opened.iter_segments())
        interpreter = [each.get_interp_name() for each in segments if isinstance(each, InterpSegment)]
        dynamic = [each for each in segments if isinstance(each, DynamicSegment)]
        linked = _Linked(data, dynamic[0]) if dynamic else None
        return Elf(
            machine=str(opened["e_machine"]),
            soname=linked.soname if linked else None,
            interpreter=str(interpreter[0]) if interpreter else None,
            libraries=linked.libraries if linked else (),
            requires=tuple(linked.requires()) if linked else (),
            provides=frozenset(linked.provides()) if linked else frozenset(),
            build_id=_build_id(each for each in segments if isinstance(each, NoteSegment)),
        )
    except _DAMAGE as error:
        raise _damaged(name, error) from error


class _Linked:
    """The dynamic segment of a file. Tables are found by address, as the loader finds them."""

    def __init__(self, data: bytes, dynamic: DynamicSegment) -> None:
        self._data = data
        self._dynamic = dynamic
        tags = list(dynamic.iter_tags())
        self._tags = {str(tag.entry.d_tag): int(tag.entry.d_val) for tag in tags}
        self._strings = self._table("DT_STRTAB")
        named = [(tag.entry.d_tag, int(tag.entry.d_val)) for tag in tags]
        self.libraries = tuple(self._string(at) for tag, at in named if tag == "DT_NEEDED")
        self.soname = next((self._string(at) for tag, at in named if tag == "DT_SONAME"), None)

    def requires(self) -> Iterator[SymbolVersion]:
        if "DT_VERNEED" not in self._tags:
            return
        carried = self._imports_by_version()
        at = self._table("DT_VERNEED")
        for _ in range(self._tags["DT_VERNEEDNUM"]):
            _, nodes, library, first, following = _NEED.unpack_from(self._data, at)
            node_at = at + first
            for _ in range(nodes):
                _, flags, index, version, next_node = _NEED_NODE.unpack_from(self._data, node_at)
                yield SymbolVersion(
                    library=self._string(library),
                    version=self._string(version),
                    symbols=tuple(sorted(carried.get(index & _VERSION_MASK, ()))),
                    weak=bool(flags & _VER_FLG_WEAK),
                )
                node_at += next_node
            if not following:  # the last one, even if the count is larger
                return
            at += following

    def provides(self) -> Iterator[str]:
        if "DT_VERDEF" not in self._tags:
            return
        at = self._table("DT_VERDEF")
        for _ in range(self._tags["DT_VERDEFNUM"]):
            _, flags, _, _, _, first, following = _DEFINITION.unpack_from(self._data, at)
            if not flags & _VER_FLG_BASE:  # the base definition names the file itself
                version, _ = _DEFINITION_NAME.unpack_from(self._data, at + first)
                yield self._string(version)
            if not following:
                return
            at += following

    def _imports_by_version(self) -> Mapping[int, list[str]]:
        found: defaultdict[int, list[str]] = defaultdict(list)
        if "DT_VERSYM" not in self._tags:
            return found
        count = int(self._dynamic.num_symbols())
        versions = struct.unpack_from(f"<{count}H", self._data, self._table("DT_VERSYM"))
        symbols = self._table("DT_SYMTAB")
        table = memoryview(self._data)[symbols : symbols + count * _SYMBOL.size]
        for index, (name, _, _, section, _, _) in zip(versions, _SYMBOL.iter_unpack(table), strict=True):
            if section == _SHN_UNDEF and name:
                found[index & _VERSION_MASK].append(self._string(name))
        return found

    def _table(self, tag: str) -> int:
        _, offset = self._dynamic.get_table_offset(tag)
        if offset is None or offset >= len(self._data):
            raise ValueError(f"no segment contains its {tag}")
        return int(offset)

    def _string(self, offset: int) -> str:
        start = self._strings + offset
        return self._data[start : self._data.index(b"\0", start)].decode("utf-8")


def _build_id(notes: Iterable[NoteSegment]) -> str | None:
    for segment in notes:
        for note in segment.iter_notes():
            if note["n_type"] == "NT_GNU_BUILD_ID":
                return str(note["n_desc"])
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
    rows = [_PROGRAM.unpack_from(data, programs_at + _PROGRAM.size * index) for index in range(programs)]
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
    rows = [_SECTION.unpack_from(data, at + _SECTION.size * index) for index in range(count)]
    if not rows:
        return []
    start, size = rows[names_in][4:6]
    names = data[start : start + size]
    return [_Section(names[row[0] : names.index(b"\0", row[0])], *row[1:]) for row in rows]


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
