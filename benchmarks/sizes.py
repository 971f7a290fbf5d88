"""Size and build time of a layer against Everynode's way of making one, from the same npm package.

Everynode's way, as its public build did it: the whole package beside a bootstrap, `zip -r -y`. Both sides
start from the downloaded package; ours is the whole `invoke build-layer`, checks, record and SBOM included.

    python benchmarks/sizes.py [--rounds 3] [--node 12.16.1 --node 24.21.0] [--check]

Writes benchmarks/results/sizes.json and sizes.md. Rounds are interleaved; times are medians, in seconds.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nodelayer import __version__, architecture
from nodelayer.errors import NodelayerError
from nodelayer.node.sources.base import SourceContext
from nodelayer.node.sources.registry import open_source
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter, megabytes

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TARGETS = {"12.16.1": 0.79, "24.21.0": 0.68}
"""The most that a layer may have of Everynode's bytes."""
WAYS = ("everynode", "fast", "best")


@dataclass
class Measured:
    """One version: bytes by way, and seconds by way and round."""

    version: str
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})

    def ratio(self, way: str) -> float:
        return self.sizes[way] / self.sizes["everynode"]

    def median(self, way: str) -> float:
        return statistics.median(self.seconds[way])


def everynode(package: Path, folder: Path) -> Path:
    """The whole package and a bootstrap, zipped as Everynode zipped them."""
    layer = folder / "layer"
    layer.mkdir()
    with tarfile.open(package) as archive:
        archive.extractall(layer, filter="data")
    (layer / "package").rename(layer / "node")
    shutil.copy(ROOT / "runtime" / "bootstrap", layer / "bootstrap")
    packed = folder / "layer.zip"
    subprocess.run(["zip", "-q", "-r", "-y", packed, "."], cwd=layer, check=True)
    return packed


def ours(version: str, compression: str, folder: Path) -> Path:
    """The layer as `invoke build-layer` makes it."""
    command = [str(Path(sys.executable).parent / "invoke"), "build-layer", f"--node={version}"]
    command += [f"--out={folder}", "--builder=local", "--source=npm", f"--compression={compression}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / f"nodejs-{version}-x86_64.zip"


def measure(version: str, package: Path, rounds: int) -> Measured:
    """Each way once a round, one after the other."""
    found = Measured(version)
    for turn in range(rounds):
        for way in WAYS:
            print(f"Node.js {version}, round {turn + 1} of {rounds}: {way}", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
                start = time.perf_counter()
                packed = (
                    everynode(package, Path(folder))
                    if way == "everynode"
                    else ours(version, way, Path(folder))
                )
                found.seconds[way].append(time.perf_counter() - start)
                found.sizes[way] = packed.stat().st_size
    return found


def packages(versions: list[str]) -> dict[str, Path]:
    """The npm packages of these versions in the download cache. Raises NodelayerError."""
    named = os.environ.get("NODELAYER_CACHE_DIR")
    cache = DownloadCache(Path(named) if named else None)
    source = open_source("npm", SourceContext(cache, Reporter(), os.environ))
    return {
        version: cache.blob_path(source.fetch(version, architecture.X86_64).record.sha256)
        for version in versions
    }


def table(all_measured: list[Measured], where: str) -> str:
    """The results in Markdown."""
    lines = [
        f"Measured {where}; nodelayer {__version__}.",
        "",
        "| Node.js | Everynode | best | ratio | target | fast | ratio | Everynode takes | best | fast |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in all_measured:
        target = f"{TARGETS[each.version]:.2f}" if each.version in TARGETS else ""
        lines.append(
            f"| {each.version} | {megabytes(each.sizes['everynode'])} | {megabytes(each.sizes['best'])}"
            f" | {each.ratio('best'):.3f} | {target} | {megabytes(each.sizes['fast'])}"
            f" | {each.ratio('fast'):.3f} | {each.median('everynode'):.1f} s | {each.median('best'):.1f} s"
            f" | {each.median('fast'):.1f} s |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """0 when measured; with --check 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="size and build time against Everynode's way of zipping")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is built (default 3)")
    parser.add_argument(
        "--node", action="append", help="a version, once or more (default: those with a target)"
    )
    parser.add_argument("--check", action="store_true", help="end with 1 where a size target is missed")
    options = parser.parse_args()
    if shutil.which("zip") is None:
        print("Info-ZIP's zip is not installed, and it is the peer here", file=sys.stderr)
        return 7
    try:
        all_measured = [
            measure(version, package, options.rounds)
            for version, package in packages(options.node or list(TARGETS)).items()
        ]
    except NodelayerError as error:
        print(error, file=sys.stderr)
        return error.code
    where = f"{datetime.now(UTC):%Y-%m-%d} on {platform.machine()}, {os.cpu_count()} cores"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sizes.md").write_text(table(all_measured, where), encoding="utf-8")
    (RESULTS / "sizes.json").write_text(
        json.dumps(
            {
                "measured": where,
                "nodelayer": __version__,
                "unit": {"sizes": "bytes", "seconds": "seconds, each round"},
                "versions": [
                    {"node": each.version, "sizes": each.sizes, "seconds": each.seconds}
                    for each in all_measured
                ],
            },
            indent=2,
        )
        + "\n",
        encoding="utf-8",
    )
    print(table(all_measured, where), end="")
    missed = [
        each.version for each in all_measured if each.ratio("best") > TARGETS.get(each.version, float("inf"))
    ]
    if missed:
        print(f"over its target: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
