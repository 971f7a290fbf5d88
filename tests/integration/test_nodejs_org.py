"""The layout of nodejs.org, served by a local HTTP server, with a signing key for tests."""

import contextlib
import hashlib
import io
import json
import os
import re
import struct
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pysequoia
import pytest
from rich.console import Console

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.node.openpgp import ReleaseKey
from nodelayer.node.sources.base import NOT_CHECKED, SourceContext
from nodelayer.node.sources.nodejs_org import NodejsOrg
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

VERSION = "12.16.1"
XZ = f"/dist/v{VERSION}/node-v{VERSION}-linux-x64.tar.xz"
SUMS = f"/dist/v{VERSION}/SHASUMS256.txt"
MACHINES = {"x64": 62, "arm64": 183}
LICENSE = b"Node.js is licensed for use as follows: ...\n"


class Site:
    """The files of a server, its faults, and the requests it received."""

    def __init__(self):
        self.files = {}
        self.asked = []  # (path, status, headers of the request)
        self.etags = True
        self.ranges = True
        self.range_error = 0  # a range response starts this many bytes too late
        self.busy = 0  # this many requests get status 503
        self.cuts = {}  # by path: byte counts after which the connection closes, one for each response
        self.slow = 0.0
        self.zeros = 0  # before each Content-Length

    def asked_for(self, ending):
        return [(path, status, headers) for path, status, headers in self.asked if path.endswith(ending)]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        data = site.files.get(self.path)
        etag = f'"{hashlib.sha256(data or b"").hexdigest()[:16]}"'
        if site.busy:
            site.busy -= 1
            self.reply(503, b"busy")
        elif data is None:
            self.reply(404, b"not here")
        elif site.etags and self.headers.get("If-None-Match") == etag:
            self.reply(304, b"")
        else:
            time.sleep(site.slow)
            self.give(site, data, {"ETag": etag} if site.etags else {})

    def give(self, site, data, extra):
        status, start = 200, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, extra.get("ETag"))
        if site.ranges and asked and same:
            start, status = int(asked[1]) + site.range_error, 206
            if start >= len(data):
                self.reply(416, b"")
                return
            extra["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cuts = site.cuts.get(self.path)
        self.reply(status, data[start:], extra, cut=cuts.pop(0) if cuts else None)

    def reply(self, status, body, extra=None, cut=None):
        self.server.site.asked.append((self.path, status, dict(self.headers)))
        self.send_response(status)
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", "0" * self.server.site.zeros + str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(site):
    """Run a server and yield its base address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.site = site
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def program(node):
    """Return the first bytes of an ELF program for this architecture, and incompressible bytes."""
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, MACHINES[node])
    return head.ljust(64, b"\0") + os.urandom(600_000)


def archive(node, mode, binary):
    top = f"node-v{VERSION}-linux-{node}"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, data in (
            ("bin/node", binary),
            ("LICENSE", LICENSE),
            ("lib/node_modules/npm/bin/npm-cli.js", b""),
        ):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo(f"{top}/bin/npm")
        link.type, link.linkname = tarfile.SYMTYPE, "../lib/node_modules/npm/bin/npm-cli.js"
        tar.addfile(link)
    return stream.getvalue()


def sums_of(files):
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()


class Team:
    """A release team with one key, and its releases."""

    def __init__(self):
        self.secret = pysequoia.Tsk.generate("Releaser <releaser@example.invalid>")
        self.certificate = self.secret.extract_certificate()
        self.fingerprint = self.certificate.fingerprint.upper()

    def sign(self, data, mode=pysequoia.SignatureMode.DETACHED):
        return pysequoia.sign(self.secret.signer(), data, mode=mode)

    def publish(self, site, files):
        """Publish a release with these archives, the checksums and both kinds of signature."""
        sums = sums_of(files)
        for name, data in files.items():
            site.files[f"/dist/v{VERSION}/{name}"] = data
        site.files[SUMS] = sums
        site.files[f"{SUMS}.sig"] = self.sign(sums)
        site.files[f"{SUMS}.asc"] = self.sign(sums, pysequoia.SignatureMode.CLEAR)
        site.files[f"/keys/{self.fingerprint}.asc"] = str(self.certificate).encode()


@pytest.fixture(scope="module")
def team():
    return Team()


@pytest.fixture(scope="module")
def binaries():
    return {node: program(node) for node in MACHINES}


@pytest.fixture(scope="module")
def archives(binaries):
    return {
        f"node-v{VERSION}-linux-{node}.tar.xz": archive(node, "w:xz", binaries[node]) for node in MACHINES
    }


@pytest.fixture
def site(team, binaries, archives):
    """A server with one release and a list of three."""
    site = Site()
    site.binaries, site.archives = binaries, archives
    team.publish(site, archives)
    every = ["linux-x64", "linux-arm64", "headers"]
    site.files["/dist/index.json"] = json.dumps(
        [
            {"version": "v13.8.0", "date": "2020-02-06", "files": every, "lts": False},
            {"version": f"v{VERSION}", "date": "2020-02-18", "files": every, "lts": "Erbium"},
            {
                "version": "v0.12.18",
                "date": "2017-02-22",
                "files": ["linux-x64", "win-x86-msi"],
                "lts": False,
            },
        ]
    ).encode()
    return site


@pytest.fixture
def base(site):
    with serving(site) as address:
        yield address


@pytest.fixture
def output():
    return io.StringIO()


@pytest.fixture
def nodejs(tmp_path, team, output):
    """Return a function that opens a source on this test's cache."""

    def opened(base, *, pinned=None, verify_signature=True, active_keys_only=False, **environ):
        context = SourceContext(
            DownloadCache(tmp_path / "cache"),
            Reporter(Console(file=output, width=1000, highlight=False)),
            {"NODEJS_ORG_MIRROR": f"{base}/dist", "NODELAYER_RELEASE_KEYS_URL": base, **environ},
            verify_signature,
            active_keys_only,
        )
        return NodejsOrg(context, pinned=pinned or [ReleaseKey(team.fingerprint)])

    return opened


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,nodejs.invalid")


def kept(tmp_path, folder):
    return [path for path in (tmp_path / "cache" / folder).rglob("*") if path.is_file()]


def refusal(kind, call, *arguments):
    with pytest.raises(kind) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


def closed_port():
    """Return an address with a closed port."""
    with serving(Site()) as address:
        pass
    return address


# a release


@pytest.mark.parametrize("architecture", [X86_64, ARM64], ids=str)
def test_fetch_returns_a_release_and_records_the_checks(nodejs, base, team, architecture, site):
    files = nodejs(base).fetch(VERSION, architecture)
    name = f"node-v{VERSION}-linux-{architecture.node}.tar.xz"
    assert (files.version, files.architecture) == (VERSION, architecture)
    assert (files.node, files.license) == (site.binaries[architecture.node], LICENSE)
    assert files.record.name == "nodejs.org"
    assert files.record.url == f"{base}/dist/v{VERSION}/{name}"
    assert files.record.sha256 == hashlib.sha256(site.archives[name]).hexdigest()
    assert files.record.signature == f"verified by {team.fingerprint}"
    assert files.record.checks == f"checksum and OpenPGP signature verified by {team.fingerprint}"


def test_the_xz_archive_is_preferred_and_gz_is_the_fallback(nodejs, base, site, team):
    gz = {f"node-v{VERSION}-linux-x64.tar.gz": archive("x64", "w:gz", site.binaries["x64"])}
    team.publish(site, site.archives | gz)
    assert nodejs(base).fetch(VERSION, X86_64).record.url.endswith(".tar.xz")
    team.publish(site, gz)
    site.files.pop(XZ)
    again = nodejs(base, NODEJS_ORG_MIRROR=f"{base}//dist")
    site.files.update({path.replace("/dist", "//dist", 1): data for path, data in site.files.items()})
    files = again.fetch(VERSION, X86_64)
    assert files.record.url.endswith(".tar.gz")
    assert files.node == site.binaries["x64"]


def test_a_second_fetch_needs_no_network(nodejs, site):
    with serving(site) as base:
        nodejs(base).fetch(VERSION, X86_64)
    count = len(site.asked)
    files = nodejs(base).fetch(VERSION, X86_64)
    assert files.node == site.binaries["x64"]
    assert files.record.signature.startswith("verified by")
    assert len(site.asked) == count


def test_a_length_that_python_does_not_convert_is_ignored(nodejs, base, site):
    site.zeros = 5_000
    assert nodejs(base).fetch(VERSION, X86_64).node == site.binaries["x64"]


@pytest.mark.parametrize("name", ["SHASUMS256.txt", "SHASUMS256.txt.sig"])
def test_a_modified_cached_list_is_rejected(nodejs, base, site, tmp_path, name):
    nodejs(base).fetch(VERSION, X86_64)
    (path,) = [path for path in kept(tmp_path, "documents") if path.name == name]
    path.write_bytes(path.read_bytes().replace(b"a", b"b").replace(b"A", b"B"))
    assert nodejs(base).cached(VERSION, X86_64) is None
    assert nodejs(base).fetch(VERSION, X86_64).record.signature.startswith("verified by")
    assert len(site.asked_for(".tar.xz")) == 1


def test_a_replaced_cached_key_is_deleted_and_downloaded_again(nodejs, base, team, tmp_path):
    nodejs(base).fetch(VERSION, X86_64)
    (path,) = [path for path in kept(tmp_path, "documents") if path.name == f"{team.fingerprint}.asc"]
    path.write_bytes(bytes(Team().certificate))
    assert nodejs(base).cached(VERSION, X86_64) is None
    assert nodejs(base).fetch(VERSION, X86_64).record.signature.startswith("verified by")


# failed verification


def test_tampered_archive_is_refused_and_deleted(nodejs, base, site, tmp_path):
    site.files[XZ] = site.files[XZ][:-1] + bytes([site.files[XZ][-1] ^ 1])
    line = refusal(NotVerifiedError, nodejs(base).fetch, VERSION, X86_64)
    assert "SHASUMS256.txt" in line
    assert kept(tmp_path, "blobs") == []
    assert kept(tmp_path, "partial") == []
    assert len(site.asked_for(".tar.xz")) == 1


def test_tampered_checksums_are_refused_before_the_archive_is_downloaded(nodejs, base, site):
    site.files[XZ] = b"evil"
    site.files[SUMS] = sums_of({XZ.rpartition("/")[2]: b"evil"})
    refusal(NotVerifiedError, nodejs(base).fetch, VERSION, X86_64)
    assert site.asked_for(".tar.xz") == []


def test_a_signature_of_a_key_that_is_not_pinned_is_refused(nodejs, base, site):
    other = Team()
    other.publish(site, site.archives)
    line = refusal(NotVerifiedError, nodejs(base).fetch, VERSION, X86_64)
    assert "release team" in line
    assert site.asked_for(f"{other.fingerprint}.asc") == []
    assert site.asked_for(".tar.xz") == []


def test_a_key_with_another_fingerprint_is_rejected(nodejs, base, site, team):
    other = Team()
    other.publish(site, site.archives)
    site.files[f"/keys/{team.fingerprint}.asc"] = bytes(other.certificate)
    assert "another fingerprint" in refusal(NotVerifiedError, nodejs(base).fetch, VERSION, X86_64)


def test_a_release_without_a_signature_is_rejected_and_the_flag_is_named(nodejs, base, site):
    del site.files[f"{SUMS}.sig"], site.files[f"{SUMS}.asc"]
    assert "--no-signature" in refusal(NotVerifiedError, nodejs(base).fetch, VERSION, X86_64)


def test_cleartext_signed_checksums_are_used_without_a_detached_signature(nodejs, base, site, team):
    del site.files[f"{SUMS}.sig"]
    site.files[SUMS] = sums_of({XZ.rpartition("/")[2]: b"evil"})
    files = nodejs(base).fetch(VERSION, X86_64)
    assert files.record.signature == f"verified by {team.fingerprint}"
    site.files.clear()
    assert nodejs(base).fetch(VERSION, X86_64) == files


def test_an_invalid_list_of_checksums_is_rejected(nodejs, base, site, team):
    site.files[SUMS] = b"<html>Sign in to the network</html>"
    site.files[f"{SUMS}.sig"] = team.sign(site.files[SUMS])
    assert "not a list of checksums" in refusal(NotVerifiedError, nodejs(base).fetch, VERSION, X86_64)


def test_an_invalid_download_is_rejected_while_the_key_server_is_unreachable(nodejs, site):
    with serving(site) as base:
        nodejs(base).fetch(VERSION, X86_64)
        site.files[SUMS] = site.files[SUMS].replace(b"a", b"b")
        site.files = {path: data for path, data in site.files.items() if not path.startswith("/keys/")}
        line = refusal(NotVerifiedError, nodejs(base).fetch, VERSION, ARM64)
    assert "release team" in line


# retired keys


@pytest.mark.parametrize("mode", ["detached", "cleartext"])
def test_a_retired_key_counts_only_for_releases_that_were_out_when_it_was_retired(
    nodejs, base, site, team, mode
):
    if mode == "cleartext":
        del site.files[f"{SUMS}.sig"]
    later, earlier = (ReleaseKey(team.fingerprint, retired) for retired in ("2020-02-17", "2020-02-18"))
    line = refusal(NotVerifiedError, nodejs(base, pinned=[later]).fetch, VERSION, X86_64)
    assert f"signed by {team.fingerprint}, a key that the release team retired by 2020-02-17" in line
    assert "the release is of 2020-02-18" in line
    assert site.asked_for(".tar.xz") == []
    files = nodejs(base, pinned=[earlier]).fetch(VERSION, X86_64)
    assert files.record.signature == f"verified by {team.fingerprint}"


def test_a_new_release_signed_with_a_retired_key_is_refused_and_refresh_is_named(nodejs, base, site, team):
    new = {path.replace(VERSION, "12.99.0"): data for path, data in site.files.items()}
    site.files.update(new)
    retired = nodejs(base, pinned=[ReleaseKey(team.fingerprint, "2025-06-30")])
    line = refusal(NotVerifiedError, retired.fetch, "12.99.0", X86_64)
    assert "does not know that this release was out then" in line
    assert "project.refresh --only release-dates" in line
    assert site.asked_for(".tar.xz") == []


def test_an_unattended_build_accepts_active_keys_only(nodejs, base, team):
    pinned = [ReleaseKey(team.fingerprint, "2025-06-30")]
    nodejs(base, pinned=pinned).fetch(VERSION, X86_64)
    unattended = nodejs(base, pinned=pinned, active_keys_only=True)
    assert unattended.cached(VERSION, X86_64) is None
    assert "--active-keys accepts no retired key" in refusal(
        NotVerifiedError, unattended.fetch, VERSION, X86_64
    )
    assert nodejs(base, active_keys_only=True).fetch(VERSION, X86_64).version == VERSION


# --no-signature


def test_with_no_signature_nothing_is_fetched_or_recorded_about_a_signature(nodejs, base, site):
    site.files = {path: data for path, data in site.files.items() if not path.endswith((".sig", ".asc"))}
    files = nodejs(base, verify_signature=False).fetch(VERSION, X86_64)
    assert files.record.signature == NOT_CHECKED
    assert "not checked" in files.record.checks
    assert [path for path, _, _ in site.asked] == [SUMS, XZ]


def test_checksum_is_verified_without_the_signature(nodejs, base, site):
    site.files[XZ] += b"x"
    refusal(NotVerifiedError, nodejs(base, verify_signature=False).fetch, VERSION, X86_64)


def test_a_download_without_signature_is_verified_when_a_signature_is_required(nodejs, base, site):
    nodejs(base, verify_signature=False).fetch(VERSION, X86_64)
    assert nodejs(base).cached(VERSION, X86_64) is None
    assert nodejs(base).fetch(VERSION, X86_64).record.signature.startswith("verified by")
    assert len(site.asked_for(".tar.xz")) == 1


# interrupted downloads


def test_an_interrupted_download_resumes(nodejs, base, site):
    site.cuts[XZ] = [400_000]
    assert nodejs(base).fetch(VERSION, X86_64).node == site.binaries["x64"]
    first, second = site.asked_for(".tar.xz")
    assert first[1] == 200
    assert "Range" not in first[2]
    assert second[1] == 206
    assert 0 < int(second[2]["Range"].removeprefix("bytes=").removesuffix("-")) <= 400_000
    assert second[2]["If-Range"].startswith('"')


def test_download_restarts_if_the_server_ignores_the_range(nodejs, base, site):
    site.ranges = False
    site.cuts[XZ] = [400_000]
    assert nodejs(base).fetch(VERSION, X86_64).node == site.binaries["x64"]
    assert [status for _, status, _ in site.asked_for(".tar.xz")] == [200, 200]


def test_a_resumed_download_with_a_wrong_range_is_detected(nodejs, base, site):
    site.range_error = 1
    site.cuts[XZ] = [400_000]
    assert nodejs(base).fetch(VERSION, X86_64).node == site.binaries["x64"]
    assert [status for _, status, _ in site.asked_for(".tar.xz")] == [200, 206, 200]


def test_a_changed_file_is_downloaded_from_the_start(nodejs, base, site, tmp_path):
    site.cuts[XZ] = [400_000] * 5
    site.ranges = False
    refusal(UnreachableError, nodejs(base).fetch, VERSION, X86_64)
    (partial,) = kept(tmp_path, "partial")
    partial.write_bytes(b"\0" * len(partial.read_bytes()))
    site.cuts, site.ranges, site.asked = {}, True, []
    nodejs(base).fetch(VERSION, X86_64)
    assert [status for _, status, _ in site.asked_for(".tar.xz")] == [206, 200]
    assert kept(tmp_path, "partial") == []


def test_a_repeatedly_interrupted_download_fails_and_the_next_build_resumes_it(nodejs, base, site, tmp_path):
    site.cuts[XZ] = [70_000] * 5
    line = refusal(UnreachableError, nodejs(base).fetch, VERSION, X86_64)
    assert "run the same command again" in line
    (partial,) = kept(tmp_path, "partial")
    size = partial.stat().st_size
    assert size > 300_000
    site.asked.clear()
    assert nodejs(base).fetch(VERSION, X86_64).node == site.binaries["x64"]
    assert [headers["Range"] for _, _, headers in site.asked_for(".tar.xz")] == [f"bytes={size}-"]


# list of releases


def test_the_list_has_the_releases_of_the_architecture(nodejs, base):
    x86_64, arm64 = (nodejs(base).releases(architecture) for architecture in (X86_64, ARM64))
    assert [(each.version, each.lts, each.date) for each in x86_64] == [
        ("13.8.0", None, "2020-02-06"),
        (VERSION, "Erbium", "2020-02-18"),
        ("0.12.18", None, "2017-02-22"),
    ]
    assert [each.version for each in arm64] == ["13.8.0", VERSION]


def test_the_cached_list_of_releases_is_used_and_one_line_says_so(nodejs, site, output):
    with serving(site) as base:
        seen = nodejs(base).releases(X86_64)
    assert nodejs(base).releases(X86_64) == seen
    assert output.getvalue() == (
        "127.0.0.1 cannot be reached (connection refused); using the cached list of releases\n"
    )


@pytest.mark.parametrize("answer", [b"<html>Sign in</html>", b"{}", b'[{"version": 12}]', b""])
def test_an_unreadable_list_of_releases_is_one_line(nodejs, base, site, answer):
    site.files["/dist/index.json"] = answer
    assert "is not valid" in refusal(UnreachableError, nodejs(base).releases, X86_64)


# missing files


def test_error_for_a_missing_version_names_the_nearest(nodejs, base):
    line = refusal(NotFoundError, nodejs(base).fetch, "12.16.2", X86_64)
    assert "no Node.js 12.16.2 for x86_64" in line
    assert f"nearest: {VERSION}, 13.8.0" in line


def test_a_listed_file_that_does_not_exist_is_reported(nodejs, base, site):
    del site.files[XZ]
    assert "does not have it" in refusal(NotFoundError, nodejs(base).fetch, VERSION, X86_64)


# mirrors and hosts


@pytest.mark.parametrize(
    "names",
    [
        ("NODEJS_ORG_MIRROR", "NVM_NODEJS_ORG_MIRROR"),
        ("NVM_NODEJS_ORG_MIRROR", "npm_config_disturl"),
        ("npm_config_disturl", "NPM_CONFIG_DISTURL"),
        ("NPM_CONFIG_DISTURL", None),
    ],
)
def test_mirror_comes_from_the_first_variable_that_is_set(tmp_path, site, base, names):
    first, second = names
    environ = {first: f" {base}/dist/ ", **({second: "http://127.0.0.1:9/never"} if second else {})}
    source = NodejsOrg(SourceContext(DownloadCache(tmp_path), Reporter(quiet=True), environ))
    assert len(source.releases(X86_64)) == 3
    assert [path for path, _, _ in site.asked] == ["/dist/index.json"]


@pytest.mark.parametrize(
    "address", ["nodejs.org/dist", "ftp://nodejs.org/dist", "https://", "file:///dist", "http://[x"]
)
def test_an_invalid_mirror_url_is_reported_with_its_variable(nodejs, address):
    line = refusal(InvalidInputError, lambda: nodejs("http://x", NODEJS_ORG_MIRROR=address))
    assert "[NODEJS_ORG_MIRROR]" in line


def test_the_cached_list_of_one_mirror_is_not_used_for_another(nodejs, base):
    nodejs(base).fetch(VERSION, X86_64)
    assert nodejs(closed_port()).cached(VERSION, X86_64) is None


def test_password_of_a_mirror_is_neither_recorded_nor_printed(nodejs, base, output):
    secret = base.replace("http://", "http://user:secret@")
    assert "secret" not in nodejs(secret).fetch(VERSION, X86_64).record.__repr__()
    assert "secret" not in refusal(NotFoundError, nodejs(secret).fetch, "99.0.0", X86_64)
    assert "secret" not in output.getvalue()


def test_a_refused_connection_is_one_line(nodejs):
    source = nodejs(closed_port())
    for line in (
        refusal(UnreachableError, source.fetch, VERSION, X86_64),
        refusal(UnreachableError, source.releases, X86_64),
    ):
        assert "127.0.0.1 cannot be reached (connection refused)" in line
        assert "--source npm" in line


def test_an_unknown_host_name_fails_at_once(nodejs):
    start = time.monotonic()
    line = refusal(UnreachableError, nodejs("https://nodejs.invalid").fetch, VERSION, X86_64)
    assert "nodejs.invalid cannot be reached (its name cannot be resolved)" in line
    assert time.monotonic() - start < 5


def test_a_host_without_a_certificate_is_never_asked_over_http(nodejs, base, site):
    refusal(UnreachableError, nodejs(base.replace("http://", "https://")).fetch, VERSION, X86_64)
    assert site.asked == []


def test_a_temporarily_busy_host_is_asked_again(nodejs, base, site):
    site.busy = 2
    assert len(nodejs(base).releases(X86_64)) == 3


def test_an_endless_list_is_not_read_to_its_end(nodejs, base, site):
    site.files[SUMS] = b"x" * 1_000_001
    assert "more than 1000000 bytes" in refusal(UnreachableError, nodejs(base).fetch, VERSION, X86_64)


@pytest.mark.parametrize("unreachable", [True, False])
def test_a_failed_download_of_keys_says_what_to_do(nodejs, base, site, unreachable):
    other = closed_port() if unreachable else f"{base}/nothing-here"
    line = refusal(UnreachableError, nodejs(base, NODELAYER_RELEASE_KEYS_URL=other).fetch, VERSION, X86_64)
    assert "cannot download the release team's keys" in line
    assert "--no-signature" in line
    assert "--source npm" in line
    assert site.asked_for(".tar.xz") == []
