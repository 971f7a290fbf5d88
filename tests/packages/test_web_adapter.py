"""The parts of examples/web-adapter that need no adapter: layer order, `node` on PATH, the streamed response.

The adapter's program is in no package registry. Its /opt/bootstrap starts the handler; the one here does too.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from runtime.clients import NEW
from runtime.runtime_api import RuntimeApi
from support import ROOT

pytestmark = [pytest.mark.network, pytest.mark.full]

EXAMPLE = ROOT / "examples" / "web-adapter" / "app"


@pytest.fixture
def layers(runtimes, tmp_path):
    """Return our layer and one with the adapter's bootstrap, unpacked."""
    if why_not := runtimes.why_not("nodelayer", NEW):
        pytest.skip(why_not)
    ours, adapter = tmp_path / "ours", tmp_path / "adapter"
    shutil.copytree(runtimes.client("nodelayer", NEW).folder, ours, symlinks=True)
    shutil.copytree(ROOT / "runtime" / "bin", ours / "bin")
    adapter.mkdir()
    (adapter / "bootstrap").write_text('#!/bin/sh\nexec "$LAMBDA_TASK_ROOT/$_HANDLER"\n')
    (adapter / "bootstrap").chmod(0o755)
    return ours, adapter


@pytest.fixture
def start(functions, tmp_path):
    """Return a context manager that starts the function on layers in this order, as Lambda merges them."""

    @contextmanager
    def started(*layers, **variables):
        opt = tmp_path / "opt"
        shutil.rmtree(opt, ignore_errors=True)
        for layer in layers:
            shutil.copytree(layer, opt, symlinks=True, dirs_exist_ok=True)
        function = functions.folder(EXAMPLE)
        environment = {
            "PATH": f"{opt / 'bin'}:{os.defpath}",  # the host's own Node.js must not be found first
            "LAMBDA_TASK_ROOT": str(function),
            "_HANDLER": "run.sh",
            **{name: value.replace("/opt", str(opt)) for name, value in variables.items()},
        }
        line = [str(opt / "bootstrap")]
        with subprocess.Popen(
            line, cwd=function, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return started


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def get(port, path):
    """Return what the server sends, with the time of each piece; wait until it listens."""
    for _ in range(100):
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
        except ConnectionRefusedError:
            time.sleep(0.1)
            continue
        response = connection.getresponse()
        pieces = []
        while piece := response.read1():
            pieces.append((time.monotonic(), piece))
        connection.close()
        return pieces
    raise AssertionError("the server does not listen")


@pytest.mark.parametrize(
    "variables", [{}, {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}], ids=["", "wrapper"]
)
def test_server_runs_on_the_node_of_our_layer_if_the_adapter_is_the_last_layer(
    start, layers, port, variables
):
    with start(*layers, AWS_LWA_PORT=str(port), **variables):
        ((_, body),) = get(port, "/")
        assert json.loads(body) == {"node": f"v{NEW}"}
        streamed = get(port, "/stream")
    assert b"".join(piece for _, piece in streamed) == b"line 1\nline 2\nline 3\n"
    assert streamed[-1][0] - streamed[0][0] > 0.1


def test_start_fails_with_a_reason_if_our_layer_is_the_last_one(start, layers):
    ours, adapter = layers
    with start(adapter, ours, AWS_LAMBDA_EXEC_WRAPPER="/opt/bootstrap") as process:
        assert "put that layer after this one" in process.communicate(timeout=20)[0]
    assert process.returncode == 126
    with RuntimeApi(()) as api, start(adapter, ours, AWS_LAMBDA_RUNTIME_API=api.address) as process:
        process.communicate(timeout=20)
        (error,) = [json.loads(bytes(each.body)) for each in api.received if "error" in each.path]
    assert error["errorType"] == "Runtime.ImportModuleError"
