import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from support import find_program

from nodelayer.architecture import X86_64, of_host
from nodelayer.errors import NotVerifiedError
from nodelayer.layer import elf, system_library

HEADER_SIZE = 64
PROGRAM_SIZE = 56
SECTION_SIZE = 64


def host_library(soname):
    path = system_library.find(soname, of_host())
    if path is None:
        pytest.skip(f"no {soname}: apt-get install libstdc++6 libatomic1")
    return path.read_bytes()


def binutil(name):
    return find_program(name, "binutils")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compile a small program with symbols and debug data."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "small.c").write_text(
        "#include <stdio.h>\n#include <math.h>\n"
        "__attribute__((weak)) extern void not_there(void);\n"
        "double half(double x) { return x / 2; }\n"
        'int main(int n, char **v) { if (not_there) not_there(); printf("%s %.1f\\n", v[0], half(n)); }\n'
    )
    command = [find_program("gcc", "gcc libc6-dev"), "-g", "-rdynamic", "-o", "small", "small.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "small"


def section_names(data):
    (table_at,) = struct.unpack_from("<Q", data, 40)
    count, names_in = struct.unpack_from("<HH", data, 60)
    rows = [struct.unpack_from("<IIQQQQIIQQ", data, table_at + SECTION_SIZE * each) for each in range(count)]
    names = data[rows[names_in][4] :]
    return [names[row[0] : names.index(b"\0", row[0])].decode() for row in rows]


def loaded_bytes(data):
    """Return the header and bytes of each segment."""
    (at,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    found = []
    for each in range(count):
        row = struct.unpack_from("<IIQQQQQQ", data, at + PROGRAM_SIZE * each)
        found.append((row, data[row[2] : row[2] + row[5]]))
    return found


class TestRead:
    def test_a_library_has_its_soname_and_defined_versions(self):
        libc = elf.read(host_library("libc.so.6"), name="libc.so.6")
        assert libc.soname == "libc.so.6"
        assert libc.machine == of_host().elf
        assert "GLIBC_2.17" in libc.provides
        assert "libc.so.6" not in libc.provides

    def test_a_library_lists_needed_versions_and_their_imports(self):
        cxx = elf.read(host_library("libstdc++.so.6"), name="libstdc++.so.6")
        assert "libc.so.6" in cxx.libraries
        base = "GLIBC_2.2.5" if of_host() == X86_64 else "GLIBC_2.17"
        (need,) = [each for each in cxx.requires if each.library == "libc.so.6" and each.version == base]
        assert "memcmp" in need.symbols
        assert list(need.symbols) == sorted(need.symbols)
        assert not any(symbol in each.symbols for each in cxx.requires for symbol in ["_ZNSt9exceptionD1Ev"])

    def test_a_program_has_its_interpreter(self):
        program = elf.read(Path(sys.executable).resolve().read_bytes(), name="python")
        assert program.interpreter is not None
        assert Path(program.interpreter).name.startswith("ld-linux")
        assert program.soname is None

    def test_a_file_without_section_headers_gives_the_same_result(self):
        data = bytearray(host_library("libstdc++.so.6"))
        before = elf.read(bytes(data), name="before")
        struct.pack_into("<Q", data, 40, 0)
        struct.pack_into("<HH", data, 60, 0, 0)
        assert elf.read(bytes(data), name="after") == before
        assert before.requires

    def test_read_returns_the_same_versions_as_readelf(self):
        data = host_library("libstdc++.so.6")
        path = system_library.find("libstdc++.so.6", of_host())
        output = subprocess.run(
            [binutil("readelf"), "-VW", str(path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        needed = output[output.index("Version needs section") :]
        names = sorted(line.split("Name: ")[1].split()[0] for line in needed.splitlines() if "Name: " in line)
        assert sorted(each.version for each in elf.read(data, name="it").requires) == names

    def test_read_returns_the_same_build_id_as_readelf(self, compiled):
        output = subprocess.run(
            [binutil("readelf"), "-nW", str(compiled)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        build_id = elf.read(compiled.read_bytes(), name="small").build_id
        assert build_id is not None
        assert f"Build ID: {build_id}" in output

    def test_a_version_needed_only_by_weak_imports_is_weak(self):
        data = bytearray(host_library("libstdc++.so.6"))
        first = elf.read(bytes(data), name="it").requires[0]
        assert not first.weak
        rows = [
            at
            for at in range(0, len(data) - 16, 4)
            if struct.unpack_from("<I", data, at)[0] == _hash(first.version)
            and struct.unpack_from("<H", data, at + 4)[0] == 0
        ]
        for at in rows:
            struct.pack_into("<H", data, at + 4, 2)  # VER_FLG_WEAK
        after = {each.version: each for each in elf.read(bytes(data), name="it").requires}
        assert after[first.version].weak


def _hash(name):
    """Return the gABI hash of a symbol name."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value ^= (value & 0xF0000000) >> 24
        value &= 0x0FFFFFFF
    return value


@pytest.mark.parametrize("function", [elf.read, elf.strip])
class TestRefusedFiles:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"<html>not here</html>",
            b"\x7fELF",
            b"\x7fELF\x01\x01" + bytes(200),
            b"\x7fELF\x02\x02" + bytes(200),
        ],
        ids=["empty", "a web page", "four bytes", "32 bits", "big-endian"],
    )
    def test_file_that_is_not_64_bit_elf_is_refused_by_name_in_one_line(self, function, data):
        with pytest.raises(
            NotVerifiedError, match=r"^nodejs/bin/node is not a 64-bit little-endian ELF file"
        ) as caught:
            function(data, name="nodejs/bin/node")
        assert "\n" not in str(caught.value)

    def test_object_file_is_refused(self, function):
        data = bytearray(host_library("libstdc++.so.6"))
        struct.pack_into("<H", data, 16, 1)  # ET_REL
        with pytest.raises(NotVerifiedError, match="neither a program nor a shared library"):
            function(bytes(data), name="it.o")

    def test_truncated_file_is_refused_as_damaged(self, function):
        whole = host_library("libstdc++.so.6")
        for length in (40, 70, 700):
            with pytest.raises(NotVerifiedError, match="damaged ELF file"):
                function(whole[:length], name="it")

    def test_damaged_file_gives_a_result_or_a_one_line_error(self, function):
        whole = host_library("libgcc_s.so.1")
        chance = random.Random(20260601)
        refused = []
        for _ in range(400):
            data = bytearray(whole)
            for _ in range(3):
                data[chance.randrange(min(6000, len(data)))] = chance.randrange(256)
                data[-chance.randrange(1, 2000)] = chance.randrange(256)
            try:
                function(bytes(data), name="it")
            except NotVerifiedError as error:
                refused.append(str(error))
        assert refused
        assert not [line for line in refused if "\n" in line]


class TestStrip:
    def test_strip_removes_symbols_and_debug_data_and_keeps_the_loaded_segments(self, compiled):
        before = compiled.read_bytes()
        after = elf.strip(before, name="small")
        gone = set(section_names(before)) - set(section_names(after))
        assert {".symtab", ".strtab", ".debug_info", ".debug_line", ".comment"} <= gone
        assert {".dynsym", ".dynstr", ".text", ".eh_frame", ".gnu.version_r"} <= set(section_names(after))
        assert len(after) < len(before)
        segments = loaded_bytes(before)
        stripped = loaded_bytes(after)
        assert [row for row, _ in stripped] == [row for row, _ in segments]
        for (row, old), (_, new) in zip(segments, stripped, strict=True):
            if row[2] == 0:  # contains the ELF header, where the offset of the section table changes
                assert new[HEADER_SIZE:] == old[HEADER_SIZE:]
            else:
                assert new == old

    def test_stripping_does_not_change_what_the_loader_reads(self, compiled):
        data = compiled.read_bytes()
        assert elf.read(elf.strip(data, name="small"), name="small") == elf.read(data, name="small")

    def test_stripped_program_runs(self, compiled, tmp_path):
        stripped = tmp_path / "small"
        stripped.write_bytes(elf.strip(compiled.read_bytes(), name="small"))
        stripped.chmod(0o755)
        done = subprocess.run([str(stripped), "x"], capture_output=True, text=True, check=True)
        assert done.stdout == f"{stripped} 1.0\n"

    def test_stripped_program_is_not_larger_than_with_gnu_strip(self, compiled, tmp_path):
        by_gnu = tmp_path / "by-gnu"
        subprocess.run([binutil("strip"), "-o", str(by_gnu), str(compiled)], check=True)
        assert len(elf.strip(compiled.read_bytes(), name="small")) <= by_gnu.stat().st_size

    def test_readelf_and_objdump_read_the_stripped_program_without_warnings(self, compiled, tmp_path):
        stripped = tmp_path / "small"
        stripped.write_bytes(elf.strip(compiled.read_bytes(), name="small"))
        for command in (["readelf", "-aW"], ["objdump", "-xd"]):
            done = subprocess.run(
                [binutil(command[0]), *command[1:], str(stripped)], capture_output=True, text=True, check=True
            )
            assert done.stderr == ""
            assert "half" in done.stdout  # an exported symbol, found by its section number

    def test_strip_keeps_the_number_of_a_section_after_a_removed_one(self, compiled):
        data = bytearray(compiled.read_bytes())
        names = section_names(data)
        (table_at,) = struct.unpack_from("<Q", data, 40)
        note = names.index(".note.gnu.build-id")
        flags_at = table_at + SECTION_SIZE * note + 8
        struct.pack_into("<Q", data, flags_at, 0)  # no longer SHF_ALLOC
        after = section_names(elf.strip(bytes(data), name="small"))
        assert after[note] == ""
        assert after.index(".text") == names.index(".text")

    def test_a_file_without_section_headers_is_unchanged(self, compiled):
        data = bytearray(compiled.read_bytes())
        struct.pack_into("<Q", data, 40, 0)
        struct.pack_into("<HH", data, 60, 0, 0)
        assert elf.strip(bytes(data), name="small") == bytes(data)

    def test_segments_beyond_the_end_of_the_file_are_damage(self, compiled):
        data = elf.strip(compiled.read_bytes(), name="small")
        with pytest.raises(NotVerifiedError, match="damaged ELF file"):
            elf.strip(data[:-100], name="small")
