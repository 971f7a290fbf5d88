"""The formats that nodelayer reads and others write: a valid file of each, its reader, and its mutants.

`python -m fuzz.readers COUNT FOLDER [FORMAT...]`, with PYTHONPATH=.:tests, reads COUNT mutants of each format
in a process of its own, and prints a JSON object for each. FOLDER gets each mutant that makes a reader fail.
"""

import base64
import faulthandler
import json
import lzma
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fuzz import images, mutations
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from requests import RequestException

from nodelayer.architecture import X86_64
from nodelayer.aws import arn, layers
from nodelayer.emulation import code_cache, invoke, rie
from nodelayer.errors import FunctionError, NodelayerError, NotVerifiedError, UnreachableError, printable
from nodelayer.github import builds
from nodelayer.layer import abi, archive, elf, inspection, record
from nodelayer.manifest import schema
from nodelayer.node import openpgp, tarball, versions
from nodelayer.node.sources import nodejs_org, npm
from nodelayer.node.sources.base import SourceContext
from nodelayer.publish import canary
from nodelayer.util import http
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

MOST_S = 10
MOST_MB = 500
MOST_LINE = 3_100  # characters
CORPUS = Path(__file__).with_name("corpus")
DATA = Path(__file__).resolve().parents[1] / "data"
RELEASER = "8FCCA13FEF1D0C2E91008E09770F7A9A5AE15600"
KEY = (DATA / f"{RELEASER}.asc").read_bytes()
SIGNED = (DATA / "node-v14.2.0-SHASUMS256.txt.asc").read_bytes()
SIGNATURE = SIGNED[SIGNED.index(b"-----BEGIN PGP SIGNATURE") :]
SUMS = openpgp._SIGNED_TEXT.fullmatch(SIGNED)[1]
_BLOCK = 512
_PART = 250  # hypothesis remembers all of a run, and becomes slow
_MOST_WAIT_S = 300  # if a reader waits for something
_DONE = 42  # no reader ends its process with this exit code


@dataclass(frozen=True)
class Format:
    """Valid files, the function that reads one, and what makes a file of the mutated bytes."""

    read: Callable[[bytes, Path], object]
    seeds: Sequence[bytes]
    pack: Callable[[bytes], bytes] = bytes
    json: bool = False


def in_corpus(*names):
    return [(CORPUS / name).read_bytes() for name in names]


def unarmored(text):
    """Return the packets of an armored OpenPGP message."""
    lines = text.replace(b"\r", b"").partition(b"\n\n")[2].splitlines()
    return base64.b64decode(b"".join(line for line in lines if line[:1] not in {b"=", b"-"}))


def gz(data):
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def with_checksums(data):
    """Correct the checksum of each tar header, without which its reader sees nothing of it."""
    data = bytearray(data)
    for at in range(0, len(data) - _BLOCK + 1, _BLOCK):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + _BLOCK])
    return bytes(data)


def read_tar(data, _folder):
    tarball.members(data, tarball.WANTED, where="it")


def read_zip(data, folder):
    path = folder / "layer.zip"
    path.write_bytes(data)
    unpacked = folder / "unpacked"
    entries = list(archive.read(path))
    assert sum(len(entry.data) for entry in entries) < 1_000_000
    assert all(unpacked in (unpacked / entry.path).resolve().parents for entry in entries)
    archive.names(path)
    inspection.read(path, "it")


def read_elf(data, _folder):
    found = elf.read(data, name="it")
    elf.strip(data, name="it")
    abi.check({"nodejs/bin/node": found}, X86_64, policies=abi.load_policies())


def read_key(data, _folder):
    openpgp.verify_cleartext(SIGNED, [openpgp.load_key(data, RELEASER)], where="it")


def read_signed(data, _folder):
    text, _ = openpgp.verify_cleartext(data, [openpgp.load_key(KEY, RELEASER)], where="it")
    assert text.rstrip() == b"\n".join(openpgp._lines(SUMS)).rstrip()  # nothing else is accepted
    nodejs_org._sums(text, "it")


def read_signature(data, _folder):
    openpgp.signer_among(data, [RELEASER])
    openpgp.is_of(data, [openpgp.load_key(KEY, RELEASER)])
    with suppress(NotVerifiedError):
        openpgp.verify_detached(SUMS, data, [openpgp.load_key(KEY, RELEASER)], where="it")
        raise AssertionError("it is a signature of a text, not of a file")


def read_sums(data, _folder):
    nodejs_org._choose(nodejs_org._sums(data, "it"), "14.2.0", X86_64)


