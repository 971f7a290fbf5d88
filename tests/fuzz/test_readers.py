"""Mutants of valid files: each reader of foreign bytes accepts them or ends in one line, quickly.

The corpus has a small valid file of each format. hypothesis chooses the mutations, and simplifies one that
fails.
"""

import lzma
import resource
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nodelayer.architecture import X86_64
from nodelayer.errors import NodelayerError
from nodelayer.layer import abi, archive, elf, record
from nodelayer.manifest import schema
from nodelayer.node import openpgp, tarball
from nodelayer.node.sources import nodejs_org, npm
from nodelayer.node.sources.base import SourceContext
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

CORPUS = Path(__file__).with_name("corpus")
DATA = Path(__file__).resolve().parents[1] / "data"
RELEASER = "8FCCA13FEF1D0C2E91008E09770F7A9A5AE15600"
KEY = (DATA / f"{RELEASER}.asc").read_bytes()
SIGNED = (DATA / "node-v14.2.0-SHASUMS256.txt.asc").read_bytes()
INTERESTING = [
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
    b"9" * 20,
    b"\n",
    b"../",
]

mutation = st.tuples(
    st.sampled_from(["replace", "insert", "delete", "repeat", "cut"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 64),
    st.one_of(st.sampled_from(INTERESTING), st.binary(min_size=1, max_size=8)),
)


def mutant(data, mutations):
    """Return the data with each mutation applied: what to do, where (0 to 1), a length, and bytes."""
    for what, share, length, new in mutations:
        at = int(share * len(data))
        if what == "replace":
            data = data[:at] + new + data[at + len(new) :]
        elif what == "insert":
            data = data[:at] + new + data[at:]
        elif what == "delete":
            data = data[:at] + data[at + length :]
        elif what == "repeat":
            data = data[:at] + data[at : at + length] * 3 + data[at + length :]
        else:
            data = data[:at]
    return data


def read_elf(data, _folder):
    found = elf.read(data, name="it")
    elf.strip(data, name="it")
    abi.check({"nodejs/bin/node": found}, X86_64, policies=abi.load_policies())


def read_tar_in(pack):
    return lambda data, _folder: tarball.members(pack(data), tarball.WANTED, where="it")


def gz(data):
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def read_tar(data, _folder):
    tarball.members(data, tarball.WANTED, where="it")


def read_zip(data, folder):
    path = folder / "layer.zip"
    path.write_bytes(data)
    unpacked = folder / "unpacked"
    entries = list(archive.read(path))
    assert sum(len(entry.data) for entry in entries) < 1_000_000
    assert all(unpacked in (unpacked / entry.path).resolve().parents for entry in entries)


def read_key(data, _folder):
    openpgp.verify_cleartext(SIGNED, [openpgp.load_key(data, RELEASER)], where="it")


def read_signed(data, _folder):
    text, _ = openpgp.verify_cleartext(data, [openpgp.load_key(KEY, RELEASER)], where="it")
    signed = openpgp._lines(openpgp._SIGNED_TEXT.fullmatch(SIGNED)[1])
    assert text.rstrip() == b"\n".join(signed).rstrip()  # nothing else is accepted
    nodejs_org._sums(text, "it")


def read_signature(data, _folder):
    openpgp.signer_among(data, [RELEASER])
    openpgp.is_of(data, [openpgp.load_key(KEY, RELEASER)])


def read_sums(data, _folder):
    nodejs_org._choose(nodejs_org._sums(data, "it"), "14.2.0", X86_64)


def read_index(data, folder):
    source = nodejs_org.NodejsOrg(SourceContext(DownloadCache(folder), Reporter(quiet=True), {}))
    source._listed(data, X86_64)


def read_manifest(data, _folder):
    known = schema.parse(data, "it")
    known.json_text().encode()
    known.text().encode()


def read_record(data, folder):
    path = folder / "nodejs-x.json"
    path.write_bytes(data)
    record.matches(record.load(path), folder)


def refusal(reader, data, folder):
    """Return the line of the error; empty if the reader accepts the data."""
    try:
        reader(data, folder)
    except NodelayerError as error:
        return str(error)
    return ""


READERS = {
    "pax": (read_tar_in(gz), (CORPUS / "pax.tar").read_bytes()),
    "gnu": (read_tar_in(lambda data: lzma.compress(data, preset=0)), (CORPUS / "gnu.tar").read_bytes()),
    "gzip": (read_tar, (CORPUS / "pax.tar.gz").read_bytes()),
    "xz": (read_tar, (CORPUS / "gnu.tar.xz").read_bytes()),
    "zip": (read_zip, (CORPUS / "layer.zip").read_bytes()),
    "program": (read_elf, (CORPUS / "program.elf").read_bytes()),
    "library": (read_elf, (CORPUS / "library.elf").read_bytes()),
    "key": (read_key, KEY),
    "signed": (read_signed, SIGNED),
    "signature": (read_signature, SIGNED[SIGNED.index(b"-----BEGIN PGP SIGNATURE") :]),
    "sums": (read_sums, openpgp._SIGNED_TEXT.fullmatch(SIGNED)[1]),
    "index": (read_index, (CORPUS / "index.json").read_bytes()),
    "npm": (
        lambda data, _folder: npm._releases(data, "it"),
        b'{"versions": ["24.1.0", "12.16.1"], "time": {"24.1.0": "2025-05-21T00:00:00Z"}}',
    ),
    "manifest": (read_manifest, (CORPUS / "layers.json").read_bytes()),
    "manifest 1": (read_manifest, (CORPUS / "layers-1.json").read_bytes()),
    "record": (read_record, (CORPUS / "record.json").read_bytes()),
}


@pytest.mark.parametrize(
    "count", [pytest.param(100, marks=pytest.mark.full), pytest.param(10_000, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("name", READERS)
def test_a_mutant_is_read_or_refused_in_one_line(name, count, tmp_path):
    reader, seed = READERS[name]
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count < 1_000,  # the short run is the same each time
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(mutation, min_size=1, max_size=6))
    def check(mutations):
        nonlocal slowest
        data = mutant(seed, mutations)
        started = time.process_time()
        assert refusal(reader, data, tmp_path).isprintable()
        slowest = max(slowest, time.process_time() - started)

    check()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert slowest < 10
    assert grown < 500


def test_every_seed_is_valid(tmp_path):
    for name, (reader, seed) in READERS.items():
        assert (name, refusal(reader, seed, tmp_path)) == (name, "")
