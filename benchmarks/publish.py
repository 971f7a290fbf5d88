"""Publishing a 38 MB layer to every region against one region, and against the AWS CLI.

Ours is the whole `invoke publish --public` as a process. The AWS CLI (version 1, which pip has) does what
publish scripts of layer projects do, publish-layer-version and add-layer-version-permission: one region after
the other, and, as lambci's did, all of them at once. AWS is benchmarks/publish_server.py.

    python benchmarks/publish.py [--rounds 5] [--cli-rounds 1] [--check] [--only ours|cli|manifest]

Writes benchmarks/results/publish.json and publish.md. Rounds are interleaved; times are medians, in seconds.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore

from nodelayer import __version__, architecture
from nodelayer.emulation import ministack
from nodelayer.errors import MachineError, NodelayerError
from nodelayer.layer import archive
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import BuilderRecord, LayerTarget, code_sha256, describe
from nodelayer.manifest import model as manifest
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.node.sources.base import SourceRecord
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter, megabytes

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
NODE = "12.16.1"
SIZE = 38_000_000
LATENCY = 0.08
BANDWIDTHS = (0, 20_000_000)
"""Bytes a second that each region's connection takes; 0: as fast as it goes."""
SAMPLE = ("af-south-1", "ap-southeast-2", "eu-west-1", "sa-east-1", "us-east-1")
"""The regions that are published to alone. All are alike here, and the slowest of a round would be no more
than the one that something else on the machine disturbed: all regions are compared with the median of them.
"""
AWSCLI = "awscli==1.46.3"
TARGET = 1.3
VERSIONS = 500
"""Node.js versions in the manifest at its limit, each for two architectures in every region."""

ONE, ALL, AGAIN, LOOP, AT_ONCE = "one", "all", "again", "loop", "at once"
_POLL_S = 0.02
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Run:
    """Seconds of a process and its parts, its processor seconds, and the most bytes of memory it had.

    `start` is until its first request, `calls` from there to the last answer, `end` the rest.
    """

    total: float
    start: float
    calls: float
    end: float
    cpu: float
    memory: int


@dataclass
class Way:
    """What was done, how often, at which bandwidth; `runs` one for each round, `requests` in each."""

    name: str
    bandwidth: int
    runs: list[Run] = field(default_factory=list)
    requests: int = 0

    def median(self, part: str) -> float:
        return float(statistics.median(getattr(run, part) for run in self.runs))


@dataclass(frozen=True)
class Timed:
    """What a piece of work on the manifest takes: seconds, one value a round."""

    what: str
    seconds: list[float]


@dataclass
class Measured:
    """All of it; `manifest_bytes` is what layers.json at its limit takes."""

    ways: list[Way] = field(default_factory=list)
    manifest: list[Timed] = field(default_factory=list)
    manifest_bytes: int = 0

    def way(self, name: str, bandwidth: int) -> Way | None:
        return next((each for each in self.ways if (each.name, each.bandwidth) == (name, bandwidth)), None)


