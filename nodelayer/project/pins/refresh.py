"""Compare pinned facts with their sources, write what differs, and summarize it for a pull request."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodelayer.errors import InvalidInputError, NodelayerError, UnreachableError, machine_error
from nodelayer.project.pins import (
    abi_policies,
    base_images,
    lts_lines,
    programs,
    release_dates,
    release_keys,
    requirements,
    rie,
    runtimes,
)
from nodelayer.project.pins.pin import Changes, Pin
from nodelayer.util.console import Reporter

PINS = (
    base_images.PIN,
    abi_policies.PIN,
    runtimes.PIN,
    lts_lines.PIN,
    release_keys.PIN,
    release_dates.PIN,
    rie.PIN,
    programs.PIN,
    requirements.PIN,
)


@dataclass(frozen=True)
class Outcome:
    """The result for one pin. `kept`: compared only. `skipped`: the reason why it was not compared."""

    pin: Pin
    changes: Changes = field(default_factory=Changes)
    kept: bool = False
    skipped: str = ""

    @property
    def changed(self) -> bool:
        """Whether a file differs from its source."""
        return bool(self.changes.files)


def choose(names: str, flag: str, pins: Sequence[Pin] = PINS) -> tuple[Pin, ...]:
    """Return the pins that a flag lists, separated by commas. Raises InvalidInputError."""
    words = names.replace(",", " ").split()
    known = [pin.name for pin in pins]
    for word in words:
        if word not in known:
            raise InvalidInputError(f"unknown pin {word!r}", where=flag, todo=f"use {', '.join(known)}")
    return tuple(pin for pin in pins if pin.name in words)


def refresh(
    root: Path,
    pins: Sequence[Pin],
    *,
    kept: Sequence[Pin] = (),
    daemon: Callable[[], object],
    reporter: Reporter,
) -> list[Outcome]:
    """Compare each pin with its source, and write what differs, except for the pins that are kept.

    A pin that fails does not stop the others. `daemon` raises UnreachableError if no Docker daemon runs.
    """
    outcomes = []
    for pin in pins:
        with reporter.work(f"refreshing {pin.what}"):
            outcome = _refresh(root, pin, kept=pin in kept, daemon=daemon)
        for line in outcome.changes.lines:
            reporter.say(f"{pin.name}: {line}")
        if outcome.skipped:
            reporter.say(f"{pin.name}: skipped, {outcome.skipped}")
        elif not outcome.changed and not outcome.changes.failures:
            reporter.say(f"{pin.name}: up to date")
        for failure in outcome.changes.failures:
            reporter.fail(f"{pin.name}: {failure}")
        outcomes.append(outcome)
    return outcomes


def _refresh(root: Path, pin: Pin, *, kept: bool, daemon: Callable[[], object]) -> Outcome:
    if pin.needs_docker:
        try:
            daemon()
        except UnreachableError as error:
            return Outcome(pin, kept=kept, skipped=error.what)
    try:
        changes = pin.refresh(root)
        for path, text in () if kept else changes.files.items():
            (root / path).write_bytes(text.encode())
    except NodelayerError as error:
        return Outcome(pin, Changes(failures=[error]), kept)
    except Exception as error:  # noqa: BLE001 - a defect in one pin does not stop the others
        failure = NodelayerError(f"{type(error).__name__}: {error}", todo="report this error")
        return Outcome(pin, Changes(failures=[failure]), kept)
    return Outcome(pin, changes, kept)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return changes, outdated pins and failures, as Markdown for a pull request.

    Text from a source is in code blocks, where it cannot be markup.
    """
    return "\n".join(_sections(outcomes))


def _sections(outcomes: Sequence[Outcome]) -> Iterator[str]:
    written = [each for each in outcomes if each.changed and not each.kept]
    outdated = [each for each in outcomes if each.changed and each.kept]
    failed = [each for each in outcomes if each.changes.failures]
    skipped = [each for each in outcomes if each.skipped]
    same = [each for each in outcomes if each not in (*written, *outdated, *failed, *skipped)]
    if not written:
        yield "No pin was changed.\n"
    for each in written:
        yield _section(f"Changed: {each.pin.what}", each.changes.lines, f"`{each.pin.name}`")
    for each in outdated:
        yield _section(f"Outdated, not changed: {each.pin.what}", each.changes.lines, _command(each, "write"))
    for each in failed:
        lines = [str(failure) for failure in each.changes.failures]
        yield _section(f"Failed: {each.pin.what}", lines, _command(each, "retry"))
    for each in skipped:
        yield f"Skipped: {each.pin.what} ({each.skipped}).\n"
    if same:
        yield f"Up to date: {', '.join(f'`{each.pin.name}`' for each in same)}.\n"


def _command(outcome: Outcome, verb: str) -> str:
    return f"To {verb} it, run `invoke project.refresh --only {outcome.pin.name}`."


def _section(title: str, lines: Sequence[str], note: str) -> str:
    text = "\n".join(lines)
    fence = "```"
    while fence in text:
        fence += "`"
    return f"### {title}\n\n{note}\n\n{fence}text\n{text}\n{fence}\n"


def write_summary(place: str, outcomes: Sequence[Outcome]) -> None:
    """Write the summary to a file, or nothing if `place` is empty. Raises MachineError."""
    if place:
        try:
            Path(place).write_text(summary(outcomes), encoding="utf-8")
        except OSError as error:
            raise machine_error(error, Path(place), "--summary") from error


def exit_code(outcomes: Sequence[Outcome], *, compare: bool) -> int:
    """Return the exit code of the first failure, else 1 if a comparison found a difference, else 0."""
    failures = [failure for each in outcomes for failure in each.changes.failures]
    return failures[0].code if failures else int(compare and any(each.changed for each in outcomes))
