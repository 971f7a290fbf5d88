"""Which files are read from a release archive, and which archives are refused."""

import gzip
import io
import itertools
import lzma
import random
import struct
import tarfile

import pytest

from nodelayer.architecture import ALL, ARM64, X86_64
from nodelayer.errors import NotVerifiedError
from nodelayer.node import tarball
from nodelayer.node.tarball import WANTED, check_binary, members

TOP = "node-v12.16.1-linux-x64"
NODE = random.Random(1).randbytes(3000)
LICENSE = b"Node.js is licensed for use as follows: ...\n"
FILES = {"bin/node": NODE, "LICENSE": LICENSE}
MODES = ["gz", "xz"]


def entry(name, data=b"", **fields):
    """Return a member and its bytes; `fields` are attributes of tarfile.TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def release(top=TOP):
    """Return the members of a release, with the links that nodejs.org's archives have."""
    return [
        entry(top, type=tarfile.DIRTYPE),
        entry(f"{top}/bin/node", NODE, mode=0o755),
        entry(f"{top}/bin/npm", type=tarfile.SYMTYPE, linkname="../lib/node_modules/npm/bin/npm-cli.js"),
        entry(f"{top}/bin/again", type=tarfile.LNKTYPE, linkname=f"{top}/bin/node"),
        entry(f"{top}/LICENSE", LICENSE),
        entry(f"{top}/lib/node_modules/npm/bin/npm-cli.js", b"// npm\n"),
    ]


def tar_of(entries, layout=tarfile.PAX_FORMAT):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=layout) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def packed(tar, mode="gz"):
    return gzip.compress(tar, mtime=0) if mode == "gz" else lzma.compress(tar)


def refusal(archive, wanted=WANTED):
    with pytest.raises(NotVerifiedError) as caught:
        members(archive, wanted, where="the archive's name")
    assert "[the archive's name]" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return caught.value.what


@pytest.mark.parametrize("mode", MODES)
class TestValidArchive:
    @pytest.mark.parametrize("top", [TOP, f"./{TOP}", "package"])
    def test_members_returns_only_the_wanted_files(self, mode, top):
        assert members(packed(tar_of(release(top)), mode), WANTED, where="it") == FILES

    @pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    def test_every_tar_format_is_read(self, mode, layout):
        assert members(packed(tar_of(release(), layout), mode), WANTED, where="it") == FILES

    def test_long_names_are_read(self, mode):
        entries = [*release(), entry(f"{TOP}/lib/{'n' * 200}/{'m' * 200}", b"long")]
        for layout in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            assert members(packed(tar_of(entries, layout), mode), WANTED, where="it") == FILES

    def test_archive_compressed_in_two_parts_is_refused(self, mode):
        tar = tar_of(release())
        assert "damaged" in refusal(packed(tar[:2000], mode) + packed(tar[2000:], mode))

    def test_a_file_of_the_maximum_size_is_accepted_and_one_byte_more_is_rejected(self, mode):
        archive = packed(tar_of(release()), mode)
        exactly = {"bin/node": len(NODE), "LICENSE": len(LICENSE)}
        assert members(archive, exactly, where="it") == FILES
        less = {**exactly, "bin/node": len(NODE) - 1}
        assert refusal(archive, less) == (f"{TOP}/bin/node in the archive is too large ({len(NODE)} bytes)")

    def test_wanted_file_in_a_deeper_folder_is_ignored(self, mode):
        entries = [*release(), entry(f"{TOP}/lib/bin/node", b"another"), entry(f"{TOP}/lib/LICENSE", b"no")]
        assert members(packed(tar_of(entries), mode), WANTED, where="it") == FILES


def link(kind, name, target):
    return entry(f"{TOP}/{name}", type=kind, linkname=target)


