"""Common parts of the benchmarks: interleaved rounds, medians and their ratios, and the result files.

In each round all alternatives run one after the other, in alternating order, so that other load on the
machine affects all of them. A ratio compares the medians of two alternatives in the same run.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nodelayer import __version__
from nodelayer.errors import NodelayerError

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
_RESULTS = ROOT / "benchmarks" / "results"

Rounds = dict[str, list[float]]
"""One value for each round, by alternative."""


@dataclass(frozen=True)
class Table:
    """A table of results: one row for each thing measured, one column for each alternative.

    `rows` has one value for each round, and a cell shows their median. If `ours` names an alternative, the
    other columns also show its ratio to them. `limits` has the highest accepted ratio to each alternative.
    """

    title: str
    rows: Mapping[str, Mapping[str, Sequence[float]]]
    ours: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def ratio(self, row: str, way: str) -> float:
        """Return our median divided by that of another alternative."""
        values = self.rows[row]
        return statistics.median(values[self.ours]) / statistics.median(values[way])

    def markdown(self) -> str:
        """Return the table as Markdown, with a heading."""
        ways = list(dict.fromkeys(way for values in self.rows.values() for way in values))
        lines = [["", *ways], ["---"] * (len(ways) + 1)]
        lines += [[row, *(self._cell(row, way) for way in ways)] for row in self.rows]
        parts = [f"## {self.title}", self.note, _table(lines)]
        return "\n\n".join(part for part in parts if part)

    def verdicts(self) -> list[list[str]]:
        """Return one row for each ratio that has a limit: name, ratio, limit, and whether it is met."""
        found = []
        for row, values in self.rows.items():
            for way, limit in self.limits.items():
                if way in values and self.ours in values:
                    ratio = self.ratio(row, way)
                    met = "met" if ratio <= limit else "**not met**"
                    found.append(
                        [f"{self.title}: {row}, compared with {way}", _figure(ratio), f"{limit:g}", met]
                    )
        return found

    def _cell(self, row: str, way: str) -> str:
        values = self.rows[row]
        if way not in values:
            return ""
        text = _figure(statistics.median(values[way]))
        compared = self.ours in values and way != self.ours
        return f"{text} ({_figure(self.ratio(row, way))})" if compared else text


def interleave(ways: Mapping[str, Callable[[], float]], rounds: int) -> Rounds:
    """Call each alternative once in each round, in alternating order."""
    print(f"{rounds} rounds of: {', '.join(ways)}", file=sys.stderr)
    found: Rounds = {way: [] for way in ways}
    for turn in range(rounds):
        for way in list(ways)[:: -1 if turn % 2 else 1]:
            found[way].append(ways[way]())
    return found


def seconds(
    command: Sequence[str | Path], cwd: Path = ROOT, environ: Mapping[str, str] | None = None
) -> float:
    """Run a command to its end and return the seconds it took.

    Raises:
        NodelayerError: The command failed.

    """
    began = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise NodelayerError(f"{command[0]} failed with exit code {done.returncode}: {done.stderr[-2000:]}")
    return took


def invoke(*words: str) -> list[str | Path]:
    """Return the command line of a nodelayer command, for any folder."""
    return [BIN / "invoke", f"--search-root={ROOT}", *words]


def parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the flags that every benchmark has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds, help=f"number of rounds (default: {rounds})")
    made.add_argument(
        "--results",
        type=Path,
        default=_RESULTS,
        help="folder for the result files (default: benchmarks/results)",
    )
    return made


def main(parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], list[Table]]) -> int:
    """Measure, write NAME.md and NAME.json for the script NAME.py, and print the tables."""
    options = parser.parse_args()
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        tables = measure(options)
    except NodelayerError as error:
        print(error, file=sys.stderr)
        return error.code
    measured = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {_processor()}, {os.cpu_count()} cores, Linux "
        f"{platform.release()}, in {time.monotonic() - began:.0f} s with {options.rounds} rounds; load "
        f"average {load:.1f} before; nodelayer {__version__}."
    )
    name = Path(parser.prog).stem
    text = _page(measured, (parser.description or "").strip(), tables)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{name}.md").write_text(text, encoding="utf-8")
    data = {"measured": measured, "tables": [asdict(each) for each in tables]}
    (options.results / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(text, end="")
    return 0


def _page(measured: str, description: str, tables: Sequence[Table]) -> str:
    judged = [line for table in tables for line in table.verdicts()]
    parts = [
        measured,
        description,
        "All values are medians. In parentheses: the median of nodelayer divided by this one.",
    ]
    if judged:
        parts += ["## Targets", _table([["target", "ratio", "limit", "result"], ["---"] * 4, *judged])]
    return "\n\n".join([*parts, *(table.markdown() for table in tables)]) + "\n"


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
