"""Run an action for several items; a failure is reported and does not stop the others."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from nodelayer.errors import NodelayerError
from nodelayer.util.console import Reporter

_T = TypeVar("_T")


def attempt_each(
    items: Iterable[_T], action: Callable[[_T], object], reporter: Reporter
) -> list[NodelayerError]:
    """Run an action for each item; return the failures, each already reported in one line."""
    failures: list[NodelayerError] = []
    for item in items:
        try:
            action(item)
        except NodelayerError as error:
            failures.append(error)
            reporter.fail(f"nodelayer: {error}")
    return failures
