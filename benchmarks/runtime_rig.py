"""Common parts of the runtime client benchmarks: C programs, layers, peers, and clients under load."""

import json
import os
import random
import shutil
import string
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import measure

from nodelayer.errors import NodelayerError, NotFoundError
from nodelayer.layer import archive
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

HERE = Path(__file__).resolve().parent / "programs"
HANDLER = "echo.handler"
OURS = "nodelayer"
FLOOR, PIPELINED_FLOOR = "C, request after reply", "C, pipelined"
EMPTY = "node empty.js"
TEXT, RECORDS = "text", "records"


class RunError(NodelayerError):
    """A client did not behave as a runtime client."""


@dataclass(frozen=True)
class Peer:
    """A version of AWS's client, the major Node.js versions it supports, and its arguments."""

    version: str
    majors: range
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """Package and version, for people."""
        return f"aws-lambda-ric {self.version}"

    @property
    def package(self) -> str:
        """Package and version, for npm."""
        return f"aws-lambda-ric@{self.version}"


RIC = Peer("4.0.2", range(22, 1000), ("aws-lambda-ric/index.mjs",))
PEERS = (RIC, Peer("3.3.0", range(16, 22), ("aws-lambda-ric/bin/index.mjs", HANDLER)))


@dataclass(frozen=True)
class Client:
    """A program to measure."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Burst:
    """Nanoseconds of `cycles` sequential invocations, and from spawn to the first request and answer."""

    pid: int
    first_get_ns: int
    first_answer_ns: int
    cycles: int
    total_ns: int

    @property
    def us(self) -> float:
        """Microseconds for each invocation."""
        return self.total_ns / self.cycles / 1000

    @property
    def resident_mb(self) -> float:
        """Resident memory of the idle client in MB, from /proc/<pid>/status."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS:"))


class Session:
    """A running client that gets bursts of events."""

    def __init__(self, process: "subprocess.Popen[str]", client: str, log: Path) -> None:
        """Take the process of api.c, the name of the client, and the file with the client's output."""
        self._process = process
        self.client = client
        self._log = log

    def burst(self, cycles: int) -> Burst:
        """Let the client answer cycles + 1 events.

        Raises:
            RunError: The client ended, or sent a wrong request.

        """
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("stdin and stdout must be pipes")
        try:
            self._process.stdin.write(f"{cycles + 1}\n")
            self._process.stdin.flush()
        except OSError:
            pass  # the client has failed; its output has the reason
        line = self._process.stdout.readline()
        if not line:
            _, reason = self._process.communicate()
            output = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
            raise RunError(
                f"{self.client}: {reason.strip()}", todo=f"its output is: {output.strip() or 'empty'}"
            )
        return Burst(**json.loads(line))


