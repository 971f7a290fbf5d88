"""run and test-layer, with built layers in AWS's Runtime Interface Emulator."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support import ROOT, command, environment, start

from nodelayer.emulation import invoke as run
from nodelayer.emulation import rie as emulator
from nodelayer.errors import FunctionError
from nodelayer.layer import archive, artifact
from nodelayer.util import confined

pytestmark = pytest.mark.network

MORE_VERSIONS = ["18.20.8", "20.20.2", "22.23.3", "26.10.0"]
VERSIONS = [
    *("12.16.1", "24.21.0"),
    *(pytest.param(version, marks=pytest.mark.full) for version in MORE_VERSIONS),
]

HANDLERS = """
exports.parent = (event) => new Promise(() => {
  require('child_process').spawn('sleep', ['300'], { detached: true, stdio: 'ignore' });
  for (;;);
});
exports.outside = async () => {
  const fs = require('fs');
  const net = require('net');
  const attempt = (run) => { try { run(); return 'done'; } catch (error) { return error.code; } };
  const connected = new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port: process.env.OUTSIDE_PORT });
    socket.on('connect', () => resolve('connected'));
    socket.on('error', (error) => resolve(error.code));
  });
  return {
    variables: Object.keys(process.env).filter((name) => !/^(_|AWS_LAMBDA_|NODE_PATH)/.test(name)).sort(),
    home: process.env.HOME,
    secret: attempt(() => fs.readFileSync(process.env.OUTSIDE)),
    write: attempt(() => fs.writeFileSync(process.env.OUTSIDE + '.new', 'x')),
    ownWrite: attempt(() => fs.writeFileSync(process.env.LAMBDA_TASK_ROOT + '/new', 'x')),
    homeWrite: attempt(() => fs.writeFileSync(process.env.HOME + '/new', 'x')),
    network: await connected,
  };
};
exports.logs = async () => { console.log('to stdout'); console.error('to stderr'); };
"""


@pytest.fixture
def function(tmp_path):
    folder = tmp_path / "function"
    folder.mkdir()
    (folder / "some.js").write_text(HANDLERS)
    return folder


@pytest.fixture(scope="module")
def opt(layer, tmp_path_factory):
    """Return a function that unpacks a layer into a folder, like Lambda does to /opt."""
    folders = {}

    def unpacked(version):
        if version not in folders:
            folders[version] = layer(version).unpacked(tmp_path_factory.mktemp("opt"))
        return folders[version]

    return unpacked


@pytest.fixture
def call(opt, function, rie):
    def answer(handler, event=None, version="12.16.1", timeout_s=10):
        sandbox = emulator.Sandbox(opt(version), function, handler, timeout_s)
        return emulator.invoke_once(sandbox, json.dumps(event).encode(), rie=rie)

    return answer


@pytest.mark.parametrize("version", VERSIONS)
def test_sample_function_returns_its_version_and_its_event(invoke, layer, version):
    out = layer(version).zip.parent
    outcome = invoke("run", f"--node={version}", "--event=-", f"--out={out}", stdin='{"n": [1, "ü"]}')
    assert outcome.code == 0, outcome.err
    answer = json.loads(outcome.out)
    assert (answer["node"], answer["event"]) == (f"v{version}", {"n": [1, "ü"]})
    assert answer["remainingTimeInMillis"] > 0
    assert f"Node.js {version} answered in" in outcome.err
    assert "cold start" in outcome.err


def test_layer_invokes_each_layer_with_a_plain_and_an_http_event(invoke, layer, tmp_path):
    for version in ("12.16.1", "24.21.0"):
        for path in layer(version).zip.parent.glob(f"nodejs-{version}-x86_64.*"):
            (tmp_path / path.name).symlink_to(path)
    outcome = invoke("test-layer", "--node=12.16.1,24,12", f"--out={tmp_path}")
    assert outcome.code == 0, outcome.err
    assert [re.sub(r"\d+\.\d ms", "… ms", line) for line in outcome.out.splitlines()] == [
        f"Node.js {version} for x86_64 answered hello in … ms and http in … ms"
        for version in ("12.16.1", "24.21.0")
    ]


def renamed(built, folder, version):
    """Link a layer under the name of another version."""
    folder.mkdir(exist_ok=True)
    name = f"nodejs-{version}-x86_64.zip"
    (folder / name).symlink_to(built.zip)
    record = built.record | {"node_version": version, "zip": name, "layer_name": name}
    (folder / name).with_suffix(".json").write_text(json.dumps(record))


def test_test_layer_reports_a_wrong_version_and_tests_the_other_layers(invoke, layer, tmp_path):
    renamed(layer("12.16.1"), tmp_path, "12.16.2")
    renamed(layer("12.16.1"), tmp_path, "12.16.1")
    outcome = invoke("test-layer", "--node=12.16.2,14,12.16.1", f"--out={tmp_path}")
    assert outcome.code == 3, "the code of the first error: 14 is not built"
    assert "no layer of Node.js 14 for x86_64 is built" in outcome.err
    assert "the layer does not report Node.js 12.16.2 for x86_64" in outcome.err
    assert outcome.out.startswith("Node.js 12.16.1 for x86_64 answered")
    assert invoke("test-layer", "--node=12.16.2", f"--out={tmp_path}").code == 5


def test_layer_that_does_not_start_is_a_function_error(layer, tmp_path, rie):
    entries = [
        replace(each, data=b"#!/bin/sh\nexit 3\n") if each.path == "bootstrap" else each
        for each in archive.read(layer("12.16.1").zip)
    ]
    packed = tmp_path / "broken.zip"
    with packed.open("wb") as stream:
        archive.write(entries, stream, "fast")
    found = replace(artifact.built("12.16.1", ["x86_64"], layer("12.16.1").zip.parent)[0], path=packed)
    events = {name: (ROOT / "function" / "events" / f"{name}.json").read_bytes() for name in run.EVENTS}
    with pytest.raises(FunctionError, match=r"the sample function failed|Emulator ended early"):
        run.check(found, ROOT / "function", events, rie)


def test_output_of_a_function_is_its_log(call):
    lines = [line.split("\t") for line in call("some.logs").logs.splitlines()]
    assert [(level, message) for _, _, level, message in lines] == [
        ("INFO", "to stdout"),
        ("ERROR", "to stderr"),
    ]


def test_a_function_error_is_printed_and_ends_with_exit_code_8(invoke, layer):
    out = layer("12.16.1").zip.parent
    outcome = invoke("run", "--node=12.16.1", "--event=function/events/fail.json", f"--out={out}")
    assert outcome.code == 8
    assert json.loads(outcome.out)["errorMessage"] == "as it was asked to"
    assert "Error: as it was asked to" in outcome.err
    assert "Traceback" not in outcome.err


def test_http_event_gets_an_http_response(invoke, layer):
    out = layer("12.16.1").zip.parent
    outcome = invoke("run", "--node=12.16.1", "--event=function/events/http.json", f"--out={out}")
    answer = json.loads(outcome.out)
    assert (answer["statusCode"], json.loads(answer["body"])["node"]) == (200, "v12.16.1")


def test_run_builds_a_missing_layer_once(invoke, tmp_path):
    flags = ("--node=12.16.1", f"--out={tmp_path}")
    first = invoke("run", *flags)
    second = invoke("run", *flags)
    assert (first.code, second.code) == (0, 0), first.err
    assert "nodejs-12.16.1-x86_64.zip: " in first.err
    assert "nodejs-12.16.1-x86_64.zip: " not in second.err


def test_run_without_a_version_uses_the_newest_built_layer(invoke, layer, tmp_path):
    for version in ("12.16.1", "26.10.0"):
        for path in layer(version).zip.parent.glob(f"nodejs-{version}-*"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert json.loads(invoke("run", f"--out={tmp_path}").out)["node"] == "v26.10.0"
    empty = invoke("run", f"--out={tmp_path / 'empty'}")
    assert (empty.code, len(empty.lines)) == (3, 1)


@pytest.mark.parametrize(("event", "why"), [("nowhere.json", "no such file"), ("-", "not valid JSON")])
def test_invalid_event_is_a_one_line_error(invoke, event, why):
    outcome = invoke("run", f"--event={event}", stdin="{")
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert why in outcome.err


def test_a_function_that_runs_too_long_is_ended_without_leftovers(invoke, layer, function):
    out = layer("12.16.1").zip.parent
    outcome = invoke(
        "run",
        "--node=12.16.1",
        f"--out={out}",
        f"--function={function}",
        "--handler=some.parent",
        "--timeout=1",
    )
    assert outcome.code == 8
    assert "timed out after 1.00 seconds" in outcome.out
    assert started_in(function) == []


@pytest.mark.parametrize("when", [signal.SIGINT, signal.SIGTERM], ids=lambda it: it.name)
def test_stopped_run_leaves_no_processes(layer, function, when):
    out = layer("12.16.1").zip.parent
    flags = ("--node=12.16.1", f"--out={out}", f"--function={function}", "--handler=some.parent")
    with start(
        command("run", *flags, "--timeout=60"), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while len(started_in(function)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(started_in(function)) >= 3  # the emulator, node and the child process of the function
        process.send_signal(when)
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 130
    assert rest.strip() == "nodelayer: stopped; no incomplete files are left"
    assert started_in(function) == []


def test_concurrent_runs_are_independent(layer):
    out = layer("12.16.1").zip.parent
    line = command("run", "--node=12.16.1", f"--out={out}", "--event=-")
    both = [
        subprocess.Popen(
            line,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(json.dumps(number))[0] for number, process in enumerate(both)]
    assert [json.loads(text)["event"] for text in outputs] == [0, 1, 2, 3]


ADDONS = """
const bufferutil = require('./node_modules/bufferutil/prebuilds/linux-x64/node.napi.node');
const leveldown = require('leveldown');
exports.handler = async (event) => {
  const data = Buffer.from([1, 2, 3, 4]);
  bufferutil.mask(data, Buffer.from([255, 255, 255, 255]), data, 0, 4);
  const db = leveldown('/tmp/nodelayer-' + event.mark);
  const call = (name, ...rest) => new Promise((resolve, reject) => {
    db[name](...rest, (error, value) => (error ? reject(error) : resolve(value)));
  });
  await call('open');
  await call('put', 'k', 'v');
  return { masked: data.toString('hex'), stored: String(await call('get', 'k')), node: process.version };
};
"""


@pytest.fixture(scope="module")
def addons(tmp_path_factory):
    """Install two prebuilt N-API addons: one in C, one in C++ with libstdc++."""
    folder = tmp_path_factory.mktemp("addons")
    (folder / "addon.js").write_text(ADDONS)
    (folder / "package.json").write_text("{}")
    line = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run([*line, "bufferutil@4.0.8", "leveldown@6.1.1"], cwd=folder, check=True)
    return folder


@pytest.mark.full
@pytest.mark.parametrize("version", ["12.16.1", "24.21.0"])
def test_native_addons_load_in_the_stripped_binary(opt, rie, addons, version, tmp_path):
    sandbox = emulator.Sandbox(opt(version), addons, "addon.handler", 10)
    event = json.dumps({"mark": tmp_path.name}).encode()
    answer = emulator.invoke_once(sandbox, event, rie=rie)
    assert json.loads(answer.payload) == {"masked": "fefdfcfb", "stored": "v", "node": f"v{version}"}


def started_in(function):
    """Return the running processes that a run with this function folder has started."""
    wanted = f"LAMBDA_TASK_ROOT={function}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def test_bootstrap_finds_its_folder_through_a_link_and_from_its_own_folder(opt, tmp_path):
    layer = opt("26.10.0")
    link = tmp_path / "linked"
    link.symlink_to(layer / "bootstrap")
    for line, cwd in (([str(link)], tmp_path), (["./bootstrap"], layer)):
        done = subprocess.run(
            line, cwd=cwd, env={"PATH": os.defpath}, capture_output=True, text=True, check=False
        )
        assert "AWS_LAMBDA_RUNTIME_API is not set" in done.stderr


LAMBDA = {
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
} | {
    *("AWS_SESSION_TOKEN", "HOME", "LAMBDA_TASK_ROOT", "LANG", "NODELAYER_RUN", "PATH", "PWD", "TMPDIR", "TZ")
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("is_confined", [False, True])
def test_function_gets_no_variable_of_this_machine_and_a_confined_one_nothing_else(  # noqa: PLR0913, PLR0917 - fixtures
    opt, function, rie, tmp_path, monkeypatch, version, is_confined
):
    if is_confined and (why := confined.available()):
        pytest.skip(f"this machine cannot confine programs: {why}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("TOKEN", "secret")
    outside = tmp_path / "outside"
    outside.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        named = {"OUTSIDE": str(outside), "OUTSIDE_PORT": str(server.getsockname()[1])}
        sandbox = emulator.Sandbox(opt(version), function, "some.outside", 10, named, is_confined)
        answer = emulator.invoke_once(sandbox, b"{}", rie=rie)
    seen = json.loads(answer.payload)
    assert set(seen.pop("variables")) - {"LC_CTYPE", "LD_LIBRARY_PATH"} == LAMBDA | set(named)
    assert not Path(seen.pop("home")).exists()
    assert b"secret" not in answer.payload.replace(b'"secret":', b"")
    refused = {"secret": "ENOENT", "ownWrite": "EROFS", "network": "ECONNREFUSED"}
    allowed = {"secret": "done", "ownWrite": "done", "network": "connected"}
    # A confined function has a /tmp of its own, and root's function runs as nobody.
    written = "EACCES" if is_confined and os.geteuid() == 0 else "done"
    assert seen == {"homeWrite": "done", "write": written, **(refused if is_confined else allowed)}
    assert (tmp_path / "outside.new").exists() is not is_confined
