"""Rows on a terminal: one for each part of the work, with a bar and its state."""

import sys
import time
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from nodelayer.errors import printable

_WAITING, _ACTIVE, _DONE, _FAILED, _STOPPED = "dim", "none", "green", "red", "yellow"
"""The style of each state; it also identifies the state."""

_NOT_DONE = {_FAILED: "failed", _STOPPED: "stopped", _ACTIVE: "active", _WAITING: "waiting"}


class Rows(Progress):
    """A row for each name and a counter below; a terminal with too few lines shows only active rows."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._began, self._terminal = time.monotonic(), console
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(20, complete_style="cyan", table_column=Column(no_wrap=True)),
            _State(Column(overflow="ellipsis")),  # the only column that a narrow terminal shortens
            console=console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # results for a file or a pipe must not go to the terminal
        )
        self._ids = {
            name: self.add_task(printable(name), total=1, state="waiting", style=_WAITING) for name in names
        }

    def show(self, name: str, state: str, share: float | None) -> None:
        """Set the state of a row and the fraction of its work that is done, unless it has failed."""
        self._set(name, state, _ACTIVE, share)

    def end(self, name: str, state: str) -> None:
        """Set the final state of a row: `failed`, `stopped`, or a result."""
        style = {"failed": _FAILED, "stopped": _STOPPED}.get(state, _DONE)
        self._set(name, state, style, 1 if style == _DONE else None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the rows that fit, and the counter."""
        tasks = self.tasks
        room = self._terminal.height - 2  # the counter, and the line of the cursor
        fit = len(tasks) <= room
        active = [task for task in tasks if task.fields["style"] == _ACTIVE]
        yield self.make_tasks_table(tasks if fit else active[: max(room, 0)])
        styles = [task.fields["style"] for task in tasks]
        others = [f"{styles.count(style)} {word}" for style, word in _NOT_DONE.items() if style in styles]
        counts = ", ".join([f"{styles.count(_DONE)} of {len(styles)} done", *others])
        yield Text(f"{counts}, {time.monotonic() - self._began:.0f} s", no_wrap=True, overflow="ellipsis")

    def _set(self, name: str, state: str, style: str, share: float | None) -> None:
        with self._lock:
            task = self._tasks.get(self._ids.get(name, TaskID(-1)))
            if task and task.fields["style"] not in {_FAILED, _STOPPED}:
                self.update(task.id, state=state, style=style, completed=share)
                task.total = 1 if task.completed or style != _ACTIVE else None  # None: the bar pulses


class _State(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the state of a row, in one line."""
        return Text(task.fields["state"], style=task.fields["style"], no_wrap=True)
