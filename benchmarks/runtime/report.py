"""What was measured, its ratios and targets, as Markdown, JSON and a plot."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

from rig import EMPTY, FLOOR, OURS, PEERS, PIPELINED_FLOOR, RIC, TEXT

# The most that our time may be of the other's: of AWS's client by event size, of either floor, and cold.
_WARM = {20: 0.40, 100_000: 0.80, 5_000_000: 0.80}
_FLOOR = 1.3
_COLD = 0.75
_EMPTY = 1.05

_HOW = (
    "A local Runtime API in C, the same for every client, feeds the clients in turn over 127.0.0.1 and checks"
    " every answer. Figures are medians of the rounds, ratios the medians of the rounds' ratios. The handler"
    " is `async (event) => event`. Every client starts through `/bin/sh`, as a layer's bootstrap does;"
    f" `{EMPTY}` and the programs in C start without. How long a waiting processor takes to wake is part of"
    " every time: it makes most of the floor, and changes with what else runs on the machine."
)
_COLD_IS = (
    "Milliseconds from spawn to the first GET /next, with the files in the page cache;"
    f" of `{EMPTY}` to its exit."
)

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    ' font-family="system-ui, sans-serif" font-size="12">'
)
_STYLE = (
    "<style>.page{fill:#fff}text{fill:#24292f}.grid{stroke:#d0d7de}"
    ".s0{--c:#0969da}.s1{--c:#bc4c00}.s2{--c:#6e7781}"
    "@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.grid{stroke:#3d444d}"
    ".s0{--c:#4493f8}.s1{--c:#f0883e}.s2{--c:#9198a1}}"
    ".line{fill:none;stroke:var(--c);stroke-width:2}.dot{fill:var(--c)}text.name{fill:var(--c)}</style>"
)
LABEL_WIDTH = 44


@dataclass
class Load:
    """A warm client at one event size: microseconds an invocation, one value a round."""

    node: str
    client: str
    size: int
    shape: str
    us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)


@dataclass
class Cold:
    """Starts of a client: milliseconds since spawn, one value a round; for `node empty.js` until its exit."""

    node: str
    client: str
    first_get_ms: list[float] = field(default_factory=list)
    first_answer_ms: list[float] = field(default_factory=list)


@dataclass
class Idle:
    """Memory of a waiting client in bytes, one value a round."""

    node: str
    client: str
    rss: list[int] = field(default_factory=list)
    pss: list[int] = field(default_factory=list)
    anonymous: list[int] = field(default_factory=list)

    def add(self, smaps_rollup: str) -> None:
        """One more value of each, from /proc/<pid>/smaps_rollup, which counts in KiB."""
        told = {
            words[0]: int(words[1]) * 1024
            for words in map(str.split, smaps_rollup.splitlines())
            if words[-1] == "kB"
        }
        self.rss.append(told["Rss:"])
        self.pss.append(told["Pss:"])
        self.anonymous.append(told["Anonymous:"])


@dataclass
class Measured:
    """All of it."""

    loads: list[Load] = field(default_factory=list)
    cold: list[Cold] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """A ratio and the most it may be."""

    what: str
    ratio: float
    most: float

    @property
    def met(self) -> bool:
        return self.ratio <= self.most


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slowed a whole round down does not show in it."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def verdicts(measured: Measured) -> list[Verdict]:
    """Every target of which both sides were measured."""
    found = []
    for node in dict.fromkeys(load.node for load in measured.loads):
        for load in measured.loads:
            ours = _load(measured, node, OURS, load.size, load.shape)
            if load.node != node or ours is None or not _has(measured, node, RIC.name):
                continue
            size = size_name(load.size) + ("" if load.shape == TEXT else f" of {load.shape}")
            if load.client == RIC.name and load.size in _WARM:
                found.append(
                    Verdict(
                        f"warm, {size}, Node.js {node}: against {RIC.name}",
                        ratio(ours.us, load.us),
                        _WARM[load.size],
                    )
                )
            if load.client in {FLOOR, PIPELINED_FLOOR} and load.size == min(_WARM):
                found.append(
                    Verdict(
                        f"warm, {size}, Node.js {node}: against {load.client}",
                        ratio(ours.us, load.us),
                        _FLOOR,
                    )
                )
    for start in measured.cold:
        ours_cold = next(
            (each for each in measured.cold if each.node == start.node and each.client == OURS), None
        )
        if ours_cold is None or start.client == OURS:
            continue
        if start.client != EMPTY and not start.node.startswith("24."):
            continue
        found.append(
            Verdict(
                f"cold, Node.js {start.node}: first GET against {start.client}",
                ratio(ours_cold.first_get_ms, start.first_get_ms),
                _EMPTY if start.client == EMPTY else _COLD,
            )
        )
    return found


def markdown(measured: Measured, judged: Sequence[Verdict], notes: Sequence[str]) -> str:
    """The tables, each with what its figures are."""
    small = [load for load in measured.loads if load.size == min(_WARM)]
    parts = [
        "\n".join(f"{note}  " for note in notes[:-1]) + f"\n{notes[-1]}",
        _HOW,
        "## Targets",
        _table(
            ["", "ratio", "at most", ""],
            [
                [each.what, f"{each.ratio:.2f}", f"{each.most:.2f}", "met" if each.met else "**not met**"]
                for each in judged
            ],
        ),
        "## Warm, 20-byte event",
        "Microseconds an invocation; in parentheses our time as a part of this one.",
        _pivot(small, lambda load, ours: _beside(load.us, ours.us if ours else None)),
        "Processor time in microseconds an invocation, all threads of the client:",
        _pivot(small, lambda load, ours: _beside(load.cpu_us, ours.cpu_us if ours else None)),
        "99th percentile of single invocations, microseconds:",
        _pivot(small, lambda load, _: _figure(statistics.median(load.p99_us))),
        "## Larger events",
        "Microseconds an invocation. Text is one long string, records are a list of small objects.",
        *(
            f"{size_name(size)} of {shape}:\n\n"
            + _pivot(
                [load for load in measured.loads if (load.size, load.shape) == (size, shape)],
                lambda load, ours: _beside(load.us, ours.us if ours else None),
            )
            for size, shape in sorted({(load.size, load.shape) for load in measured.loads})
            if size != min(_WARM)
        ),
        "## Cold start",
        _COLD_IS,
        _pivot(
            measured.cold,
            lambda start, ours: _beside(start.first_get_ms, ours.first_get_ms if ours else None),
        ),
        "To the first answer, where an event waits already:",
        _pivot(
            [start for start in measured.cold if start.first_answer_ms],
            lambda start, ours: _beside(start.first_answer_ms, ours.first_answer_ms if ours else None),
        ),
        "## Memory",
        "MB of the client that waits for an event after 1,000 of them: RSS, PSS, anonymous.",
        _pivot(measured.idle, lambda idle, _: _megabytes(idle)),
    ]
    if _growth(measured)[1]:
        parts += ["![Microseconds an invocation by event size](runtime.svg)"]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(measured: Measured, judged: Sequence[Verdict], notes: Sequence[str]) -> dict[str, Any]:
    """Everything, each round."""
    return {
        "notes": list(notes),
        "targets": [{**asdict(each), "met": each.met} for each in judged],
        "warm": [_rounded(asdict(each)) for each in measured.loads],
        "cold": [_rounded(asdict(each)) for each in measured.cold],
        "idle": [asdict(each) for each in measured.idle],
    }


def size_name(size: int) -> str:
    """20 B, 100 KB, 5 MB; of 1,000."""
    for unit, name in ((1_000_000, "MB"), (1_000, "KB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} B"


def plot(measured: Measured) -> str:
    """Microseconds an invocation by event size, both logarithmic, as an SVG for light and dark pages."""
    node, lines = _growth(measured)
    width, height, left, right, top, bottom = 720, 400, 70, 170, 46, 50
    values = [us for line in lines.values() for us in line.values()] or [1.0, 10.0]
    sizes = sorted({size for line in lines.values() for size in line}) or [1, 10]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])

    def across(size: float) -> float:
        return left + (math.log10(size) - first) / ((last - first) or 1) * (width - left - right)

    def up(us: float) -> float:
        return height - bottom - (math.log10(us) - low) / ((high - low) or 1) * (height - top - bottom)

    title = f"Time of a warm invocation by event size, Node.js {node}"
    svg = [
        _SVG.format(width=width, height=height),
        f"<title>{title}</title>",
        _STYLE,
        f'<rect class="page" width="{width}" height="{height}" rx="6"/>',  # readable on any page
        f'<text x="{left}" y="24" font-size="14">{title}</text>',
    ]
    for power in range(low, high + 1):
        y = up(10**power)
        svg.append(f'<path class="grid" d="M{left} {y:.1f}H{width - right}"/>')
        svg.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{_duration(10**power)}</text>')
    labels = f'y="{height - bottom + 20}" text-anchor="middle"'
    named: list[int] = []
    for size in reversed(sizes):  # the largest has its name; of two too close to one another only one
        if not named or across(named[-1]) - across(size) > LABEL_WIDTH:
            named.append(size)
    svg += [f'<text x="{across(size):.1f}" {labels}>{size_name(size)}</text>' for size in reversed(named)]
    names = _spread([(up(line[max(line)]), name) for name, line in lines.items()])
    for number, (name, line) in enumerate(lines.items()):
        points = [(across(size), up(us)) for size, us in sorted(line.items())]
        svg.append(f'<g class="s{number}">')
        svg.append('<path class="line" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + '"/>')
        svg += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
        svg.append(f'<text class="name" x="{width - right + 10}" y="{names[name] + 4:.1f}">{name}</text></g>')
    middle = (left + width - right) / 2
    svg.append(f'<text x="{middle}" y="{height - 8}" text-anchor="middle">event: one string</text>')
    return "\n".join(svg) + "\n</svg>\n"


def _spread(wanted: list[tuple[float, str]], apart: float = 15) -> dict[str, float]:
    """Where each name goes, so that none is on another."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for y, name in sorted(wanted):
        lowest = max(y, lowest + apart)
        placed[name] = lowest
    return placed