class Server:
    """The process that answers as AWS does, on this port."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def reset(self, bandwidth: int, check: str = "windows") -> None:
        """Forget everything, and take bodies at that bandwidth and with that check from now on."""
        self._control(json.dumps({"bandwidth": bandwidth, "check": check}).encode())

    def seen(self) -> dict[str, Any]:
        """What was asked since. Raises MachineError where anything but the zip was published."""
        seen: dict[str, Any] = self._control(None)
        if seen["wrong"] or "unknown" in seen["calls"]:
            raise MachineError(f"what was sent is not what was to be sent: {seen}", where=self.endpoint)
        return seen

    def _control(self, data: bytes | None) -> dict[str, Any]:
        with _DIRECT.open(f"{self.endpoint}/control", data=data, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


class Rig:
    """A layer, a server that knows it, and processes that publish it."""

    def __init__(
        self, folder: Path, dist: Path, zipped: Path, server: Server, regions: Sequence[str]
    ) -> None:
        self._folder = folder
        self._dist = dist
        self._zip = zipped
        self.server = server
        self.regions = regions
        self._count = 0
        named = os.environ.get("NODELAYER_CACHE_DIR")
        self._cache = DownloadCache(Path(named) if named else None)

    def ours(self, regions: str, place: Path | None = None) -> tuple[Run, Path]:
        """`invoke publish` to these regions, and where its manifest is: in `place`, or in a new folder."""
        if place is None:
            self._count += 1
            place = self._folder / f"run-{self._count}"
            place.mkdir()
        command: list[str | Path] = [
            Path(sys.executable).parent / "invoke",
            f"--search-root={ROOT}",
            "publish",
        ]
        command += [f"--node={NODE}", f"--out={self._dist}", f"--regions={regions}", "--public"]
        command += [f"--manifest={place / manifest.FILE}"]
        began = time.monotonic()
        ended = self._ended(command)
        return self._run(began, [ended]), place

    def cli(self, *, together: bool) -> Run:
        """The AWS CLI in every region, one after the other or all together."""
        began = time.monotonic()
        if together:
            with ThreadPoolExecutor(len(self.regions)) as pool:
                ended = list(pool.map(self._cli, self.regions))
            memory = sum(each.memory for each in ended)
        else:
            ended = [self._cli(region) for region in self.regions]
            memory = max(each.memory for each in ended)
        return replace(self._run(began, ended), memory=memory)

    def install_cli(self) -> None:
        """Make the AWS CLI's environment, and read its files once."""
        subprocess.run([aws_cli(self._cache), "-m", "awscli", "--version"], check=True, capture_output=True)

    def _cli(self, region: str) -> "Ended":
        cli: list[str | Path] = [aws_cli(self._cache), "-m", "awscli", "lambda"]
        layer = ["--region", region, "--layer-name", "nodejs-12-16-1-x86_64", "--output", "text"]
        published = self._ended(
            [
                *cli,
                "publish-layer-version",
                *layer,
                *("--description", f"Node.js {NODE}", "--license-info", "MIT"),
                *("--compatible-runtimes", "provided.al2", "provided.al2023"),
                *("--zip-file", f"fileb://{self._zip}", "--query", "Version"),
            ]
        )
        permitted = self._ended(
            [
                *cli,
                "add-layer-version-permission",
                *layer,
                *("--version-number", published.printed.strip(), "--statement-id", "public"),
                *("--action", "lambda:GetLayerVersion", "--principal", "*"),
            ]
        )
        return Ended("", published.cpu + permitted.cpu, max(published.memory, permitted.memory))

    def _ended(self, command: Sequence[str | Path]) -> "Ended":
        """Raises MachineError where the command fails."""
        with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                command, cwd=self._folder, env=environ(self.server), stdout=printed, stderr=said
            )
            memory = 0
            while True:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                memory = max(memory, high_water(process.pid))
                time.sleep(_POLL_S)
            process.returncode = os.waitstatus_to_exitcode(status)
            printed.seek(0)
            said.seek(0)
            if process.returncode:
                raise MachineError(f"{command[:3]} ended with {process.returncode}: {said.read()[-2000:]}")
            return Ended(printed.read(), used.ru_utime + used.ru_stime, memory)

    def _run(self, began: float, ended: "Sequence[Ended]") -> Run:
        now = time.monotonic()
        seen = self.server.seen()
        return Run(
            total=now - began,
            start=seen["first"] - began,
            calls=seen["last"] - seen["first"],
            end=now - seen["last"],
            cpu=sum(each.cpu for each in ended),
            memory=max(each.memory for each in ended),
        )


@dataclass(frozen=True)
class Ended:
    """What a process printed, its processor seconds, and the most bytes of memory it had."""

    printed: str
    cpu: float
    memory: int


def high_water(pid: int) -> int:
    """VmHWM in bytes; 0 once the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def environ(server: Server) -> dict[str, str]:
    """This machine's variables without what it says of AWS and proxies, pointed at the server."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return ministack.environ(server.endpoint, kept, account="AKIAIOSFODNN7EXAMPLE")


def aws_cli(cache: DownloadCache) -> Path:
    """The Python of an environment that has the AWS CLI, which is made once, below the download cache."""
    made, _ = venv.environment(AWSCLI, cache=cache, reporter=Reporter(quiet=True))
    return made / "bin" / "python"


