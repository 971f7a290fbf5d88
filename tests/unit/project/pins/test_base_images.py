"""The script that pins base images: against a registry that wants a token, as Amazon's public one does."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from support import ROOT

from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError, UnreachableError

SCRIPT = ROOT / "nodelayer" / "project" / "pins" / "base_images.py"
NAME = "amazonlinux/amazonlinux"
IMAGE = f"public.ecr.aws/{NAME}"
OCI = "application/vnd.oci.image.index.v1+json"
OLD = f"sha256:{'a' * 64}"


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh_base_images", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def index(*platforms, kind=OCI, **more):
    manifests = [
        {"platform": dict(zip(("os", "architecture"), each.split("/"), strict=True))} for each in platforms
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests, **more}).encode()


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Gives a token to everybody who asks for the right one, and manifests to who has it."""

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
        data = here.tags.get(parts.path.removeprefix(f"/v2/{NAME}/manifests/"))
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
        server.flag = f"--registry=http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def root(tmp_path):
    """A repository of the two files, with 2023 pinned to an old digest and 2 to none."""
    for folder in ("nodelayer/resources", "docker"):
        (tmp_path / folder).mkdir(parents=True)
    images = {
        "provided.al2023": f"{IMAGE}:2023@{OLD}",
        "provided.al2": f"{IMAGE}:2",
        "provided": f"{IMAGE}:2",
    }
    (tmp_path / "nodelayer/layer/base_images.json").write_text(
        json.dumps({"provenance": "p", "images": images})
    )
    (tmp_path / "docker/Dockerfile").write_text(
        f"# why\nARG BASE_IMAGE={IMAGE}:2023@{OLD}\n\nFROM ${{BASE_IMAGE}} AS fetch\n"
    )
    return tmp_path


def images_of(root):
    return json.loads((root / "nodelayer/layer/base_images.json").read_bytes())["images"]


def content(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_image_is_pinned_to_the_index_that_its_tag_names(refresh, registry, root, capsys):
    assert refresh.run(["--write", registry.flag], root=root) == 0
    two, newest = digest(registry.tags["2"]), digest(registry.tags["2023"])
    assert images_of(root) == {
        "provided.al2023": f"{IMAGE}:2023@{newest}",
        "provided.al2": f"{IMAGE}:2@{two}",
        "provided": f"{IMAGE}:2@{two}",
    }
    dockerfile = (root / "docker/Dockerfile").read_text()
    assert dockerfile == f"# why\nARG BASE_IMAGE={IMAGE}:2023@{newest}\n\nFROM ${{BASE_IMAGE}} AS fetch\n"
    assert capsys.readouterr().out.splitlines() == [
        f"~ {IMAGE}:2 without a digest -> {two}",
        f"~ {IMAGE}:2023 {OLD} -> {newest}",
    ]


def test_comparing_writes_nothing_and_ends_with_one_until_it_was_written(refresh, registry, root, capsys):
    before = content(root)
    assert refresh.run(["--compare", registry.flag], root=root) == 1
    assert content(root) == before
    refresh.run(["--write", registry.flag], root=root)
    written = content(root)
    capsys.readouterr()
    assert refresh.run(["--compare", registry.flag], root=root) == 0
    assert refresh.run(["--write", registry.flag], root=root) == 0
    assert content(root) == written
    assert set(capsys.readouterr().out.splitlines()) == {"the base images are what their tags name"}


def test_a_tag_is_asked_once_however_many_runtimes_share_it(refresh, registry, root):
    refresh.run(["--compare", registry.flag], root=root)
    assert [path for path in registry.asked if path.endswith("/2")] == [f"/v2/{NAME}/manifests/2"] * 2
    assert len(registry.asked) == 6  # refused, token, given: of either tag


def test_a_token_may_be_called_what_oauth_calls_it(refresh, registry, root):
    registry.token_key = "access_token"  # noqa: S105 - the name of it
    assert refresh.run(["--compare", registry.flag], root=root) == 1


def test_a_dockerfile_that_was_left_behind_is_brought_along(refresh, registry, root, capsys):
    refresh.run(["--write", registry.flag], root=root)
    written = content(root)
    (root / "docker/Dockerfile").write_text(
        f"# why\nARG BASE_IMAGE={IMAGE}:2023@{OLD}\n\nFROM ${{BASE_IMAGE}} AS fetch\n"
    )
    capsys.readouterr()
    assert refresh.run(["--compare", registry.flag], root=root) == 1
    assert "docker/Dockerfile pins another digest" in capsys.readouterr().out
    refresh.run(["--write", registry.flag], root=root)
    without_day = [
        {**json.loads(each[root / "nodelayer/layer/base_images.json"]), "as_of": ""}
        for each in (written, content(root))
    ]
    assert without_day[0] == without_day[1]
    assert content(root)[root / "docker/Dockerfile"] == written[root / "docker/Dockerfile"]


def test_an_index_that_is_not_what_the_registry_says_is_refused_and_nothing_is_written(
    refresh, registry, root
):
    registry.digest = OLD
    before = content(root)
    with pytest.raises(NotVerifiedError, match="does not have the digest"):
        refresh.run(["--write", registry.flag], root=root)
    assert content(root) == before


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (index("linux/amd64"), "an index without linux/arm64"),
        (
            index("linux/amd64", "linux/arm64", kind="application/vnd.oci.image.manifest.v1+json"),
            "no index but",
        ),
        (b'{"mediaType": "application/vnd.oci.image.index.v1+json"}', "no index of images"),
        (b"[]", "no index of images"),
        (b"<html>", "no index of images"),
        (index("linux/amd64", "linux/arm64", padding="x" * 4_000_000), "far too long"),
    ],
)
def test_what_is_no_index_of_both_architectures_is_refused(refresh, registry, root, data, why):
    registry.tags["2023"] = data
    with pytest.raises(NotVerifiedError, match=why) as caught:
        refresh.run(["--write", registry.flag], root=root)
    assert "\n" not in str(caught.value)


