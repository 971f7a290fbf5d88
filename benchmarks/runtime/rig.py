"""What the runtime benchmarks stand on: C programs, layers, peers, and a client under load."""

import json
import os
import random
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nodelayer import architecture
from nodelayer.errors import MachineError, NodelayerError, NotFoundError
from nodelayer.layer import archive, contents
from nodelayer.node.sources.base import SourceContext
from nodelayer.node.sources.registry import open_source
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
HANDLER = "echo.handler"
OURS = "nodelayer"
FLOOR = "C, request after reply"
PIPELINED_FLOOR = "C, pipelined"
EMPTY = "node empty.js"
TEXT, RECORDS = "text", "records"


class RunError(NodelayerError):
    """A client did not do what a runtime client does."""

    code = 1


@dataclass(frozen=True)
class Peer:
    """A runtime client that npm has.

    `arguments` follow the node binary; {modules} is its node_modules. `majors`: the Node.js it is for.
    """

    name: str
    package: str
    version: str
    arguments: tuple[str, ...]
    majors: range
    environ: Mapping[str, str] = field(default_factory=dict)


RIC = Peer(
    "aws-lambda-ric 4.0.2",
    "aws-lambda-ric",
    "4.0.2",
    ("{modules}/aws-lambda-ric/index.mjs",),
    range(22, 1000),
)
PEERS = (
    RIC,
    Peer(
        "aws-lambda-ric 4.0.2, its client in JavaScript",
        "aws-lambda-ric",
        "4.0.2",
        ("{modules}/aws-lambda-ric/index.mjs",),
        range(22, 1000),
        {"AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1": "true"},
    ),
    Peer(
        "aws-lambda-ric 3.3.0",
        "aws-lambda-ric",
        "3.3.0",
        ("{modules}/aws-lambda-ric/bin/index.mjs", HANDLER),
        range(16, 22),
    ),
    Peer(
        "aws-lambda-node-runtime 0.1.0",
        "aws-lambda-node-runtime",
        "0.1.0",
        ("{modules}/.bin/aws-lambda-node-runtime", HANDLER),
        range(1000),
    ),
)


@dataclass(frozen=True)
class Client:
    """A program to put under load, and what its environment has beyond Lambda's."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Burst:
    """Nanoseconds: of `cycles` invocations one after the other, and from spawn to the very first."""

    pid: int
    first_get_ns: int
    first_answer_ns: int
    cycles: int
    total_ns: int
    cpu_ns: int
    p50_ns: int
    p99_ns: int

    @property
    def us(self) -> float:
        """Microseconds an invocation."""
        return self.total_ns / self.cycles / 1000

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time an invocation, all threads of the client."""
        return self.cpu_ns / self.cycles / 1000


