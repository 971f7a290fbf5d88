"""Small files that cost much time or memory to read. `python tests/bombs.py NAME...` reads them."""

import gzip
import io
import json
import lzma
import os
import resource
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

from nodelayer.errors import NodelayerError
from nodelayer.layer import archive
from nodelayer.layer import elf as elf_reader
from nodelayer.manifest import schema
from nodelayer.node import tarball

MEGABYTE = 1 << 20


def _block(kind, size, name=b"top/x"):
    """Return a tar header."""
    head = bytearray(name.ljust(100, b"\0") + b"0000644\0" * 3 + b"%011o\0" % size + b"00000000000\0")
    head += b" " * 8 + kind + bytes(100) + b"ustar\x0000"
    head = head.ljust(512, b"\0")
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def _xz(*parts):
    """Compress (bytes, count) parts without building them in memory."""
    packer = lzma.LZMACompressor(preset=0)
    return b"".join(packer.compress(data) for data, count in parts for _ in range(count)) + packer.flush()


def _gz(*parts):
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(packer.compress(data) for data, count in parts for _ in range(count)) + packer.flush()


def _padded(data):
    return data.ljust(-(-len(data) // 512) * 512, b"\0")


def pax_size():
    return _xz((_block(b"x", 600 * MEGABYTE), 1), (bytes(MEGABYTE), 600))


def pax_records():
    record = b"".join(b"%d %07d=\n" % (12, number) for number in range(80_000))
    return _gz((_block(b"g", len(record)) + _padded(record), 40))


def pax_copies():
    record = b"".join(b"%d %07d=\n" % (12, number) for number in range(600))
    path = _padded(b"11 path=t/a\n")
    member = _block(b"x", 12) + path + _block(b"0", 0)
    return _gz((_block(b"g", len(record)) + _padded(record), 1), (member * 100, 900))


def pax_nested():
    return _gz(((_block(b"x", 12) + _padded(b"11 path=t/a\n")), 2000))


def long_name_nested():
    return _gz((_block(b"L", 512) + bytes(512), 2000))


def long_name():
    return _gz((_block(b"L", 600 * MEGABYTE), 1), (b"a" * MEGABYTE, 600))


def sparse_header():
    head = bytearray(_block(b"S", 0))
    head[482] = 1
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    more = bytearray((b"%011o\0" % 1) * 42).ljust(504, b"\0") + b"\1" + bytes(7)
    return _gz((bytes(head), 1), (bytes(more) * 2048, 60))


def sparse_map():
    record = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    return _gz((_block(b"x", len(record)) + _padded(record) + _block(b"0", 0), 1), (b"1" * MEGABYTE, 40))


def members():
    return _gz((_block(b"0", 0) * 100, 8_000))


def tar_zeros():
    return _gz((_block(b"0", 700 * MEGABYTE, b"top/bin/y"), 1), (bytes(MEGABYTE), 700))


def gzip_members():
    return gzip.compress(b"") * 400_000


def gzip_name():
    return b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * (60 * MEGABYTE)


def xz_streams():
    return lzma.compress(b"") * 60_000


TARS = (
    pax_size,
    pax_records,
    pax_copies,
    pax_nested,
    long_name_nested,
    long_name,
    sparse_header,
    sparse_map,
    members,
    tar_zeros,
    gzip_members,
    gzip_name,
    xz_streams,
)


def _zip(*entries, count=1, compression=zipfile.ZIP_DEFLATED, size=None, name="x"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression, compresslevel=1) as archive:
        for number in range(count):
            with archive.open(f"{name}{number}", "w") as file:
                for data, times in entries:
                    for _ in range(times):
                        file.write(data)
    data = bytearray(stream.getvalue())
    if size is not None:  # understate the size of the only entry
        at = data.rindex(b"PK\1\2")
        data[22:26] = data[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(data)


def zip_zeros():
    return _zip((bytes(MEGABYTE), 300))


def zip_understated():
    return _zip((bytes(MEGABYTE), 300), size=10)


def zip_bzip2():
    return _zip((bytes(MEGABYTE), 60), compression=zipfile.ZIP_BZIP2, size=10)


def zip_entries():
    one = bytearray(_zip((b"", 1)))
    at = one.index(b"PK\1\2")
    end = one.index(b"PK\5\6")
    directory = bytes(one[at:end]) * 400_000
    return (
        bytes(one[:at])
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(directory), at, 0)
    )


def zip_names():
    return _zip((b"", 1), count=2_000, name="a/" * 1000)


ZIPS = (zip_zeros, zip_understated, zip_bzip2, zip_entries, zip_names)


def elf(segments, data=b"", sections=(), names_in=0, tail=b""):
    """Return a program for x86_64 with these segments: (kind, offset, address, size)."""
    count = len(segments)
    at = 64 + 56 * count
    rows = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, at + offset if kind != 1 else 0, address, 0, size, size, 0)
        for kind, offset, address, size in segments
    )
    body = rows + data
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH",
        3,
        62,
        1,
        0,
        64,
        64 + len(body) if sections else 0,
        0,
        64,
        56,
        count,
        64,
        len(sections),
        names_in,
    )
    return head + body + b"".join(sections) + tail


def _dynamic(tags, data):
    """Return a program with a dynamic section of these tags, followed by data; addresses are offsets."""
    base = 64 + 56 * 2
    table = b"".join(struct.pack("<qQ", tag, value) for tag, value in (*tags, (0, 0)))
    whole = table + data
    return elf([(1, 0, 0, base + len(whole)), (2, 0, base, len(table))], whole)


