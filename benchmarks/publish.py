"""Time to publish layers to every region, and the number of requests.

`invoke publish --public` runs as a process, so the time includes its start and the manifest. It is compared
with publishing to the region with the longest latency alone, and with the AWS CLI. The AWS CLI (version 1,
from pip) runs publish-layer-version and add-layer-version-permission, as scripts of layer projects do: one
region after the other, and all regions at once. benchmarks/publish_server.py, a server in a process of its
own, replaces AWS. It waits 50 to 300 ms before each answer, depending on the region, has no TLS, and uses
the same processors as the publisher. It answers with 429 above 15 requests per second and region. 20 MB/s is
an assumed speed of one connection to a distant region. Without that limit, the zips for all regions pass
through the network of this machine as fast as its processors copy them.

The second run of the same command has nothing to do. Ten Node.js versions for two architectures are small
layers, so that the quota of requests decides, and not the upload.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import boto3
import measure
from measure import Rounds, Table
from publish_server import Command, Remote, Report, latencies, serve

from nodelayer.architecture import ALL as ARCHITECTURES
from nodelayer.aws.quotas import REQUESTS_A_SECOND
from nodelayer.emulation import ministack
from nodelayer.errors import NodelayerError
from nodelayer.layer import archive
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import BuilderRecord, LayerTarget, describe
from nodelayer.node.sources.base import SourceRecord
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

BANDWIDTHS = {"unlimited": 0, "20 MB/s for each region": 20_000_000}
AWSCLI = "awscli==1.46.3"
SLOWEST, ALL = "slowest region alone", "all regions"
LOOP, AT_ONCE = "AWS CLI, one region after the other", "AWS CLI, all regions at once"
OURS, QUOTA, WHOLE = "nodelayer", "at the quota", "the whole command"
VERSIONS = [f"{major}.0.0" for major in range(13, 23)]
LIMIT = 1.3
IDLE_REQUESTS = 2
"""Most requests of a layer and region if nothing is to be done."""


@dataclass(frozen=True)
class Rig:
    """Built layers, the server, and the processes that publish the layers to it."""

    folder: Path
    zips: Sequence[Path]
    aws: Remote
    environ: dict[str, str]
    cli: Path
    """Python of the environment with the AWS CLI."""

    def ours(self, bandwidth: int, regions: Sequence[str]) -> float:
        """Publish with nodelayer, and return the seconds."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            return self._publish(Path(place), bandwidth, regions)[0]

    def twice(self, regions: Sequence[str]) -> tuple[Report, Report]:
        """Publish with nodelayer, do it again, and return what the server counted."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            first = self._publish(Path(place), 0, regions)[1]
            return first, self._publish(Path(place), 0, regions, again=True)[1]

    def counted(self, regions: Sequence[str]) -> tuple[float, Report]:
        """Publish with nodelayer, and return the seconds and what the server counted."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            return self._publish(Path(place), 0, regions)

    def theirs(self, bandwidth: int, regions: Sequence[str], at_once: int) -> float:
        """Publish with the AWS CLI to `at_once` regions in parallel, and return the seconds."""
        self.aws.obey(Command(bandwidth))
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(self._publish_by_cli, regions))
        took = time.perf_counter() - began
        self._check(self.aws.obey(Command()), regions)
        return took

    def _publish(
        self, place: Path, bandwidth: int, regions: Sequence[str], *, again: bool = False
    ) -> tuple[float, Report]:
        flags = ("--built", f"--out={self.zips[0].parent}", f"--regions={','.join(regions)}")
        command = measure.invoke("publish", *flags, "--public", f"--manifest={place}/layers.json")
        self.aws.obey(Command(bandwidth, forget=not again))
        took = measure.seconds(command, environ=self.environ)
        report = self.aws.obey(Command(forget=False))
        self._check(report, regions)
        return took, report

    def _publish_by_cli(self, region: str) -> None:
        (zipped,) = self.zips
        layer = ("--region", region, "--layer-name", zipped.stem.replace(".", "-"), "--output", "text")
        content = ("--zip-file", f"fileb://{zipped}", "--license-info", "MIT")
        number = self._cli("publish-layer-version", *layer, *content, "--query", "Version").strip()
        everybody = ("--statement-id", "public", "--principal", "*", "--action", "lambda:GetLayerVersion")
        self._cli("add-layer-version-permission", *layer, "--version-number", number, *everybody)

    def _cli(self, *words: str) -> str:
        command = [str(self.cli), "-m", "awscli", "lambda", *words]
        return subprocess.run(command, env=self.environ, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _check(self, report: Report, regions: Sequence[str]) -> None:
        expected = len(regions) * len(self.zips)
        if report.published != expected:
            raise NodelayerError(f"only {report.published} of {expected} layer versions are public")


def publish(options: argparse.Namespace) -> list[Table]:
    """Measure one layer, then many small ones; the AWS CLI runs only once, because it takes minutes."""
    regions = options.regions
    cache = DownloadCache(Path(named) if (named := os.environ.get("NODELAYER_CACHE_DIR")) else None)
    cli, _ = venv.environment(AWSCLI, cache=cache, reporter=Reporter())
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as name:
        folder = Path(name)
        flags = (f"--node={options.node}", f"--out={name}/dist", "--builder=local", "--source=npm")
        measure.seconds(measure.invoke("build-layer", *flags, "--arch=x86_64", "--compression=fast"))
        (zipped,) = (folder / "dist").glob("*.zip")
        small = [
            _small_layer(folder / "small", LayerTarget(version, architecture))
            for version in VERSIONS
            for architecture in ARCHITECTURES
        ]
        with serve({each.stem.replace(".", "-"): each for each in (zipped, *small)}, regions) as aws:
            kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
            environ = ministack.environ(aws.endpoint, kept, account="AKIAIOSFODNN7EXAMPLE")
            python = cli / "bin" / "python"
            return [
                _one_layer(Rig(folder, [zipped], aws, environ, python), options),
                *_requests(Rig(folder, [zipped], aws, environ, python), regions),
                _many_layers(Rig(folder, small, aws, environ, python), options),
            ]


def _one_layer(rig: Rig, options: argparse.Namespace) -> Table:
    regions = options.regions
    slowest = [max(regions, key=latencies(regions).__getitem__)]
    rig.ours(0, regions)  # fills the page cache
    rows: dict[str, Rounds] = {}
    for pace, bandwidth in BANDWIDTHS.items():
        ours = {SLOWEST: partial(rig.ours, bandwidth, slowest), ALL: partial(rig.ours, bandwidth, regions)}
        theirs = {
            LOOP: partial(rig.theirs, bandwidth, regions, 1),
            AT_ONCE: partial(rig.theirs, bandwidth, regions, len(regions)),
        }
        rows[pace] = measure.interleave(ours, options.rounds)
        rows[pace] |= measure.interleave(theirs, 1) if options.cli else {}
    size = rig.zips[0].stat().st_size / 1e6
    title = f"Time for a zip of {size:.0f} MB and {len(regions)} regions, s"
    return Table(title, rows, ALL, {SLOWEST: LIMIT})


def _requests(rig: Rig, regions: Sequence[str]) -> list[Table]:
    first, again = rig.twice(regions)
    rows = {
        "first run": {name: [float(count)] for name, count in sorted(first.operations.items())},
        "second run": {name: [float(count)] for name, count in sorted(again.operations.items())},
    }
    each = sum(again.regions.values()) / len(again.regions)
    idle = {"second run": {OURS: [each], "target": [float(IDLE_REQUESTS)]}}
    return [
        Table(f"Requests for one layer and {len(regions)} regions", rows),
        Table("Requests for a layer and region that need no change", idle, OURS, {"target": 1}),
    ]


def _many_layers(rig: Rig, options: argparse.Namespace) -> Table:
    regions = options.regions
    slowest = [max(regions, key=latencies(regions).__getitem__)]
    rows: dict[str, Rounds] = {}
    throttled = 0
    for name, chosen in {SLOWEST: slowest, ALL: regions}.items():
        rounds = [rig.counted(chosen) for _ in range(options.rounds)]
        rows[name] = {
            OURS: [report.seconds for _, report in rounds],
            QUOTA: [max(report.regions.values()) / REQUESTS_A_SECOND for _, report in rounds],
            WHOLE: [took for took, _ in rounds],
        }
        throttled += sum(report.throttled for _, report in rounds)
    title = f"Requests of {len(rig.zips)} small layers in a region, s from the first to the last"
    note = (
        f"Two architectures, ten versions. The quota is {REQUESTS_A_SECOND} requests a second and region; "
        f"{throttled} requests of all rounds were above it."
    )
    return Table(title, rows, OURS, {QUOTA: LIMIT}, note)


def _small_layer(folder: Path, target: LayerTarget) -> Path:
    """Write a layer of a few bytes with its build record, and return its zip."""
    folder.mkdir(exist_ok=True)
    entries = [
        Entry(name, f"{target.stem}\n".encode(), archive.EXECUTABLE)
        for name in ("bootstrap", "nodejs/bin/node")
    ]
    packed = folder / f"{target.stem}.zip"
    with packed.open("wb") as stream:
        archive.write(entries, stream, "fast")
    record = describe(
        target,
        entries,
        packed,
        runtimes=["provided.al2023"],
        compression="fast",
        source=SourceRecord(name="npm", package="none", sha256="0" * 64, signature="none"),
        builder=BuilderRecord(name="local", executed=True, invoked=True),
    )
    packed.with_suffix(".json").write_text(record.json_text(), encoding="utf-8")
    return packed


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=5)
    parser.add_argument("--node", default="24.21.0", help="exact Node.js version (default: 24.21.0)")
    every = boto3.Session().get_available_regions("lambda")
    parser.add_argument("--regions", nargs="+", default=every, help="regions (default: all that have Lambda)")
    parser.add_argument(
        "--no-cli", dest="cli", action="store_false", help="do not run the AWS CLI, which takes minutes"
    )
    sys.exit(measure.main(parser, publish))