class Session:
    """A client that has been started and is fed in bursts."""

    def __init__(self, process: "subprocess.Popen[str]", name: str, log: Path) -> None:
        self._process = process
        self._name = name
        self._log = log

    def burst(self, cycles: int) -> Burst:
        """Let the client answer cycles + 1 events. Raises RunError where it does anything else."""
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(f"{cycles + 1}\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has failed, which its output says
        line = self._process.stdout.readline()
        if not line:
            raise self._error()
        return Burst(**json.loads(line))

    def _error(self) -> RunError:
        _, said = self._process.communicate()
        output = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
        return RunError(f"{self._name}: {said.strip()}", todo=f"it printed: {output.strip() or 'nothing'}")


class Rig:
    """Compiles, fetches and installs what is asked for, once, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reporter = Reporter()
        named = os.environ.get("NODELAYER_CACHE_DIR")
        self._cache = DownloadCache(Path(named) if named else None)
        self._source = open_source("auto", SourceContext(self._cache, self._reporter, os.environ))
        self._task = folder / "task"
        self._task.mkdir()
        self._sessions = 0
        shutil.copy(HERE / "echo.js", self._task)
        self.left_out: list[str] = []
        self.client = contents.client(ROOT / "runtime")
        """The runtime client as it was when the benchmark began; others may edit the folder meanwhile."""

    def compile(self) -> None:
        """Make the C programs. Raises NotFoundError without a compiler, MachineError where it fails."""
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise NotFoundError("no C compiler", where="PATH", todo="install gcc, which this benchmark needs")
        for name in ("api", "floor"):
            command: list[str | Path] = [
                compiler,
                "-Wall",
                "-Wextra",
                "-O2",
                "-o",
                self._folder / name,
                HERE / f"{name}.c",
            ]
            if subprocess.run(command, check=False).returncode:
                raise MachineError(f"{name}.c does not compile", where=compiler, todo="see above")

    def floors(self) -> list[Client]:
        floor = str(self._folder / "floor")
        return [Client(FLOOR, (floor,)), Client(PIPELINED_FLOOR, (floor, "pipelined"))]

    def layer(self, version: str) -> Path:
        """A folder with what would be /opt: the runtime client and this Node.js. Raises NodelayerError."""
        folder = self._folder / f"opt-{version}"
        if not folder.exists():
            host = architecture.of_host()
            if host is None:
                raise MachineError(
                    "no Lambda layer runs on this machine", todo="use Linux on x86_64 or arm64"
                )
            layer = contents.assemble(ROOT / "runtime", self._source.fetch(version, host))
            node = [entry for entry in layer if entry.path.startswith("nodejs/")]
            archive.unpack([*self.client, *node], folder)
        return folder

    def node(self, version: str) -> Path:
        return self.layer(version) / "nodejs" / "bin" / "node"

    def empty(self, version: str) -> tuple[str, ...]:
        return (str(self.node(version)), str(HERE / "empty.js"))

    def ours(self, version: str) -> Client:
        return Client(OURS, (str(self.layer(version) / "bootstrap"),))

    def peers(self, version: str) -> list[Client]:
        """The peers for this Node.js that npm has and that run here; `left_out` says why not the others."""
        clients = []
        for peer in PEERS:
            if int(version.split(".", maxsplit=1)[0]) not in peer.majors:
                continue
            modules = self._installed(peer)
            if modules is None:
                continue
            client = self._started_as_bootstrap(peer, self.node(version), modules)
            try:
                with self.session(client, self.event(20)) as session:
                    session.burst(3)
            except RunError as error:
                self._leave_out(f"{peer.name} on Node.js {version}: {error.what}")
            else:
                clients.append(client)
        return clients

    def event(self, size: int, shape: str = TEXT) -> Path:
        """A file with an event of `size` bytes, the JSON that JavaScript makes of it again.

        `text` is one long string, as API Gateway hands a body over; `records` is a list of small objects.
        """
        path = self._folder / f"event-{shape}-{size}.json"
        if not path.exists():
            data = _text(size) if shape == TEXT else _records(size)
            if len(data) != size:
                raise AssertionError(f"an event of {len(data)} bytes instead of {size}")
            path.write_text(data, encoding="ascii")
        return path

    @contextmanager
    def session(self, client: Client, event: Path, *options: str) -> Iterator[Session]:
        """The client, started and waiting for its first burst; gone afterwards. `options` are api.c's."""
        self._sessions += 1
        log = self._folder / f"log-{self._sessions}"
        process = subprocess.Popen(
            [self._folder / "api", "--event", event, "--log", log, *options, "--", *client.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._task,
            env=self._environ(client.environ),
        )
        with process:
            try:
                yield Session(process, client.name, log)
            finally:
                if process.stdin is not None:
                    process.stdin.close()

    def exit_ns(self, command: tuple[str, ...]) -> int:
        """From spawn to exit. Raises RunError."""
        done = subprocess.run(
            [self._folder / "api", "--until-exit", "--", *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._task,
            env=self._environ({}),
        )
        if done.returncode:
            raise RunError(f"{' '.join(command)}: {done.stderr.strip()}")
        return int(json.loads(done.stdout)["exit_ns"])

    def _environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """What Lambda sets, and nothing of this machine's: NODE_EXTRA_CA_CERTS alone would double a start."""
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
            **more,
        }

    def _started_as_bootstrap(self, peer: Peer, node: Path, modules: Path) -> Client:
        """The peer behind a two-line shell script, because ours is started by one as well."""
        version = node.parent.parent.parent.name
        script = self._folder / f"start-{version}-{PEERS.index(peer)}"
        arguments = " ".join(f"'{argument.format(modules=modules)}'" for argument in peer.arguments)
        script.write_text(f"#!/bin/sh\nexec '{node}' {arguments}\n", encoding="utf-8")
        script.chmod(0o755)
        return Client(peer.name, (str(script),), peer.environ)

    def _installed(self, peer: Peer) -> Path | None:
        """The node_modules of the peer, installed by npm into the cache if need be; None where npm cannot."""
        what = f"{peer.package}@{peer.version}"
        folder = self._cache.root / "benchmarks" / what
        if any(what in reason for reason in self.left_out):
            return None
        with self._cache.lock(f"benchmark-{what}", self._reporter):
            if not folder.exists():
                self._reporter.say(f"npm installs {what}; a native addon may take minutes to build")
                folder.parent.mkdir(parents=True, exist_ok=True)
                with self._cache.workspace() as scratch:
                    error = _npm_install(what, scratch)
                    if error:
                        self._leave_out(f"{what}: {error}")
                        return None
                    scratch.rename(folder)
        return folder / "node_modules"

    def _leave_out(self, reason: str) -> None:
        self.left_out.append(reason)
        self._reporter.warn(f"left out: {reason}")


def _npm_install(what: str, folder: Path) -> str:
    """Empty, or why there is no package."""
    if shutil.which("npm") is None:
        return "no npm on PATH"
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", f"--prefix={folder}", what]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    if "E404" in done.stderr:
        return "npm does not have it"
    print(done.stderr[-3000:], file=sys.stderr)
    return "npm cannot install it; its addon needs make, cmake, autoconf, automake, libtool and g++"


def _text(size: int) -> str:
    frame = '{"message":"%s"}'
    letters = string.ascii_letters + string.digits + "+/"
    chance = random.Random(size)  # noqa: S311 - the same event each time, and no secret
    return frame % "".join(chance.choices(letters, k=size - len(frame) + 2))


def _records(size: int) -> str:
    chance = random.Random(size)  # noqa: S311
    records = []
    left = size - len('{"records":[],"rest":""}')
    while left > 200:  # noqa: PLR2004 - more than the longest record
        record = json.dumps(
            {
                "id": f"{chance.getrandbits(64):016x}",
                "name": "".join(chance.choices(string.ascii_lowercase, k=12)),
                "price": chance.randrange(1, 99999),
                "inStock": chance.random() < 0.5,  # noqa: PLR2004
                "tags": chance.choices(["new", "sale", "used", "rare"], k=2),
            },
            separators=(",", ":"),
        )
        records.append(record)
        left -= len(record) + 1
    joined = ",".join(records)
    rest = size - len('{"records":[],"rest":""}') - len(joined)
    return f'{{"records":[{joined}],"rest":"{"x" * rest}"}}'
