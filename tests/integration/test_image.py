"""build-image and run --image: images of built layers, on small bases, and in Docker on a Debian base."""

import functools
import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import docker
import pytest
from container_images import archived, base_layout, docker_registry
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from runtime.cases import CASES
from support import ROOT

from nodelayer.architecture import parse
from nodelayer.emulation import image as emulation
from nodelayer.emulation import rie as emulator
from nodelayer.emulation.invoke import InvokeRequest
from nodelayer.errors import NotVerifiedError
from nodelayer.image import artifact, oci
from nodelayer.image.registry import Repository
from nodelayer.layer import archive, docker_builder
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter
from runtime import clients, comparison

pytestmark = pytest.mark.network

OLD, NEW, NEWEST = "12.16.1", "24.21.0", "26.10.0"
FUNCTION = """
const { execSync } = require('child_process');
const attempt = (run) => {
  try { return String(run()).trim(); } catch (error) { return error.code || error.message; }
};
exports.handler = async (event) => ({
  event, node: process.version, arch: process.arch, program: process.execPath, folder: process.cwd(),
  package: attempt(() => require('greeting')), command: attempt(() => execSync('greet')),
  child: attempt(() => execSync('node --version')), wrapped: process.env.WRAPPED,
  extension: attempt(() => require('fs').readFileSync('/tmp/extension')),
  client: attempt(() => require('aws')),
});
"""
EXTENSION = """#!/usr/bin/env node
const http = require('http');
const call = (method, path, headers, then) => http.request(
  'http://' + process.env.AWS_LAMBDA_RUNTIME_API + '/2020-01-01/extension/' + path, { method, headers },
  (answer) => {
    answer.resume();
    answer.on('end', () => then(answer.headers['lambda-extension-identifier']));
  },
).end(method === 'POST' ? '{"events":["INVOKE"]}' : undefined);
require('fs').writeFileSync('/tmp/extension', process.version + ' at ' + process.execPath);
call('POST', 'register', { 'Lambda-Extension-Name': 'recorder' }, (id) => {
  const next = () => call('GET', 'event/next', { 'Lambda-Extension-Identifier': id }, next);
  next();
});
"""
LAYER = {
    "nodejs/node_modules/greeting/index.js": "module.exports = 'of a layer';",
    "bin/greet": "#!/bin/sh\necho of a layer\n",
    "wrapper": '#!/bin/sh\nexport WRAPPED="by $0"\nexec "$@"\n',
    "extensions/recorder": EXTENSION,
}


@pytest.fixture(scope="module")
def built(layer, tmp_path_factory):
    """Return a new folder with the layers of a version, for its image."""

    def folder(version, *architectures):
        out = tmp_path_factory.mktemp("dist")
        for each in architectures:
            for path in layer(version, each).zip.parent.glob(f"nodejs-{version}-{each}.*"):
                (out / path.name).symlink_to(path)
        return out

    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return base_layout(tmp_path_factory.mktemp("base") / "layout")


@pytest.fixture(scope="module")
def two(invoke, built, base, tmp_path_factory):
    """Build the same image in two environments; return both folders."""
    other = archived(base, tmp_path_factory.mktemp("base") / "archive")
    folders = []
    for path, zone, mask in ((base, "Asia/Tokyo", 0o077), (other, "America/Lima", 0o002)):
        out = built(OLD, "x86_64")
        before = os.umask(mask)
        try:
            flags = (f"--node={OLD}", "--arch=x86_64", f"--base={path}", f"--out={out}", "--docker-archive")
            outcome = invoke("build-image", *flags, TZ=zone)
        finally:
            os.umask(before)
        assert outcome.code == 0, outcome.err
        assert outcome.out == f"{out / f'nodejs-{OLD}.oci'}\n"
        folders.append(out)
    return folders