def test_an_index_that_leaves_its_kind_to_the_header_is_one(refresh, registry, root):
    data = json.loads(registry.tags["2"])
    del data["mediaType"]
    registry.tags["2"] = json.dumps(data).encode()
    assert refresh.run(["--write", registry.flag], root=root) == 0
    assert images_of(root)["provided"].endswith(digest(registry.tags["2"]))


def test_a_tag_that_is_gone_is_named(refresh, registry, root):
    del registry.tags["2"]
    with pytest.raises(NotFoundError, match=f"no such tag.*{IMAGE}:2"):
        refresh.run(["--write", registry.flag], root=root)


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/token", "/token/"])
def test_a_token_is_fetched_from_an_address_only(refresh, registry, root, realm):
    registry.realm = realm
    with pytest.raises(UnreachableError, match="does not say where a token is had"):
        refresh.run(["--write", registry.flag], root=root)


def test_the_registry_of_an_image_is_spoken_to_by_https_and_so_is_its_token_service(refresh):
    asked = []

    class ReleaseNotes:
        def stream(self, url, headers, *, also):  # noqa: ARG002 - as Web has it
            asked.append(url)
            raise UnreachableError("no network")

    with pytest.raises(UnreachableError):
        refresh.Registry(ReleaseNotes()).digest(refresh.Image.parse(f"{IMAGE}:2"))
    assert asked == [f"https://{IMAGE.replace(NAME, '')}v2/{NAME}/manifests/2"]
    with pytest.raises(UnreachableError, match="does not say where"):
        refresh.Registry(ReleaseNotes())._token('Bearer realm="http://x/",service="y"', "https://z/")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"images": {"provided": 1}}', '{"images": {"provided": "x"}}']
)
def test_a_damaged_resource_is_one_line(refresh, root, text):
    (root / "nodelayer/layer/base_images.json").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        refresh.run(["--compare"], root=root)
    assert "\n" not in str(caught.value)


def test_an_image_that_only_the_dockerfile_has_is_told(refresh, registry, root):
    (root / "docker/Dockerfile").write_text("ARG BASE_IMAGE=example.org/other:1\n")
    with pytest.raises(InvalidInputError, match="in docker/Dockerfile alone"):
        refresh.run(["--compare", registry.flag], root=root)


def test_the_projects_own_files_are_what_the_script_reads(refresh, registry, tmp_path):
    for path in ("nodelayer/layer/base_images.json", "docker/Dockerfile"):
        (tmp_path / path).parent.mkdir(parents=True)
        shutil.copy(ROOT / path, tmp_path / path)
    assert refresh.run(["--write", registry.flag], root=tmp_path) == 0
    newest = images_of(tmp_path)["provided.al2023"]
    assert newest.endswith(digest(registry.tags["2023"]))
    assert f"\nARG BASE_IMAGE={newest}\n" in (tmp_path / "docker/Dockerfile").read_text()


def test_run_as_a_command_a_failure_is_one_line_and_its_code(registry):
    registry.tags.clear()
    done = subprocess.run(
        [sys.executable, SCRIPT, "--compare", registry.flag],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"no such tag, or no index of it [{IMAGE}:2]: look what there is\n"
