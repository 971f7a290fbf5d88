"""Point the alias `latest` to the version that it named before.

The description of `latest` then names the version that was left. So a run that was killed between the two
aliases can be completed, and a repeated run does not roll forward again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodelayer.aws.managed_runtimes import Alias, Lifecycle, ManagedRuntimes
from nodelayer.errors import NodelayerError, NotFoundError, RefusedError
from nodelayer.manifest.lookup import LATEST
from nodelayer.project_paths import PROGRAM
from nodelayer.publish.layers.report import Failure
from nodelayer.publish.runtimes.lifecycle import lifecycle_of
from nodelayer.publish.runtimes.names import PREVIOUS, describe, node_version

_MARK = re.compile(r"; rolled back from (\S+)$")


@dataclass(frozen=True)
class Move:
    """An alias and the version that it gets."""

    alias: str
    version: str
    before: str
    description: str
    lifecycle: Lifecycle


@dataclass(frozen=True)
class RollbackStep:
    """What is left to do for one runtime in one region: `why` tells why there is nothing."""

    region: str
    runtime: str
    moves: tuple[Move, ...]
    why: str = ""

    def row(self) -> tuple[str, ...]:
        """Return the row of the table of the plan."""
        moves = [f"{move.alias}: {move.before} -> {move.version}" for move in self.moves]
        return (self.region, self.runtime, "; ".join(moves) or self.why)

    def as_json(self) -> Mapping[str, object]:
        """Return the JSON object of the step."""
        return {
            "region": self.region,
            "runtime": self.runtime,
            "aliases": {move.alias: {"from": move.before, "to": move.version} for move in self.moves},
            "why": self.why or None,
        }


def plan(
    runtimes: ManagedRuntimes, names: Sequence[str], *, undo: bool
) -> list[RollbackStep | Failure] | None:
    """Return a step for each of these runtimes that the region has; None if it has none of them.

    Needs read permissions only. A runtime without a version to point to is a failure.
    """
    steps: list[RollbackStep | Failure] = []
    region = runtimes.region
    for name in names:
        aliases = {each.name: each for each in runtimes.aliases(name)}
        if not aliases and runtimes.runtime(name) is None:
            continue
        try:
            step = _undone(region, name, aliases) if undo else _rolled_back(region, name, aliases)
            _check(runtimes, step)
            steps.append(step)
        except NodelayerError as error:
            steps.append(Failure(region, name, error))
    return steps or None


def _check(runtimes: ManagedRuntimes, step: RollbackStep) -> None:
    """Check that the versions to point to are active."""
    for move in step.moves:
        version = runtimes.version(step.runtime, move.version)
        if version is None or version.state != "ACTIVE":
            restore = f"--runtime {step.runtime} --version {move.version} --regions {step.region}"
            raise RefusedError(
                f"{move.alias} cannot point to {move.version}, which is "
                f"{version.state if version else 'deleted'}",
                where=f"{step.region} {step.runtime}",
                todo=f"restore it: {PROGRAM} restore-runtime {restore}"
                if version and version.leaving
                else "publish another version with publish-runtime",
            )


def act(runtimes: ManagedRuntimes, step: RollbackStep) -> None:
    """Set the aliases of a step, each until Lambda reports it as active with the new version."""
    for move in step.moves:
        runtimes.put_alias(step.runtime, move.alias, move.version, move.description, move.lifecycle)


def _rolled_back(region: str, name: str, aliases: Mapping[str, Alias]) -> RollbackStep:
    latest, previous = _both(region, name, aliases)
    left = rolled_back_from(latest)
    if left and previous.version == left:
        why = f"already rolled back from {left} to {latest.version}; to undo it, use --undo"
        return RollbackStep(region, name, (), why)
    if left:  # the run ended before it set `previous`
        return RollbackStep(region, name, (_move(previous, left, previous.lifecycle),))
    if previous.version == latest.version:
        raise RefusedError(
            f"{PREVIOUS} names the same version as {LATEST}: {latest.version}",
            where=f"{region} {name}",
            todo="publish another version",
        )
    back = _move(latest, previous.version, previous.lifecycle, f"; rolled back from {latest.version}")
    return RollbackStep(region, name, (back, _move(previous, latest.version, latest.lifecycle)))


def _undone(region: str, name: str, aliases: Mapping[str, Alias]) -> RollbackStep:
    latest, previous = _both(region, name, aliases)
    left = rolled_back_from(latest)
    if not left:
        return RollbackStep(region, name, (), f"{LATEST} names {latest.version}, and was not rolled back")
    # `previous` first: as long as `latest` has its mark, a killed run can be completed.
    moves = (_move(previous, latest.version, latest.lifecycle), _move(latest, left, previous.lifecycle))
    return RollbackStep(region, name, tuple(each for each in moves if each.before != each.version))


def _both(region: str, name: str, aliases: Mapping[str, Alias]) -> tuple[Alias, Alias]:
    for alias in (LATEST, PREVIOUS):
        if alias not in aliases or aliases[alias].leaving:
            raise NotFoundError(
                f"the runtime has no alias {alias}",
                where=f"{region} {name}",
                todo="publish another version with publish-runtime",
            )
    return aliases[LATEST], aliases[PREVIOUS]


def rolled_back_from(latest: Alias) -> str:
    """Return the version that `latest` was rolled back from; empty if it was not."""
    found = _MARK.search(latest.description)
    return found[1] if found else ""


def _move(alias: Alias, version: str, otherwise: Lifecycle, mark: str = "") -> Move:
    """Return the move of an alias. A version that nodelayer did not name keeps the lifecycle that it had."""
    node = node_version(version)
    lifecycle = lifecycle_of(node) if node else otherwise
    return Move(alias.name, version, alias.version, describe(version) + mark, lifecycle)
