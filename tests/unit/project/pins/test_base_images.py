"""Base images, from a registry that requires a token like Amazon ECR Public."""

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from support import ROOT

from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.project.pins import base_images
from nodelayer.project.pins.base_images import DOCKERFILE, FILE

NAME = "amazonlinux/amazonlinux"
IMAGE = f"public.ecr.aws/{NAME}"
LAMBDA = "public.ecr.aws/lambda/provided:al2023"
OCI = "application/vnd.oci.image.index.v1+json"
OLD = f"sha256:{'a' * 64}"


def dockerfile(image):
    return f"# why\nARG BASE_IMAGE={image}\n\nFROM ${{BASE_IMAGE}} AS fetch\n"


def index(*platforms, kind=OCI, **more):
    manifests = [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": OLD,
            "size": 1,
            "platform": dict(zip(("os", "architecture"), each.split("/"), strict=True)),
        }
        for each in platforms
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests, **more}).encode()


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Issue tokens for the right scope, and serve manifests to requests with a token."""

    def do_GET(self):
        here = self.server
        here.asked.append(self.path)
        parts = urlsplit(self.path)
        if parts.path == "/token/":
            right = parse_qs(parts.query) == {"service": ["public.ecr.aws"], "scope": ["aws"]}
            return self._give(200 if right else 400, json.dumps({here.token_key: "t0k"}).encode())
        if self.headers.get("Authorization") != "Bearer t0k":
            realm = here.realm or f"http://127.0.0.1:{here.server_port}/token/"
            challenge = f'Bearer realm="{realm}",service="public.ecr.aws",scope="aws"'
            return self._give(401, b"{}", {"WWW-Authenticate": challenge})
        data = here.tags.get(parts.path.rpartition("/manifests/")[2])
        if data is None or OCI not in self.headers["Accept"]:
            return self._give(404, b"{}")
        headers = {"Content-Type": OCI, "Docker-Content-Digest": here.digest or digest(data)}
        return self._give(200, data, headers)

    def _give(self, status, data, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.realm, server.digest, server.token_key = [], "", "", "token"
        server.tags = {
            "2": index("linux/amd64", "linux/arm64"),
            "2023": index("linux/arm64", "linux/amd64", "unknown/unknown"),
        }
        server.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def root(tmp_path):
    """A repository with the two files: 2023 is pinned to an old digest, 2 is not pinned."""
    for folder in ("nodelayer/layer", "docker"):
        (tmp_path / folder).mkdir(parents=True)
    images = {
        "provided.al2023": f"{IMAGE}:2023@{OLD}",
        "provided.al2": f"{IMAGE}:2",
        "provided": f"{IMAGE}:2",
    }
    (tmp_path / FILE).write_text(json.dumps({"provenance": "p", "images": images}))
    (tmp_path / DOCKERFILE).write_text(dockerfile(f"{IMAGE}:2023@{OLD}"))
    return tmp_path


def refresh(root, registry):
    return base_images.refresh(root, registry=registry.address)


def write(root, changes):
    for path, text in changes.files.items():
        (root / path).write_text(text)


def images_of(changes):
    return json.loads(changes.files[FILE])["images"]


def test_every_image_is_pinned_to_the_index_that_its_tag_names(registry, root):
    changes = refresh(root, registry)
    two, newest = digest(registry.tags["2"]), digest(registry.tags["2023"])
    assert images_of(changes) == {
        "provided.al2023": f"{IMAGE}:2023@{newest}",
        "provided.al2": f"{IMAGE}:2@{two}",
        "provided": f"{IMAGE}:2@{two}",
    }
    assert changes.files[DOCKERFILE] == dockerfile(f"{IMAGE}:2023@{newest}")
    assert changes.lines == [f"~ {IMAGE}:2023 {OLD} -> {newest}", f"~ {IMAGE}:2 None -> {two}"]
    write(root, changes)
    assert refresh(root, registry).files == {}


def test_a_tag_is_requested_once_even_if_runtimes_share_it(registry, root):
    refresh(root, registry)
    assert [path for path in registry.asked if path.endswith("/2")] == [f"/v2/{NAME}/manifests/2"] * 2
    assert len(registry.asked) == 6  # for each tag: 401, token, manifest


def test_access_token_of_oauth_is_accepted(registry, root):
    registry.token_key = "access_token"  # noqa: S105 - a field name
    assert refresh(root, registry).files


def test_only_the_dockerfile_changes_if_only_it_is_outdated(registry, root):
    write(root, refresh(root, registry))
    (root / DOCKERFILE).write_text(dockerfile(f"{IMAGE}:2023@{OLD}"))
    changes = refresh(root, registry)
    assert changes.lines == [f"~ {DOCKERFILE} pins another digest than {FILE}"]
    assert list(changes.files) == [DOCKERFILE]


def test_an_index_with_another_digest_than_the_registry_names_is_refused(registry, root):
    registry.digest = OLD
    with pytest.raises(NotVerifiedError, match="does not have the digest"):
        refresh(root, registry)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (index("linux/amd64"), "the index lacks linux/arm64"),
        (
            index("linux/amd64", "linux/arm64", kind="application/vnd.oci.image.manifest.v1+json"),
            "expected an index",
        ),
        (b'{"mediaType": "application/vnd.oci.image.index.v1+json"}', "is not valid"),
        (b"<html>", "is not valid"),
        (index("linux/amd64", "linux/arm64", padding="x" * 4_000_000), "more than"),
    ],
)
def test_invalid_index_is_refused_in_one_line(registry, root, data, why):
    registry.tags["2023"] = data
    with pytest.raises(NotVerifiedError, match=why) as caught:
        refresh(root, registry)
    assert "\n" not in str(caught.value)


def test_index_without_a_media_type_uses_the_header(registry, root):
    data = json.loads(registry.tags["2"])
    del data["mediaType"]
    registry.tags["2"] = json.dumps(data).encode()
    assert images_of(refresh(root, registry))["provided"].endswith(digest(registry.tags["2"]))


def test_error_names_a_missing_tag(registry, root):
    del registry.tags["2"]
    with pytest.raises(NotFoundError, match=f"the registry has no such tag.*{IMAGE}:2"):
        refresh(root, registry)


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/token", "/token/"])
def test_token_service_without_a_web_address_is_refused(registry, root, realm):
    registry.realm = realm
    with pytest.raises(UnreachableError, match="names no token service"):
        refresh(root, registry)


def test_error_names_an_image_that_only_the_dockerfile_has(registry, root):
    (root / DOCKERFILE).write_text("ARG BASE_IMAGE=example.org/other:1\n")
    with pytest.raises(InvalidInputError, match=r"lacks example\.org/other:1 \[docker/Dockerfile\]"):
        refresh(root, registry)


def test_files_of_this_project_can_be_refreshed(registry, tmp_path):
    for path in (FILE, DOCKERFILE):
        (tmp_path / path).parent.mkdir(parents=True)
        shutil.copy(ROOT / path, tmp_path / path)
    registry.tags["al2023"] = registry.tags["2023"]
    changes = refresh(tmp_path, registry)
    newest = images_of(changes)["provided.al2023"]
    assert newest.endswith(digest(registry.tags["2023"]))
    assert images_of(changes)["build-image"] == f"{LAMBDA}@{digest(registry.tags['al2023'])}"
    assert f"\nARG BASE_IMAGE={newest}\n" in changes.files[DOCKERFILE]