LINKS_OUT = {
    "a symbolic link to a parent folder": link(tarfile.SYMTYPE, "bin/x", "../../other"),
    "a symbolic link that leads out in a later part": link(tarfile.SYMTYPE, "bin/x", "../lib/../../other"),
    "an absolute symbolic link": link(tarfile.SYMTYPE, "bin/x", "/etc/passwd"),
    "a symbolic link to a folder with the same prefix": link(tarfile.SYMTYPE, "x", f"../{TOP}-more/x"),
    "a symbolic link from the top folder to its parent": link(tarfile.SYMTYPE, "x", ".."),
    "the top folder as a symbolic link": entry(TOP, type=tarfile.SYMTYPE, linkname="/etc"),
    "a hard link to a parent folder": link(tarfile.LNKTYPE, "x", f"{TOP}/../other"),
    "an absolute hard link": link(tarfile.LNKTYPE, "x", "/etc/passwd"),
    "a hard link to another top folder": link(tarfile.LNKTYPE, "x", "other/x"),
    "a hard link relative to its own folder": link(tarfile.LNKTYPE, "bin/x", "node"),
}
OUTSIDE = ["/etc/passwd", f"/{TOP}/x", f"{TOP}/../x", f"{TOP}/bin/../../x", "..", f"{TOP}\\..\\x"]
SPECIAL = {
    "a character device": tarfile.CHRTYPE,
    "a block device": tarfile.BLKTYPE,
    "a pipe": tarfile.FIFOTYPE,
}


class TestRefusedMembers:
    @pytest.mark.parametrize("made", LINKS_OUT.values(), ids=LINKS_OUT.keys())
    @pytest.mark.parametrize("at", [0, 6])
    def test_link_out_of_the_folder_is_refused_at_any_position(self, made, at):
        entries = release()
        entries.insert(at, made)
        assert "a link to a path outside of it" in refusal(packed(tar_of(entries)))

    @pytest.mark.parametrize("name", OUTSIDE)
    @pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
    def test_path_outside_the_folder_is_refused(self, name, kind):
        made = entry(name, type=kind, linkname=f"{TOP}/bin/node")
        message = refusal(packed(tar_of([*release(), made])))
        assert "an unsafe path" in message

    @pytest.mark.parametrize("kind", SPECIAL.values(), ids=SPECIAL.keys())
    def test_devices_and_pipes_are_refused(self, kind):
        message = refusal(packed(tar_of([*release(), entry(f"{TOP}/x", type=kind)])))
        assert "a device or another special file" in message

    @pytest.mark.parametrize("name", ["other/x", "x", "./other"])
    def test_a_second_top_folder_is_refused(self, name):
        message = refusal(packed(tar_of([*release(), entry(name, b"x")])))
        assert message == "the archive has more than one top-level folder"

    @pytest.mark.parametrize("name", [f"{TOP}/bin/node", f"./{TOP}/bin//node", f"{TOP}/./LICENSE"])
    def test_a_duplicate_wanted_file_is_rejected(self, name):
        assert refusal(packed(tar_of([*release(), entry(name, NODE)]))).endswith("twice")

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
    def test_a_wanted_entry_that_is_not_a_file_is_rejected(self, kind):
        made = entry(f"{TOP}/bin/node", type=kind, linkname=f"{TOP}/LICENSE")
        if kind == tarfile.SYMTYPE:
            made[0].linkname = "../LICENSE"
        message = refusal(packed(tar_of([*release()[4:], made])))
        assert message == f"{TOP}/bin/node in the archive is not a regular file"

    def test_sparse_wanted_file_is_refused(self):
        made = entry(f"{TOP}/bin/node", NODE, type=tarfile.GNUTYPE_SPARSE)
        message = refusal(packed(tar_of([*release()[2:], made], tarfile.GNU_FORMAT)))
        assert message == "the archive is truncated or damaged"

    @pytest.mark.parametrize("name", WANTED)
    def test_an_archive_without_a_wanted_file_is_refused(self, name):
        entries = [each for each in release() if each[0].name != f"{TOP}/{name}"]
        assert refusal(packed(tar_of(entries))) == f"the archive does not contain {name}"

    def test_a_member_with_too_large_a_size_is_rejected_before_it_is_read(self):
        info = entry(f"{TOP}/lib/zeros")[0]
        info.size = 3_000_000_000
        tar = tar_of(release())[: -tarfile.RECORDSIZE].rstrip(b"\0")
        tar += bytes(-len(tar) % tarfile.BLOCKSIZE) + info.tobuf(tarfile.GNU_FORMAT)
        assert refusal(packed(tar)) == "the archive is larger than any release of Node.js"

    def test_archive_with_too_many_bytes_or_members_is_refused(self, monkeypatch):
        archive = packed(tar_of(release()))
        monkeypatch.setattr(tarball, "_MOST_MEMBERS", len(release()))
        assert members(archive, WANTED, where="it") == FILES
        monkeypatch.setattr(tarball, "_MOST_MEMBERS", len(release()) - 1)
        assert refusal(archive) == "the archive is larger than any release of Node.js"
        monkeypatch.undo()
        monkeypatch.setattr(tarball, "_MOST_BYTES", len(NODE) + len(LICENSE))
        assert refusal(archive) == "the archive is larger than any release of Node.js"

    @pytest.mark.parametrize("mode", MODES)
    def test_endless_bytes_after_the_last_member_are_rejected(self, monkeypatch, mode):
        tar = tar_of(release())
        monkeypatch.setattr(tarball, "_MOST_BYTES", 100_000)
        monkeypatch.setattr(tarball, "_MOST_MEMBERS", 100)
        assert refusal(packed(tar + bytes(9_000_000), mode)) == (
            "the archive is larger than any release of Node.js"
        )


