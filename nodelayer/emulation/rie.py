"""Run AWS's Runtime Interface Emulator with a layer that is unpacked in a folder, without Docker.

https://github.com/aws/aws-lambda-runtime-interface-emulator. The emulator is part of aws-sam-cli: pip
downloads that package's wheel, and rie.json pins its hash.
"""

import functools
import hashlib
import os
import re
import signal
import socket
import subprocess
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.resources import files as resources
from pathlib import Path

from nodelayer.architecture import Architecture
from nodelayer.emulation.loopback import free_ports
from nodelayer.errors import (
    FunctionError,
    InvalidInputError,
    MachineError,
    NotVerifiedError,
)
from nodelayer.util import confined, venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter
from nodelayer.util.json_text import loads
from nodelayer.util.temporary import temporary_folder

_INVOCATIONS = "/2015-03-31/functions/function/invocations"
_MARK = "NODELAYER_RUN"
"""An environment variable that every process of a run inherits, to find these processes."""
LAMBDA_VARIABLES = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_LAMBDA_FUNCTION_NAME": "function",
}
"""What Lambda sets. The function gets no variable of this machine, except those that the user names."""
_PORTS = (8080, 9001)  # of a confined emulator
_START_S = 15.0
_SLACK_S = 60.0
_PROBE_S = 5.0
_TRIES = 3
_MOST_ANSWER = 64 * 1024 * 1024
_MOST_LOG = 8 * 1024 * 1024
_TIMED_OUT = re.compile(rb"Task timed out after [\d.]+ seconds")
_OWN_LINES = re.compile(r"(START|END|REPORT|RequestId:) .*")
_INIT = re.compile(r"INIT REPORT\(durationMs: (\d+\.?\d*)\)")
_INVOKE = re.compile(r"INVOKE RTDONE\([^()\n]{0,200}duration: (\d+\.?\d*)ms\)")


@dataclass(frozen=True)
class Answer:
    """The result of an invocation.

    `payload` is what the caller gets. If it is an error, `failed` is true and `error_type` is its name.
    `logs` is what the function wrote. `init_ms` (from the start of bootstrap to its first request) and
    `duration_ms` (of the handler) are milliseconds as the emulator measured them, or None.
    """

    payload: bytes
    failed: bool
    error_type: str | None
    logs: str
    init_ms: float | None
    duration_ms: float | None


@dataclass(frozen=True)
class Sandbox:
    """The folders of an unpacked layer and of a function, the handler, and the timeout in seconds.

    `environ` are more environment variables. A `confined` sandbox has no network and sees no other files.
    """

    layer: Path
    function: Path
    handler: str
    timeout_s: int
    environ: Mapping[str, str] = field(default_factory=dict)
    confined: bool = False


def rie(architecture: Architecture, *, cache: DownloadCache, reporter: Reporter) -> Path:
    """Return the path of the emulator's program, downloaded once and verified on each use.

    Raises:
        UnreachableError: Pip cannot download it.
        NotVerifiedError: The download has another hash.
        MachineError: The disk is full or not writable.
    """
    pinned = loads((resources("nodelayer.emulation") / "rie.json").read_bytes())
    wanted = pinned["files"][architecture.name]
    with cache.lock("aws-lambda-rie", reporter):
        if cache.read(wanted["sha256"], reporter) is None:
            reporter.say(f"Downloading AWS's Runtime Interface Emulator ({pinned['package']}, by pip)")
            with cache.workspace() as folder, cache.guard():
                with reporter.work("downloading AWS's Runtime Interface Emulator (pip)"):
                    wheel = venv.wheel(f"{pinned['package']}=={pinned['version']}", folder)
                if hashlib.sha256(wheel.read_bytes()).hexdigest() != pinned["wheel_sha256"]:
                    raise NotVerifiedError(
                        "the downloaded Runtime Interface Emulator does not match its pinned hash",
                        where=wheel.name,
                        todo="try again; if it fails again, do not use this package index",
                    )
                program = folder / architecture.name
                with zipfile.ZipFile(wheel) as opened:
                    program.write_bytes(opened.read(wanted["path"]))
                program.chmod(0o755)
                cache.add(program)
    return cache.blob_path(wanted["sha256"])


