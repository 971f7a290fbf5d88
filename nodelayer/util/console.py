"""What a person sees while waiting: lines and bars, always on stderr.

rich takes longer to load than a look-up takes, so it is loaded by the first reporter.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn


class Reporter:
    """Lines and bars on one console; where stderr is no terminal, lines only."""

    all_quiet = False
    """Set by --quiet for every reporter of this process."""

    def __init__(self, console: "Console | None" = None, *, quiet: bool = False) -> None:
        from rich.console import Console

        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet or self.all_quiet

    def say(self, line: str) -> None:
        """One line of progress."""
        if not self.quiet:
            self.console.print(line, markup=False)

    def warn(self, line: str) -> None:
        """One line that must be seen, quiet or not."""
        self.console.print(f"warning: {line}", markup=False, style="yellow")

    def fail(self, line: str) -> None:
        """The one line of a failure that does not stop the rest of the work."""
        self.console.print(line, markup=False, style="red")

    @contextmanager
    def transfer(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar of bytes with its rate; yields a function that is told how many bytes are done in all."""
        from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn

        with self._progress(BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)

    @contextmanager
    def work(self, label: str) -> Iterator[None]:
        """A spinner with the time that has passed, for work whose end cannot be foreseen."""
        from rich.progress import SpinnerColumn

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
            disable=self.quiet or not self.console.is_terminal,
        )


def megabytes(size: int) -> str:
    """Bytes as people and AWS's quotas write them: `13.7 MB`, of 1,000,000 bytes."""
    return f"{size / 1_000_000:.1f} MB"