def _after(tags):
    return 64 + 56 * 2 + 16 * (tags + 1)


NEEDED, STRTAB, SYMTAB, GNU_HASH, VERSYM, VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM = (
    *(1, 5, 6, 0x6FFFFEF5, 0x6FFFFFF0),
    *(0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF),
)


def elf_needs():
    at = _after(3)
    count = 100
    needs = b"".join(
        struct.pack("<HHIII", 1, 0xFFFF, 0, 16 * (count - number), 16) for number in range(count)
    )
    tags = [(STRTAB, at), (VERNEED, at + 16), (VERNEEDNUM, count)]
    return _dynamic(tags, bytes(16) + needs + bytes(16))


def elf_definitions():
    at = _after(3)
    row = struct.pack("<HHHHIII", 1, 0, 0, 0, 0, 0, 20)
    tags = [(STRTAB, at), (VERDEF, at + 8), (VERDEFNUM, 0xFFFFFFFF)]
    return _dynamic(tags, bytes(8) + row * 1_000_000)


def elf_strings():
    count = 20_000
    at = _after(count + 1)
    return _dynamic([(STRTAB, at), *[(NEEDED, 0)] * count], b"a" * MEGABYTE + b"\0")


def elf_buckets():
    buckets = 12_000_000
    at = _after(6)
    table = struct.pack("<IIII", buckets, 0, 0, 0) + bytes(4 * buckets)
    tags = [(STRTAB, at), (SYMTAB, at), (GNU_HASH, at), (VERSYM, at), (VERNEED, at), (VERNEEDNUM, 1)]
    return _dynamic(tags, table)


def elf_chain():
    at = _after(6)
    table = struct.pack("<IIIII", 1, 0, 0, 0, 0) + bytes(48 * MEGABYTE)
    tags = [(STRTAB, at), (SYMTAB, at), (GNU_HASH, at), (VERSYM, at), (VERNEED, at), (VERNEEDNUM, 1)]
    return _dynamic(tags, table)


def elf_interpreters():
    return elf([(3, 0, 0, 8 * MEGABYTE)] * 60_000, b"a" * (8 * MEGABYTE) + b"\0")


def elf_dynamics():
    return elf([(2, 0, 0, 16 * 1000)] * 60_000, struct.pack("<qQ", 21, 0) * 1000)


def elf_notes():
    return elf([(4, 0, 0, MEGABYTE)] * 60_000, bytes(MEGABYTE))


def elf_sections():
    section = struct.pack("<IIQQQQIIQQ", 0, 1, 2, 0, 0, 0, 0, 0, 0, 0)
    names = 64 + 56 + 64 * 60_000
    table = struct.pack("<IIQQQQIIQQ", 0, 3, 2, 0, names, 4 * MEGABYTE, 0, 0, 0, 0)
    rows = [table, *[section] * 59_999]
    return elf([(1, 0, 0, 64)], b"", rows, 0, b"a" * (4 * MEGABYTE - 1) + b"\0")


def elf_section_names():
    count = 60_000
    names = b"".join(b"%d\0" % number for number in range(count))
    at = 64 + 56 + 64 * count
    offsets, offset = [], 0
    for name in names.split(b"\0")[:count]:
        offsets.append(offset)
        offset += len(name) + 1
    rows = [struct.pack("<IIQQQQIIQQ", start, 1, 2, 0, at, 0, 0, 0, 0, 0) for start in offsets]
    rows[0] = struct.pack("<IIQQQQIIQQ", 0, 3, 2, 0, at, len(names), 0, 0, 0, 0)
    return elf([(1, 0, 0, 64)], b"", rows, 0, names)


ELFS = (
    elf_needs,
    elf_definitions,
    elf_strings,
    elf_buckets,
    elf_chain,
    elf_interpreters,
    elf_dynamics,
    elf_notes,
    elf_sections,
    elf_section_names,
)


def json_nested():
    return b"[" * 4_000_000


def json_lists():
    return b"[" + b"[]," * 6_600_000 + b"[]]"


def json_number():
    return b"9" * 10_000_000


def json_objects():
    return b'{"schema_version":2,"layers":[' + b"{}," * 20_000_000 + b"{}]}"


JSONS = (json_nested, json_lists, json_number, json_objects)


def _reader(bomb, data, folder):
    """Return a function that reads a bomb as its format."""
    name = bomb.__name__
    if bomb in TARS:
        return lambda: tarball.members(data, tarball.WANTED, where=name)
    if bomb in ELFS:
        return lambda: (elf_reader.strip(data, name=name), elf_reader.read(data, name=name))
    if bomb in ZIPS:
        path = Path(folder) / "bomb.zip"
        path.write_bytes(data)
        return lambda: list(archive.read(path))
    return lambda: schema.parse(data, name)


def main(names):
    """Read each bomb in a process of its own; print name, size, seconds, peak in MB, and what happened."""
    for bomb in (*TARS, *ZIPS, *ELFS, *JSONS):
        if names and bomb.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            data = bomb()
            read = _reader(bomb, data, folder)
            if not (child := os.fork()):
                started = time.process_time()
                try:
                    read()
                    outcome = "accepted"
                except NodelayerError as error:
                    outcome = f"refused: {error}"
                except Exception as error:  # noqa: BLE001 - what the test must not see
                    outcome = f"{type(error).__name__}: {error}"
                seconds = time.process_time() - started
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
                print(json.dumps([bomb.__name__, len(data), round(seconds, 1), peak, outcome]), flush=True)  # noqa: T201
                os._exit(0)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