def invoke_once(sandbox: Sandbox, event: bytes, *, rie: Path) -> Answer:
    """Start bootstrap under the emulator, invoke the function once, and stop every process.

    Raises:
        InvalidInputError: A folder does not exist.
        FunctionError: The function did not answer.
        MachineError: The emulator does not start.
    """
    for folder, what in ((sandbox.function, "function"), (sandbox.layer, "layer")):
        if not folder.is_dir():
            raise InvalidInputError(
                f"the folder of the {what} does not exist", where=str(folder), todo="name a folder"
            )
    with running(sandbox, rie=rie) as emulator:
        return emulator.answer(event)


def _error_type(payload: bytes, status: int) -> str | None:
    """Return the name of the error in a payload, or None.

    The emulator returns status 200 for handled errors and no error header, so the keys of the payload decide.
    An answer of the function with the same keys is therefore treated as an error.
    """
    if _TIMED_OUT.fullmatch(payload.strip()):
        return "Sandbox.Timedout"
    try:
        answer = loads(payload)
    except ValueError:
        return "Runtime.InvalidAnswer"
    if isinstance(answer, dict) and isinstance(answer.get("errorType"), str) and "errorMessage" in answer:
        return str(answer["errorType"])
    return None if status == HTTPStatus.OK else f"HTTP {status}"


def _milliseconds(pattern: re.Pattern[str], report: str) -> float | None:
    match = pattern.search(report)
    return float(match[1]) if match else None


class Emulator:
    """A running emulator on a port of this machine, or on a Unix socket. Use `running` to create one.

    `has_ended` tells whether its process has, and `output` returns what it wrote to `stdout` or `stderr`.
    """

    def __init__(
        self,
        has_ended: Callable[[], bool],
        output: Callable[[str], str],
        address: int | str,
        timeout_s: int,
    ) -> None:
        self._has_ended = has_ended
        self._output = output
        self._timeout_s = timeout_s
        self._address = address

    def answer(self, event: bytes) -> Answer:
        """Invoke the function; return its answer, logs and times. Raises FunctionError."""
        payload, status = self.invoke(event)
        # the emulator writes the times after the answer
        times = self.report(_INVOKE if status == HTTPStatus.OK else _INIT)
        error_type = _error_type(payload, status)
        return Answer(
            payload=payload,
            failed=error_type is not None,
            error_type=error_type,
            logs="".join(
                line for line in self.logs().splitlines(keepends=True) if not _OWN_LINES.match(line)
            ),
            init_ms=_milliseconds(_INIT, times),
            duration_ms=_milliseconds(_INVOKE, times),
        )

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until it answers HTTP, for an emulator behind a proxy that accepts connections before."""
        deadline = time.monotonic() + timeout_s
        while not self._has_ended() and time.monotonic() < deadline:
            with (
                suppress(OSError, HTTPException),
                closing(_connected(self._address, _PROBE_S)) as connection,
            ):
                connection.request("GET", "/")
                connection.getresponse().read()
                return
            time.sleep(0.05)

    def invoke(self, event: bytes) -> tuple[bytes, int]:
        """Invoke the function; return the payload and the HTTP status.

        Raises:
            FunctionError: The emulator ended or did not answer.
        """
        try:
            with closing(_connected(self._address, self._timeout_s + _SLACK_S)) as connection:
                connection.request("POST", _INVOCATIONS, event, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.read(_MOST_ANSWER), answer.status
        except (OSError, HTTPException) as error:
            why = "ended early" if self._has_ended() else "did not answer"
            raise FunctionError(
                f"the Runtime Interface Emulator {why}",
                where=f"{self._timeout_s} s for the function and {_SLACK_S:.0f} s for its start",
                todo=self.logs().strip()[-300:] or self.report().strip()[-300:],
            ) from error

    def logs(self) -> str:
        """Return the function's stdout and stderr, with the emulator's lines START, END and REPORT.

        Only the first 8 MB, because a function may write without end.
        """
        return self._output("stdout")

    def report(self, awaited: re.Pattern[str] | None = None) -> str:
        """Return the emulator's own output; wait up to a second for a line that matches `awaited`."""
        deadline = time.monotonic() + 1
        while True:
            text = self._output("stderr")
            if awaited is None or awaited.search(text) or time.monotonic() > deadline:
                return text
            time.sleep(0.01)


