"""Cold starts with and without a code cache, which `code-cache` writes, and of AWS's client.

Functions: `small` returns its event; `express bundle` uses express and lodash, minified by esbuild for
Node.js 12; `bundle` and `ES module bundle` use four clients of the AWS SDK and zod, too; `modules` is the
same without a bundler, about 270 files. These three need Node.js 22.8 for a code cache. Each
start mounts the function at /var/task and the layer at /opt, as Lambda does, so this script needs root. A
control group limits the processor time to 0.3 of a core, as Lambda does for about 512 MB.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import measure
from measure import Rounds, Table
from runtime_rig import OURS, RIC, TEXT, Client, Rig, Session, serve

from nodelayer.errors import NodelayerError
from nodelayer.node.versions import sort_key

NODES = ("12.16.1", "18.20.8", "22.23.3", "24.21.0", "26.10.0")
PACKAGES = (
    *(f"@aws-sdk/{name}@3.1169.0" for name in ("client-s3", "client-dynamodb", "client-sqs", "client-sns")),
    *("express@4.22.3", "lodash@4.18.1", "zod@4.6.7", "esbuild@0.28.2"),
)
SOURCE = """
import { S3Client } from '@aws-sdk/client-s3';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SQSClient } from '@aws-sdk/client-sqs';
import { SNSClient } from '@aws-sdk/client-sns';
import express from 'express';
import lodash from 'lodash';
import { z } from 'zod';
export const clients = [new S3Client({}), new DynamoDBClient({}), new SQSClient({}), new SNSClient({})];
express().get('/', (request, response) => response.send('ok'));
const schema = z.looseObject({});
export const handler = async (event) => lodash.cloneDeep(schema.parse(event));
"""
EXPRESS = """
import express from 'express';
import lodash from 'lodash';
express().get('/', (request, response) => response.send('ok'));
export const handler = async (event) => lodash.cloneDeep(event);
"""
REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
WITHOUT = "nodelayer without"
LIMITS = {WITHOUT: 0.8, RIC.name: 0.7}
SMALL = 20
PERIOD_US = 20_000
MOUNT = """set -e
mount -t tmpfs bench "$1"; mkdir "$1/task"; mount --bind "$2" "$1/task"
mount --bind "$3" /opt; mount --rbind "$1" /var
cd /var/task; shift 3; exec "$@"
"""
ENTER = '[ -z "$1" ] || echo $$ >"$1"; shift; exec "$@"'


class Functions:
    """The functions with and without a code cache, and starts of clients with them."""

    def __init__(self, folder: Path, rig: Rig) -> None:
        """Install the packages and bundle the functions."""
        self._folder = folder
        self._rig = rig
        packages = rig.installed("code-cache-functions", *PACKAGES)
        source, express = folder / "source.mjs", folder / "express.mjs"
        source.write_text(SOURCE, encoding="utf-8")
        express.write_text(EXPRESS, encoding="utf-8")
        (folder / "node_modules").symlink_to(packages)
        esbuild = [str(packages / "esbuild" / "bin" / "esbuild"), "--platform=node", "--log-level=error"]
        build = [*esbuild, str(source), "--target=node22"]
        bundle = [*build, "--bundle", "--minify"]
        self._names: list[str] = []
        small = self._new("small") / "echo.js"
        small.write_text("exports.handler = async (event) => event;\n", encoding="utf-8")
        out = f"--outfile={self._new('express bundle') / 'echo.js'}"
        measure.seconds(
            [*esbuild, str(express), "--target=node12", "--bundle", "--minify", "--format=cjs", out]
        )
        measure.seconds([*bundle, "--format=cjs", f"--outfile={self._new('bundle') / 'echo.js'}"])
        module = self._new("ES module bundle") / "echo.mjs"
        measure.seconds([*bundle, "--format=esm", f"--banner:js={REQUIRE}", f"--outfile={module}"])
        modules = self._new("modules")
        measure.seconds([*build, "--format=cjs", f"--outfile={modules / 'echo.js'}"])
        shutil.copytree(packages, modules / "node_modules", ignore=shutil.ignore_patterns("*esbuild", ".bin"))
        self._event = rig.event(SMALL, TEXT)

    def _new(self, name: str) -> Path:
        self._names.append(name)
        path = self._folder / "without" / name
        path.mkdir(parents=True)
        return path

    def names(self, version: str) -> list[str]:
        """Return the functions that a version of Node.js can have a code cache for."""
        return self._names if sort_key(version) >= sort_key("22.8.0") else self._names[:2]

    def write(self, version: str) -> None:
        """Write the code caches for a version of Node.js."""
        for name in self.names(version):
            function = self._folder / version / name
            shutil.copytree(self._folder / "without" / name, function)
            flags = (f"--function={function}", f"--node={version}", "--handler=echo.handler")
            out = f"--out={self._rig.dist(version)}"
            measure.seconds(measure.invoke("code-cache", *flags, f"--event={self._event}", out))

    def starts(self, name: str, version: str, rounds: int, group: str) -> tuple[Rounds, Rounds]:
        """Start each client with a function in each round; return milliseconds to request and to answer.

        `group` is the control group's file for processes, or "".
        """
        ours = Client(OURS, ("/opt/bootstrap",))
        ways = {OURS: (version, ours), WITHOUT: ("without", ours)}
        ways |= {peer.name: ("without", peer) for peer in self._rig.peers(version)}
        answers: Rounds = {way: [] for way in ways}

        def start(way: str) -> float:
            kind, client = ways[way]
            with self._session(self._folder / kind / name, client, version, group) as session:
                burst = session.burst(0)
            answers[way].append(burst.first_answer_ns / 1e6)
            return burst.first_get_ns / 1e6

        return measure.interleave({way: partial(start, way) for way in ways}, rounds), answers

    def _session(
        self, function: Path, client: Client, version: str, group: str
    ) -> AbstractContextManager[Session]:
        root, log = self._folder / "root", self._folder / "log"
        root.mkdir(exist_ok=True)
        command: list[str | Path] = [
            *("unshare", "--mount", "sh", "-c", MOUNT, "sh", root, function, self._rig.layer(version)),
            *("sh", "-c", ENTER, "sh", group, "taskset", "-c", "0"),
            *self._rig.api(client, self._event, log),
        ]
        return serve(command, client.name, log, self._rig.environ() | {"LAMBDA_TASK_ROOT": "/var/task"})


@contextmanager
def control_group(cpus: float) -> Iterator[str]:
    """Create a control group with a share of processor time; yield its file for processes, "" for a core.

    Raises:
        NodelayerError: This user cannot create one.
    """
    if cpus >= 1:
        yield ""
        return
    first = Path("/sys/fs/cgroup/cpu")
    group = (first if first.is_dir() else first.parent) / "nodelayer-bench"
    quota = int(cpus * PERIOD_US)
    try:
        group.mkdir(exist_ok=True)
        if first.is_dir():
            (group / "cpu.cfs_period_us").write_text(f"{PERIOD_US}")
            (group / "cpu.cfs_quota_us").write_text(f"{quota}")
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
    except OSError as error:
        raise NodelayerError(
            f"no control group can be created ({error.strerror})", todo="run as root"
        ) from error
    try:
        yield str(group / "cgroup.procs")
    finally:
        group.rmdir()


def cold_starts(options: argparse.Namespace) -> list[Table]:
    """Measure each version and function with each share of a core."""
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-", dir="/tmp") as folder:
        functions = Functions(Path(folder), Rig(Path(folder)))
        for version in options.node:
            functions.write(version)
        for cpus in options.cpus:
            with control_group(cpus) as group:
                tables += _with_share(functions, options, cpus, group)
    return tables


def _with_share(functions: Functions, options: argparse.Namespace, cpus: float, group: str) -> list[Table]:
    small: dict[str, Rounds] = {}
    first_get: dict[str, Rounds] = {}
    first_answer: dict[str, Rounds] = {}
    for version in options.node:
        for name in functions.names(version):
            gets, answers = functions.starts(name, version, options.rounds, group)
            if name == "small":
                small[f"Node.js {version}"] = gets
            else:
                row = f"Node.js {version}, {name}"
                first_get[row], first_answer[row] = gets, answers
    share = "one core" if cpus >= 1 else f"{cpus:g} of a core"
    return [
        Table(f"Cold start to the first GET /next on {share}, ms", first_get, OURS, LIMITS),
        Table(f"Cold start to the first answer on {share}, ms", first_answer, OURS),
        Table(f"Cold start of a small function on {share}, ms", small, OURS),
    ]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=15)
    parser.add_argument("--node", nargs="+", default=NODES, help="exact versions")
    parser.add_argument(
        "--cpus", nargs="+", type=float, default=(1, 0.3), help="shares of a core (default: 1 0.3)"
    )
    sys.exit(measure.main(parser, cold_starts))
