"""Speed and memory of the runtime client beside AWS's and a floor in C, all in one interleaved run.

    python benchmarks/runtime/speed.py [--quick] [--rounds 15] [--node 24.21.0 ...] [--check]

A local Runtime API (api.c, the same for every client) starts the clients with a clean environment and feeds
them in turn; a ratio is the median of the rounds' ratios, a figure the median of the rounds. Needs gcc, and
npm for the peers. Takes five minutes, and writes benchmarks/results/runtime.json, runtime.md and runtime.svg.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import report
from report import Cold, Idle, Load, Measured
from rig import (
    EMPTY,
    RECORDS,
    RESULTS,
    RIC,
    TEXT,
    Client,
    Rig,
)

from nodelayer import __version__
from nodelayer.errors import NodelayerError
from nodelayer.layer import contents

NODES = ("12.16.1", "18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0")
SMALL = 20  # bytes, as everything below
LARGE = (100_000, 5_000_000)
GROWTH = (20, 1_000, 10_000, 100_000, 1_000_000, 6_000_000)
GROWTH_NODE = "24"
WARM_UP_S = 1.0
"""How long a client runs before it is measured: V8 has then compiled what is used often."""
BURST_S = 0.12
MOST_CYCLES = 600
IDLE_AFTER = 1000
COLD_TIMES = 2
"""Starts in each round: they are cheap, and no two of them take the same time."""

_T = TypeVar("_T")


class Bench:
    """The measurements; `rounds` is how often each is repeated, one client after the other."""

    def __init__(self, rig: Rig, rounds: int) -> None:
        self._rig = rig
        self._rounds = rounds

    def warm(self, version: str, clients: list[Client], size: int, shape: str = TEXT) -> list[Load]:
        """Every client started and warmed up, then bursts in turn."""
        say(f"Node.js {version}: warm, {report.size_name(size)} {shape}, {len(clients)} clients")
        loads = [Load(version, client.name, size, shape) for client in clients]
        with ExitStack() as stack:
            sessions = [
                stack.enter_context(self._rig.session(client, self._rig.event(size, shape)))
                for client in clients
            ]
            cycles = []
            for session in sessions:
                session.burst(3)
                end = time.monotonic() + WARM_UP_S
                us = session.burst(3).us
                while time.monotonic() < end:
                    us = session.burst(max(2, min(MOST_CYCLES, int(BURST_S * 1e6 / us)))).us
                cycles.append(max(3, min(MOST_CYCLES, int(BURST_S * 1e6 / us))))
            for turn in range(self._rounds):
                for session, load, count in in_turn(turn, zip(sessions, loads, cycles, strict=True)):
                    burst = session.burst(count)
                    load.us.append(burst.us)
                    load.cpu_us.append(burst.cpu_us)
                    load.p50_us.append(burst.p50_ns / 1000)
                    load.p99_us.append(burst.p99_ns / 1000)
        return loads

    def cold(self, version: str, clients: list[Client]) -> list[Cold]:
        """Each client started anew in every round, and `node empty.js` among them."""
        say(f"Node.js {version}: cold, {len(clients)} clients and {EMPTY}")
        empty = Cold(version, EMPTY)
        starts = [Cold(version, client.name) for client in clients]
        command = self._rig.empty(version)
        for turn in range(COLD_TIMES * self._rounds):
            empty.first_get_ms.append(self._rig.exit_ns(command) / 1e6)
            for client, start in in_turn(turn, zip(clients, starts, strict=True)):
                with self._rig.session(client, self._rig.event(SMALL)) as session:
                    burst = session.burst(0)
                start.first_get_ms.append(burst.first_get_ns / 1e6)
                start.first_answer_ms.append(burst.first_answer_ns / 1e6)
        return [*starts, empty]

    def idle(self, version: str, clients: list[Client]) -> list[Idle]:
        """Memory of each client when it waits for an event, after a thousand of them."""
        say(f"Node.js {version}: memory of {len(clients)} idle clients")
        found = [Idle(version, client.name) for client in clients]
        for _ in range(min(3, self._rounds)):
            for client, idle in zip(clients, found, strict=True):
                with self._rig.session(client, self._rig.event(SMALL)) as session:
                    burst = session.burst(IDLE_AFTER - 1)
                    time.sleep(0.1)  # for its last GET, and what V8 does when idle
                    idle.add(Path(f"/proc/{burst.pid}/smaps_rollup").read_text(encoding="ascii"))
        return found


def measure(rig: Rig, nodes: list[str], rounds: int) -> Measured:
    """Everything. Raises NodelayerError."""
    bench = Bench(rig, rounds)
    measured = Measured()
    for version in nodes:
        ours, floors, peers = rig.ours(version), rig.floors(), rig.peers(version)
        measured.loads += bench.warm(version, [*floors, ours, *peers], SMALL)
        measured.cold += bench.cold(version, [ours, *peers])
        measured.idle += bench.idle(version, [ours, *peers[:1]])
        if not any(peer.name == RIC.name for peer in peers):
            continue
        beside = [*floors[:1], ours, peers[0]]
        grown = version.split(".")[0] == GROWTH_NODE
        for size in sorted({*LARGE, *(GROWTH if grown else ())} - {SMALL}):
            measured.loads += bench.warm(version, beside, size)
            if grown and size in LARGE:
                measured.loads += bench.warm(version, beside, size, RECORDS)
    return measured


def in_turn(turn: int, clients: Iterable[_T]) -> list[_T]:
    """Forwards in one round, backwards in the next: none always follows the same other."""
    return list(clients)[:: -1 if turn % 2 else 1]


def say(line: str) -> None:
    print(line, file=sys.stderr)


def processor() -> str:
    """What the kernel calls the processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> int:
    """0 when measured; with --check 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="speed and memory of the runtime client beside AWS's")
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured (default 15)")
    parser.add_argument("--quick", action="store_true", help="3 rounds, printed only")
    parser.add_argument(
        "--node", action="append", help=f"a version, once or more (default: {', '.join(NODES)})"
    )
    parser.add_argument("--check", action="store_true", help="end with 1 where a target is missed")
    options = parser.parse_args()
    rounds = 3 if options.quick else options.rounds
    began = time.monotonic()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
        try:
            rig = Rig(Path(folder))
            rig.compile()
            measured = measure(rig, options.node or list(NODES), rounds)
        except NodelayerError as error:
            print(error, file=sys.stderr)
            return error.code
    where = (
        f"{datetime.now(UTC):%Y-%m-%d} on {processor()}, {os.cpu_count()} cores, Linux {platform.release()}"
    )
    after = os.getloadavg()[0]
    verdicts = report.verdicts(measured)
    notes = [
        f"Measured {where}; nodelayer {__version__}, runtime client {contents.digest(rig.client)[:12]}.",
        f"{rounds} rounds in {time.monotonic() - began:.0f} s; load average {before:.1f}, then {after:.1f}.",
        *(f"Left out: {reason}." for reason in rig.left_out),
    ]
    text = report.markdown(measured, verdicts, notes)
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "runtime.md").write_text(text, encoding="utf-8")
        (RESULTS / "runtime.svg").write_text(report.plot(measured), encoding="utf-8")
        (RESULTS / "runtime.json").write_text(
            json.dumps(report.as_json(measured, verdicts, notes), indent=1) + "\n", encoding="utf-8"
        )
    print(text, end="")
    missed = [verdict.what for verdict in verdicts if not verdict.met]
    if missed:
        say(f"not met: {'; '.join(missed)}")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
