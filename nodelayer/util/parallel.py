"""Run the same work in many regions at once, and stop it in an orderly way."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Generic, TypeVar

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


class Running(Generic[T, R]):
    """Work that runs for each item in threads of its own.

    Nothing waits for running threads: they end with the program.
    """

    def __init__(self, items: Iterable[T], work: Callable[[T], R], at_once: int = PARALLEL) -> None:
        self.pending = list(items)
        """The items whose result was not returned yet."""
        self._work = work
        self._todo: SimpleQueue[T] = SimpleQueue()
        self._ended: SimpleQueue[tuple[T, R | NodelayerError]] = SimpleQueue()
        self._over = threading.Event()
        for item in self.pending:
            self._todo.put(item)
        for _ in range(min(at_once, len(self.pending))):
            # Not a thread pool: at exit Python waits for its threads, for minutes if a region hangs.
            threading.Thread(target=self._worker, daemon=True).start()

    def results(
        self, patience: float | None = None, *, wait: bool = True
    ) -> Iterator[tuple[T, R | NodelayerError]]:
        """Yield each item with its result or error as soon as it ends.

        With `patience`, stop when no item has ended for so many seconds; a later call yields the rest. With
        `wait`, at least one item is waited for.
        """
        while self.pending:
            try:
                item, result = self._ended.get(timeout=None if wait else patience)
            except Empty:
                return
            wait = False
            self.pending.remove(item)
            yield item, result

    def cancel(self) -> None:
        """Do not start the work of further items."""
        self._over.set()

    def _worker(self) -> None:
        with suppress(Empty):
            while not self._over.is_set():
                item = self._todo.get_nowait()
                self._ended.put((item, self._guarded(item)))

    def _guarded(self, item: T) -> R | NodelayerError:
        try:
            return self._work(item)
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


def each(
    items: Iterable[T], work: Callable[[T], R], at_once: int = PARALLEL
) -> Iterator[tuple[T, R | NodelayerError]]:
    """Call `work` for each item in threads; yield each item with its result or error as soon as it ends."""
    running = Running(items, work, at_once)
    try:
        yield from running.results()
    finally:
        running.cancel()
