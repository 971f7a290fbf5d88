"""Plan publishing runtimes: what each region has, and what is left to do. Needs read permissions only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nodelayer.aws.ecr import RepositoryState
from nodelayer.aws.layers import PRIVATE, Access
from nodelayer.aws.managed_runtimes import NO_LIFECYCLE, Alias, Lifecycle, Runtime, RuntimeVersion
from nodelayer.errors import RefusedError
from nodelayer.image.artifact import Image
from nodelayer.manifest.lookup import LATEST
from nodelayer.node.versions import sort_key
from nodelayer.publish.layers.report import Failure
from nodelayer.publish.runtimes.lifecycle import lifecycle_of
from nodelayer.publish.runtimes.names import PREVIOUS, age, describe, node_version, runtime_name
from nodelayer.publish.runtimes.rollback import Move, rolled_back_from
from nodelayer.util.console import megabytes

REPOSITORIES = "nodelayer/"
"""The prefix of the repositories' names."""
LICENSE = "MIT"
CREATE_RUNTIME = "create runtime"
_ACTIVE = "ACTIVE"


def version_name(image: Image) -> str:
    """Return the name of an image's runtime version, and its tag, as in `12.16.1_1.0.0`."""
    return f"{image.node_version}_{image.nodelayer_version}"


@dataclass(frozen=True)
class RegionState:
    """What a region has of one runtime: `digests` are those of the images in its repository, by tag."""

    repository: RepositoryState | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    runtime: Runtime | None = None
    versions: Mapping[str, RuntimeVersion] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    access: Access = PRIVATE


def action(move: Move) -> str:
    """Return what is done to an alias, for the table of the plan."""
    if not move.before:
        return f"create alias {move.alias}"
    if move.before == move.version:
        return f"update alias {move.alias}"
    return f"move alias {move.alias} from {move.before}"


@dataclass(frozen=True)
class Step:
    """What is left to do for one image in one region.

    `repository` are the changes of the repository, `kept` says why an alias is not moved, `access` is who may
    use the runtime by now, and `missing_access` is to be added.
    """

    region: str
    image: Image
    existing_repository: RepositoryState | None = None
    repository: tuple[str, ...] = ()
    pushes: bool = False
    runtime: str = ""
    version: RuntimeVersion | None = None
    moves: tuple[Move, ...] = ()
    kept: str = ""
    access: Access = PRIVATE
    missing_access: Access = PRIVATE
    recorded: bool = False

    @property
    def runtime_name(self) -> str:
        """The name of the runtime."""
        return runtime_name(self.image.node_version)

    @property
    def version_name(self) -> str:
        """The name of the runtime version."""
        return version_name(self.image)

    @property
    def repository_name(self) -> str:
        """The name of the repository."""
        return f"{REPOSITORIES}{self.runtime_name}"

    @property
    def name(self) -> str:
        """The names of the runtime and of its version, for messages."""
        return f"{self.runtime_name} {self.version_name}"

    @property
    def publishes(self) -> bool:
        """Whether the runtime version has to be created, or is not active yet."""
        return self.version is None or self.version.state != _ACTIVE

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return self.recorded and not (
            self.repository
            or self.pushes
            or self.runtime
            or self.publishes
            or self.moves
            or self.missing_access
        )

    @property
    def size(self) -> int:
        """The bytes of the image."""
        return sum(blob.size for blob in self.image.blobs())

    @property
    def actions(self) -> Sequence[str]:
        """The actions of the step, for the table of the plan."""
        waits = f"wait for the version, which is {self.version.state}" if self.version else "create version"
        return [
            *self.repository,
            *([f"push {megabytes(self.size)}"] if self.pushes else []),
            *([self.runtime] if self.runtime else []),
            *([waits] if self.publishes else []),
            *map(action, self.moves),
            *([f"share with {self.missing_access}"] if self.missing_access else []),
            *([] if self.recorded else ["record"]),
        ]

    def as_json(self) -> Mapping[str, object]:
        """Return the JSON object of the step."""
        return {
            "region": self.region,
            "runtime": self.runtime_name,
            "version": self.version_name,
            "architectures": list(self.image.architectures),
            "image": self.image.digest,
            "existing": self.version.arn if self.version else None,
            "aliases": {move.alias: {"from": move.before or None, "to": move.version} for move in self.moves},
            "actions": list(self.actions),
            "kept": self.kept or None,
            "share": str(self.missing_access) if self.missing_access else None,
            "pushes_bytes": self.size if self.pushes else 0,
        }


