"""How long one layer takes, as a release builds it: fetched, built, tried; and how large its zip is.

    python benchmarks/build.py [--node 12.16.1 --node 24.21.0]

Each version is built by the local builder from npm with `--compression best`, with an empty download cache
and then again from the cache; the difference is what fetching takes. Then `invoke test-layer` tries it. The
start of the commands is in every figure. Writes benchmarks/results/build.json and build.md; docs/scale.md
rests on them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from nodelayer import __version__, architecture
from nodelayer.emulation import rie
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter, megabytes

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
VERSIONS = ("12.16.1", "14.21.3", "16.20.2", "18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0")


@dataclass(frozen=True)
class Measured:
    """One version: seconds with an empty cache, with a full one, and of the trial; bytes of the zip."""

    node: str
    first: float
    again: float
    tried: float
    size: int


def invoke(cache: Path, *words: str) -> float:
    """Run a command to its end; the seconds it took."""
    command = [str(Path(sys.executable).parent / "invoke"), *words]
    environ = os.environ | {"NODELAYER_CACHE_DIR": str(cache)}
    began = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
    return time.monotonic() - began


def measure(version: str, folder: Path) -> Measured:
    """One version, in folders of its own."""
    cache, out = folder / f"cache-{version}", folder / "dist"
    build = ("build-layer", f"--node={version}", f"--out={out}", "--builder=local", "--source=npm")
    first, again = invoke(cache, *build), invoke(cache, *build)
    rie.rie(architecture.X86_64, cache=DownloadCache(cache), reporter=Reporter())  # once a job, not a layer
    tried = invoke(cache, "test-layer", f"--node={version}", f"--out={out}")
    size = (out / f"nodejs-{version}-x86_64.zip").stat().st_size
    return Measured(version, first, again, tried, size)


def table(measured: str, found: list[Measured]) -> str:
    rows = [
        f"| {each.node} | {each.first:.1f} | {each.again:.1f} | {each.tried:.1f} | {megabytes(each.size)} |"
        for each in found
    ]
    head = "| Node.js | built, nothing cached | built from the cache | tried | zip |\n|---|---|---|---|---|\n"
    return f"Measured {measured}; seconds.\n\n{head}" + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="how long one layer takes, and how large it is")
    parser.add_argument("--node", action="append", help="a version, once or more")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found = []
    with tempfile.TemporaryDirectory(prefix="nodelayer-build-") as folder:
        for version in options.node or VERSIONS:
            found.append(measure(version, Path(folder)))
            print(found[-1], file=sys.stderr)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load average {load:.1f} before"
    measured = f"{datetime.now(UTC):%Y-%m-%d} on {machine}; nodelayer {__version__}, local builder, npm"
    (RESULTS / "build.json").write_text(
        json.dumps({"measured": measured, "versions": [asdict(each) for each in found]}, indent=2) + "\n",
        encoding="utf-8",
    )
    (RESULTS / "build.md").write_text(table(measured, found), encoding="utf-8")
    print(table(measured, found), end="")


if __name__ == "__main__":
    main()
