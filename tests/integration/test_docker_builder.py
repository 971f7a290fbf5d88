"""build-layer with Docker, in a Debian image in place of Amazon Linux."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import pytest
from rich.console import Console
from support import ROOT, command, environment, start

from nodelayer.architecture import X86_64
from nodelayer.errors import IncompatibleError, UnreachableError
from nodelayer.layer import archive, docker_builder
from nodelayer.util.console import Reporter

pytestmark = [pytest.mark.docker, pytest.mark.network]

OLD, NEW = "12.16.1", "26.10.0"
_OTHER_BUILDS_S = 90
"""Another process may be building: how long its containers and images may exist."""
STANDIN = "nodelayer-standin:{arch}"
QUICK = ("--builder=docker", "--source=npm", "--compression=fast")


@pytest.fixture(scope="session", name="invoke")
def _invoke(invoke):
    """Run a command that builds in the Debian image, or in another image that the test names."""

    def run(*arguments, **changes):
        return invoke(*arguments, **{"NODELAYER_BASE_IMAGE": STANDIN, **changes})

    return run


@pytest.fixture(scope="module")
def client():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def leftovers(client):
    """Return a function that counts the containers and images that a test leaves behind."""
    label = {"label": "io.nodelayer.build"}

    def current():
        containers = {each.id for each in client.containers.list(all=True, filters=label)}
        return containers, {each.id for each in client.images.list(all=True, filters=label)}

    before = current()

    def added():
        end = time.monotonic() + _OTHER_BUILDS_S
        while any(found := [len(now - then) for now, then in zip(current(), before, strict=True)]):
            if time.monotonic() > end:
                break
            time.sleep(1)
        return tuple(found)

    return added


def record(out, version, arch="x86_64"):
    return json.loads((out / f"nodejs-{version}-{arch}.json").read_bytes())


def zipped(out, version, arch="x86_64"):
    return (out / f"nodejs-{version}-{arch}.zip").read_bytes()


def test_docker_build_invokes_the_layer_and_equals_the_local_build(invoke, layer, tmp_path, leftovers):
    outcome = invoke("build-layer", f"--node={OLD}", *QUICK, f"--out={tmp_path}")
    assert outcome.code == 0, outcome.err
    builder = record(tmp_path, OLD)["builder"]
    assert (builder["name"], builder["executed"], builder["invoked"]) == ("docker", True, True)
    assert builder["base_image"] == "nodelayer-standin:amd64"
    assert not [name for name in builder if name.endswith("_id")]  # Docker 29 has other image IDs
    assert (builder["amazon_linux"], builder["system"]) == (False, "Debian GNU/Linux 12 (bookworm)")
    assert "which is not Amazon Linux" in outcome.err
    assert "docker: Step 1/" in outcome.err
    assert zipped(tmp_path, OLD) == layer(OLD).zip.read_bytes()
    assert leftovers() == (0, 0)


@pytest.fixture(scope="module")
def newest(invoke, tmp_path_factory):
    """Node.js 26 built inside an image that lacks libatomic."""
    out = tmp_path_factory.mktemp("newest")
    outcome = invoke("build-layer", f"--node={NEW}", *QUICK, f"--out={out}")
    assert outcome.code == 0, outcome.err
    return out


@pytest.mark.full
def test_missing_library_comes_from_the_packages_of_the_image(newest):
    built = record(newest, NEW)
    assert built["builder"]["libraries"] == {"libatomic.so.1": "packages of Debian GNU/Linux 12 (bookworm)"}
    assert "lib/libatomic.so.1" in [file["path"] for file in built["files"]]


@pytest.mark.full
def test_node_26_layer_runs_on_a_system_without_libatomic(newest, client, tmp_path):
    archive.unpack(archive.read(newest / f"nodejs-{NEW}-x86_64.zip"), tmp_path)
    mount = {str(tmp_path): {"bind": "/opt", "mode": "ro"}}

    def run(line):
        return client.containers.run(
            STANDIN.format(arch="amd64"), ["sh", "-c", line], volumes=mount, remove=True, stderr=True
        ).decode()

    assert run("find / -xdev -name 'libatomic*' -not -path '/opt/*' | wc -l").strip() == "0"
    with pytest.raises(docker.errors.ContainerError, match=r"libatomic\.so\.1"):
        run("/opt/nodejs/bin/node -v")
    assert "AWS_LAMBDA_RUNTIME_API is not set" in run("/opt/bootstrap || true")
    assert run("LD_LIBRARY_PATH=/opt/lib /opt/nodejs/bin/node -p process.version").strip() == f"v{NEW}"


@pytest.fixture(scope="module")
def image_label(client):
    """A label for images, which are deleted at the end: the second test uses the cache of the first."""
    label = uuid.uuid4().hex
    yield label
    client.images.prune(filters={"dangling": True, "label": f"io.nodelayer.test={label}"})


@pytest.mark.full
@pytest.mark.parametrize("manager", ["dnf", "yum"])
def test_missing_library_is_installed_with_dnf_or_yum(invoke, client, image_label, tmp_path, manager):
    tag = f"nodelayer-standin:{manager}"
    context = str(ROOT / "tests" / "data" / "dnf-base")
    args = {"MANAGER": manager, "TEST_ID": image_label}
    try:
        client.images.build(path=context, tag=tag, buildargs=args, rm=True, forcerm=True)
        flags = ("--builder=docker", "--source=npm", "--compression=fast")
        flags = (*flags, f"--out={tmp_path}")
        outcome = invoke("build-layer", f"--node={NEW}", *flags, NODELAYER_BASE_IMAGE=tag)
    finally:
        with suppress(docker.errors.ImageNotFound):
            client.images.remove(tag, noprune=True)
    assert outcome.code == 0, outcome.err
    assert "Installing       : libatomic-1-1.x86_64" in outcome.err
    assert "libatomic.so.1" in record(tmp_path, NEW)["builder"]["libraries"]


@pytest.mark.full
@pytest.mark.arm64
def test_arch_all_builds_the_newest_version_that_both_architectures_have(invoke, layer, tmp_path, leftovers):
    outcome = invoke("build-layer", "--node=24", "--arch=all", *QUICK, f"--out={tmp_path}")
    assert outcome.code == 0, outcome.err
    arm64, x86_64 = sorted(path.name for path in tmp_path.glob("*.zip"))
    assert arm64.replace("arm64", "x86_64") == x86_64
    version = arm64.split("-")[1]
    built = record(tmp_path, version, "arm64")
    assert built["compatible_architectures"] == ["arm64"]
    assert (built["builder"]["executed"], built["builder"]["invoked"]) == (True, True)
    assert zipped(tmp_path, version, "arm64") == layer(version, "arm64").zip.read_bytes()
    assert leftovers() == (0, 0)


@pytest.mark.full
def test_auto_uses_docker_if_the_base_image_is_available(invoke, tmp_path):
    flags = (f"--node={OLD}", "--source=npm", "--compression=fast", f"--out={tmp_path}")
    outcome = invoke("build-layer", *flags, NODELAYER_BASE_IMAGE=STANDIN)
    assert "Testing the layer in nodelayer-standin:amd64 (Docker)" in outcome.err
    assert record(tmp_path, OLD)["builder"]["name"] == "docker"


class BusyRegistry(BaseHTTPRequestHandler):
    """A registry that refuses the first two pulls, as ECR Public does after one pull in a second."""

    refused = 0

    def do_GET(self):
        busy = self.path != "/v2/" and type(self).refused < 2
        type(self).refused += busy
        error = ("TOOMANYREQUESTS", "Rate exceeded") if busy else ("MANIFEST_UNKNOWN", "none")
        body = json.dumps({"errors": [dict(zip(("code", "message"), error, strict=True))]}).encode()
        self.send_response(200 if self.path == "/v2/" else 429 if busy else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - its name

    def log_message(self, *_):
        pass


def test_pull_is_retried_while_the_registry_limits_the_requests(monkeypatch, capfd):
    monkeypatch.setattr(docker_builder, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(BusyRegistry, "refused", 0)
    with ThreadingHTTPServer(("127.0.0.1", 0), BusyRegistry) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        engine = docker_builder.connect(Reporter())
        with pytest.raises(UnreachableError, match="the base image cannot be pulled"):
            engine.base_image(f"127.0.0.1:{server.server_port}/none:1", X86_64)
        server.shutdown()
    assert capfd.readouterr().err.count("The registry limits the requests, pulling again") >= 1


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"NODELAYER_BASE_IMAGE": "nodelayer-nowhere.invalid/none:1"}, "the base image cannot be pulled"),
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, "Docker does not answer"),
    ],
)
def test_auto_builds_locally_without_docker_and_says_what_is_not_tested(invoke, tmp_path, variables, why):
    flags = (f"--node={OLD}", "--source=npm", "--compression=fast", f"--out={tmp_path}")
    outcome = invoke("build-layer", *flags, **variables)
    assert outcome.code == 0, outcome.err
    (line,) = [
        line for line in outcome.lines if line.startswith("The layer is tested on this machine, not in")
    ]
    assert why in line
    builder = record(tmp_path, OLD)["builder"]
    assert (builder["name"], builder["amazon_linux"]) == ("local", False)


@pytest.mark.parametrize(
    ("variables", "code", "why"),
    [
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, 4, "Docker does not answer"),
        ({"NODELAYER_BASE_IMAGE": "nodelayer-nowhere.invalid/none:1"}, 4, "the base image cannot be pulled"),
        (
            {"NODELAYER_BASE_IMAGE": "nodelayer-standin:arm64"},
            6,
            "the base image is for arm64, not for amd64",
        ),
    ],
)
def test_builder_docker_fails_in_one_line_if_docker_or_the_image_is_unavailable(
    invoke, tmp_path, variables, code, why
):
    line = ("build-layer", f"--node={OLD}", "--source=npm", "--builder=docker", f"--out={tmp_path}")
    outcome = invoke(*line, **variables)
    assert outcome.code == code
    assert outcome.lines[-1].startswith(f"nodelayer: {why}")
    assert "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_missing_permission_for_the_docker_socket_is_one_line():
    if os.geteuid() != 0:
        pytest.skip("not root: only root can become another user")
    script = (
        "import os\n"
        "from nodelayer.layer import docker_builder as docker\n"
        "from nodelayer.util import console as progress\n"
        "reporter = progress.Reporter()\n"
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "try: docker.connect(reporter)\n"
        "except docker.UnreachableError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("this user has no permission to use Docker")


@pytest.mark.parametrize(
    "line_to_wait_for",
    [
        "Step 8/",
        pytest.param("Step 13/", marks=pytest.mark.full),
        pytest.param("INIT START", marks=pytest.mark.full),
    ],
)
def test_stopped_build_leaves_no_containers_or_images(layer, tmp_path, leftovers, line_to_wait_for):
    layer(OLD)
    flags = (f"--node={OLD}", *QUICK, f"--out={tmp_path}")
    environ = environment(NODELAYER_BASE_IMAGE=STANDIN)
    with start(command("build-layer", *flags), env=environ, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line_to_wait_for in line:
                break
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
    assert leftovers() == (0, 0)


@pytest.mark.full
def test_binary_that_does_not_run_in_the_image_is_refused_with_the_reason(
    invoke, client, tmp_path, leftovers
):
    """The image lacks the C++ library that the binary needs."""
    tag = "nodelayer-standin:no-libstdcxx"
    container = client.containers.create(
        STANDIN.format(arch="amd64"), ["sh", "-c", "rm /usr/lib/x86_64-linux-gnu/libstdc++*"]
    )
    try:
        container.start()
        container.wait()
        container.commit(*tag.split(":"))
    finally:
        container.remove(force=True)
    try:
        flags = ("--builder=docker", "--source=npm", f"--out={tmp_path}")
        outcome = invoke("build-layer", f"--node={OLD}", *flags, NODELAYER_BASE_IMAGE=tag)
    finally:
        client.images.remove(tag, force=True)
    assert outcome.code == 6
    assert "libstdc++.so.6" in outcome.lines[-1]
    assert list(tmp_path.iterdir()) == []
    assert leftovers() == (0, 0)


PROBE = """#!/bin/sh
exec >&2
id
grep -E '^(CapEff|NoNewPrivs)' /proc/self/status
tail -n +3 /proc/net/dev
touch /opt/x /nodelayer/x /tmp/x
echo 'nodelayer: probed' >&2
exit 1
"""


def test_binary_of_a_layer_runs_without_network_and_privileges_and_cannot_write(client, leftovers):
    """A script in place of the binary tells what it can do."""
    output = io.StringIO()
    engine = docker_builder.Engine(client, Reporter(Console(file=output, width=1000)))
    entries = [
        archive.Entry("bootstrap", b"", 0o755),
        archive.Entry("nodejs/bin/node", PROBE.encode(), 0o755),
    ]
    request = docker_builder.ProofRequest(OLD, X86_64, STANDIN.format(arch="amd64"))
    folder = docker_builder.DockerContext(ROOT / "docker", ROOT / "function", b"{}", ROOT / "README.md")
    with pytest.raises(IncompatibleError, match="nodelayer: probed"):
        engine.prove(entries, request, folder)
    lines = [line.removeprefix("  docker: ") for line in output.getvalue().splitlines()]
    tested = lines[next(index for index, line in enumerate(lines) if line.startswith("uid=")) :]
    assert tested[0].startswith("uid=65534")
    assert [line.split() for line in tested[1:3]] == [["CapEff:", "0" * 16], ["NoNewPrivs:", "1"]]
    devices = [line.split(":")[0].strip() for line in tested if re.match(r" *\w+: +\d+ +\d+ ", line)]
    assert devices == ["lo"]
    assert sum("Read-only file system" in line for line in tested) == 2
    assert leftovers() == (0, 0)