@dataclass(frozen=True)
class Plan:
    """The steps by region and version, the regions that failed, and the skipped ones with the reason."""

    steps: tuple[Step, ...]
    failures: tuple[Failure, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether no step has anything left to do."""
        return all(step.idle for step in self.steps)

    @property
    def regions(self) -> list[str]:
        """The regions that have steps."""
        return sorted({step.region for step in self.steps})

    def of(self, region: str) -> tuple[Step, ...]:
        """Return the steps of one region, oldest Node.js version first."""
        return tuple(step for step in self.steps if step.region == region)


def plan_region(  # noqa: PLR0913, PLR0917 - what the steps depend on
    region: str,
    images: Sequence[Image],
    states: Mapping[str, RegionState],
    recorded: Sequence[str],
    policy: Mapping[str, object],
    wanted: Access = PRIVATE,
) -> list[Step | Failure]:
    """Return a step for each image, oldest first, or a failure.

    `states` are by runtime name, `recorded` are the names of the versions in the manifest, and `policy` is
    the statement that the policy of a repository needs. `wanted` is who shall be able to use the runtimes.
    """
    aliases = {name: state.aliases for name, state in states.items()}
    steps: list[Step | Failure] = []
    ordered = sorted(images, key=lambda each: age(version_name(each)))
    newest = {runtime_name(each.node_version): each for each in ordered}
    for image in ordered:
        runtime, version = runtime_name(image.node_version), version_name(image)
        state = states[runtime]
        try:
            _check(region, image, state)
        except RefusedError as error:
            steps.append(Failure(region, f"{runtime} {version}", error))
            continue
        moves, kept = alias_moves(image, aliases[runtime])
        first = not any(isinstance(each, Step) and each.runtime_name == runtime for each in steps)
        steps.append(
            Step(
                region=region,
                image=image,
                existing_repository=state.repository,
                repository=_repository_actions(runtime, state.repository, policy) if first else (),
                pushes=version not in state.digests,
                runtime=_runtime_action(newest[runtime], state) if first else "",
                version=state.versions.get(version),
                moves=moves,
                kept=kept,
                access=state.access,
                missing_access=wanted - state.access,
                recorded=version in recorded,
            )
        )
        aliases[runtime] = {**aliases[runtime], **{move.alias: _moved(runtime, move) for move in moves}}
    return steps


def alias_moves(image: Image, aliases: Mapping[str, Alias]) -> tuple[tuple[Move, ...], str]:
    """Return the aliases that the image's version gets, in order, and why `latest` is not moved.

    The alias of the Node.js version moves only to a newer nodelayer version. `latest` moves only forward, and
    not to a version that it was rolled back from; `previous` gets the version that `latest` had.
    """
    version = version_name(image)
    moves = []
    exact = move_to(image.node_version, version, aliases.get(image.node_version))
    if exact and not (exact.before and _is_newer(exact.before, version)):
        moves.append(exact)
    latest = move_to(LATEST, version, aliases.get(LATEST))
    if latest is None:
        return tuple(moves), ""
    if latest.before == version:
        return (*moves, latest), ""
    if latest.before and not _is_newer(version, latest.before):
        return tuple(moves), ""
    before = aliases.get(PREVIOUS)
    if latest.before and version in {before.version if before else "", rolled_back_from(aliases[LATEST])}:
        kept = f"{LATEST} stays at {latest.before}, because it was rolled back from {version}"
        return tuple(moves), kept
    if latest.before and (previous := move_to(PREVIOUS, latest.before, before)):
        moves.append(previous)
    return (*moves, latest), ""


def move_to(alias: str, version: str, found: Alias | None) -> Move | None:
    """Return the move of an alias to a version; None if it names it already, with the right lifecycle."""
    node = node_version(version)
    kept = found.lifecycle if found and not node else NO_LIFECYCLE
    lifecycle = lifecycle_of(node) if node else kept
    if found is None or found.version != version:
        return Move(alias, version, found.version if found else "", describe(version), lifecycle)
    if found.lifecycle == lifecycle:
        return None
    return Move(alias, version, version, found.description, lifecycle)


def _is_newer(version: str, other: str) -> bool:
    """Tell whether a version is newer than another one. A version that nodelayer has not named is oldest."""
    return age(version) > age(other)


def _moved(runtime: str, move: Move) -> Alias:
    return Alias(runtime, move.alias, "", move.version, _ACTIVE, move.description, move.lifecycle)


def _check(region: str, image: Image, state: RegionState) -> None:
    """Raise RefusedError if a name is taken by another image, or scheduled for deletion."""
    runtime, version = runtime_name(image.node_version), version_name(image)
    where = f"{region} {runtime}"
    tagged, existing = state.digests.get(version), state.versions.get(version)
    if tagged and tagged != image.digest:
        raise RefusedError(
            f"the repository has another image with the tag {version}",
            where=f"{region} {REPOSITORIES}{runtime}",
            todo="publish what another version of nodelayer has built, or delete that image",
        )
    if existing and existing.digest and existing.digest != image.digest:
        raise RefusedError(
            f"the version {version} has another image",
            where=where,
            todo="publish what another version of nodelayer has built: a runtime version is immutable",
        )
    for each in (
        state.runtime,
        existing,
        *(state.aliases.get(name) for name in (image.node_version, LATEST)),
    ):
        if each and each.leaving:
            raise RefusedError(
                f"{each.name} is scheduled for deletion at {each.deletion or 'an unknown time'}",
                where=where,
                todo="restore it with restore-runtime; Lambda keeps the name until it is deleted",
            )


def _repository_actions(
    runtime: str, found: RepositoryState | None, statement: Mapping[str, object]
) -> tuple[str, ...]:
    if found is None:
        return (f"create repository {REPOSITORIES}{runtime}",)
    wanted = {
        "make tags immutable": not found.immutable,
        "let Lambda read the repository": statement not in found.policy,
        "set the lifecycle policy of the repository": not found.lifecycle,
    }
    return tuple(action for action, missing in wanted.items() if missing)


def runtime_description(image: Image) -> str:
    """Return the description of an image's runtime."""
    return f"Node.js {sort_key(image.node_version).major}, built by nodelayer"


def runtime_lifecycle(image: Image, aliases: Mapping[str, Alias]) -> Lifecycle:
    """Return the lifecycle of an image's runtime: that of its newest version."""
    latest = aliases[LATEST].version if LATEST in aliases else ""
    newest = max(version_name(image), latest, key=age)
    return lifecycle_of(node_version(newest))


def _runtime_action(image: Image, state: RegionState) -> str:
    if (found := state.runtime) is None:
        return CREATE_RUNTIME
    wanted = (runtime_description(image), LICENSE, runtime_lifecycle(image, state.aliases))
    return "" if (found.description, found.license, found.lifecycle) == wanted else "update runtime"


def rows(plan: Plan) -> list[tuple[str, str, str, str]]:
    """Return the plan as a table, with a header row."""
    table = []
    for step in plan.steps:
        todo = [*step.actions, *([step.kept] if step.kept else [])] or ["nothing"]
        table += [(step.region, step.runtime_name, step.version_name, ", ".join(todo))]
    table += [(each.region, each.layer, "", "fails") for each in plan.failures]
    table += [(region, "", "", f"skipped: {why}") for region, why in plan.skipped.items()]
    return [("region", "runtime", "version", "to do"), *sorted(table)]


def summary(plan: Plan, account: str, partition: str) -> str:
    """Return the plan in one line."""
    pushed = sum(step.size for step in plan.steps if step.pushes)
    parts = [
        f"{sum(step.version is None for step in plan.steps)} runtime versions to create",
        f"{sum(len(step.moves) for step in plan.steps)} aliases to set",
        f"{megabytes(pushed)} to push at most" if pushed else "",
        f"{sum(step.idle for step in plan.steps)} need no change",
        f"{len(plan.skipped)} regions skipped" if plan.skipped else "",
        f"{len(plan.failures)} regions fail" if plan.failures else "",
    ]
    named = f"Account {account}, partition {partition}, {len(plan.regions)} regions"
    return f"{named}: {', '.join(part for part in parts if part)}"


def as_json(plan: Plan, account: str, partition: str) -> Mapping[str, object]:
    """Return the plan as a JSON object."""
    return {
        "account": account,
        "partition": partition,
        "steps": [step.as_json() for step in plan.steps],
        "skipped": dict(plan.skipped),
        "failures": [failure.as_json() for failure in plan.failures],
    }
