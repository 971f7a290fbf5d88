"""Carry out the plan in one region: push the image, create runtime and version, set the aliases.

Every step reads before it creates, so that it can be repeated after a kill or a lost answer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nodelayer.aws import ecr
from nodelayer.aws.account import Region
from nodelayer.aws.arn import RuntimeVersionArn
from nodelayer.aws.errors import ExpiredError, NotEnabledError
from nodelayer.aws.layers import PRIVATE, Access
from nodelayer.aws.managed_runtimes import Alias, RuntimeVersion
from nodelayer.errors import NodelayerError, NotVerifiedError, RefusedError
from nodelayer.image.artifact import Image
from nodelayer.image.registry import Repository
from nodelayer.publish.layers.report import Failure
from nodelayer.publish.runtimes import sharing
from nodelayer.publish.runtimes.names import CANARY, describe, runtime_name
from nodelayer.publish.runtimes.plan import (
    CREATE_RUNTIME,
    LICENSE,
    REPOSITORIES,
    RegionState,
    Step,
    action,
    alias_moves,
    move_to,
    plan_region,
    runtime_description,
    runtime_lifecycle,
    version_name,
)
from nodelayer.publish.runtimes.rollback import Move
from nodelayer.util.parallel import Stop, StoppedError

ACTIVE_S = 600.0
"""Seconds until a new runtime version must be active."""


@dataclass(frozen=True)
class StepResult:
    """The result of a step: an active runtime version, and the aliases that this run has set.

    `image` is the URI with the digest, `access` who may use the runtime, as far as this run knows. `complete`
    is false until all aliases are set.
    """

    step: Step
    version: RuntimeVersion
    image: str
    new: bool
    moves: tuple[Move, ...] = ()
    kept: str = ""
    access: Access = PRIVATE
    complete: bool = False


Result = StepResult | Failure


class RegionWorker:
    """Carries out the steps of one region. A stop takes effect between two calls to AWS.

    `show` gets a word for the current call and the share of the work that is done (0 to 1), if known.
    """

    def __init__(
        self, region: Region, partition: str, stop: Stop, show: Callable[[str, float | None], None]
    ) -> None:
        self._region = region
        self._repositories = region.repositories
        self._runtimes = region.runtimes
        self._statement: Mapping[str, Any] = ecr.lambda_statement(partition, region.name, region.account_id)
        self._stop = stop
        self._show = show
        self._prepared: dict[str, ecr.RepositoryState] = {}
        self._seen: dict[str, str] = {}
        """The repository where this run has seen a blob, by digest."""

    def survey(
        self, images: Sequence[Image], recorded: Sequence[str], access: Access
    ) -> list[Step | Failure]:
        """Return what is left to do for each image. Needs read permissions only."""
        tags: dict[str, list[str]] = {}
        for each in images:
            tags.setdefault(runtime_name(each.node_version), []).append(version_name(each))
        states = {name: self._state(name, tags[name], access) for name in sorted(tags)}
        return plan_region(self._region.name, images, states, recorded, self._statement, access)

    def _state(self, name: str, tags: Sequence[str], access: Access) -> RegionState:
        runtime = self._runtimes.runtime(name)  # first: the region may not have runtimes at all
        repository = self._repositories.find(f"{REPOSITORIES}{name}")
        digests = {
            tag: self._repositories.digest(f"{REPOSITORIES}{name}", tag)
            for tag in (tags if repository else ())
        }
        return RegionState(
            repository,
            {tag: digest for tag, digest in digests.items() if digest},
            runtime,
            {each.name: each for each in self._runtimes.versions(name)} if runtime else {},
            self._aliases(name) if runtime else {},
            sharing.access_in(self._runtimes.policy(runtime.arn)) if runtime and access else PRIVATE,
        )

    def publish(self, steps: Sequence[Step]) -> Iterator[Result]:
        """Yield the result of each step when its runtime version is active. No alias is set yet."""
        return self._each([(step, step) for step in steps], self._publish)

    def set_aliases(self, results: Sequence[StepResult]) -> Iterator[Result]:
        """Yield the result of each step when its aliases are set: exact version, `previous`, `latest`."""
        return self._each([(each.step, each) for each in results if not each.complete], self._set_aliases)

    def set_canary(self, step: Step) -> None:
        """Point the alias `canary` to the version of a step."""
        found = self._aliases(step.runtime_name).get(CANARY)
        if move := move_to(CANARY, step.version_name, found):
            self._put(step.runtime_name, move)

    def _each(
        self, work: Sequence[tuple[Step, Any]], carry_out: Callable[[Any], StepResult]
    ) -> Iterator[Result]:
        """Yield the result or the failure of each step. An error of the whole region ends the work."""
        for step, argument in work:
            try:
                self._stop.check()
                yield carry_out(argument)
            except (NotEnabledError, ExpiredError, StoppedError) as error:
                yield Failure(step.region, "", error)
                return
            except NodelayerError as error:
                yield Failure(step.region, step.name, error)

    def _publish(self, step: Step) -> StepResult:
        if step.idle:
            assert step.version is not None  # noqa: S101 - or it would be published
            return StepResult(step, step.version, "", new=False, complete=True)
        uri = self._prepare_repository(step)
        if step.pushes:
            self._push(step)
        image = f"{uri}@{step.image.digest}"
        if step.runtime:
            self._set_runtime(step)
        if step.version is None:
            self._create_version(step, image)
        version = step.version
        if version is None or step.publishes:
            self._stop.check()
            self._show("waiting until the version is active", None)
            version = self._runtimes.wait_active(step.runtime_name, step.version_name, ACTIVE_S)
        self._check(step, version)
        return StepResult(step, version, image, new=step.version is None)

    def _prepare_repository(self, step: Step) -> str:
        """Create the repository or change its settings, and return its URI."""
        name = step.repository_name
        found = self._prepared.get(name) or step.existing_repository
        if found is None:
            self._stop.check()
            self._show("creating the repository", None)
            found = self._repositories.create(name)
        if not found.immutable:
            self._repositories.make_immutable(name)
        if self._statement not in found.policy:
            self._repositories.set_policy(name, ecr.with_statement(found.policy, self._statement))
        if not found.lifecycle:
            self._repositories.set_lifecycle(name)
        self._prepared[name] = replace(found, immutable=True, policy=(self._statement,), lifecycle=True)
        return found.uri

    def _push(self, step: Step) -> None:
        """Push what the repository lacks: blobs, then manifests, at last the index with its tag."""
        self._stop.check()
        self._show("pushing", 0.0)
        login = self._repositories.login()
        others = [
            each for each in self._repositories.names(REPOSITORIES) if each != step.repository_name
        ]  # one of them may have the layers of the base image
        blobs, size, sent = step.image.blobs(), step.size, 0
        with Repository(
            login.endpoint,
            step.repository_name,
            credentials=(login.user, login.password),
            host=login.host,
        ) as registry:
            for blob in blobs:
                self._stop.check()
                registry.push_blob(blob, self._seen.get(blob.digest) or next(iter(others), None))
                self._seen[blob.digest] = step.repository_name
                sent += blob.size
                self._show(f"pushing {sent / size * 100:.0f} %", sent / size)
            *children, index = step.image.manifests()
            for manifest in children:
                registry.push_manifest(manifest.digest, manifest)
            self._stop.check()
            tag = step.version_name
            try:
                registry.push_manifest(tag, index)
            except RefusedError:  # ECR refuses a tag that exists, also for the same image
                if registry.manifest_digest(tag) != index.digest:
                    raise
            if (found := registry.manifest_digest(tag)) != step.image.digest:
                raise NotVerifiedError(
                    f"the repository has another image after the push: {found}",
                    where=f"{step.region} {step.repository_name}:{tag}",
                    todo="delete that image, and run the command again",
                )

    def _set_runtime(self, step: Step) -> None:
        self._stop.check()
        self._show("setting the runtime", None)
        name = step.runtime_name
        if step.runtime == CREATE_RUNTIME:
            values = (runtime_description(step.image), LICENSE, runtime_lifecycle(step.image, {}))
            found = self._runtimes.create_runtime(name, *values, {})
            if (found.description, found.license, found.lifecycle) == values:
                return
        values = (
            runtime_description(step.image),
            LICENSE,
            runtime_lifecycle(step.image, self._aliases(name)),
        )
        self._runtimes.update_runtime(name, *values)

    def _create_version(self, step: Step, image: str) -> None:
        self._stop.check()
        self._show("creating the version", None)
        names = (step.runtime_name, step.version_name, image, describe(step.version_name))
        self._runtimes.create_version(*names, dry_run=True)
        self._stop.check()
        self._runtimes.create_version(*names)

    def _check(self, step: Step, version: RuntimeVersion) -> None:
        """Compare what Lambda reports about a runtime version with the image."""
        missing = sorted(set(step.image.architectures).difference(version.architectures))
        wrong = ""
        if version.digest and version.digest != step.image.digest:
            wrong = f"its image is {version.digest} instead of {step.image.digest}"
        elif version.architectures and missing:
            wrong = f"it does not run on {' and '.join(missing)}"
        if wrong:
            raise NotVerifiedError(
                f"the runtime version is not the built one: {wrong}",
                where=version.arn,
                todo="publish what another version of nodelayer has built: a runtime version is immutable",
            )

    def _set_aliases(self, result: StepResult) -> StepResult:
        """Set the aliases from what they are now: another publisher may have moved them meanwhile."""
        step = result.step
        moves, kept = alias_moves(step.image, self._aliases(step.runtime_name))
        for move in moves:
            self._stop.check()
            self._show(action(move), None)
            self._put(step.runtime_name, move)
        if step.missing_access:
            self._stop.check()
            self._show("sharing the runtime", None)
            arn = RuntimeVersionArn.parse(result.version.arn).runtime
            sharing.share(self._runtimes, arn, step.missing_access)
        access = step.access | step.missing_access
        return replace(result, moves=moves, kept=kept, access=access, complete=True)

    def _put(self, runtime: str, move: Move) -> None:
        self._runtimes.put_alias(runtime, move.alias, move.version, move.description, move.lifecycle)

    def _aliases(self, runtime: str) -> Mapping[str, Alias]:
        return {each.name: each for each in self._runtimes.aliases(runtime)}
