"""Speed and memory of the runtime client, compared with AWS's client and with minimal clients in C.

A Runtime API written in C sends events to one client after the other over 127.0.0.1, and checks each answer.
The handler is `async (event) => event`. A shell starts each JavaScript client, as the bootstrap of a layer
does; `node empty.js` and the C programs start without a shell. Each time includes the wake-up of an idle
processor, which is most of the time of the C programs.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import measure
from measure import Rounds, Table
from runtime_rig import EMPTY, FLOOR, OURS, PIPELINED_FLOOR, RECORDS, RIC, TEXT, Client, Rig, Session

NODES = ("12.16.1", "18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0")
SMALL = 20
"""Size of an event in bytes."""
LARGE = {
    "100 KB of text": (100_000, TEXT),
    "100 KB of records": (100_000, RECORDS),
    "5 MB of text": (5_000_000, TEXT),
    "5 MB of records": (5_000_000, RECORDS),
}
SMALL_LIMITS = {RIC.name: 0.40, FLOOR: 1.3, PIPELINED_FLOOR: 1.3}
LARGE_LIMITS = {RIC.name: 0.80}
COLD_LIMITS = {RIC.name: 0.75, EMPTY: 1.05}
WARM_UP_S = 1.0
"""Warm-up of a client in seconds, in which V8 compiles frequently used code."""
BURST_S = 0.12
MOST_CYCLES = 600
IDLE_AFTER = 1000
"""Events to send before the memory of an idle client is read."""


def warm(rig: Rig, clients: list[Client], rounds: int, size: int, shape: str = TEXT) -> Rounds:
    """Start and warm up each client, then send bursts in turn; return microseconds for each invocation."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(rig.session(client, size, shape)) for client in clients]
        ways = {each.client: partial(_us, each, _warmed_up(each)) for each in sessions}
        return measure.interleave(ways, rounds)


def _us(session: Session, cycles: int) -> float:
    return session.burst(cycles).us


def _warmed_up(session: Session) -> int:
    """Return the number of invocations that take BURST_S."""
    end, cycles = time.monotonic() + WARM_UP_S, 3
    session.burst(cycles)
    while time.monotonic() < end:
        cycles = max(3, min(MOST_CYCLES, int(BURST_S * 1e6 / session.burst(cycles).us)))
    return cycles


def cold(rig: Rig, version: str, clients: list[Client], rounds: int) -> tuple[Rounds, Rounds]:
    """Start each client and an empty program in each round; return milliseconds to request and to answer."""
    answers: Rounds = {client.name: [] for client in clients}

    def start(client: Client) -> float:
        with rig.session(client, SMALL) as session:
            burst = session.burst(0)
        answers[client.name].append(burst.first_answer_ns / 1e6)
        return burst.first_get_ns / 1e6

    ways = {client.name: partial(start, client) for client in clients}
    return measure.interleave({**ways, EMPTY: partial(rig.empty_ms, version)}, rounds), answers


def idle_mb(rig: Rig, client: Client) -> float:
    """Return the memory of an idle client in MB."""
    with rig.session(client, SMALL) as session:
        burst = session.burst(IDLE_AFTER - 1)
        time.sleep(0.1)  # for its last GET, and for V8's work when idle
        return burst.resident_mb


def speed(options: argparse.Namespace) -> list[Table]:
    """Measure each version with its peers; large events only if AWS's client supports the version."""
    small: dict[str, Rounds] = {}
    large: dict[str, dict[str, Rounds]] = {name: {} for name in LARGE}
    first_get, first_answer, memory = dict(small), dict(small), dict(small)
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
        rig = Rig(Path(folder))
        floors = rig.floors()
        for version in options.node:
            peers = rig.peers(version)
            clients = [rig.ours(version), *peers]
            row = f"Node.js {version}"
            small[row] = warm(rig, [*clients, *floors], options.rounds, SMALL)
            starts = cold(rig, version, clients, 2 * options.rounds)
            first_get[row], first_answer[row] = starts
            memory[row] = measure.interleave(
                {client.name: partial(idle_mb, rig, client) for client in clients}, min(3, options.rounds)
            )
            for name, (size, shape) in LARGE.items() if peers else ():
                large[name][row] = warm(rig, [*clients, floors[0]], options.rounds, size, shape)
    return [
        Table("Warm, 20 bytes, µs", small, OURS, SMALL_LIMITS),
        *(Table(f"Warm, {name}, µs", rows, OURS, LARGE_LIMITS) for name, rows in large.items() if rows),
        Table("Cold start to the first GET /next, ms", first_get, OURS, COLD_LIMITS),
        Table("Cold start to the first answer, ms", first_answer, OURS),
        Table("Memory of an idle client, MB", memory, OURS),
    ]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=15)
    parser.add_argument("--node", nargs="+", default=NODES, help="exact versions")
    sys.exit(measure.main(parser, speed))