def files_of(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_two_builds_in_different_environments_give_the_same_bytes(two):
    found = [files_of(out) for out in two]
    for files in found:
        record = json.loads(files.pop(f"nodejs-{OLD}.image.json"))
        files["record"] = record | {"base": ""}
        files.pop(f"nodejs-{OLD}.image.cdx.json")  # it names the base by its file
    assert found[0] == found[1]
    assert len(found[0]) == 10  # index.json, oci-layout, index, manifest, config, 3 layers, archive, record


def test_built_makes_images_of_all_layers_and_builds_none(invoke, built, base):
    out = built(OLD, "x86_64")
    flags = ("build-image", "--built", f"--base={base}", f"--out={out}")
    done = invoke(*flags)
    assert (done.code, done.out) == (0, f"{out / f'nodejs-{OLD}.oci'}\n"), done.err
    (image,) = artifact.open_images(out)
    assert image.architectures == ("x86_64",)
    record = out / f"nodejs-{OLD}-x86_64.json"
    text = record.read_text()
    record.unlink()  # a link to the record that other tests use
    record.write_text(text.replace(json.loads(text)["nodelayer_version"], "0.0.1"))
    refused = invoke(*flags)
    assert refused.code == NotVerifiedError.code
    assert "has not built this layer" in refused.err
    assert invoke("build-image", "--built", f"--node={OLD}").code == 2


def test_an_image_has_the_files_of_the_layer_in_var_runtime(two, layer):
    out = two[0]
    (image,) = artifact.open_images(out)
    assert (image.node_version, image.architectures) == (OLD, ("x86_64",))
    config = json.loads(image.platforms[0].config.path.read_bytes())
    unpacked = [gzip.decompress(each.path.read_bytes()) for each in image.platforms[0].layers]
    assert config["rootfs"]["diff_ids"] == [oci.digest(each) for each in unpacked]
    assert len(config["history"]) == len(unpacked) == 3
    assert config["config"]["Entrypoint"] == ["/entry.sh"]
    assert config["config"]["WorkingDir"] == "/var/task"
    assert "docker_version" not in config
    version = image.nodelayer_version
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == f"{OLD}_{version}"
    assert (
        json.loads(image.index.data)["annotations"]["org.opencontainers.image.version"] == f"{OLD}_{version}"
    )
    with tarfile.open(fileobj=io.BytesIO(unpacked[-1])) as tar:
        members = tar.getmembers()
        files = {
            each.name.removeprefix("var/runtime/"): (each.mode, tar.extractfile(each).read())
            for each in members
            if each.isreg()
        }
    assert files == {each.path: (each.mode, each.data) for each in archive.read(layer(OLD).zip)}
    assert {(each.uid, each.gid, each.mtime) for each in members} == {(0, 0, 0)}
    text = (out / f"nodejs-{OLD}.image.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    names = {each["name"] for each in json.loads(text)["components"]}
    assert {"node", "nodelayer", "openssl", "layout"} <= names


def test_a_failed_build_keeps_the_old_image_and_a_damaged_one_is_not_opened(invoke, two, tmp_path):
    out = two[1]
    before = files_of(out)
    flags = (f"--node={OLD}", "--arch=x86_64", f"--out={out}")
    outcome = invoke("build-image", *flags, f"--base={tmp_path / 'none'}")
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "no such base image" in outcome.err
    (tmp_path / "empty").mkdir()
    outcome = invoke("build-image", *flags, f"--base={tmp_path / 'empty'}")
    assert (outcome.code, len(outcome.lines)) == (5, 1)
    assert files_of(out) == before
    blob = artifact.open_images(out)[0].blobs()[-1].path
    blob.write_bytes(blob.read_bytes()[:-1])
    with pytest.raises(NotVerifiedError, match=f"build-image --node {OLD}"):
        artifact.open_images(out)
    assert invoke("clean", f"--out={out}").code == 0
    assert not out.exists()


def test_an_image_is_pushed_to_a_registry_and_read_back(invoke, built, two, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    out = built(OLD, "x86_64")
    (image,) = artifact.open_images(two[0])
    with (
        docker_registry(tmp_path / "registry") as server,
        Repository(server.address, "nodejs-12") as repository,
    ):
        sent = [repository.push_blob(each) for each in (*image.blobs(), *image.blobs())]
        assert sent == [True] * len(image.blobs()) + [False] * len(image.blobs())
        for manifest in image.manifests():
            repository.push_manifest(manifest.digest, manifest)
        repository.push_manifest("12.16.1_1.0.0", image.manifests()[-1])
        assert repository.manifest_digest("12.16.1_1.0.0") == image.digest
        flags = (f"--base={server.address}/nodejs-12@{image.digest}", f"--out={out}")
        again = invoke(
            "build-image", f"--node={OLD}", "--arch=x86_64", *flags, NODELAYER_CACHE_DIR=tmp_path / "cache"
        )
        assert again.code == 0, again.err
    (rebuilt,) = artifact.open_images(out)
    layers = [[each.digest for each in opened.platforms[0].layers] for opened in (image, rebuilt)]
    assert layers[1] == [*layers[0], layers[0][-1]]  # the image itself was the base


@pytest.fixture(scope="module")
def standins(tmp_path_factory):
    """The stand-in base images as `docker save` writes them."""
    path = tmp_path_factory.mktemp("base") / "base.tar"
    names = ["nodelayer-standin:amd64", "nodelayer-standin:arm64"]
    subprocess.run(["docker", "save", f"--output={path}", *names], check=True)
    return path


@pytest.fixture(scope="module")
def engine():
    with closing(docker.from_env()) as client:
        yield docker_builder.Engine(client, Reporter(quiet=True))
        for tag in [tag for image in client.images.list("nodelayer/nodejs") for tag in image.tags]:
            with suppress(docker.errors.DockerException):
                client.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def image(invoke, built, standins):
    """Build an image on a stand-in base, once; return it and its folder."""

    @functools.cache
    def made(version, arch):
        out = built(version, arch)
        flags = (f"--node={version}", f"--arch={arch}", f"--base={standins}", f"--out={out}")
        outcome = invoke("build-image", *flags, "--docker-archive")
        assert outcome.code == 0, outcome.err
        return artifact.open_images(out)[0], out

    return made


@pytest.fixture
def loaded(image, engine):
    """Build an image, and load its archive into Docker."""

    def made(version, arch):
        opened, out = image(version, arch)
        subprocess.run(["docker", "load", "-q", "-i", out / f"nodejs-{version}.docker.tar"], check=True)
        return emulation.load(opened, *parse(arch), engine), out

    return made


def program(arch, cache_folder):
    return emulator.rie(*parse(arch), cache=DownloadCache(cache_folder), reporter=Reporter(quiet=True))


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.docker
@pytest.mark.full
@pytest.mark.parametrize(
    ("version", "arch"),
    [
        (OLD, "x86_64"),
        (NEW, "x86_64"),
        (NEWEST, "x86_64"),
        *(pytest.param(each, "arm64", marks=[pytest.mark.arm64, pytest.mark.long]) for each in (NEW, NEWEST)),
    ],
)
def test_an_image_answers_and_layers_that_a_function_adds_work(loaded, cache_folder, tmp_path, version, arch):
    image, _ = loaded(version, arch)
    function = write(tmp_path / "function", {"index.js": FUNCTION})
    opt = write(tmp_path / "opt", LAYER)
    request = InvokeRequest(
        function, b'{"n": 1}', "index.handler", 60, {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}
    )
    answer = emulation.invoke_once(image, request, program(arch, cache_folder), {"opt": opt})
    assert json.loads(answer.payload) == {
        "event": {"n": 1},
        "node": f"v{version}",
        "arch": {"x86_64": "x64", "arm64": "arm64"}[arch],
        "program": "/var/runtime/nodejs/bin/node",
        "folder": "/var/task",
        "package": "of a layer",
        "command": "of a layer",
        "child": f"v{version}",
        "wrapped": "by /opt/wrapper",
        "extension": f"v{version} at /var/runtime/nodejs/bin/node",
        "client": "MODULE_NOT_FOUND",
    }


@pytest.mark.docker
@pytest.mark.full
def test_run_image_prints_the_answer_and_reports_an_error_of_the_function(invoke, loaded, tmp_path):
    _, out = loaded(OLD, "x86_64")
    outcome = invoke("run", "--image", f"--node={OLD}", f"--out={out}", "--event=-", stdin='{"n": 2}')
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["event"] == {"n": 2}
    assert "answered in" in outcome.err
    failing = invoke("run", "--image", f"--out={out}", "--event=function/events/fail.json")
    assert failing.code == 8
    assert json.loads(failing.out)["errorMessage"] == "as it was asked to"
    missing = invoke("run", "--image", f"--out={out}", f"--function={tmp_path / 'none'}")
    assert (missing.code, len(missing.lines)) == (2, 1)


IMAGE = """set -e
mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
mkdir -p "$1$2"; mount --bind "$2" "$1$2"
exec /usr/sbin/chroot "$1" env -C "$2" /var/runtime/bootstrap
"""
EACH_NTH = 20


@pytest.mark.docker
@pytest.mark.full
@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_client_on_an_image_behaves_as_on_a_layer(image, layer, tmp_path, version):
    if os.geteuid() != 0:
        pytest.skip("not root: chroot needs it")
    root, opt, function = (tmp_path / name for name in ("root", "opt", "function"))
    root.mkdir()
    for blob in image(version, "x86_64")[0].platforms[0].layers:
        subprocess.run(["tar", "-x", "-C", root, "-f", blob.path, "--exclude=usr/share"], check=True)
    shutil.copytree(ROOT / "tests" / "runtime" / "handlers", function)
    for folder in (function, function / "layer" / "nodejs"):
        (folder / "packages").rename(folder / "node_modules")
    line = ("unshare", "--mount", "sh", "-c", IMAGE, "sh", str(root), str(function))
    on_image = clients.Client("nodelayer", version, line, {}, Path("/var/runtime"))
    on_layer = clients.ours(version, layer(version).unpacked(opt))
    chosen = [case for case in CASES if version in case.nodes][::EACH_NTH]
    assert len(chosen) > 15

    def outcome(client, case):
        raw = clients.run(client, case.run, function)
        return clients.without_machine(clients.outcome(raw, function), client)

    def compared(case):
        for _ in range(3):  # a busy machine delays the timers that some cases use
            here, there = outcome(on_image, case), outcome(on_layer, case)
            if here == there:
                return []
        return [case.name, *comparison.differing(here, there)]

    with ThreadPoolExecutor(4) as pool:
        assert [each for each in pool.map(compared, chosen) if each] == []
