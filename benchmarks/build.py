"""Time to build and test one layer, and size of its zip.

The local builder builds each version from npm with an empty download cache, then again from the cache.
`invoke test-layer` tests it. Each time includes the start of the command.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import measure
from measure import Rounds, Table

VERSIONS = ("12.16.1", "14.21.3", "16.20.2", "18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0")


def build(options: argparse.Namespace) -> list[Table]:
    """Build and test each version in each round, each time with a new cache."""
    times: dict[str, Rounds] = {version: {} for version in options.node}
    sizes: dict[str, Rounds] = {version: {} for version in options.node}
    for _ in range(options.rounds):
        for version in options.node:
            with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
                environ = os.environ | {"NODELAYER_CACHE_DIR": f"{folder}/cache"}
                of_this = (f"--node={version}", f"--out={folder}/dist")
                make = measure.invoke("build-layer", *of_this, "--builder=local", "--source=npm")
                test = measure.invoke("test-layer", *of_this)
                for way, command in {
                    "build, empty cache": make,
                    "build from the cache": make,
                    "first test": test,  # downloads the emulator
                    "test": test,
                }.items():
                    times[version].setdefault(way, []).append(measure.seconds(command, environ=environ))
                (packed,) = Path(folder, "dist").glob("*.zip")
                sizes[version].setdefault("zip", []).append(packed.stat().st_size / 1e6)
    return [Table("Time, s", times), Table("Size, MB", sizes)]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=1)
    parser.add_argument("--node", nargs="+", default=VERSIONS, help="exact versions")
    sys.exit(measure.main(parser, build))
