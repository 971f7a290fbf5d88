"""Start, shutdown, the time-out warning, and concurrent invocations."""

import json
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from runtime.clients import NEW, OLD
from runtime.runtime_api import Event, Wire, request_id
from support import ROOT

from runtime import clients

pytestmark = pytest.mark.network

OLDEST_CONCURRENT = "14.21.3"
"""The oldest version here with AsyncLocalStorage, which concurrent invocations need."""
FIRST_MAJOR_WITH_TIMERS = 16
"""The first major version that can list its active timers."""
SOME = [OLD, NEW, "26.10.0"]
CONCURRENT = {"AWS_LAMBDA_MAX_CONCURRENCY": "10", "AWS_LAMBDA_NODEJS_WORKER_COUNT": "2"}


@pytest.fixture
def run(runtimes):
    """Return a function that runs a handler of lifecycle.js and returns its clients.RunResult."""

    def started(node, name, events=None, **more):
        if why_not := runtimes.why_not("nodelayer", node):
            pytest.skip(why_not)
        what = clients.Run(f"lifecycle.{name}", tuple(events or [Event()]), **more)
        return clients.run(runtimes.client("nodelayer", node), what, runtimes.function)

    return started


def answers(raw):
    return [json.loads(bytes(each.body)) for each in raw.api.received if each.path.endswith("/response")]


def errors(raw):
    return [json.loads(bytes(each.body)) for each in raw.api.received if each.path.endswith("/error")]


@pytest.mark.parametrize("node", SOME)
def test_sigterm_without_a_listener_ends_the_process_at_once(run, node):
    raw = run(node, "withoutListener", linger_s=5)
    assert raw.code == -15


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_process_ends_when_the_sigterm_listener_has_finished(run, node):
    raw = run(node, "withListener", linger_s=5, variables={"NODELAYER_SHUTDOWN_MS": "60000"})
    assert raw.code == 0
    assert [line.split("\t")[-1] for line in raw.out.splitlines()] == ["closing", "closed"]


@pytest.mark.parametrize("node", SOME)
def test_process_ends_even_if_the_sigterm_listener_never_finishes(run, node):
    assert run(node, "withEndlessListener", linger_s=5).code == 0


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_timeout_warning_names_what_keeps_the_event_loop_busy(run, node):
    variables = {"NODELAYER_TIMEOUT_WARNING_MS": "1500"}
    raw = run(node, "busy", limit_s=3, deadline_s=2.0, variables=variables)
    (line,) = [line for line in raw.out.splitlines() if "times out in" in line]
    assert "\tWARN\t" in line
    assert request_id(1) in line
    assert "connection to 127.0.0.1:" in line
    assert "server" in line
    assert ("timer" in line) == (int(node.partition(".")[0]) >= FIRST_MAJOR_WITH_TIMERS)


@pytest.mark.parametrize("node", SOME)
def test_timeout_warning_is_off_unless_its_variable_is_set(run, node):
    assert run(node, "busy", limit_s=2.5, deadline_s=2.0).out == ""


@pytest.mark.parametrize("node", clients.EVERY_MAJOR[1:])
def test_concurrent_invocations_have_their_own_request_and_tenant_id(run, node):
    events = [Event(headers={"Lambda-Runtime-Aws-Tenant-Id": f"tenant-{number}"}) for number in range(6)]
    raw = run(node, "identities", events, variables=CONCURRENT, linger_s=1)
    ids = [request_id(number + 1) for number in range(6)]
    sorted_answers = sorted(answers(raw), key=lambda answer: answer["context"])
    assert [answer["context"] for answer in sorted_answers] == ids
    assert all(answer["store"] == [answer["context"]] * 2 for answer in sorted_answers)
    assert [answer["tenant"] for answer in sorted_answers] == [f"tenant-{number}" for number in range(6)]
    assert sorted(line.split("\t")[1] for line in raw.out.splitlines()) == ids


