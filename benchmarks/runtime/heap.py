"""How V8 sizes its heap by itself, by a flag and by NODE_OPTIONS, and what each costs a cold start.

    python benchmarks/runtime/heap.py [--starts 40] [--node 24.21.0 ...]

Prints the figures of docs/runtime.md. The memory of a function of 512 MB is a cgroup (v1 or v2), which needs
root; without one these columns stay empty. Starts are interleaved, their figures medians, and in parentheses
the medians of the ratios of neighbours. Needs gcc. Takes two minutes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import truediv
from pathlib import Path

from rig import HERE, Rig
from speed import NODES, say

from nodelayer.errors import NodelayerError

FUNCTION_MB = 512
HELD_MB = FUNCTION_MB * 60 // 100
PERCENT = 80
LIMIT_MB = FUNCTION_MB * PERCENT // 100
FLAG = f"--max-old-space-size={LIMIT_MB}"
MEMORY_SIZE = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(FUNCTION_MB)}
WAYS = {
    "V8 decides": {},
    "command line": {**MEMORY_SIZE, "NODELAYER_HEAP_PERCENT": str(PERCENT)},
    "NODE_OPTIONS": {"NODE_OPTIONS": FLAG},
}


@contextmanager
def limited() -> Iterator[Path | None]:
    """A cgroup of the function's memory; None where none can be made."""
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / f"nodelayer-heap-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(FUNCTION_MB << 20), encoding="ascii")
            yield group
        except OSError:
            continue
        else:
            return
        finally:
            group.rmdir()
    yield None


def hold(node: Path, way: str, group: Path | None) -> tuple[str, str]:
    """V8's limit in MB, and how a program ended that holds 60 % of the function's memory."""
    flags = [FLAG] if way == "command line" else []
    options = {"NODE_OPTIONS": FLAG} if way == "NODE_OPTIONS" else {}
    into = f"echo $$ > '{group / 'cgroup.procs'}' && " if group else ""
    command: list[str | Path] = [
        "/bin/sh",
        "-c",
        into + 'exec "$@"',
        "sh",
        node,
        *flags,
        HERE / "hold.js",
        str(HELD_MB),
    ]
    library = {"LD_LIBRARY_PATH": str(node.parent.parent.parent / "lib")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**library, **options})
    lines = done.stdout.split()
    end = "survives" if lines[-1:] == ["survived"] else f"dies ({done.returncode})"
    return (lines or ["?"])[0], end


def starts(rig: Rig, version: str, count: int) -> list[str]:
    """Milliseconds from spawn to the first GET, way by way, each with its ratio to the first way."""
    ours = rig.ours(version)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(count):
        for way in list(WAYS)[:: -1 if turn % 2 else 1]:
            client = replace(ours, environ=WAYS[way])
            with rig.session(client, rig.event(20)) as session:
                found[way].append(session.burst(0).first_get_ns / 1e6)
    first = next(iter(found.values()))
    return [
        f"{statistics.median(each):.1f} ({statistics.median(map(truediv, each, first)):.2f})"
        for each in found.values()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="heap sizing by Node.js version")
    parser.add_argument("--starts", type=int, default=40, help="of each kind (default 40)")
    parser.add_argument("--node", action="append", help="a version, once or more")
    options = parser.parse_args()
    print(
        "| Node.js | heap limit, 24 GB machine | in 512 MB | holds 60 % | 80 % by flag | holds 60 % |",
        end=" ",
    )
    print("cold start, ms: V8 decides | command line | NODE_OPTIONS |")
    print("| --- " * 9 + "|")
    with tempfile.TemporaryDirectory(prefix="nodelayer-heap-") as folder, limited() as group:
        if group is None:
            say("no cgroup can be made here: what happens in 512 MB is not measured")
        try:
            rig = Rig(Path(folder))
            rig.compile()
            for version in options.node or NODES:
                node = rig.node(version)
                free, _ = hold(node, "V8 decides", None)
                inside = {way: hold(node, way, group) if group else ("", "") for way in WAYS}
                by_itself, by_flag = inside["V8 decides"], inside["command line"]
                cells = [version, free, *by_itself, *by_flag, *starts(rig, version, options.starts)]
                print(f"| {' | '.join(cells)} |", flush=True)
                if inside["NODE_OPTIONS"] != by_flag:
                    say(f"{version}: NODE_OPTIONS gave {inside['NODE_OPTIONS']}")
        except NodelayerError as error:
            print(error, file=sys.stderr)
            return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