def read_index(data, folder):
    source = nodejs_org.NodejsOrg(SourceContext(DownloadCache(folder), Reporter(quiet=True), {}))
    source._listed(data, X86_64)


def read_npm(data, folder):
    """Answer each request to the registry with this document."""
    source = npm.Npm(SourceContext(DownloadCache(folder), Reporter(quiet=True), {}))
    source._npm = lambda *_: data.decode("utf-8", "replace")
    npm._releases(data, "it")
    source._integrity("it")


def read_npm_failure(data, _folder):
    assert str(npm._failure(data.decode("utf-8", "replace"), "", "it")).isprintable()


def read_npm_log(data, _folder):
    assert str(npm._failure("", data.decode("utf-8", "replace"), "it")).isprintable()


def read_manifest(data, _folder):
    known = schema.parse(data, "it")
    known.json_text().encode()
    known.text().encode()


def read_record(data, folder):
    path = folder / "nodejs-x.json"
    path.write_bytes(data)
    record.matches(record.load(path), folder)


def read_spec_with(read):
    """Return a reader of one of the files that name a version of Node.js."""

    def reader(data, folder):
        path = folder / "file"
        path.write_bytes(data)
        releases = [versions.Release("24.1.0", "Krypton"), versions.Release("12.16.1", "Erbium")]
        if (spec := read(path)) is not None:
            versions.resolve(spec, releases)

    return reader


def read_arn(data, _folder):
    arn.LayerVersionArn.parse(data.decode("utf-8", "replace"))


def read_answer(data, _folder):
    """Read the answer of a function on a layer of somebody else."""
    rie._error_type(data, 200)
    invoke._sample_answer(data.decode("utf-8", "replace"), over_http=True)
    invoke._sample_answer(data.decode("utf-8", "replace"), over_http=False)
    canary._json(data)


def read_log(data, _folder):
    """Read the log of a function on a layer of somebody else."""
    text = data.decode("utf-8", "replace")
    rie._milliseconds(rie._INIT, text)
    rie._milliseconds(rie._INVOKE, text)


def read_outcome(data, folder):
    request = code_cache.CodeCacheRequest(folder, "function.handler")
    line = ""
    try:
        code_cache._check_outcome(data.decode("utf-8", "replace"), request)
    except FunctionError as error:  # what a valid outcome may say
        line = str(error)
    assert line == printable(line)


def read_redirect(data, _folder):
    try:
        target = http._target("https://example.org/a", data.decode("latin-1"))
    except RequestException as error:
        raise UnreachableError(http._reason(error, "https://example.org/a")) from error
    assert target.startswith("https://")
    assert "@" not in urlsplit(target).netloc


ELVES = in_corpus("program.elf", "library.elf")
FORMATS = {
    "tar": Format(read_tar, in_corpus("pax.tar", "gnu.tar"), gz),
    "tar, valid checksums": Format(
        read_tar, in_corpus("pax.tar", "gnu.tar"), lambda data: lzma.compress(with_checksums(data), preset=0)
    ),
    "gzip": Format(read_tar, in_corpus("pax.tar.gz")),
    "xz": Format(read_tar, in_corpus("gnu.tar.xz")),
    "zip": Format(read_zip, in_corpus("layer.zip")),
    "ELF": Format(read_elf, ELVES),
    "OpenPGP key": Format(read_key, [KEY, unarmored(KEY)]),
    "OpenPGP signed text": Format(read_signed, [SIGNED]),
    "OpenPGP signature": Format(read_signature, [SIGNATURE, unarmored(SIGNATURE)]),
    "SHASUMS256.txt": Format(read_sums, [SUMS]),
    "index.json": Format(read_index, in_corpus("index.json"), json=True),
    "npm document": Format(read_npm, in_corpus("npm.json"), json=True),
    "npm failure": Format(read_npm_failure, in_corpus("npm-failure.json"), json=True),
    "npm log": Format(read_npm_log, in_corpus("npm.log")),
    "manifest": Format(read_manifest, in_corpus("layers.json", "layers-1.json"), json=True),
    "build record": Format(read_record, in_corpus("record.json"), json=True),
    "attestation": Format(
        lambda data, _folder: builds.subjects(data.decode("utf-8", "replace"), "it"),
        in_corpus("attestation.json"),
        json=True,
    ),
    "layer policy": Format(
        lambda data, _folder: layers._access(data.decode("utf-8", "replace")),
        in_corpus("policy.json"),
        json=True,
    ),
    "package.json": Format(read_spec_with(versions._engines), in_corpus("package.json"), json=True),
    ".tool-versions": Format(read_spec_with(versions._tool_version), [b"python 3.1\nnodejs 24.1.0\n"]),
    ".nvmrc": Format(read_spec_with(versions._first_line), [b"lts/erbium", b"# Node.js\n>=12 <25\n"]),
    "ARN": Format(read_arn, [b"arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:3"]),
    "answer": Format(read_answer, in_corpus("answer.json"), json=True),
    "log": Format(read_log, in_corpus("rie.log")),
    "code cache outcome": Format(read_outcome, in_corpus("outcome.json"), json=True),
    "redirect": Format(read_redirect, [b"https://user:pass@example.com/b?c#d", b"//b/c"]),
    "OCI index": Format(images.read_index, [images.INDEX], json=True),
    "OCI manifest": Format(images.read_manifest, [images.MANIFEST], json=True),
    "OCI config": Format(images.read_config, [images.CONFIG], json=True),
    "image archive": Format(images.read_archive, [images.SAVED, images.ARCHIVE]),
    "image archive, valid checksums": Format(
        images.read_archive, [images.SAVED, images.ARCHIVE], with_checksums
    ),
    "registry error": Format(
        images.read_error, [b'{"errors": [{"code": "DENIED", "message": "no"}]}'], json=True
    ),
    "image reference": Format(
        images.read_reference, [b"public.ecr.aws/lambda/provided:al2023@sha256:" + b"a" * 64]
    ),
}
"""By name."""


