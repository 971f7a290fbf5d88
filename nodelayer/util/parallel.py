"""The same work in many regions at once: every one comes to its end, and a stop is an orderly one."""

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
"""Regions at once: all of a partition, since each is slow for its distance only, and has its own quota."""

T = TypeVar("T")
R = TypeVar("R")


class StoppedError(NodelayerError):
    """The work was told to stop before this part of it."""

    code = 130


class Stop:
    """Whether the work was told to stop; may be asked from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def tell(self) -> None:
        """Stop before the next step."""
        self._event.set()

    @property
    def told(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raises StoppedError once stopped."""
        if self.told:
            raise StoppedError("stopped before this was done", todo="run it again: it goes on from here")

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the stop. Raises StoppedError then."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def on_signals(self, heard: Callable[[], None]) -> Iterator[None]:
        """Ctrl-C and SIGTERM stop the work in an orderly way; a second one ends it at once.

        Does nothing but in the main thread, where alone Python takes signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def listener(_number: int, _frame: FrameType | None) -> None:
            if self.told:
                raise KeyboardInterrupt
            self.tell()
            heard()

        before = {number: signal.signal(number, listener) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)


def each(
    items: Iterable[T], work: Callable[[T], R], *, parallel: int = PARALLEL
) -> Iterator[tuple[T, R | NodelayerError]]:
    """`work` of each item in threads, as it ends: its result, or the error that ended it.

    Who stops asking, as Ctrl-C does, waits for nothing: what is under way ends with the program.
    """

    def guarded(item: T) -> R | NodelayerError:
        try:
            return work(item)
        except NodelayerError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one region's surprise is not the others' end
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

    for _ in range(max(1, min(parallel, count))):
        # Not a pool's threads: Python would wait for those, for minutes where a region does not answer,
        # when the whole is to end at once.
        threading.Thread(target=worker, daemon=True).start()
    try:
        for _ in range(count):
            yield ended.get()
    finally:
        over.set()