class TestDamage:
    @pytest.mark.parametrize("mode", MODES)
    def test_archive_truncated_at_any_position_is_refused(self, mode):
        archive = packed(tar_of(release()), mode)
        for length in itertools.chain(range(6, len(archive), 37), range(len(archive) - 20, len(archive))):
            assert refusal(archive[:length]) == "the archive is truncated or damaged", length

    @pytest.mark.parametrize("mode", MODES)
    def test_truncated_tar_in_complete_compressed_data_is_refused(self, mode):
        tar = tar_of(release())
        ends = tar.rstrip(b"\0")
        for length in range(0, len(ends), 300):
            assert refusal(packed(tar[:length], mode)) == "the archive is truncated or damaged"

    @pytest.mark.parametrize("mode", MODES)
    def test_any_number_of_zero_blocks_at_the_end_is_accepted(self, mode):
        tar = tar_of(release())
        blocks = -(-len(tar.rstrip(b"\0")) // tarfile.BLOCKSIZE)
        for end in (0, 1, 2, 3, 50, 2000):
            archive = packed(tar[: blocks * tarfile.BLOCKSIZE] + bytes(end * tarfile.BLOCKSIZE), mode)
            assert members(archive, WANTED, where="it") == FILES, end

    @pytest.mark.parametrize("mode", MODES)
    def test_a_broken_header_is_not_read_as_the_end_of_the_tar(self, mode):
        tar = bytearray(tar_of(release()))
        last = tar.index(f"{TOP}/lib/node_modules/npm/bin/npm-cli.js".encode(), 4000)
        tar[last + 20] ^= 1
        assert refusal(packed(bytes(tar), mode)) == "the archive is truncated or damaged"

    @pytest.mark.parametrize("mode", MODES)
    def test_data_after_the_zero_blocks_at_the_end_is_refused(self, mode):
        tar = tar_of(release())
        for more in (b"x", tar):
            assert refusal(packed(tar + more, mode)) == "the archive is truncated or damaged"

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("garbage", [b"x", b"<html>", b"\1" * 600])
    def test_data_after_the_compressed_data_is_refused(self, mode, garbage):
        archive = packed(tar_of(release()), mode) + garbage
        assert refusal(archive) == "the archive is truncated or damaged"

    @pytest.mark.parametrize("mode", MODES)
    def test_wrong_checksum_at_the_end_of_the_compressed_data_is_refused(self, mode):
        archive = bytearray(packed(tar_of(release()), mode))
        at = -6 if mode == "gz" else -30
        archive[at] ^= 1
        assert refusal(bytes(archive)) == "the archive is truncated or damaged"

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x1f", b"<html>not here</html>", b"PK\3\4" + bytes(100), bytes(2000), b"BZh9" + bytes(50)],
        ids=["empty", "a byte", "a web page", "a zip", "zeros", "bzip2"],
    )
    def test_file_of_another_type_is_refused(self, data):
        assert refusal(data) == "the file is neither .tar.xz nor .tar.gz"

    def test_an_uncompressed_tar_is_rejected(self):
        assert refusal(tar_of(release())) == "the file is neither .tar.xz nor .tar.gz"

    @pytest.mark.parametrize("mode", MODES)
    def test_damaged_compressed_data_is_refused_or_gives_the_right_files(self, mode):
        archive = packed(tar_of(release()), mode)
        chance = random.Random(20260601)
        refused = sum(not survives(damaged(archive, chance, 2)) for _ in range(400))
        assert refused > 300

    @pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    def test_damaged_tar_raises_no_other_error_than_not_verified(self, layout):
        long = entry(f"{TOP}/lib/{'n' * 200}", b"long", pax_headers={"comment": "c" * 50, "mtime": "1.5"})
        tar = tar_of([long, *release()], layout)
        chance = random.Random(20260602)
        refused = 0
        for _ in range(600):
            changed = bytearray(tar)
            for _ in range(chance.randint(1, 3)):
                block = 512 * chance.randrange(len(tar) // 512 - 12)
                changed[block + chance.randrange(512)] = chance.randrange(256)
                if chance.random() < 0.7:
                    rewrite_checksum(changed, block)
            refused += gives(packed(bytes(changed))) is None
        assert refused > 100

    def test_random_headers_are_rejected_or_ignored(self):
        chance = random.Random(20260603)
        for _ in range(300):
            tar = bytearray(tar_of([entry(f"{TOP}/x", b"", pax_headers={"path": "y" * 30}), *release()]))
            for _ in range(6):
                tar[chance.randrange(1536)] = chance.choice(b"\0 01789=\n-x\xff\x80")
            for block in (0, 512, 1024):
                rewrite_checksum(tar, block)
            gives(packed(bytes(tar)))


def damaged(data, chance, most):
    changed = bytearray(data)
    for _ in range(chance.randint(1, most)):
        kind, at = chance.randrange(4), chance.randrange(len(changed))
        if kind == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at] = chance.randrange(256)
        elif kind == 2:
            del changed[at : at + chance.randint(1, 30)]
        else:
            changed[at:at] = chance.randbytes(chance.randint(1, 30))
    return bytes(changed)


