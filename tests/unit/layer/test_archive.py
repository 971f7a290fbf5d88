"""A layer zip: the same input gives the same bytes, and common programs read it."""

import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import zipfile

import pytest

from nodelayer.errors import InvalidInputError, NotVerifiedError
from nodelayer.layer import archive
from nodelayer.layer.archive import Entry

ENTRIES = [
    Entry("bootstrap", b"#!/bin/sh\nexec true\n" * 50, 0o755),
    Entry("aws/index.js", b"'use strict';\n" * 40),
    Entry("nodejs/bin/node", bytes(range(256)) * 4096, 0o755),
    Entry("nodejs/LICENSE", b"short"),
    Entry("lib/random.so", os.urandom(5000)),
]


def packed(entries, compression="best"):
    out = io.BytesIO()
    archive.write(entries, out, compression)
    return out.getvalue()


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "layer.zip"
    path.write_bytes(packed(ENTRIES))
    return path


def test_zip_does_not_depend_on_the_order_of_files():
    assert packed(ENTRIES) == packed(list(reversed(ENTRIES)))


def test_zip_does_not_depend_on_clock_time_zone_locale_and_umask():
    program = (
        "import os, sys, hashlib, io; os.umask(int(sys.argv[1], 8))\n"
        "from nodelayer.layer import archive\n"
        "out = io.BytesIO(); archive.write([archive.Entry('a', b'x' * 9999, 0o755)], out)\n"
        "print(hashlib.sha256(out.getvalue()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, umask],
            env={"TZ": zone, "LC_ALL": locale, "SOURCE_DATE_EPOCH": date, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for umask, zone, locale, date in [
            ("022", "UTC", "C", "0"),
            ("077", "Asia/Tokyo", "C.UTF-8", "1700000000"),
        ]
    }
    assert len(digests) == 1


def test_read_returns_the_written_names_contents_and_modes(layer):
    assert sorted(archive.read(layer), key=lambda entry: entry.path) == sorted(
        ENTRIES, key=lambda entry: entry.path
    )


def test_modes_are_those_of_regular_files_on_unix(layer):
    with zipfile.ZipFile(layer) as opened:
        modes = {info.filename: info.external_attr >> 16 for info in opened.infolist()}
    assert stat.S_ISREG(modes["bootstrap"])
    assert stat.filemode(modes["bootstrap"]) == "-rwxr-xr-x"
    assert stat.filemode(modes["aws/index.js"]) == "-rw-r--r--"


def test_data_that_deflate_cannot_shrink_is_stored(layer):
    with zipfile.ZipFile(layer) as opened:
        methods = {info.filename: info.compress_type for info in opened.infolist()}
    assert methods["lib/random.so"] == zipfile.ZIP_STORED
    assert methods["nodejs/bin/node"] == zipfile.ZIP_DEFLATED


def test_python_reads_the_zip_without_errors(layer):
    with zipfile.ZipFile(layer) as opened:
        assert opened.testzip() is None


@pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip: apt-get install unzip")
def test_info_zip_extracts_the_zip_and_restores_modes(layer, tmp_path):
    subprocess.run(["unzip", "-tqq", layer], check=True)
    subprocess.run(["unzip", "-qq", layer, "-d", tmp_path], check=True)
    assert os.access(tmp_path / "bootstrap", os.X_OK)
    assert not os.access(tmp_path / "nodejs/LICENSE", os.X_OK)
    assert (tmp_path / "nodejs/bin/node").read_bytes() == ENTRIES[2].data


@pytest.mark.skipif(shutil.which("jar") is None, reason="no jar: apt-get install openjdk-17-jdk-headless")
def test_java_extracts_the_zip_without_errors(layer, tmp_path):
    subprocess.run(["jar", "xf", layer], cwd=tmp_path, check=True)
    assert (tmp_path / "lib/random.so").read_bytes() == ENTRIES[4].data


def test_unpacking_sets_files_and_modes_with_any_umask(layer, tmp_path):
    before = os.umask(0o077)
    try:
        archive.unpack(archive.read(layer), tmp_path)
    finally:
        os.umask(before)
    assert stat.filemode((tmp_path / "bootstrap").stat().st_mode) == "-rwxr-xr-x"
    assert (tmp_path / "aws/index.js").read_bytes() == ENTRIES[1].data


@pytest.mark.parametrize("path", ["/etc/passwd", "../out", "a/../../out", "a//b", "./a", "ä"])
def test_path_outside_the_layer_or_not_normalized_is_refused(path):
    with pytest.raises(InvalidInputError, match="is not a relative path"):
        Entry(path, b"")


def test_duplicate_path_is_refused():
    with pytest.raises(InvalidInputError, match="two files of the layer have the path a"):
        packed([Entry("a", b"1"), Entry("a", b"2")])


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"PK" + data[3:]])
def test_a_damaged_zip_is_one_line(tmp_path, layer, damage):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(damage(layer.read_bytes()))
    with pytest.raises(NotVerifiedError, match="build it again") as caught:
        list(archive.read(broken))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data, ""),
        (lambda data: data.replace(b"PK\x01\x02", b"hidden" + b"PK\x01\x02", 1), "bytes that belong to no"),
        (lambda data: b"hidden" + data, "in another way"),
        (
            lambda data: data.replace(struct.pack("<I", 0o100755 << 16), struct.pack("<I", 0o120755 << 16)),
            "way",
        ),
    ],
    ids=["as-written", "before-the-directory", "before-the-files", "link"],
)
def test_layout_of_a_zip_has_regular_files_and_no_other_bytes(tmp_path, change, reason):
    path = tmp_path / "layer.zip"
    data = bytearray(change(packed(ENTRIES, "fast")))
    start = data.index(b"PK\x01\x02")
    data[-6:-2] = struct.pack("<I", start - (6 if data.startswith(b"hidden") else 0))
    path.write_bytes(data)
    if not reason:
        archive.check_layout(path)
        return
    assert list(archive.read(path))  # other programs read it too
    with pytest.raises(NotVerifiedError, match=reason):
        archive.check_layout(path)
