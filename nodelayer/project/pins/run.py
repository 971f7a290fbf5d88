"""What the project pins, and how all of it is brought up to date: each by its own script and process.

A pin that cannot be refreshed stops no other; what changed and what failed is told at the end.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodelayer.errors import InvalidInputError, NodelayerError, UnreachableError, machine_error
from nodelayer.util.console import Reporter

_TIMEOUT_S = 1200
_MOST_LINES = 12  # of a failure: one, or one for each part


@dataclass(frozen=True)
class Pin:
    """A kind of pinned fact: the command that refreshes it, and the files and folders that it changes."""

    name: str
    what: str
    command: tuple[str, ...]
    places: tuple[str, ...]
    docker: bool = False


PINS = (
    Pin(
        "base-images",
        "base images, by digest",
        ("nodelayer/project/pins/base_images.py",),
        ("nodelayer/layer/base_images.json", "docker/Dockerfile"),
    ),
    Pin(
        "abi",
        "what each runtime's libraries offer",
        ("nodelayer/project/pins/abi_policies.py", "--all"),
        ("nodelayer/layer/policies",),
        docker=True,
    ),
    Pin(
        "regions",
        "the oldest boto3, which knows AWS's regions",
        ("nodelayer/project/pins/regions.py",),
        ("pyproject.toml",),
    ),
    Pin(
        "runtimes",
        "until when AWS keeps each runtime",
        ("nodelayer/project/pins/runtimes.py",),
        ("nodelayer/aws/runtimes.json",),
    ),
    Pin(
        "lts-lines",
        "Node.js's LTS lines",
        ("nodelayer/project/pins/lts_lines.py",),
        ("nodelayer/node/lts_lines.json",),
    ),
    Pin(
        "release-keys",
        "the keys of Node.js's release team",
        ("nodelayer/project/pins/release_keys.py",),
        ("nodelayer/node/release_keys.json",),
    ),
    Pin(
        "rie",
        "AWS's Runtime Interface Emulator, and SAM",
        ("nodelayer/project/pins/rie.py",),
        ("nodelayer/emulation/rie.json",),
    ),
    Pin(
        "programs",
        "programs of others that are installed to run or to test with",
        ("nodelayer/project/pins/programs.py",),
        ("nodelayer", "tests"),
    ),
    Pin(
        "requirements",
        "what nodelayer runs on, by hash",
        ("nodelayer/project/pins/requirements.py",),
        ("requirements.txt",),
    ),
    Pin(
        "actions",
        "the actions of workflows, by commit",
        ("nodelayer/project/pins/actions.py",),
        (".github", "actions"),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """How it went with a pin: what its command said, whether its files changed or differ, what failed.

    `kept` is true where it was to be compared only; `skipped` is why it was not even tried.
    """

    pin: Pin
    lines: tuple[str, ...] = ()
    changed: bool = False
    kept: bool = False
    skipped: str = ""
    failures: tuple[str, ...] = ()
    code: int = 0


def typed(script: Callable[[Sequence[str]], int]) -> int:
    """The exit code of a script as it was typed; a failure is told as one line."""
    try:
        return script(sys.argv[1:])
    except NodelayerError as error:
        sys.stderr.write(f"{error}\n")
        return error.code


def chosen(text: str, flag: str, pins: Sequence[Pin] = PINS) -> tuple[Pin, ...]:
    """The pins that a flag lists with commas between. Raises InvalidInputError."""
    words = text.replace(",", " ").split()
    names = [pin.name for pin in pins]
    for word in words:
        if word not in names:
            raise InvalidInputError(
                f"nothing pinned is called {word}", where=flag, todo=f"it is {', '.join(names)}"
            )
    return tuple(pin for pin in pins if pin.name in words)


def run(
    root: Path,
    pins: Sequence[Pin],
    *,
    kept: Sequence[Pin] = (),
    daemon: Callable[[], object],
    reporter: Reporter,
) -> list[Outcome]:
    """Refresh each pin; those that are kept are compared with their source, and not written.

    `daemon` raises UnreachableError where there is no Docker daemon.
    """
    found = []
    for pin in pins:
        with reporter.work(f"looking after {pin.what}"):
            outcome = _one(root, pin, kept=pin in kept, daemon=daemon)
        for line in outcome.lines:
            reporter.say(f"{pin.name}: {line}")
        if outcome.skipped:
            reporter.say(f"{pin.name}: skipped, {outcome.skipped}")
        for line in outcome.failures:
            reporter.fail(f"{pin.name}: {line}")
        found.append(outcome)
    return found


def _one(root: Path, pin: Pin, *, kept: bool, daemon: Callable[[], object]) -> Outcome:
    if pin.docker:
        try:
            daemon()
        except UnreachableError as error:
            return Outcome(pin, kept=kept, skipped=error.what)
    before = _content(root, pin)
    line = [sys.executable, *pin.command, "--compare" if kept else "--write"]
    try:
        done = subprocess.run(
            line,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(
            pin, kept=kept, failures=(f"not done within {_TIMEOUT_S} s",), code=UnreachableError.code
        )
    lines = tuple(each for each in done.stdout.splitlines() if each.strip())
    # A comparison ends with 1 where something differs; so does Python itself, but it prints nothing then.
    differs = kept and done.returncode == 1 and bool(lines)
    said = done.stderr.strip().splitlines()[-_MOST_LINES:] or [f"it ends with {done.returncode}"]
    failed = done.returncode != 0 and not differs
    return Outcome(
        pin,
        lines,
        changed=differs or _content(root, pin) != before,
        kept=kept,
        failures=tuple(said) if failed else (),
        code=done.returncode if failed else 0,
    )


def _content(root: Path, pin: Pin) -> Mapping[Path, bytes]:
    places = [root / place for place in pin.places]
    files = [each for place in places for each in (place.rglob("*") if place.is_dir() else [place])]
    return {path: path.read_bytes() for path in files if path.is_file() and path.suffix != ".pyc"}


def summary(outcomes: Sequence[Outcome]) -> str:
    """What changed, what is behind and what failed, as Markdown: the text of a pull request.

    What a source said stands in blocks of code, where it can be no markup.
    """
    return "\n".join(_parts(outcomes))


def _parts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    changed = [each for each in outcomes if each.changed and not each.kept]
    behind = [each for each in outcomes if each.changed and each.kept]
    same = [each for each in outcomes if not (each.changed or each.skipped or each.failures)]
    if not changed:
        yield "Nothing that is pinned was changed.\n"
    for each in changed:
        yield _section(_upper(each.pin.what), each.lines, f"`{each.pin.name}`")
    for each in behind:
        again = f'`make project.refresh ARGS="--only {each.pin.name}"` writes it.'
        yield _section(f"Behind, and left as it is: {each.pin.what}", each.lines, again)
    for each in outcomes:
        if each.failures:
            again = f'`make project.refresh ARGS="--only {each.pin.name}"` tries it again.'
            yield _section(f"Failed: {each.pin.what}", each.failures, again)
    for each in outcomes:
        if each.skipped:
            yield f"Skipped: {each.pin.what} ({each.skipped}).\n"
    if same:
        yield f"Up to date: {', '.join(f'`{each.pin.name}`' for each in same)}.\n"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _section(title: str, lines: Sequence[str], note: str) -> str:
    text = "\n".join(lines)
    fence = "```"
    while fence in text:
        fence += "`"
    return f"### {title}\n\n{note}\n\n{fence}text\n{text}\n{fence}\n"


def write_summary(place: str, outcomes: Sequence[Outcome]) -> None:
    """Write the summary to a file, where one is named. Raises MachineError."""
    if place:
        try:
            Path(place).write_text(summary(outcomes), encoding="utf-8")
        except OSError as error:
            raise machine_error(error, Path(place), "--summary") from error


def code_of(outcomes: Sequence[Outcome], *, compare: bool) -> int:
    """The exit code of all: the first failure's, else 1 where a comparison found something."""
    failed = [each.code for each in outcomes if each.code]
    return failed[0] if failed else int(compare and any(each.changed for each in outcomes))
