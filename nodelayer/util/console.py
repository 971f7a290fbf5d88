"""Progress on stderr: lines, bars and rows.

Importing rich takes longer than a look-up, so only the first reporter imports it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from nodelayer.util.rows import Rows


class Reporter:
    """Prints lines, bars and rows on a console; only lines if stderr is not a terminal."""

    all_quiet = False
    """True for every reporter of this process if --quiet is given."""

    def __init__(self, console: "Console | None" = None, *, quiet: bool = False) -> None:
        from rich.console import Console

        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet or self.all_quiet
        self._rows: Rows | None = None
        self._row = ""

    def say(self, line: str) -> None:
        """Print one line of progress, or show it in the current row."""
        if self._row:
            self.show(self._row, line)
        elif not self.quiet:
            self.console.print(line, markup=False)

    def warn(self, line: str) -> None:
        """Print a warning, even with --quiet."""
        self.console.print(f"warning: {line}", markup=False, style="yellow")

    def fail(self, line: str) -> None:
        """Print the line of a failure that does not stop the other work, even with --quiet."""
        self.console.print(line, markup=False, style="red")

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
            rows.show(name, state, share)

    def end(self, name: str, state: str = "done") -> None:
        """Set the final state of a row: `failed`, `stopped`, or a result."""
        if rows := self._rows:
            rows.end(name, state)

    @contextmanager
    def transfer(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a bar of bytes and their rate; yield a function that takes the number of bytes so far."""
        from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn

        if row := self._row:
            yield lambda done: self.show(row, f"{label}, {megabytes(done)}", done / total if total else None)
            return
        with self._progress(BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bar:
            task = bar.add_task(label, total=total)
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
            bar.add_task(label, total=None)
            yield

    def _progress(self, *columns: "ProgressColumn") -> "Progress":
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        return Progress(
            TextColumn("{task.description}"),
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


def megabytes(size: int) -> str:
    """Format a size in bytes as AWS's quotas do: `13.7 MB`, of 1,000,000 bytes."""
    return f"{size / 1_000_000:.1f} MB"
