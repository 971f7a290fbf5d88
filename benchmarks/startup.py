"""Time of `invoke arn` as a process, compared with Invoke alone.

The peers are `python -c 'import invoke'` and an empty task in a separate tasks file.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import measure
from measure import Table

MANIFEST = measure.ROOT / "docs" / "layers.sample.json"
ARN, IMPORT, TRIVIAL = "invoke arn", "python -c 'import invoke'", "an empty Invoke task"
LIMIT = 1.5
TASKS = "from invoke import task\n\n\n@task\ndef nothing(_ctx):\n    pass\n"


def startup(options: argparse.Namespace) -> list[Table]:
    """Start each process once in each round."""
    # As for users, Python keeps compiled modules between starts.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds = partial(measure.seconds, environ=environ)
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as folder:
        (Path(folder) / "tasks.py").write_text(TASKS, encoding="utf-8")
        arn = ("arn", "--node", "12.16.1", "--region", "eu-west-1", "--manifest", str(MANIFEST))
        ways = {
            ARN: partial(seconds, measure.invoke(*arn)),
            IMPORT: partial(seconds, [sys.executable, "-c", "import invoke"]),
            TRIVIAL: partial(seconds, [measure.BIN / "invoke", "nothing"], cwd=Path(folder)),
        }
        measure.interleave(ways, 1)  # fills the page cache and __pycache__
        found = measure.interleave(ways, options.rounds)
    in_ms = {way: [each * 1000 for each in values] for way, values in found.items()}
    return [Table("Start, ms", {"whole process": in_ms}, ours=ARN, limits={IMPORT: LIMIT})]


if __name__ == "__main__":
    sys.exit(measure.main(measure.parser(__doc__, rounds=25), startup))
