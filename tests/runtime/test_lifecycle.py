"""What goes on around invocations: start, shutdown, the word before a time-out, several at once."""

import json
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from runtime.runtime_api import Event, Wire, request_id

from runtime import clients

pytestmark = pytest.mark.network

OLDEST, NEWEST = "12.16.1", "26.10.0"
FIRST_SEVERAL = "14.21.3"
"""The oldest here with AsyncLocalStorage."""
FIRST_TIMERS = 16
"""Before it Node.js does not tell of its timers."""
BOTH = [OLDEST, NEWEST]
SEVERAL = {"AWS_LAMBDA_MAX_CONCURRENCY": "10", "AWS_LAMBDA_NODEJS_WORKER_COUNT": "2"}


@pytest.fixture
def run(runtimes):
    """Run a handler of lifecycle.js, and give back all that came of it."""

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


@pytest.mark.parametrize("node", BOTH)
def test_without_a_listener_sigterm_ends_the_process_at_once(run, node):
    raw = run(node, "unprepared", linger_s=5)
    assert raw.code == -15


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_a_listener_of_sigterm_is_given_time_and_the_process_ends_when_it_is_done(run, node):
    raw = run(node, "prepared", linger_s=5, variables={"NODELAYER_SHUTDOWN_MS": "60000"})
    assert raw.code == 0
    assert [line.split("\t")[-1] for line in raw.out.splitlines()] == ["closing", "closed"]


@pytest.mark.parametrize("node", BOTH)
def test_what_a_listener_of_sigterm_begins_without_end_is_ended(run, node):
    assert run(node, "endless", linger_s=5).code == 0


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_what_keeps_the_event_loop_busy_is_named_before_the_time_out(run, node):
    variables = {"NODELAYER_TIMEOUT_WARNING_MS": "1500"}
    raw = run(node, "busy", limit_s=3, deadline_s=2.0, variables=variables)
    (line,) = [line for line in raw.out.splitlines() if "times out in" in line]
    assert "\tWARN\t" in line
    assert request_id(1) in line
    assert "connection to 127.0.0.1:" in line
    assert "server" in line
    assert ("timer" in line) == (int(node.partition(".")[0]) >= FIRST_TIMERS)


@pytest.mark.parametrize("node", BOTH)
def test_nobody_hears_of_busy_loops_who_did_not_ask(run, node):
    assert run(node, "busy", limit_s=2.5, deadline_s=2.0).out == ""


@pytest.mark.parametrize("node", clients.EVERY_MAJOR[1:])
def test_several_invocations_at_once_keep_their_own_identity(run, node):
    events = [Event(headers={"Lambda-Runtime-Aws-Tenant-Id": f"tenant-{number}"}) for number in range(6)]
    raw = run(node, "identities", events, variables=SEVERAL, linger_s=1)
    ids = [request_id(number + 1) for number in range(6)]
    told = sorted(answers(raw), key=lambda answer: answer["context"])
    assert [answer["context"] for answer in told] == ids
    assert all(answer["store"] == [answer["context"]] * 2 for answer in told)
    assert [answer["tenant"] for answer in told] == [f"tenant-{number}" for number in range(6)]
    assert sorted(line.split("\t")[1] for line in raw.out.splitlines()) == ids


class LogSocket:
    """The other end of _LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET; hangs up after `most` bytes, if given."""

    def __init__(self, folder, most=None):
        self.path = str(folder / "log.sock")
        self.connections = []
        self._most = most
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
            while self._most is None or len(into) < self._most:
                came = connection.recv(4096)
                if not came:
                    return
                into += came

    def lines(self):
        """All that came, by connection; to be called when the client is gone."""
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


@pytest.mark.parametrize("node", [FIRST_SEVERAL, NEWEST])
def test_with_several_at_once_each_worker_writes_json_lines_to_the_socket_that_lambda_names(
    run, node, socket_folder
):
    log = LogSocket(socket_folder)
    variables = {**SEVERAL, "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": log.path}
    raw = run(node, "identities", [Event() for _ in range(6)], variables=variables, linger_s=1)
    assert raw.out == ""
    lines = [line for each in log.lines() for line in each]
    assert {(line["level"], line["message"]) for line in lines} == {("INFO", "seen")}
    assert sorted(line["requestId"] for line in lines) == [request_id(number + 1) for number in range(6)]


def test_without_anyone_at_the_log_socket_lines_go_to_stdout_and_one_says_why(run, socket_folder):
    path = str(socket_folder / "nobody.sock")
    variables = {
        **SEVERAL,
        "AWS_LAMBDA_NODEJS_WORKER_COUNT": "1",
        "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": path,
    }
    raw = run(NEWEST, "identities", [Event(), Event()], variables=variables, linger_s=1)
    told = [json.loads(line)["message"] for line in raw.out.splitlines()]
    why = f"no connection to the log socket {path} (ENOENT): lines go to stdout from here on"
    assert sorted(told) == sorted(["seen", "seen", why, why])  # one of each thread


def test_when_the_log_socket_closes_no_line_is_lost(run, socket_folder):
    log = LogSocket(socket_folder, most=1)
    variables = {
        **SEVERAL,
        "AWS_LAMBDA_NODEJS_WORKER_COUNT": "1",
        "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": log.path,
    }
    raw = run(NEWEST, "spaced", [Event()], variables=variables, linger_s=1)
    (lines,) = log.lines()
    assert [line["message"] for line in lines] == ["first"]
    told = [json.loads(line)["message"] for line in raw.out.splitlines()]
    assert told[-1] == "second"
    assert any("was closed" in message for message in told)