class Rig:
    """Compiles, builds and installs programs below `folder`, each once."""

    def __init__(self, folder: Path) -> None:
        """Compile the C programs.

        Raises:
            NodelayerError: There is no C compiler, or it fails.

        """
        self._folder = folder
        named = os.environ.get("NODELAYER_CACHE_DIR")
        self._cache = DownloadCache(Path(named) if named else None)
        self._sessions = 0
        self._task = folder / "task"
        self._task.mkdir()
        shutil.copy(HERE / "echo.js", self._task)
        if shutil.which("gcc") is None:
            raise NotFoundError("gcc is not installed", where="PATH", todo="install gcc")
        for name in ("api", "floor"):
            measure.seconds(["gcc", "-Wall", "-Wextra", "-O2", "-o", folder / name, HERE / f"{name}.c"])

    def floors(self) -> list[Client]:
        """Return the minimal clients in C."""
        floor = str(self._folder / "floor")
        return [Client(FLOOR, (floor,)), Client(PIPELINED_FLOOR, (floor, "pipelined"))]

    def ours(self, version: str) -> Client:
        """Return the runtime client of a layer with this Node.js version."""
        return Client(OURS, (str(self.layer(version) / "bootstrap"),))

    def peers(self, version: str) -> list[Client]:
        """Return AWS's client for this Node.js version, started by a shell as ours is."""
        clients = []
        for peer in PEERS:
            if int(version.split(".", maxsplit=1)[0]) in peer.majors:
                entry, *arguments = peer.arguments
                script = self._folder / f"start-{version}-{peer.version}"
                command = [
                    str(self._node(version)),
                    str(self.installed(peer.package, peer.package) / entry),
                    *arguments,
                ]
                script.write_text(f"#!/bin/sh\nexec {' '.join(command)}\n", encoding="utf-8")
                script.chmod(0o755)
                clients.append(Client(peer.name, (str(script),)))
        return clients

    def event(self, size: int, shape: str) -> Path:
        """Return a file with an event of `size` bytes, formatted as by JSON.stringify.

        `text` is one long string, like a body from API Gateway; `records` is a list of small objects.
        """
        path = self._folder / f"event-{shape}-{size}.json"
        if path.exists():  # another client may be reading it
            return path
        chance = random.Random(size)  # noqa: S311 - the same event each time, and no secret
        value: dict[str, object] = (
            {"message": "".join(chance.choices(string.ascii_letters, k=size - len('{"message":""}')))}
            if shape == TEXT
            else {"records": [_record(chance) for _ in range(size // len(_json(_record(chance))))]}
        )
        path.write_text(_json(value), encoding="ascii")
        return path

    @contextmanager
    def session(self, client: Client, size: int, shape: str = TEXT) -> Iterator[Session]:
        """Start a client for bursts, and end it at the end of the block."""
        self._sessions += 1
        log = self._folder / f"log-{self._sessions}"
        event = self.event(size, shape)
        with serve(self.api(client, event, log), client.name, log, self.environ(), self._task) as session:
            yield session

    def api(self, client: Client, event: Path, log: Path) -> list[str]:
        """Return the command line that serves events to a client."""
        return [str(self._folder / "api"), "--event", str(event), "--log", str(log), "--", *client.command]

    def empty_ms(self, version: str) -> float:
        """Return the milliseconds from spawn to exit of an empty Node.js program."""
        done = subprocess.run(
            [self._folder / "api", "--until-exit", "--", self._node(version), HERE / "empty.js"],
            capture_output=True,
            check=True,
            cwd=self._task,
            env=self.environ(),
        )
        return float(json.loads(done.stdout)["exit_ns"]) / 1e6

    def dist(self, version: str) -> Path:
        """Return the folder with the built layer."""
        self.layer(version)
        return self._folder / f"dist-{version}"

    def layer(self, version: str) -> Path:
        """Return a folder with the content of /opt from a layer."""
        folder = self._folder / f"opt-{version}"
        if not folder.exists():
            out = self._folder / f"dist-{version}"
            flags = (f"--node={version}", f"--out={out}", "--builder=local", "--compression=fast")
            measure.seconds(measure.invoke("build-layer", *flags))
            archive.unpack(archive.read(next(out.glob("*.zip"))), folder)
        return folder

    def _node(self, version: str) -> Path:
        return self.layer(version) / "nodejs" / "bin" / "node"

    def installed(self, name: str, *packages: str) -> Path:
        """Install packages with npm, which compiles their add-ons, once; return their node_modules."""

        def install(folder: Path) -> None:
            flags = ["--no-audit", "--no-fund", "--no-package-lock", f"--prefix={folder}"]
            measure.seconds(["npm", "install", *flags, *packages], cwd=folder)

        folder, _ = venv.kept(name, install, cache=self._cache, reporter=Reporter(), folder="benchmarks")
        return folder / "node_modules"

    def environ(self) -> dict[str, str]:
        """Return Lambda's variables only: others change the result, for example NODE_EXTRA_CA_CERTS."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(self._task),
            "_HANDLER": HANDLER,
        }


@contextmanager
def serve(
    command: Sequence[str | Path], client: str, log: Path, environ: Mapping[str, str], cwd: Path | None = None
) -> Iterator[Session]:
    """Run the command line of `Rig.api`, and end it at the end of the block."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environ,
    )
    with process:
        try:
            yield Session(process, client, log)
        finally:
            if process.stdin is not None:
                process.stdin.close()


def _record(chance: random.Random) -> dict[str, object]:
    return {
        "id": f"{chance.getrandbits(64):016x}",
        "name": "".join(chance.choices(string.ascii_lowercase, k=12)),
        "price": chance.randrange(10000, 99999),
        "inStock": chance.choice([True, False]),
        "tags": chance.choices(["new", "sale", "used", "rare"], k=2),
    }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