def make_layer(folder: Path, size: int) -> None:
    """A layer of `size` bytes as build-layer writes it; its binary is chance, which does not compress."""
    target = LayerTarget(NODE, architecture.X86_64)
    entries = [
        Entry("bootstrap", b"#!/bin/sh\nexec /opt/nodejs/bin/node /opt/aws/index.js\n", archive.EXECUTABLE),
        Entry("nodejs/bin/node", random.Random(0).randbytes(size - 310), archive.EXECUTABLE),  # noqa: S311
    ]
    packed = folder / f"{target.stem}.zip"
    with packed.open("wb") as stream:
        archive.write(entries, stream, "fast")
    record = describe(
        target,
        entries,
        packed,
        runtimes=["provided.al2", "provided.al2023"],
        compression="fast",
        source=SourceRecord(name="npm", package="none", sha256="0" * 64, signature="none: no Node.js"),
        builder=BuilderRecord(name="local"),
    )
    (folder / f"{target.stem}.json").write_text(record.model_dump_json() + "\n", encoding="utf-8")


@contextmanager
def rig() -> Iterator[Rig]:
    """A server that has started, and what it needs, in a folder that goes with it."""
    regions = boto3.Session().get_available_regions("lambda")
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as name:
        folder = Path(name)
        dist = folder / "dist"
        dist.mkdir()
        make: list[str | Path] = [
            sys.executable,
            __file__,
            "--make-layer",
            dist,
        ]  # apart: what it needs of memory is not ours
        subprocess.run(make, check=True)
        zipped = next(dist.glob("*.zip"))
        command: list[str | Path] = [
            sys.executable,
            ROOT / "benchmarks" / "publish_server.py",
            f"--zip={zipped}",
        ]
        command += [f"--latency={LATENCY}", f"--regions={','.join(regions)}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101 - a pipe
            try:
                yield Rig(folder, dist, zipped, Server(int(process.stdout.readline())), regions)
            finally:
                process.kill()


def measure_ours(rig: Rig, measured: Measured, rounds: int) -> None:
    """Each of the sample alone, all of them, and all of them again, at each bandwidth; interleaved."""
    rig.server.reset(0, "all")
    rig.ours("all")  # every byte is compared once, and files are in the page cache
    rig.server.seen()
    ways = {(name, bandwidth): Way(name, bandwidth) for bandwidth in BANDWIDTHS for name in (ONE, ALL, AGAIN)}
    del ways[AGAIN, BANDWIDTHS[1]]  # it sends no body
    measured.ways += ways.values()
    for turn in range(rounds):
        for bandwidth in BANDWIDTHS:
            print(f"round {turn + 1} of {rounds}, {pace(bandwidth)}", file=sys.stderr)
            alone = []
            for region in SAMPLE:
                rig.server.reset(bandwidth)
                alone.append(rig.ours(region)[0])
                ways[ONE, bandwidth].requests = sum(rig.server.seen()["calls"].values())
            ways[ONE, bandwidth].runs.append(sorted(alone, key=lambda run: run.total)[len(alone) // 2])
            rig.server.reset(bandwidth)
            run, place = rig.ours("all")
            ways[ALL, bandwidth].runs.append(run)
            ways[ALL, bandwidth].requests = before = sum(rig.server.seen()["calls"].values())
            if (AGAIN, bandwidth) in ways:
                run = rig.ours("all", place)[0]
                again = ways[AGAIN, bandwidth]
                again.requests = sum(rig.server.seen()["calls"].values()) - before
                # the server's first request is that of the run before
                again.runs.append(replace(run, start=0, calls=0, end=0))


def measure_cli(rig: Rig, measured: Measured, rounds: int) -> None:
    """The AWS CLI's two steps in every region, one after the other and all at once."""
    rig.install_cli()
    for bandwidth in BANDWIDTHS:
        for name in (LOOP, AT_ONCE):
            way = Way(name, bandwidth)
            measured.ways.append(way)
            for turn in range(rounds):
                print(f"AWS CLI, {name}, {pace(bandwidth)}, round {turn + 1} of {rounds}", file=sys.stderr)
                rig.server.reset(bandwidth)
                way.runs.append(rig.cli(together=name == AT_ONCE))
                way.requests = sum(rig.server.seen()["calls"].values())


def full_manifest(regions: Sequence[str], versions: int = VERSIONS) -> Manifest:
    """A manifest of so many versions for two architectures in every region."""
    return Manifest.of(
        _layer(f"{12 + number // 50}.{number % 50}.0", name, regions)
        for number in range(versions)
        for name in ("x86_64", "arm64")
    )


def _layer(version: str, architecture_name: str, regions: Sequence[str]) -> Layer:
    name = f"nodejs-{version.replace('.', '-')}-{architecture_name}"
    arn = "arn:aws:lambda:{}:123456789012:layer:{}:1"
    return Layer(
        node_version=version,
        architecture=architecture_name,
        nodelayer_version=__version__,
        layer_name=name,
        code_sha256=code_sha256(hashlib.sha256(name.encode()).digest()),
        size=SIZE,
        unzipped_size=3 * SIZE,
        compatible_runtimes=["provided.al2", "provided.al2023"],
        regions={
            region: Published(
                version=1, arn=arn.format(region, name), published="2026-01-01T00:00:00Z", public=True
            )
            for region in regions
        },
    )


def measure_manifest(
    regions: Sequence[str], measured: Measured, rounds: int, versions: int = VERSIONS
) -> None:
    """What each piece of work on a manifest at its limit takes."""
    full = full_manifest(regions, versions)
    news = Manifest.of([_layer("99.0.0", "x86_64", regions[:1])])
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
        path = Path(folder) / manifest.FILE
        manifest.update(path, lambda _known: full)
        measured.manifest_bytes = path.stat().st_size
        newer = iter(range(rounds))

        def record() -> None:
            region = regions[next(newer) % len(regions)]
            entry = Manifest.of([_layer("99.0.0", "x86_64", [region])])
            manifest.update(path, lambda known: known.merge(entry))

        pieces: dict[str, Callable[[], object]] = {
            "read": lambda: manifest.read(path),
            "look up, once it is read": lambda: manifest.look_up(full, "12", regions[0], "x86_64"),
            "merge one entry": lambda: full.merge(news),
            "merge with itself": lambda: full.merge(full),
            "as JSON": full.json_text,
            "as text": full.text,
            "record one entry: lock, read, merge, write three files": record,
        }
        seconds: dict[str, list[float]] = {what: [] for what in pieces}
        for _ in range(rounds):
            for what, piece in pieces.items():
                began = time.perf_counter()
                piece()
                seconds[what].append(time.perf_counter() - began)
    measured.manifest = [Timed(what, each) for what, each in seconds.items()]


def pace(bandwidth: int) -> str:
    """A bandwidth in words."""
    return f"{bandwidth // 1_000_000} MB/s a region" if bandwidth else "unlimited"


def ratio(ours: Way, theirs: Way) -> float:
    """The median of the rounds' ratios; of the medians where the rounds are not the same ones."""
    if len(ours.runs) != len(theirs.runs):
        return ours.median("total") / theirs.median("total")
    return statistics.median(
        mine.total / other.total for mine, other in zip(ours.runs, theirs.runs, strict=True)
    )


def missed(measured: Measured) -> list[str]:
    """The bandwidths at which all regions take more than the target allows."""
    return [
        pace(bandwidth)
        for bandwidth in BANDWIDTHS
        if (one := measured.way(ONE, bandwidth))
        and (every := measured.way(ALL, bandwidth))
        and ratio(every, one) > TARGET
    ]


def markdown(measured: Measured, where: str) -> str:
    """The results as a page."""
    lines = [
        f"Measured {where}; nodelayer {__version__}, botocore {botocore.__version__}, {AWSCLI}.",
        "",
        *_HOW,
    ]
    if measured.ways:
        lines += ["", *_targets(measured), "", *_ways(measured)]
    if measured.manifest:
        lines += ["", *_manifest(measured)]
    return "\n".join(lines) + "\n"


_HOW = f"""\
A {SIZE // 1_000_000} MB zip of chance, published with `invoke publish --public` as a process of its
own, start-up included, and its manifest written. What stands for AWS is a process on this machine: it
waits {LATENCY * 1000:.0f} ms before each answer, once the request has come whole, and keeps layer
versions and policies by region. It speaks HTTP: no TLS, no round trips to connect, no unpacking of the
zip and no throttling are in these figures, and both ends share the machine's processors. Bodies are
compared with the zip, in whole in a first run that is not counted, in windows after that. 20 MB/s is
what one connection to a far region may give; all of them together are then 680 MB/s, more than most
machines have.

`start` is the time until the first request, `calls` that to the last answer, `end` the rest. One region
is the median of {len(SAMPLE)}, each alone, in each round: all are alike here. Times are medians in
seconds, ratios medians of the rounds' ratios. Memory is the most that was resident (VmHWM), of the AWS
CLI at once the sum of its processes.
""".splitlines()

_NAMES = {
    ONE: "nodelayer, one region",
    ALL: "nodelayer, all regions",
    AGAIN: "nodelayer, all regions, again: nothing to do",
    LOOP: "AWS CLI, all regions, one after the other",
    AT_ONCE: "AWS CLI, all regions at once",
}


def _targets(measured: Measured) -> list[str]:
    lines = ["| bandwidth | | ratio | at most | |", "|---|---|---|---|---|"]
    for bandwidth in BANDWIDTHS:
        every = measured.way(ALL, bandwidth)
        one = measured.way(ONE, bandwidth)
        if every is None or one is None:
            continue
        found = ratio(every, one)
        met = "met" if found <= TARGET else "**not met**"
        lines.append(f"| {pace(bandwidth)} | all regions to one | {found:.2f} | {TARGET} | {met} |")
        memory = every.median("memory") / one.median("memory")
        lines.append(f"| {pace(bandwidth)} | memory, all regions to one | {memory:.2f} | | |")
        for name in (LOOP, AT_ONCE):
            peer = measured.way(name, bandwidth)
            if peer is not None:
                lines.append(
                    f"| {pace(bandwidth)} | {_NAMES[name]}, to nodelayer | {1 / ratio(every, peer):.1f} | | |"
                )
    return lines


def _ways(measured: Measured) -> list[str]:
    lines = [
        "| | bandwidth | rounds | requests | time | start | calls | end | CPU | memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in measured.ways:
        parts = (
            f"{each.median('start'):.2f} | {each.median('calls'):.2f} | {each.median('end'):.2f}"
            if each.name in {ONE, ALL}
            else " | | "
        )
        lines.append(
            f"| {_NAMES[each.name]} | {pace(each.bandwidth)} | {len(each.runs)} | {each.requests}"
            f" | {each.median('total'):.2f} | {parts} | {each.median('cpu'):.2f}"
            f" | {megabytes(int(each.median('memory')))} |"
        )
    return lines


def _manifest(measured: Measured) -> list[str]:
    return [
        f"The manifest with {VERSIONS} versions, two architectures, every region: "
        + megabytes(measured.manifest_bytes),
        "",
        "| | ms |",
        "|---|---|",
        *(f"| {each.what} | {statistics.median(each.seconds) * 1000:.1f} |" for each in measured.manifest),
    ]


def main() -> int:
    """0 when measured; with --check 1 where the target is missed."""
    parser = argparse.ArgumentParser(description="publishing to every region, against one and the AWS CLI")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is done (default 5)")
    parser.add_argument("--cli-rounds", type=int, default=1, help="how often the AWS CLI's (default 1)")
    parser.add_argument("--check", action="store_true", help="end with 1 where the target is missed")
    parser.add_argument("--only", choices=["ours", "cli", "manifest"], help="print a part; write nothing")
    parser.add_argument("--make-layer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make_layer:
        make_layer(options.make_layer, SIZE)
        return 0
    measured = Measured()
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        with rig() as found:
            if options.only in {None, "ours"}:
                measure_ours(found, measured, options.rounds)
            if options.only in {None, "cli"} and options.cli_rounds:
                measure_cli(found, measured, options.cli_rounds)
    except NodelayerError as error:
        print(error, file=sys.stderr)
        return error.code
    if options.only in {None, "manifest"}:
        measure_manifest(found.regions, measured, options.rounds)
    where = (
        f"{datetime.now(UTC):%Y-%m-%d} on {platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, {time.monotonic() - began:.0f} s, load average {load:.1f} before"
    )
    text = markdown(measured, where)
    print(text, end="")
    if options.only is None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "publish.md").write_text(text, encoding="utf-8")
        data = {"measured": where, "nodelayer": __version__, "unit": "seconds and bytes", **asdict(measured)}
        (RESULTS / "publish.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    over = missed(measured)
    if over:
        print(f"over its target: {', '.join(over)}", file=sys.stderr)
    return 1 if over and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