def refusal(form, data, folder):
    """Return the line of the error; empty if the reader accepts the data."""
    try:
        form.read(data, folder)
    except NodelayerError as error:
        return str(error)
    return ""


def mutants(form):
    """Return the strategy of a format's mutants."""
    seeds = st.sampled_from(range(len(form.seeds)))
    changed = st.builds(
        lambda seed, changes: mutations.change_bytes(form.seeds[seed], changes), seeds, mutations.of_bytes
    )
    if form.json:
        changed |= st.builds(
            lambda seed, changes: mutations.change_json(form.seeds[seed], changes), seeds, mutations.of_json
        )
    return changed.map(form.pack)


def memory(field):
    """Return a field of this process's memory in KB: VmHWM is the peak of what is resident."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1])


def run(name, count, folder):
    """Read `count` mutants of a format; return what was seen. A reader that hangs ends this process.

    `peak_mb` is the most memory that a mutant took in addition to what this process had before it.
    """
    form, saved = FORMATS[name], folder / name.replace("/", "-")
    tried = {"accepted": 0, "refused": 0}
    seen = {"format": name, "slowest_s": 0.0, "peak_mb": 0, "failure": ""}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)

        def read(data):
            saved.write_bytes(data)
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts here
            before = memory("VmHWM")
            signal.setitimer(signal.ITIMER_PROF, MOST_S)  # of processor time; it ends this process
            faulthandler.dump_traceback_later(_MOST_WAIT_S, exit=True)
            started = time.process_time()
            line = refusal(form, data, scratch)
            seen["slowest_s"] = max(seen["slowest_s"], round(time.process_time() - started, 3))
            signal.setitimer(signal.ITIMER_PROF, 0)
            seen["peak_mb"] = max(seen["peak_mb"], memory("VmHWM") - before >> 10)
            tried["refused" if line else "accepted"] += 1
            assert line == printable(line)
            assert len(line) < MOST_LINE

        try:
            for part in range(-(-count // _PART)):
                most = (memory("VmSize") << 10) + (MOST_MB << 20)
                resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
                checked = settings(
                    max_examples=min(count, _PART),
                    deadline=None,
                    database=None,
                    phases=[Phase.generate, Phase.shrink],
                    suppress_health_check=list(HealthCheck),
                    verbosity=Verbosity.quiet,
                )(given(mutants(form))(read))
                # The short run is the same each time.
                seed(part if count < _PART else random.randrange(1 << 32))(checked)()
            saved.unlink()
        except BaseException as error:  # noqa: BLE001 - everything but NodelayerError is a failure
            seen["failure"] = f"{type(error).__name__}: {str(error)[:200]} ({saved})"
        faulthandler.cancel_dump_traceback_later()
    return {**seen, **tried, "mutants": sum(tried.values())}


def main(count, folder, *names):
    """Print a JSON object for each format."""
    for name in names or FORMATS:
        if not (child := os.fork()):
            print(json.dumps(run(name, int(count), Path(folder))), flush=True)  # noqa: T201
            os._exit(_DONE)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != _DONE:
            saved = Path(folder, name.replace("/", "-"))
            failure = f"the reader takes more than {MOST_S} s, or ends its process ({saved})"
            print(json.dumps({"format": name, "failure": failure}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
