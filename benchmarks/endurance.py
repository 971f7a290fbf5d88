"""Memory of the runtime client over a million warm invocations in one process.

Each answer is checked against its event. As on Lambda, each invocation has a different trace ID. The memory
at the end is compared with the memory after a tenth of the invocations.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import measure
from measure import Rounds, Table
from runtime_rig import Rig

NODES = ("12.16.1", "24.21.0")
STEPS = 10
TENTH, END = "after a tenth", "at the end"
LIMIT = 1.05
"""V8's heap varies by a few MB."""


def endurance(options: argparse.Namespace) -> list[Table]:
    """Send ten bursts of events to each version."""
    memory: dict[str, Rounds] = {}
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
        rig = Rig(Path(folder))
        for version in options.node:
            with rig.session(rig.ours(version), 20) as session:
                steps = [session.burst(options.invocations // STEPS - 1).resident_mb for _ in range(STEPS)]
            memory[f"Node.js {version}"] = {END: [steps[-1]], TENTH: [steps[0]]}
    return [Table(f"Memory over {options.invocations:,} invocations, MB", memory, END, {TENTH: LIMIT})]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=1)
    parser.add_argument("--node", nargs="+", default=NODES, help="exact versions")
    parser.add_argument(
        "--invocations", type=int, default=1_000_000, help="number of invocations (default: 1000000)"
    )
    sys.exit(measure.main(parser, endurance))
