"""What a person sees while waiting: lines, bars and rows, always on stderr.

rich takes longer to load than a look-up takes, so it is loaded by the first reporter.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from nodelayer.util.rows import Rows


class Reporter:
    """Lines, bars and rows on one console; where stderr is no terminal, lines only."""

    all_quiet = False
    """Set by --quiet for every reporter of this process."""

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
        """One line that must be seen, quiet or not."""
        self.console.print(f"warning: {line}", markup=False, style="yellow")

    def fail(self, line: str) -> None:
        """The one line of a failure that does not stop the rest of the work."""
        self.console.print(line, markup=False, style="red")

    @contextmanager
    def rows(self, names: Sequence[str]) -> Iterator[None]:
        """Show a row for each name while the work lasts, on a terminal only.

        `show` and `end` set the rows, from any thread.
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
        """Show in this row what would be lines and bars, and at the end whether the work failed."""
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
        """Set the state of a row, and which share of its work is done (0 to 1)."""
        if rows := self._rows:
            rows.show(name, state, share)

    def end(self, name: str, state: str = "done") -> None:
        """Set the last state of a row: `failed`, `stopped`, or what was done."""
        if rows := self._rows:
            rows.end(name, state)

    @contextmanager
    def transfer(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar of bytes with its rate; yields a function that is told how many bytes are done in all."""
        from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn

        if row := self._row:
            yield lambda done: self.show(row, f"{label}, {megabytes(done)}", done / total if total else None)
            return
        with self._progress(BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)

    @contextmanager
    def work(self, label: str) -> Iterator[None]:
        """A spinner with the time that has passed, for work whose end cannot be foreseen."""
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
        """Whether rows and bars are shown. rich alone takes a pipe for a terminal if FORCE_COLOR is set."""
        return not self.quiet and self.console.is_interactive and self.console.file.isatty()


def megabytes(size: int) -> str:
    """Bytes as people and AWS's quotas write them: `13.7 MB`, of 1,000,000 bytes."""
    return f"{size / 1_000_000:.1f} MB"