@contextmanager
def running(sandbox: Sandbox, *, rie: Path, environ: Mapping[str, str] | None = None) -> Iterator[Emulator]:
    """Start an emulator with the layer's bootstrap on free ports, and end all its processes afterwards.

    `environ` is added to the function's environment variables.

    Raises:
        MachineError: It does not start.
    """
    mark = uuid.uuid4().hex
    with temporary_folder("nodelayer-rie-") as scratch:
        home = scratch / "home"
        home.mkdir()
        variables = {
            **LAMBDA_VARIABLES,
            "HOME": str(home),
            "TMPDIR": str(home),
            **sandbox.environ,
            **(environ or {}),
            "_HANDLER": sandbox.handler,
            "LAMBDA_TASK_ROOT": str(sandbox.function.resolve()),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(sandbox.timeout_s),
            _MARK: mark,
        }
        process = None
        try:
            start = _start_confined if sandbox.confined else _start
            process, address = start(sandbox, rie, variables, scratch)
            has_ended = functools.partial(_has_ended, process)
            yield Emulator(has_ended, functools.partial(_written, scratch), address, sandbox.timeout_s)
        finally:
            _stop(mark)
            if process is not None:
                process.wait()


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    return process.poll() is not None


def _written(scratch: Path, stream: str) -> str:
    with (scratch / stream).open("rb") as file:
        return file.read(_MOST_LOG).decode("utf-8", "replace")


def _connected(address: int | str, timeout: float) -> HTTPConnection:
    """Return a connection to a port of this machine, or to a Unix socket in a folder."""
    connection = HTTPConnection("127.0.0.1", address if isinstance(address, int) else None, timeout=timeout)
    if isinstance(address, str):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        with _short(Path(address)) as path:
            connection.sock.connect(path)
    return connection


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Return another path of a Unix socket, because such paths have at most 107 bytes."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _command(sandbox: Sandbox, rie: Path, port: int, api_port: int) -> list[str]:
    command = [str(rie.resolve()), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    return [
        *command,
        "--runtime-api-address",
        f"127.0.0.1:{api_port}",
        str(sandbox.layer.resolve() / "bootstrap"),
    ]


def _started(
    command: Sequence[str], cwd: Path, environ: Mapping[str, str], scratch: Path, sockets: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    with (scratch / "stdout").open("wb") as out, (scratch / "stderr").open("wb") as err:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environ,
                cwd=cwd,
                pass_fds=sockets,
                start_new_session=True,
            )
        except OSError as error:
            raise MachineError(
                f"the Runtime Interface Emulator cannot be started ({error.strerror})",
                where=command[0],
                todo="check that this machine can execute this file",
            ) from error


def _start_confined(
    sandbox: Sandbox, rie: Path, environ: Mapping[str, str], scratch: Path
) -> tuple["subprocess.Popen[bytes]", int | str]:
    """Start the emulator in namespaces of its own, where each port is free; a Unix socket leads to it."""
    path = scratch / "invocations"
    ours, ready = socket.socketpair()
    with ours, ready, socket.socket(socket.AF_UNIX) as listener:
        with _short(path) as short:
            listener.bind(short)
        listener.listen()
        sockets = (listener.fileno(), ready.fileno())
        command = confined.command(
            _command(sandbox, rie, *_PORTS),
            scratch=scratch,
            read_only=(sandbox.layer, sandbox.function, rie),
            port=_PORTS[0],
            sockets=sockets,
        )
        process = _started(command, sandbox.function, environ, scratch, sockets)
        ready.close()
        ours.settimeout(_START_S)
        with suppress(OSError):
            if ours.recv(1):
                return process, str(path)
    process.kill()
    process.wait()
    raise _not_started(scratch)


def _start(
    sandbox: Sandbox, rie: Path, environ: Mapping[str, str], scratch: Path
) -> tuple["subprocess.Popen[bytes]", int | str]:
    for _ in range(_TRIES):  # another program may take a free port before the emulator does
        port, api_port = free_ports(2)
        process = _started(_command(sandbox, rie, port, api_port), sandbox.function, environ, scratch)
        deadline = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return process, port
            time.sleep(0.005)
        process.kill()
        process.wait()
    raise _not_started(scratch)


def _not_started(scratch: Path) -> MachineError:
    last = _written(scratch, "stderr").strip().splitlines()
    return MachineError("the Runtime Interface Emulator does not start", todo=last[-1] if last else "")


def _stop(mark: str) -> None:
    """Kill every process with this mark, until there is none.

    The emulator starts the runtime in another process group, and a function may start processes too; only the
    inherited variable identifies them all.
    """
    wanted = f"{_MARK}={mark}".encode()
    for _ in range(100):
        found = False
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(0.01)