class LogSocket:
    """The other end of the log socket; closes a connection after `limit` bytes, if given."""

    def __init__(self, folder, limit=None):
        self.path = str(folder / "log.sock")
        self.connections = []
        self._limit = limit
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(bytearray())
                reader = threading.Thread(target=self._read, args=(connection, self.connections[-1]))
                self._threads.append(reader)
                reader.start()

    def _read(self, connection, into):
        with connection:
            while self._limit is None or len(into) < self._limit:
                came = connection.recv(4096)
                if not came:
                    return
                into += came

    def lines(self):
        """Return the lines of each connection. Call it after the client has ended."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        return [
            [json.loads(line) for line in each.decode().splitlines()] for each in self.connections if each
        ]


@pytest.fixture
def socket_folder():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("node", [OLDEST_CONCURRENT, NEW])
def test_workers_write_json_lines_to_the_log_socket(run, node, socket_folder):
    log = LogSocket(socket_folder)
    variables = {**CONCURRENT, "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": log.path}
    raw = run(node, "identities", [Event() for _ in range(6)], variables=variables, linger_s=1)
    assert raw.out == ""
    lines = [line for each in log.lines() for line in each]
    assert {(line["level"], line["message"]) for line in lines} == {("INFO", "seen")}
    assert sorted(line["requestId"] for line in lines) == [request_id(number + 1) for number in range(6)]


def test_lines_go_to_stdout_with_a_warning_if_nothing_listens_on_the_log_socket(run, socket_folder):
    path = str(socket_folder / "missing.sock")
    variables = {
        **CONCURRENT,
        "AWS_LAMBDA_NODEJS_WORKER_COUNT": "1",
        "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": path,
    }
    raw = run(NEW, "identities", [Event(), Event()], variables=variables, linger_s=1)
    messages = [json.loads(line)["message"] for line in raw.out.splitlines()]
    why = f"no connection to the log socket {path} (ENOENT): lines go to stdout from here on"
    assert sorted(messages) == sorted(["seen", "seen", why, why])  # one of each thread


def test_no_line_is_lost_when_the_log_socket_closes(run, socket_folder):
    log = LogSocket(socket_folder, limit=1)
    variables = {
        **CONCURRENT,
        "AWS_LAMBDA_NODEJS_WORKER_COUNT": "1",
        "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": log.path,
    }
    raw = run(NEW, "logsTwice", [Event()], variables=variables, linger_s=1)
    (lines,) = log.lines()
    assert [line["message"] for line in lines] == ["first"]
    messages = [json.loads(line)["message"] for line in raw.out.splitlines()]
    assert messages[-1] == "second"
    assert any("was closed" in message for message in messages)


def test_callbacks_and_streams_work_in_concurrent_invocations(run):
    called = answers(run(NEW, "calledBack", [Event(b"1"), Event(b"2")], variables=CONCURRENT, linger_s=1))
    assert sorted(called, key=lambda each: each["event"]) == [
        {"event": 1},
        {"event": 2},
    ]
    streams = run(NEW, "streamed", [Event(), Event()], variables=CONCURRENT, linger_s=1).api.received
    bodies = [bytes(each.body) for each in streams if each.path.endswith("/response")]
    assert bodies == [b"one two"] * 2


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_stream_keeps_its_request_id_if_the_handler_changes_the_context(run, node):
    (answer,) = [each for each in run(node, "changesContext").api.received if each.path.endswith("/response")]
    assert f"/{request_id(1)}/" in answer.path


def test_crashed_worker_reports_the_error_and_is_replaced(run):
    raw = run(NEW, "crashing", [Event() for _ in range(4)], variables=CONCURRENT, linger_s=2)
    assert raw.done
    assert [error["errorMessage"] for error in errors(raw)] == ["in a worker"] * 4


def test_init_error_if_this_nodejs_does_not_support_concurrent_invocations(run):
    raw = run(OLD, "identities", variables=CONCURRENT, linger_s=1)
    (error,) = errors(raw)
    assert error["errorType"] == "Runtime.ConcurrencyNotSupported"
    assert "12.17" in error["errorMessage"]
    assert raw.code == 129


def test_invocation_that_arrives_during_a_crash_gets_the_error_too(run):
    events = [Event(answered=(Wire(late_s=0.6),)), Event(asked=(Wire(late_s=0.2),))]
    variables = {**CONCURRENT, "AWS_LAMBDA_NODEJS_WORKER_COUNT": "1"}
    raw = run(NEW, "crashing", events, variables=variables, linger_s=1.5)
    assert [error["errorMessage"] for error in errors(raw)] == ["in a worker"] * 2


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_environment_equals_that_of_a_managed_runtime(run, node):
    (seen,) = answers(run(node, "environment"))
    major = node.partition(".")[0]
    assert seen["nodePath"] == (
        f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:"
        "/var/runtime:/var/task"
    )
    assert seen["path"].split(":")[0].endswith("/nodejs/bin")
    assert seen["gc"] == "function"


def test_node_path_of_the_function_is_kept(run):
    (seen,) = answers(run(NEW, "environment", variables={"NODE_PATH": "/somewhere"}))
    assert seen["nodePath"] == "/somewhere"


@pytest.mark.parametrize(
    ("node", "variables", "flags"),
    [
        (OLD, {}, []),
        (OLD, {"NODELAYER_HEAP_PERCENT": "75"}, ["--max-old-space-size=96"]),
        (NEW, {"NODELAYER_HEAP_PERCENT": "8"}, ["--max-old-space-size=10"]),
        ("18.20.8", {}, ["--max-old-space-size=115"]),
        (NEW, {}, ["--max-old-space-size=115"]),
        (NEW, {"NODELAYER_HEAP_PERCENT": "75"}, ["--max-old-space-size=96"]),
        (NEW, {"NODELAYER_HEAP_PERCENT": "0"}, []),
        (NEW, {"NODE_OPTIONS": "--max-old-space-size=99"}, []),
        (NEW, {"NODE_OPTIONS": "--max_old_space_size=99"}, []),
        (NEW, {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": ""}, []),
    ],
)
def test_heap_limit_is_90_percent_of_memory_from_nodejs_18_or_the_configured_share(
    run, node, variables, flags
):
    raw = run(node, "environment", variables=variables)
    (seen,) = answers(raw)
    assert ([flag for flag in seen["flags"] if "old-space" in flag], raw.err) == (flags, "")


@pytest.mark.parametrize(
    ("variables", "flags"),
    [
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, ["--v8-pool-size=1"]),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1770"}, []),
        ({"NODE_OPTIONS": "--v8-pool-size=3"}, []),
    ],
)
def test_function_with_at_most_one_vcpu_starts_one_helper_thread(run, variables, flags):
    (seen,) = answers(run(NEW, "environment", variables=variables))
    assert [flag for flag in seen["flags"] if "pool" in flag] == flags


@pytest.mark.parametrize("percent", ["08", "all", "101", "-1", "a[$(id >&2)]"])
def test_invalid_heap_percentage_is_replaced_by_the_default_with_a_warning(run, percent):
    raw = run(NEW, "environment", variables={"NODELAYER_HEAP_PERCENT": percent})
    (seen,) = answers(raw)
    assert "--max-old-space-size=115" in seen["flags"]
    assert raw.err == "nodelayer: NODELAYER_HEAP_PERCENT is not a whole number from 0 to 100; 90 is used\n"


@pytest.mark.parametrize("size", ["a[$(id >&2)]", "0128"])
def test_invalid_memory_size_is_ignored_with_a_warning(run, size):
    raw = run(NEW, "environment", variables={"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": size})
    (seen,) = answers(raw)
    assert [flag for flag in seen["flags"] if "old-space" in flag or "pool" in flag] == []
    warning = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE is not a whole number of MB; V8's default heap limit is used"
    assert raw.err == f"nodelayer: {warning}\n"


@pytest.fixture
def wrapper(tmp_path):
    path = tmp_path / "wrapper"
    path.write_text('#!/bin/sh\nexport WRAPPED="$#"\nexec "$@"\n')
    path.chmod(0o755)
    return path


def test_exec_wrapper_starts_the_runtime(run, wrapper):
    (seen,) = answers(run(NEW, "environment", variables={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)}))
    assert seen["wrapped"] == "4"  # node, its helper threads, its heap, index.js


def test_exec_wrapper_can_start_the_bootstrap_again(run, runtimes, wrapper):
    (bootstrap,) = runtimes.client("nodelayer", NEW).line
    wrapper.write_text(f'#!/bin/sh\nexport WRAPPED="${{WRAPPED-}}once "\nexec {bootstrap}\n')
    raw = run(NEW, "environment", variables={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)})
    (seen,) = answers(raw)
    assert (seen["wrapped"], seen["own"]) == ("once ", [])


def test_start_fails_if_the_exec_wrapper_is_the_bootstrap_itself(run, runtimes):
    (bootstrap,) = runtimes.client("nodelayer", NEW).line
    raw = run(NEW, "environment", variables={"AWS_LAMBDA_EXEC_WRAPPER": bootstrap})
    assert (raw.code, "which is this bootstrap" in raw.err) == (126, True)


def test_exec_wrapper_sees_the_variables_of_a_managed_runtime(run, wrapper):
    wrapper.write_text('#!/bin/sh\nexport WRAPPED="$AWS_EXECUTION_ENV $NODE_PATH"\nexec "$@"\n')
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper), "AWS_EXECUTION_ENV": None}
    (seen,) = answers(run(NEW, "environment", variables=variables))
    assert seen["wrapped"] == f"AWS_Lambda_nodejs{NEW[:2]}.x {seen['nodePath']}"


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_a_package_json_above_the_client_does_not_change_how_it_is_loaded(run, runtimes, node):
    above = runtimes.client("nodelayer", node).folder / "package.json"
    above.write_text('{"type": "module"}')
    try:
        assert answers(run(node, "environment"))
    finally:
        above.unlink()


def test_node_on_the_path_is_the_node_of_the_layer(runtimes, tmp_path):
    opt = runtimes.client("nodelayer", OLD).folder
    shutil.copytree(ROOT / "runtime" / "bin", tmp_path / "bin")
    (tmp_path / "nodejs").symlink_to(opt / "nodejs")
    seen = subprocess.run(
        ["/bin/sh", "-c", "node -p process.version"],
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout == f"v{OLD}\n"


LAYER = {"NODE_PATH": "{function}/layer/nodejs/node_modules"}


@pytest.mark.parametrize("node", ["22.23.3", "24.21.0", "26.10.0"])
def test_import_in_commonjs_and_in_a_worker_finds_the_packages_of_layers(run, node):
    (seen,) = answers(run(node, "importsFromLayer", variables=LAYER))
    assert seen["handler"] == seen["worker"]
    assert "default" in seen["handler"]


@pytest.mark.parametrize("node", ["18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0"])
@pytest.mark.parametrize("flag", ["--import of-a-layer", "--import=of-a-layer", "--require of-a-layer"])
def test_a_package_of_a_layer_can_be_preloaded(run, node, flag):
    raw = run(node, "environment", variables={**LAYER, "NODE_OPTIONS": flag})
    assert answers(raw), raw.err


@pytest.mark.parametrize("node", ["22.23.3", "24.21.0", "26.10.0"])
def test_sqlite_of_nodejs_works(run, node):
    assert answers(run(node, "sqlite")) == [[{"name": "stored"}]]


@pytest.mark.parametrize(
    ("node", "flags"),
    [
        ("24.21.0", "--permission --allow-fs-read=*"),
        ("26.10.0", "--permission --allow-fs-read=* --allow-net"),  # 24 does not know --allow-net
    ],
)
def test_permission_model_allows_the_client_with_the_documented_flags(run, node, flags):
    assert answers(run(node, "identities", variables={"NODE_OPTIONS": flags}))


def test_permission_model_without_network_is_named_as_the_reason(run):
    raw = run("26.10.0", "identities", variables={"NODE_OPTIONS": "--permission --allow-fs-read=*"})
    assert (raw.code, "Use --allow-net" in raw.out) == (1, True)


def test_sigterm_listener_can_run_for_a_second(run):
    raw = run(NEW, "withSlowListener", linger_s=5)
    assert raw.code == 0
    assert [line.split("\t")[-1] for line in raw.out.splitlines()] == ["closing", "closed"]


def test_sigterm_during_an_invocation_does_not_lose_its_response(run):
    assert answers(run(NEW, "sigtermDuringInvocation")) == ["finished"]


def test_start_fails_if_the_exec_wrapper_is_missing_or_not_executable(run, wrapper):
    missing = run(NEW, "environment", variables={"AWS_LAMBDA_EXEC_WRAPPER": "/nowhere"})
    assert (missing.code, "/nowhere, which does not exist" in missing.err) == (127, True)
    wrapper.chmod(0o644)
    plain = run(NEW, "environment", variables={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)})
    assert (plain.code, "which is not executable" in plain.err) == (126, True)


@pytest.mark.parametrize("node", ["22.23.3", "24.21.0", "26.10.0"])
@pytest.mark.parametrize("kind", ["filled", "read-only", "cannot be made", "a file", "broken"])
def test_unusable_compile_cache_does_not_prevent_the_start(run, node, kind, tmp_path):
    folder = tmp_path / "cache"
    variables = {"NODE_COMPILE_CACHE": str(folder)}
    if kind == "cannot be made":
        folder.write_text("no folder")
        variables = {"NODE_COMPILE_CACHE": str(folder / "within")}
    elif kind == "a file":
        folder.write_text("no folder")
    elif kind != "filled":
        assert answers(run(node, "compileCache", variables=variables)) == [True]
        kept = [path for path in folder.rglob("*") if path.is_file()]
        assert kept
        for path in kept:
            if kind == "broken":
                path.write_bytes(b"nonsense" * 100)
            path.chmod(0o444)
            path.parent.chmod(0o555)
    raw = run(node, "compileCache", variables=variables)
    assert answers(raw) == [kind not in ("cannot be made", "a file")]
    assert (raw.out, raw.err) == ("", "")