def test_callbacks_and_streams_work_with_several_at_once_too(run):
    called = answers(run(NEWEST, "calledBack", [Event(b"1"), Event(b"2")], variables=SEVERAL, linger_s=1))
    assert sorted(called, key=lambda each: each["event"]) == [
        {"event": 1},
        {"event": 2},
    ]
    streams = run(NEWEST, "streamed", [Event(), Event()], variables=SEVERAL, linger_s=1).api.received
    bodies = [bytes(each.body) for each in streams if each.path.endswith("/response")]
    assert bodies == [b"one two"] * 2


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_a_stream_answers_its_own_invocation_whatever_the_handler_writes_into_its_context(run, node):
    (answer,) = [each for each in run(node, "renamed").api.received if each.path.endswith("/response")]
    assert f"/{request_id(1)}/" in answer.path


def test_a_worker_that_crashes_tells_its_caller_and_is_replaced(run):
    raw = run(NEWEST, "crashing", [Event() for _ in range(4)], variables=SEVERAL, linger_s=2)
    assert raw.done
    assert [error["errorMessage"] for error in errors(raw)] == ["in a worker"] * 4


def test_where_several_at_once_cannot_be_told_apart_the_start_fails_and_says_so(run):
    raw = run(OLDEST, "identities", variables=SEVERAL, linger_s=1)
    (error,) = errors(raw)
    assert error["errorType"] == "Runtime.ConcurrencyNotSupported"
    assert "12.17" in error["errorMessage"]
    assert raw.code == 129


def test_an_invocation_that_comes_while_a_worker_crashes_is_told_too(run):
    events = [Event(answered=(Wire(late_s=0.6),)), Event(asked=(Wire(late_s=0.2),))]
    variables = {**SEVERAL, "AWS_LAMBDA_NODEJS_WORKER_COUNT": "1"}
    raw = run(NEWEST, "crashing", events, variables=variables, linger_s=1.5)
    assert [error["errorMessage"] for error in errors(raw)] == ["in a worker"] * 2


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_the_function_finds_the_surroundings_of_a_managed_runtime(run, node):
    (seen,) = answers(run(node, "surroundings"))
    major = node.partition(".")[0]
    assert seen["nodePath"] == (
        f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:"
        "/var/runtime:/var/task"
    )
    assert seen["path"].split(":")[0].endswith("/nodejs/bin")
    assert seen["gc"] == "function"


def test_a_node_path_of_the_functions_own_is_kept(run):
    (seen,) = answers(run(NEWEST, "surroundings", variables={"NODE_PATH": "/somewhere"}))
    assert seen["nodePath"] == "/somewhere"


@pytest.mark.parametrize(
    ("node", "variables", "flags"),
    [
        (OLDEST, {}, []),
        (OLDEST, {"NODELAYER_HEAP_PERCENT": "75"}, ["--max-old-space-size=96"]),
        ("18.20.8", {}, ["--max-old-space-size=115"]),
        (NEWEST, {}, ["--max-old-space-size=115"]),
        (NEWEST, {"NODELAYER_HEAP_PERCENT": "75"}, ["--max-old-space-size=96"]),
        (NEWEST, {"NODELAYER_HEAP_PERCENT": "0"}, []),
        (NEWEST, {"NODELAYER_HEAP_PERCENT": "all"}, []),
        (NEWEST, {"NODE_OPTIONS": "--max-old-space-size=99"}, []),
        (NEWEST, {"NODE_OPTIONS": "--max_old_space_size=99"}, []),
        (NEWEST, {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": ""}, []),
    ],
)
def test_the_heap_has_nine_tenths_of_the_memory_from_18_on_or_what_a_variable_says(
    run, node, variables, flags
):
    (seen,) = answers(run(node, "surroundings", variables=variables))
    assert seen["heap"] == flags


@pytest.fixture
def wrapper(tmp_path):
    path = tmp_path / "wrapper"
    path.write_text('#!/bin/sh\nexport WRAPPED="$#"\nexec "$@"\n')
    path.chmod(0o755)
    return path


def test_an_exec_wrapper_starts_the_runtime(run, wrapper):
    (seen,) = answers(run(NEWEST, "surroundings", variables={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)}))
    assert seen["wrapped"] == "3"  # node, its heap, index.js


def test_an_exec_wrapper_that_is_missing_or_not_executable_ends_the_start(run, wrapper):
    missing = run(NEWEST, "surroundings", variables={"AWS_LAMBDA_EXEC_WRAPPER": "/nowhere"})
    assert (missing.code, "/nowhere, which does not exist" in missing.err) == (127, True)
    wrapper.chmod(0o644)
    plain = run(NEWEST, "surroundings", variables={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)})
    assert (plain.code, "which is not executable" in plain.err) == (126, True)


@pytest.mark.parametrize("node", ["22.23.3", "24.21.0", "26.10.0"])
@pytest.mark.parametrize("kind", ["filled", "read-only", "cannot be made", "a file", "broken"])
def test_a_compile_cache_never_keeps_a_function_from_starting(run, node, kind, tmp_path):
    folder = tmp_path / "cache"
    variables = {"NODE_COMPILE_CACHE": str(folder)}
    if kind == "cannot be made":
        folder.write_text("no folder")
        variables = {"NODE_COMPILE_CACHE": str(folder / "within")}
    elif kind == "a file":
        folder.write_text("no folder")
    elif kind != "filled":
        assert answers(run(node, "compiled", variables=variables)) == [True]
        kept = [path for path in folder.rglob("*") if path.is_file()]
        assert kept
        for path in kept:
            if kind == "broken":
                path.write_bytes(b"nonsense" * 100)
            path.chmod(0o444)
            path.parent.chmod(0o555)
    raw = run(node, "compiled", variables=variables)
    assert answers(raw) == [kind not in ("cannot be made", "a file")]
    assert (raw.out, raw.err) == ("", "")
