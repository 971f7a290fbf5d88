"""The client of registries, against Debian's docker-registry, and a server that misbehaves."""

import base64
import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from container_images import docker_registry

from nodelayer.errors import (
    InvalidInputError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    UnreachableError,
)
from nodelayer.image import oci, registry
from nodelayer.image.oci import Blob, Descriptor, ImageManifest
from nodelayer.image.registry import ImageReference, Repository

HASHED = "$2b$04$XwMQljqHK3qB14b1CEAYyuQdJuo9hrmsg0Mjz.inwnevlo8FtMcUW"  # bcrypt of "secret"
LAYER = b"a layer"
CONFIG = b"{}"


@pytest.fixture(scope="module", autouse=True)
def _no_proxy():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setattr(registry, "_FIRST_WAIT_S", 0.001)
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def repository(server, tmp_path):
    with Repository(server.address, f"nodejs-{tmp_path.name}".lower()) as opened:
        yield opened


@pytest.fixture
def blob(tmp_path):
    def made(data):
        path = tmp_path / oci.digest(data).removeprefix("sha256:")
        path.write_bytes(data)
        return Blob(oci.digest(data), len(data), path)

    return made


def manifest_of(*blobs):
    described = [Descriptor(media_type=oci.LAYER, digest=each.digest, size=each.size) for each in blobs]
    document = oci.Manifest(
        schema_version=2, media_type=oci.MANIFEST, config=described[0], layers=described[1:]
    )
    data = oci.encode(document)
    return ImageManifest(oci.digest(data), oci.MANIFEST, data)


def test_blobs_and_manifests_are_pushed_once_and_read_back(repository, blob, tmp_path):
    layer, config = blob(LAYER), blob(CONFIG)
    manifest = manifest_of(config, layer)
    assert not repository.has_blob(layer.digest)
    assert [repository.push_blob(each) for each in (layer, config, layer)] == [True, True, False]
    assert repository.has_blob(layer.digest)
    assert repository.manifest_digest("1.0") is None
    repository.push_manifest("1.0", manifest)
    repository.push_manifest(manifest.digest, manifest)
    assert repository.manifest_digest("1.0") == manifest.digest == repository.manifest_digest(manifest.digest)
    assert repository.read_manifest("1.0") == manifest == repository.read_manifest(manifest.digest)
    descriptor = Descriptor(media_type=oci.LAYER, digest=layer.digest, size=layer.size)
    repository.read_blob(descriptor, tmp_path / "read")
    assert (tmp_path / "read").read_bytes() == LAYER


def test_an_index_needs_the_manifests_that_it_names(repository, blob):
    config = blob(CONFIG)
    repository.push_blob(config)
    manifest = manifest_of(config)
    entry = Descriptor(media_type=oci.MANIFEST, digest=manifest.digest, size=len(manifest.data))
    data = oci.encode(oci.Index(schema_version=2, media_type=oci.INDEX, manifests=[entry]))
    index = ImageManifest(oci.digest(data), oci.INDEX, data)
    with pytest.raises(RefusedError, match=r"status 400.*BLOB_UNKNOWN"):
        repository.push_manifest("2.0", index)
    repository.push_manifest(manifest.digest, manifest)
    repository.push_manifest("2.0", index)
    assert repository.read_manifest("2.0").media_type == oci.INDEX


def test_a_blob_of_another_repository_is_mounted_and_not_sent(server, repository, blob):
    layer = blob(LAYER)
    repository.push_blob(layer)
    layer.path.unlink()
    with Repository(server.address, "nodejs-other") as other:
        assert other.push_blob(layer, mount_from=repository.name) is False
        assert other.has_blob(layer.digest)
        missing = blob(b"nowhere else")
        assert other.push_blob(missing, mount_from=repository.name) is True


def test_a_missing_manifest_or_blob_is_not_found(repository, tmp_path):
    with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN"):
        repository.read_manifest("none")
    missing = Descriptor(media_type=oci.LAYER, digest=oci.digest(b"none"), size=4)
    with pytest.raises(NotFoundError):
        repository.read_blob(missing, tmp_path / "none")


def test_a_blob_with_another_content_is_refused(repository, blob):
    wrong = Blob(oci.digest(b"other"), 7, blob(LAYER).path)
    with pytest.raises(RefusedError, match="DIGEST_INVALID"):
        repository.push_blob(wrong)


@pytest.mark.parametrize("change", [{"size": 3}, {"size": 8}])
def test_a_blob_with_another_size_is_not_verified_and_leaves_no_file(repository, blob, tmp_path, change):
    layer = blob(LAYER)
    repository.push_blob(layer)
    descriptor = Descriptor(media_type=oci.LAYER, digest=layer.digest, **change)
    with pytest.raises(NotVerifiedError):
        repository.read_blob(descriptor, tmp_path / "read")
    assert not (tmp_path / "read").exists()


def test_a_stored_blob_or_manifest_that_was_changed_is_not_verified(server, repository, blob, tmp_path):
    layer, config = blob(LAYER), blob(CONFIG)
    for each in (layer, config):
        repository.push_blob(each)
    manifest = manifest_of(config, layer)
    repository.push_manifest("1.0", manifest)
    descriptor = Descriptor(media_type=oci.LAYER, digest=layer.digest, size=layer.size)
    reads = {
        layer.digest: lambda: repository.read_blob(descriptor, tmp_path / "read"),
        manifest.digest: lambda: repository.read_manifest(manifest.digest),
    }
    for digest, read in reads.items():
        (stored,) = server.folder.glob(f"docker/registry/v2/blobs/sha256/*/{digest[7:]}/data")
        before = stored.read_bytes()
        stored.write_bytes(before.swapcase())
        try:
            with pytest.raises((NotVerifiedError, UnreachableError, NotFoundError)):
                read()
        finally:
            stored.write_bytes(before)