def _duration(us: float) -> str:
    for unit, name in ((1_000_000, "s"), (1_000, "ms")):
        if us >= unit:
            return f"{us / unit:g} {name}"
    return f"{us:g} µs"


def _growth(measured: Measured) -> tuple[str, dict[str, dict[int, float]]]:
    """The Node.js that was measured at most sizes; client to size to microseconds."""
    sizes: dict[str, set[int]] = {}
    for load in measured.loads:
        sizes.setdefault(load.node, set()).add(load.size)
    node = max(sizes, key=lambda each: len(sizes[each]), default="")
    lines: dict[str, dict[int, float]] = {}
    for client in (OURS, RIC.name, FLOOR):
        for load in measured.loads:
            if (load.node, load.client, load.shape) == (node, client, TEXT) and len(sizes[node]) > 1:
                lines.setdefault(client, {})[load.size] = statistics.median(load.us)
    return node, lines


def _has(measured: Measured, node: str, client: str) -> bool:
    return any((load.node, load.client) == (node, client) for load in measured.loads)


def _load(measured: Measured, node: str, client: str, size: int, shape: str) -> Load | None:
    wanted = (node, client, size, shape)
    return next(
        (load for load in measured.loads if (load.node, load.client, load.size, load.shape) == wanted), None
    )


