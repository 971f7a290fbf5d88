"""Do the same work in many regions at once, and stop it in an orderly way."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TypeVar

from nodelayer.errors import NodelayerError

PARALLEL = 40
"""Regions at once: all of a partition, since each has its own quota, and is slow only by its distance."""

T = TypeVar("T")
R = TypeVar("R")


class StoppedError(NodelayerError):
    """The work was stopped before this part of it."""

    code = 130


class Stop:
    """A request to stop the work. Safe to share between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Stop before the next step."""
        self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise StoppedError once a stop was requested."""
        if self.requested:
            raise StoppedError("stopped before this was done", todo="run it again: it does what is left")

    def sleep(self, seconds: float) -> None:
        """Wait; a stop ends the wait and raises StoppedError."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def on_signals(self, notify: Callable[[], None]) -> Iterator[None]:
        """Request a stop on Ctrl-C or SIGTERM, and call `notify`; a second signal raises KeyboardInterrupt.

        Has no effect outside the main thread, the only one that receives signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def listener(_number: int, _frame: FrameType | None) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.request()
            notify()

        before = {number: signal.signal(number, listener) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)


def each(items: Iterable[T], work: Callable[[T], R]) -> Iterator[tuple[T, R | NodelayerError]]:
    """Call `work` for each item in threads, and yield its result or its error as it ends.

    A caller that stops iterating waits for nothing: the threads end with the program.
    """

    def guarded(item: T) -> R | NodelayerError:
        try:
            return work(item)
        except NodelayerError as error:
            return error
        except Exception as error:  # noqa: BLE001 - an unexpected error in one region does not stop the others
            if os.environ.get("NODELAYER_DEBUG"):
                traceback.print_exc()
            return NodelayerError(
                f"unexpected {type(error).__name__}: {error}",
                where=str(item),
                todo="set NODELAYER_DEBUG=1 for the trace, and report it",
            )

    todo: SimpleQueue[T] = SimpleQueue()
    count = 0
    for item in items:
        todo.put(item)
        count += 1
    ended: SimpleQueue[tuple[T, R | NodelayerError]] = SimpleQueue()
    over = threading.Event()

    def worker() -> None:
        with suppress(Empty):
            while not over.is_set():
                item = todo.get_nowait()
                ended.put((item, guarded(item)))

    for _ in range(max(1, min(PARALLEL, count))):
        # No pool: Python would wait for its threads at exit, for minutes if a region does not answer.
        threading.Thread(target=worker, daemon=True).start()
    try:
        for _ in range(count):
            yield ended.get()
    finally:
        over.set()