def test_basic_credentials_are_sent_and_their_absence_is_refused(tmp_path, blob):
    users = tmp_path / "htpasswd"
    users.write_text(f"AWS:{HASHED}\n")
    auth = f"auth: {{htpasswd: {{realm: test, path: {users}}}}}\n"
    with docker_registry(tmp_path / "registry", auth) as server:
        with Repository(server.address, "nodejs-12", credentials=("AWS", "secret")) as repository:
            assert repository.push_blob(blob(LAYER)) is True
        for credentials in (None, ("AWS", "wrong")):
            with (
                Repository(server.address, "nodejs-12", credentials=credentials) as repository,
                pytest.raises(RefusedError, match="credentials"),
            ):
                repository.has_blob(oci.digest(LAYER))


class Handler(BaseHTTPRequestHandler):
    """Answers as `server.answer` says, and gives tokens at /token."""

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        if self.path.startswith("/token"):
            status, headers, data = 200, {}, json.dumps({"token": "t0k"}).encode()
        else:
            status, headers, data = self.server.answer(self)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):  # the client has read enough
                self.wfile.write(data)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_):
        pass


@pytest.fixture
def fake():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_token_is_asked_for_once_with_the_scope_of_the_challenge(fake):
    challenge = f'Bearer realm="http://{fake.address}/token",service="test",scope="repository:nodejs-12:pull"'

    def answer(request):
        if request.headers.get("Authorization") != "Bearer t0k":
            return 401, {"WWW-Authenticate": challenge}, b""
        return 200, {}, b""

    fake.answer = answer
    with Repository(fake.address, "nodejs-12", credentials=("user", "pass")) as repository:
        assert repository.has_blob(oci.digest(LAYER))
        assert repository.has_blob(oci.digest(CONFIG))
    (token,) = [each for each in fake.asked if each[1].startswith("/token")]
    assert parse_qs(urlsplit(token[1]).query) == {"service": ["test"], "scope": ["repository:nodejs-12:pull"]}
    assert token[2] == f"Basic {base64.b64encode(b'user:pass').decode()}"
    assert len(fake.asked) == 4


def test_a_busy_registry_is_asked_again(fake):
    answers = [
        (429, {"Retry-After": "0"}, b""),
        (503, {}, b""),
        (503, {}, b""),
        (503, {}, b""),
        (200, {}, b""),
    ]
    fake.answer = lambda _: answers.pop(0)
    with Repository(fake.address, "nodejs-12") as repository:
        assert repository.has_blob(oci.digest(LAYER))
    assert not answers


def test_a_registry_that_stays_busy_is_unreachable(fake):
    fake.answer = lambda _: (429, {}, b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}')
    with (
        Repository(fake.address, "nodejs-12") as repository,
        pytest.raises(UnreachableError, match="answers 429 \\(TOOMANYREQUESTS: slow down\\)"),
    ):
        repository.read_manifest("1.0")


def test_credentials_are_not_sent_to_another_host(fake, blob):
    other = f"localhost:{fake.server_port}"

    def answer(request):
        if request.command == "HEAD":
            return 404, {}, b""
        return 202, {"Location": f"http://{other}/upload?state=1"}, b""

    fake.answer = answer
    with (
        Repository(fake.address, "nodejs-12", credentials=("user", "pass")) as repository,
        pytest.raises(UnreachableError, match="an address without https"),
    ):
        repository.push_blob(blob(LAYER))


def test_a_digest_that_the_registry_reports_is_compared(fake, blob):
    manifest = manifest_of(blob(CONFIG))
    wrong = oci.digest(b"other")
    fake.answer = lambda _: (
        201,
        {"Docker-Content-Digest": wrong, "Content-Type": oci.MANIFEST},
        manifest.data,
    )
    with Repository(fake.address, "nodejs-12") as repository:
        with pytest.raises(NotVerifiedError, match="another digest"):
            repository.push_manifest("1.0", manifest)
        with pytest.raises(NotVerifiedError, match="digest"):
            repository.read_manifest("1.0")
        fake.answer = lambda _: (200, {}, b"")
        with pytest.raises(NotVerifiedError, match="reports no digest"):
            repository.manifest_digest("1.0")


def test_an_endless_answer_is_cut(fake):
    fake.answer = lambda _: (200, {"Content-Length": "9000000"}, b"x" * 9_000_000)
    with (
        Repository(fake.address, "nodejs-12") as repository,
        pytest.raises(NotVerifiedError, match="more than 4000000 bytes"),
    ):
        repository.read_manifest("1.0")


def test_a_registry_of_another_machine_needs_https():
    with pytest.raises(InvalidInputError, match="https"):
        Repository("http://registry.example.org", "nodejs-12")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("public.ecr.aws/lambda/provided:al2023", ("public.ecr.aws", "lambda/provided", "al2023", None)),
        (f"localhost:5000/a/b@sha256:{'0' * 64}", ("localhost:5000", "a/b", None, f"sha256:{'0' * 64}")),
    ],
)
def test_references_are_parsed(text, parts):
    assert ImageReference.parse(text) == ImageReference(*parts)


@pytest.mark.parametrize(
    "text", ["", "debian", "host/name", "host/name:", "host/name@sha256:0", "host/Name:1"]
)
def test_other_references_are_invalid(text):
    with pytest.raises(InvalidInputError):
        ImageReference.parse(text)