def rewrite_checksum(tar, block):
    """Rewrite the header checksum, so that the changed header is read."""
    tar[block + 148 : block + 156] = b" " * 8
    tar[block + 148 : block + 156] = b"%06o\0 " % sum(tar[block : block + 512])


def gives(archive):
    """Return the files, or None if the archive is refused; any other error fails the test."""
    try:
        return members(archive, WANTED, where="it")
    except NotVerifiedError:
        return None


def survives(archive):
    files = gives(archive)
    assert files in (None, FILES)
    return files is not None


def program(machine=62, kind=2, magic=b"\x7fELF\x02\x01\x01"):
    return magic.ljust(16, b"\0") + struct.pack("<HH", kind, machine) + bytes(44)


MACHINES = {X86_64: 62, ARM64: 183}


class TestTheBinary:
    @pytest.mark.parametrize("architecture", ALL, ids=str)
    @pytest.mark.parametrize("kind", [2, 3])
    def test_program_for_the_architecture_is_accepted(self, architecture, kind):
        check_binary(program(MACHINES[architecture], kind), architecture, where="it")

    @pytest.mark.parametrize(("wanted", "other"), [(X86_64, ARM64), (ARM64, X86_64)], ids=str)
    def test_program_for_the_other_architecture_is_refused_with_both_names(self, wanted, other):
        message = self.refusal(program(MACHINES[other]), wanted)
        assert message == f"bin/node is for {other.elf}, not for {wanted}"

    def test_program_for_an_unsupported_architecture_is_refused(self):
        assert self.refusal(program(8), X86_64) == "bin/node is for machine 8, not for x86_64"

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x7fELF", program()[:19], b"#!/bin/sh\nexec node\n", b"\xcf\xfa\xed\xfe" + bytes(60)],
        ids=["empty", "four bytes", "19 bytes", "a script", "a program for macOS"],
    )
    def test_file_that_is_not_elf_is_refused(self, data):
        assert self.refusal(data, X86_64) == "bin/node is not an ELF program"

    @pytest.mark.parametrize("magic", [b"\x7fELF\x01\x01\x01", b"\x7fELF\x02\x02\x01"])
    def test_32_bit_and_big_endian_programs_are_refused(self, magic):
        assert self.refusal(program(magic=magic), X86_64) == "bin/node is not 64-bit little-endian"

    @pytest.mark.parametrize("kind", [0, 1, 4])
    def test_object_files_and_core_dumps_are_refused(self, kind):
        assert self.refusal(program(kind=kind), X86_64) == "bin/node is an ELF file but not a program"

    @staticmethod
    def refusal(data, architecture):
        with pytest.raises(NotVerifiedError) as caught:
            check_binary(data, architecture, where="the archive's name")
        assert caught.value.where == "the archive's name"
        assert "\n" not in str(caught.value)
        return caught.value.what
