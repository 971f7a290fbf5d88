"""Progress on stderr: lines, bars and rows.

Importing rich takes longer than a look-up, so only the first reporter imports it.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from nodelayer.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from nodelayer.util.rows import Rows


class _Escaping:
    """A text stream that escapes what a terminal would obey; the rest is the stream that it wraps."""

    def __init__(self, stream: TextIO) -> None:
        self.wrapped = stream

    def write(self, text: str) -> int:
        """Write the text with escapes."""
        self.wrapped.write(printable(text, lines=True))
        return len(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self.wrapped, name)


@contextmanager
def escaped_output() -> Iterator[None]:
    """Escape what the block prints, because text from AWS, a manifest or a file name may control a terminal.

    Reporters escape their lines themselves, because their colors and bars are such control characters.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", _Escaping(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class Reporter:
    """Prints lines, bars and rows on a console; only lines if stderr is not a terminal."""

    all_quiet = False
    """True for every reporter of this process if --quiet is given."""

    def __init__(self, console: "Console | None" = None, *, quiet: bool = False) -> None:
        from rich.console import Console

        stderr = sys.stderr.wrapped if isinstance(sys.stderr, _Escaping) else None
        self.console = console or Console(file=stderr, stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet or self.all_quiet
        self._rows: Rows | None = None
        self._row = ""

    def say(self, line: str) -> None:
        """Print one line of progress, or show it in the current row."""
        if self._row:
            self.show(self._row, line)
        elif not self.quiet:
            self._print(line)

    def say_lines(self, text: str) -> None:
        """Print a text of several lines, such as a table."""
        for line in text.splitlines():
            self.say(line)

    def warn(self, line: str) -> None:
        """Print a warning, even with --quiet."""
        self._print(f"warning: {line}", "yellow")

    def fail(self, line: str) -> None:
        """Print the line of a failure that does not stop the other work, even with --quiet."""
        self._print(line, "red")

    def _print(self, line: str, style: str | None = None) -> None:
        self.console.print(printable(line), markup=False, style=style)

    @contextmanager
    def rows(self, names: Sequence[str]) -> Iterator[None]:
        """Show a row for each name during the work, if stderr is a terminal.

        `show` and `end` change the rows, from any thread.
        """
        if not names or not self.on_terminal:
            yield
            return
        from nodelayer.util.rows import Rows

        with Rows(self.console, names) as rows:
            self._rows = rows
            try:
                with escaped_output():  # rows redirect both streams
                    yield
            finally:
                self._rows = None

    @contextmanager
    def row(self, name: str) -> Iterator[None]:
        """Show progress in this row instead of lines and bars, and finally whether the work failed."""
        self._row = name if self._rows else ""
        state = "failed"
        try:
            self.show(name, "starting")
            yield
            state = "done"
        finally:
            self._row = ""
            self.end(name, state)

    def show(self, name: str, state: str, share: float | None = None) -> None:
        """Set the state of a row and the fraction of its work that is done (0 to 1)."""
        if rows := self._rows:
            rows.show(name, printable(state), share)

    def end(self, name: str, state: str = "done") -> None:
        """Set the final state of a row: `failed`, `stopped`, or a result."""
        if rows := self._rows:
            rows.end(name, printable(state))

    @contextmanager
    def transfer(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a bar of bytes and their rate; yield a function that takes the number of bytes so far."""
        from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn

        if row := self._row:
            yield lambda done: self.show(row, f"{label}, {megabytes(done)}", done / total if total else None)
            return
        with self._progress(BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bar:
            task = bar.add_task(printable(label), total=total)
            yield lambda done: bar.update(task, completed=done)

    @contextmanager
    def work(self, label: str) -> Iterator[None]:
        """Show a spinner and the elapsed time, for work of unknown duration."""
        from rich.progress import SpinnerColumn

        if self._row:
            self.show(self._row, label)
            yield
            return
        with self._progress(SpinnerColumn()) as bar:
            bar.add_task(printable(label), total=None)
            yield

    def _progress(self, *columns: "ProgressColumn") -> "Progress":
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        return Progress(
            TextColumn("{task.description}", markup=False),
            *columns,
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.on_terminal,
        )

    @property
    def on_terminal(self) -> bool:
        """Whether rows and bars are shown. With FORCE_COLOR, rich alone would treat a pipe as a terminal."""
        return not self.quiet and self.console.is_interactive and self.console.file.isatty()


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 failure`, `2 failures`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def megabytes(size: int) -> str:
    """Format a size in bytes as AWS's quotas do: `13.7 MB`, of 1,000,000 bytes."""
    return f"{size / 1_000_000:.1f} MB"
