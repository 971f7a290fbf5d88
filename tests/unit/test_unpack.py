"""What is taken out of an archive, and what in it ends the build."""

import gzip
import io
import lzma
import random
import struct
import tarfile

import pytest

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import NotVerifiedError
from nodelayer.unpack import WANTED, check_binary, members

NODE, LICENSE = b"\x7fELF node", b"MIT"


def file(name, data=b"", kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, target
    return info, data


GOOD = [
    file("node/", kind=tarfile.DIRTYPE),
    file("node/bin/node", NODE),
    file("node/bin/npm", kind=tarfile.SYMTYPE, target="../lib/node_modules/npm/bin/npm-cli.js"),
    file("node/LICENSE", LICENSE),
    file("node/README.md", b"no part of a layer"),
]


def packed(files, how=gzip.compress):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, data in files:
            tar.addfile(info, io.BytesIO(data))
    return how(stream.getvalue())


def read(files, how=gzip.compress):
    return members(packed(files, how), WANTED, where="here")


@pytest.mark.parametrize("how", [gzip.compress, lzma.compress], ids=["gz", "xz"])
def test_the_two_wanted_files_come_out_of_either_kind_of_archive(how):
    assert read(GOOD, how) == {"bin/node": NODE, "LICENSE": LICENSE}


@pytest.mark.parametrize(
    "strange",
    [
        file("../evil", b"x"),
        file("/etc/evil", b"x"),
        file("node/../../evil", b"x"),
        file("node\\..\\evil", b"x"),
        file("node/evil", kind=tarfile.SYMTYPE, target="../../evil"),
        file("node/evil", kind=tarfile.SYMTYPE, target="/etc/passwd"),
        file("node/evil", kind=tarfile.LNKTYPE, target="../evil"),
        file("node/evil", kind=tarfile.LNKTYPE, target="/etc/passwd"),
        file("node/evil", kind=tarfile.LNKTYPE, target="other/evil"),
        file("node/evil", kind=tarfile.CHRTYPE),
        file("node/evil", kind=tarfile.FIFOTYPE),
        file("other/file", b"x"),
    ],
    ids=lambda it: f"{it[0].name} {it[0].linkname}".strip(),
)
def test_what_would_leave_the_folder_or_has_no_place_there_is_refused(strange):
    with pytest.raises(NotVerifiedError, match="here"):
        read([*GOOD, strange])


def test_a_link_in_place_of_a_wanted_file_is_refused():
    linked = file("node/bin/node", kind=tarfile.SYMTYPE, target="../lib/node")
    with pytest.raises(NotVerifiedError, match="not a regular file"):
        read([linked, file("node/LICENSE", LICENSE)])


def test_a_wanted_file_that_is_there_twice_is_refused():
    with pytest.raises(NotVerifiedError, match="bin/node twice"):
        read([*GOOD, file("node/bin/node", b"\x7fELF other")])


@pytest.mark.parametrize("missing", ["node/bin/node", "node/LICENSE"])
def test_an_archive_without_a_wanted_file_is_refused_by_its_name(missing):
    with pytest.raises(NotVerifiedError, match=missing.removeprefix("node/")):
        read([each for each in GOOD if each[0].name != missing])


def test_a_file_larger_than_any_can_be_is_refused_before_it_is_read():
    with pytest.raises(NotVerifiedError, match="cannot be"):
        members(packed(GOOD), {"bin/node": 3, "LICENSE": 100}, where="here")


@pytest.mark.parametrize("how", [gzip.compress, lzma.compress], ids=["gz", "xz"])
@pytest.mark.parametrize("left", [0.2, 0.5, 0.9, 0.99])
def test_an_archive_that_is_cut_short_is_refused(how, left):
    whole = packed([*GOOD, file("node/last", random.Random(1).randbytes(20_000))], how)
    with pytest.raises(NotVerifiedError):
        members(whole[: int(len(whole) * left)], WANTED, where="here")


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04", b"\x1f\x8b", gzip.compress(b"no tar")])
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(NotVerifiedError):
        members(data, WANTED, where="here")


@pytest.mark.parametrize("how", [gzip.compress, lzma.compress], ids=["gz", "xz"])
def test_damage_gives_the_right_content_or_a_refusal_and_never_anything_else(how):
    whole = packed(GOOD, how)
    chance = random.Random(20261124)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            found = members(bytes(damaged), WANTED, where="here")
        except NotVerifiedError:
            refused += 1
        else:
            assert found == {"bin/node": NODE, "LICENSE": LICENSE}
    assert refused > 100


def binary(machine=62, kind=3, ident=b"\x7fELF\x02\x01"):
    return ident + bytes(10) + struct.pack("<HH", kind, machine) + bytes(44)


@pytest.mark.parametrize(("architecture", "machine"), [(X86_64, 62), (ARM64, 183)], ids=str)
def test_a_program_for_the_architecture_asked_for_is_taken(architecture, machine):
    for kind in (2, 3):
        check_binary(binary(machine, kind), architecture, where="here")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (binary(183), "is for EM_AARCH64, not for x86_64"),
        (binary(3), "is for machine 3, not for x86_64"),
        (binary(ident=b"\x7fELF\x01\x01"), "not 64-bit little-endian"),
        (binary(ident=b"\x7fELF\x02\x02"), "not 64-bit little-endian"),
        (binary(kind=1), "no program"),
        (b"#!/bin/sh\nexec node\n", "not an ELF program"),
        (b"", "not an ELF program"),
    ],
)
def test_what_is_no_program_for_it_is_refused(data, why):
    with pytest.raises(NotVerifiedError, match=why):
        check_binary(data, X86_64, where="here")
