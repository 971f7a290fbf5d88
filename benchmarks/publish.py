"""Time to publish a layer to every region, compared with one region and with the AWS CLI.

`invoke publish --public` runs as a process, so the time includes its start and the manifest. The AWS CLI
(version 1, from pip) runs publish-layer-version and add-layer-version-permission, as scripts of layer
projects do: one region after the other, and all regions at once. benchmarks/publish_server.py, a server on
this machine, replaces AWS. It waits 80 ms before each answer, has no TLS and no throttling, and uses the same
processors as the publisher. 20 MB/s is an assumed speed of one connection to a distant region.
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
from publish_server import Aws, serve

from nodelayer.emulation import ministack
from nodelayer.errors import NodelayerError
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

LATENCY_S = 0.08
BANDWIDTHS = {"unlimited": 0, "20 MB/s for each region": 20_000_000}
AWSCLI = "awscli==1.46.3"
ONE, ALL = "one region", "all regions"
LOOP, AT_ONCE = "AWS CLI, one region after the other", "AWS CLI, all regions at once"
LIMITS = {ONE: 1.3}


@dataclass(frozen=True)
class Rig:
    """A built layer, the server, and the processes that publish the layer to it."""

    folder: Path
    node: str
    zipped: Path
    aws: Aws
    environ: dict[str, str]
    cli: Path
    """Python of the environment with the AWS CLI."""

    def ours(self, bandwidth: int, regions: Sequence[str]) -> float:
        """Publish with nodelayer, and return the seconds."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            flags = (f"--node={self.node}", f"--out={self.zipped.parent}", f"--regions={','.join(regions)}")
            command = measure.invoke("publish", *flags, "--public", f"--manifest={place}/layers.json")
            self.aws.reset(bandwidth)
            took = measure.seconds(command, environ=self.environ)
        self._check(len(regions))
        return took

    def theirs(self, bandwidth: int, regions: Sequence[str], at_once: int) -> float:
        """Publish with the AWS CLI to `at_once` regions in parallel, and return the seconds."""
        self.aws.reset(bandwidth)
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(self._publish_by_cli, regions))
        took = time.perf_counter() - began
        self._check(len(regions))
        return took

    def _publish_by_cli(self, region: str) -> None:
        layer = ("--region", region, "--layer-name", self.zipped.stem.replace(".", "-"), "--output", "text")
        content = ("--zip-file", f"fileb://{self.zipped}", "--license-info", "MIT")
        number = self._cli("publish-layer-version", *layer, *content, "--query", "Version").strip()
        everybody = ("--statement-id", "public", "--principal", "*", "--action", "lambda:GetLayerVersion")
        self._cli("add-layer-version-permission", *layer, "--version-number", number, *everybody)

    def _cli(self, *words: str) -> str:
        command = [str(self.cli), "-m", "awscli", "lambda", *words]
        return subprocess.run(command, env=self.environ, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _check(self, regions: int) -> None:
        if self.aws.published() != regions:
            raise NodelayerError(f"only {self.aws.published()} of {regions} regions have a public layer")


def publish(options: argparse.Namespace) -> list[Table]:
    """Measure each bandwidth; the AWS CLI runs only once, because it takes minutes."""
    regions = options.regions
    cache = DownloadCache(Path(named) if (named := os.environ.get("NODELAYER_CACHE_DIR")) else None)
    cli, _ = venv.environment(AWSCLI, cache=cache, reporter=Reporter())
    rows: dict[str, Rounds] = {}
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as name:
        folder = Path(name)
        flags = (f"--node={options.node}", f"--out={name}/dist", "--builder=local", "--source=npm")
        measure.seconds(measure.invoke("build-layer", *flags, "--arch=x86_64", "--compression=fast"))
        (zipped,) = (folder / "dist").glob("*.zip")
        aws = Aws(zipped.read_bytes(), regions, LATENCY_S)
        with serve(aws) as endpoint:
            kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
            environ = ministack.environ(endpoint, kept, account="AKIAIOSFODNN7EXAMPLE")
            rig = Rig(folder, options.node, zipped, aws, environ, cli / "bin" / "python")
            rig.ours(0, regions)  # fills the page cache
            for pace, bandwidth in BANDWIDTHS.items():
                ours = {
                    ONE: partial(rig.ours, bandwidth, regions[:1]),
                    ALL: partial(rig.ours, bandwidth, regions),
                }
                theirs = {
                    LOOP: partial(rig.theirs, bandwidth, regions, 1),
                    AT_ONCE: partial(rig.theirs, bandwidth, regions, len(regions)),
                }
                rows[pace] = measure.interleave(ours, options.rounds) | measure.interleave(theirs, 1)
        size = zipped.stat().st_size / 1e6
    return [Table(f"Time for a zip of {size:.0f} MB and {len(regions)} regions, s", rows, ALL, LIMITS)]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=5)
    parser.add_argument("--node", default="24.21.0", help="exact Node.js version (default: 24.21.0)")
    every = boto3.Session().get_available_regions("lambda")
    parser.add_argument("--regions", nargs="+", default=every, help="regions (default: all that have Lambda)")
    sys.exit(measure.main(parser, publish))
