"""Run the same work in many regions at once, and stop it in an orderly way."""

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
"""Regions at once: all regions of a partition, because each has a quota of its own."""

T = TypeVar("T")
R = TypeVar("R")


class StoppedError(NodelayerError):
    """The run was stopped before this step."""

    code = 130


class Stop:
    """A request to stop a run. Threads may share it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Stop before the next step."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._event.is_set()

    def check(self) -> None:
        """Check for a stop.

        Raises:
            StoppedError: A stop was requested.
        """
        if self.requested:
            raise StoppedError(
                "stopped before this step", todo="run the same command again: it does only what is left"
            )

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds.

        Raises:
            StoppedError: A stop was requested before or during the wait.
        """
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
    """Call `work` for each item in threads; yield each item with its result or error as soon as it ends.

    If the caller stops iterating, running threads are not waited for: they end with the program.
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
                todo="set NODELAYER_DEBUG=1 to see the traceback, and report it as a bug",
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
        # Not a thread pool: at exit Python waits for its threads, for minutes if a region does not answer.
        threading.Thread(target=worker, daemon=True).start()
    try:
        for _ in range(count):
            yield ended.get()
    finally:
        over.set()
