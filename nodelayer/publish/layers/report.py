"""Failures of a run: print each once, name the command that retries it, decide the exit code."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from nodelayer.errors import NodelayerError
from nodelayer.project_paths import PROGRAM
from nodelayer.util.console import Reporter
from nodelayer.util.parallel import StoppedError

Flags = Mapping[str, str | bool]
"""The flags of a command with their values: true for a flag without a value."""


@dataclass(frozen=True)
class Failure:
    """An error. `layer` is empty if it concerns all layers, `region` if it concerns several regions.

    `regions` are then the regions to retry.
    """

    region: str
    layer: str
    error: NodelayerError
    regions: tuple[str, ...] = ()

    @property
    def retry(self) -> tuple[str, ...]:
        """The regions to run again."""
        return self.regions or ((self.region,) if self.region else ())

    def as_json(self) -> Mapping[str, object]:
        """Return the JSON object of the failure."""
        return {"region": self.region, "layer": self.layer, "error": str(self.error), "code": self.error.code}


@dataclass
class RunReport:
    """Collects the failures of one command and prints them as they happen.

    `command` and `flags` are what the user typed; `stopped` are the regions that a stop left unfinished, and
    `always` those that a retry needs, too.
    """

    reporter: Reporter
    command: str
    flags: Flags = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    always: tuple[str, ...] = ()
    _printed: set[tuple[str, str]] = field(default_factory=set)

    def fail(self, failure: Failure) -> None:
        """Record a failure, and print it unless the same error was printed for its region."""
        stopped = isinstance(failure.error, StoppedError)
        for region in failure.retry:
            self.reporter.end(region, "stopped" if stopped else "failed")
        if stopped:
            self.stopped.update(failure.retry)
            return
        self.failures.append(failure)
        cause = (failure.region or failure.layer, failure.error.what)
        if cause not in self._printed:
            self._printed.add(cause)
            self.reporter.fail(f"{failure.region or failure.layer or 'nodelayer'}: {failure.error}")

    @property
    def count(self) -> int:
        """How many failures were printed."""
        return len(self._printed)

    @property
    def code(self) -> int:
        """The exit code: that of a stop, else that of the first failure, else 0."""
        if self.stopped:
            return StoppedError.code
        return self.failures[0].error.code if self.failures else 0

    def finish(self) -> int:
        """Print the command that retries what is not done, and return the exit code."""
        regions = sorted(self.stopped.union(*(failure.retry for failure in self.failures)))
        if regions:
            again = self.again({"--regions": ",".join(sorted({*regions, *self.always}))})
            self.reporter.say(f"Not done: {', '.join(regions)}. To retry only these regions, run: {again}")
        return self.code

    def again(self, changes: Flags) -> str:
        """Return the command with some flags added or changed."""
        words = [PROGRAM, self.command]
        kept = {flag: value for flag, value in self.flags.items() if flag not in changes}
        for flag, value in {**kept, **changes}.items():
            words += [flag] if value is True else [flag, str(value)]
        return shlex.join(words)
