"""Run an action for several items; a failure is reported and does not stop the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from nodelayer.errors import NodelayerError
from nodelayer.util.console import Reporter

_T = TypeVar("_T")


def attempt_each(
    items: Sequence[_T], action: Callable[[_T], object], reporter: Reporter, *, name: Callable[[_T], str]
) -> list[NodelayerError]:
    """Run an action for each item; return the failures, each already reported in one line.

    On a terminal, several items appear as rows with their `name`.
    """
    failures: list[NodelayerError] = []
    with reporter.rows([name(item) for item in items] if len(items) > 1 else []):
        for item in items:
            try:
                with reporter.row(name(item)):
                    action(item)
            except NodelayerError as error:
                failures.append(error)
                reporter.fail(f"nodelayer: {error}")
    return failures