class _Row(Protocol):
    node: str
    client: str


_R = TypeVar("_R", bound=_Row)


def _pivot(rows: Sequence[_R], cell: Callable[[_R, _R | None], str]) -> str:
    """A line for each Node.js, a column for each client; `cell` takes a row and ours of the same Node.js."""
    clients = [name for name in _ORDER if any(row.client == name for row in rows)]
    lines = []
    for node in dict.fromkeys(row.node for row in rows):
        by_client = {row.client: row for row in rows if row.node == node}
        ours = by_client.get(OURS)
        lines.append([node, *(cell(by_client[name], ours) if name in by_client else "" for name in clients)])
    return _table(["Node.js", *clients], lines)


_ORDER = (OURS, *(peer.name for peer in PEERS), FLOOR, PIPELINED_FLOOR, EMPTY)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def _beside(values: Sequence[float], ours: Sequence[float] | None) -> str:
    """The median and, where it is not ours, the ratio of ours to it."""
    text = _figure(statistics.median(values))
    return text if ours is None or ours is values else f"{text} ({ratio(ours, values):.2f})"


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004


def _megabytes(idle: Idle) -> str:
    return " / ".join(
        f"{statistics.median(values) / 1_000_000:.1f}" for values in (idle.rss, idle.pss, idle.anonymous)
    )


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [round(each, 3) for each in value] if isinstance(value, list) else value
        for name, value in values.items()
    }
