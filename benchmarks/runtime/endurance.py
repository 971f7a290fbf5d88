"""A million warm invocations in one process: the memory after the first 100,000 against that at the end.

    python benchmarks/runtime/endurance.py [--node 12.16.1 --node 24.21.0] [--invocations 1000000] [--check]
                                           [--same-trace]

Every answer is checked against its event. Each invocation has a trace id of its own, as on Lambda: a client
that puts it into the environment grows, because glibc's setenv keeps every string that it was ever given.
--same-trace shows what is left without that. Writes benchmarks/results/endurance.json and endurance.md.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rig import RESULTS, Rig
from speed import SMALL, processor, say

from nodelayer import __version__
from nodelayer.errors import NodelayerError
from nodelayer.layer import contents

NODES = ("12.16.1", "24.21.0")
STEPS = 10
GROWTH = 1.05
"""The most that RSS at the end may have of RSS after a tenth: V8's heap goes up and down by a few MB."""


@dataclass
class Run:
    """One version: RSS in bytes and microseconds an invocation after each tenth of the invocations."""

    node: str
    invocations: int
    rss: list[int] = field(default_factory=list)
    us: list[float] = field(default_factory=list)

    @property
    def grown(self) -> float:
        return self.rss[-1] / self.rss[0]


def endure(rig: Rig, version: str, invocations: int, *options: str) -> Run:
    """Raises NodelayerError, also where the client ends or gives a wrong answer."""
    run = Run(version, invocations)
    step = invocations // STEPS
    with rig.session(rig.ours(version), rig.event(SMALL), *options) as session:
        for _ in range(STEPS):
            burst = session.burst(step - 1)
            run.rss.append(resident(burst.pid))
            run.us.append(round(burst.us, 1))
            say(
                f"Node.js {version}: {step * len(run.rss):,} invocations, {run.us[-1]} µs each, "
                f"RSS {run.rss[-1] / 1e6:.1f} MB"
            )
    return run


def resident(pid: int) -> int:
    """RSS in bytes, of /proc/<pid>/status, which counts in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def table(runs: list[Run], where: str) -> str:
    """The results in Markdown."""
    lines = [
        where,
        "",
        "| Node.js | invocations | RSS after a tenth | RSS at the end | ratio | at most | µs an invocation |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {run.node} | {run.invocations:,} | {run.rss[0] / 1e6:.1f} MB | {run.rss[-1] / 1e6:.1f} MB"
        f" | {run.grown:.3f} | {GROWTH} | {statistics.median(run.us):.0f} |"
        for run in runs
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """0 when measured; with --check 1 where memory has grown."""
    parser = argparse.ArgumentParser(description="memory over a million invocations")
    parser.add_argument("--node", action="append", help=f"once or more (default: {', '.join(NODES)})")
    parser.add_argument("--invocations", type=int, default=1_000_000, help="how many (default 1000000)")
    parser.add_argument("--check", action="store_true", help="end with 1 where memory has grown")
    parser.add_argument("--same-trace", action="store_true", help="one trace id for all invocations")
    options = parser.parse_args()
    if options.invocations < 2 * STEPS:
        parser.error(f"--invocations: at least {2 * STEPS}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
        try:
            rig = Rig(Path(folder))
            rig.compile()
            trace = ["--same-trace"] if options.same_trace else []
            runs = [endure(rig, version, options.invocations, *trace) for version in options.node or NODES]
        except NodelayerError as error:
            print(error, file=sys.stderr)
            return error.code
    where = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {processor()} in {time.monotonic() - began:.0f} s;"
        f" nodelayer {__version__}, runtime client {contents.digest(rig.client)[:12]};"
        f" {'one trace id for all' if options.same_trace else 'a trace id of its own for each'}."
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "endurance.md").write_text(table(runs, where), encoding="utf-8")
    (RESULTS / "endurance.json").write_text(
        json.dumps({"measured": where, "runs": [asdict(run) for run in runs]}, indent=1) + "\n",
        encoding="utf-8",
    )
    print(table(runs, where), end="")
    grown = [run.node for run in runs if run.grown > GROWTH]
    if grown:
        say(f"memory has grown on {', '.join(grown)}")
    return 1 if grown and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
