"""Carry out the plan in one region: publish, read back, grant access.

If two publishers race, the lowest version number of the same content wins: the other publisher deletes its
own layer version before it grants access.
"""

import base64
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from nodelayer.architecture import X86_64
from nodelayer.aws.account import Region
from nodelayer.aws.errors import ArchitecturesError, ExpiredError, NotEnabledError
from nodelayer.aws.layers import PRIVATE, Access, Content, LayerMetadata, Payload, prepare
from nodelayer.errors import NodelayerError, NotVerifiedError, UnreachableError
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Published
from nodelayer.publish.layers import metadata
from nodelayer.publish.layers.plan import AT_ONCE, Step, needs_bucket
from nodelayer.publish.layers.report import Failure
from nodelayer.util import parallel
from nodelayer.util.parallel import Stop, StoppedError
from nodelayer.util.temporary import temporary_folder

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds, roughly, between two attempts of PublishLayerVersion."""

_WHOLE_REGION = (NotEnabledError, ExpiredError, StoppedError)
"""Errors after which the other layers would fail, too."""

_GAP = 5
"""How many numbers below a new layer version are searched for those of other publishers."""


@dataclass(frozen=True)
class StepResult:
    """The result of a step; `complete` is false if an error or a stop came after publishing."""

    step: Step
    published: Published
    new: bool
    complete: bool = True


class RegionWorker:
    """Carries out the steps of one region. A stop takes effect between two calls to AWS.

    `show` gets a word for the current call and the share of the work that is done (0 to 1), if known.
    """

    def __init__(
        self,
        region: Region,
        access: Access,
        bodies: Mapping[tuple[str, bool], Payload],
        stop: Stop,
        show: Callable[[str, float | None], None],
    ) -> None:
        self._region = region
        self._layers = region.layers
        self._access = access
        self._bodies = bodies
        self._stop = stop
        self._show = show
        self._uploading = threading.Lock()
        self._over: NodelayerError | None = None
        self._done, self._steps, self._shown = 0, 1, ""

    def work(self, steps: Sequence[Step]) -> Iterator[StepResult | Failure]:
        """Yield the results of the steps, several of which run at once; only one uploads at a time.

        An error that concerns the whole region ends the work.
        """
        self._steps = len(steps)
        results = parallel.each(steps, self._results, AT_ONCE)
        for self._done, (step, ended) in enumerate(results, 1):
            if isinstance(ended, NodelayerError):
                yield Failure(step.region, step.artifact.layer_name, ended)
            else:
                yield from ended
        if self._over is not None:
            yield Failure(self._region.name, "", self._over)

    def _results(self, step: Step) -> list[StepResult | Failure]:
        ended: list[StepResult | Failure] = []
        try:
            for result in self._step(step) if self._over is None else ():
                ended.append(result)  # noqa: PERF402 - keeps what was yielded before an error
        except _WHOLE_REGION as error:
            self._over = error
        except NodelayerError as error:
            ended.append(Failure(step.region, step.artifact.layer_name, error))
        return ended

    def _step(self, step: Step) -> Iterator[StepResult]:
        self._stop.check()
        name = step.artifact.layer_name
        for version in step.duplicates:
            self._layers.delete(name, version)
        if step.publishes:
            content = self._publish_all(step)
        else:
            assert step.existing is not None  # noqa: S101 - or it would be published
            listed = step.existing
            if step.idle:
                recorded = metadata.published(listed.version, listed.arn, listed.created, step.access)
                yield StepResult(step, recorded, new=False)
                return
            found = self._layers.content(name, listed.version)
            if found is None:
                raise UnreachableError(
                    f"{listed.arn} was deleted", where=step.region, todo="run the command again"
                )
            content = found
        access = PRIVATE if step.publishes else step.access
        if not self._stop.requested:
            self._check(step, content)
        try:
            self._stop.check()
            access = self._grant(content, name, access)
        except NodelayerError:
            yield StepResult(step, _published(content, access), new=step.publishes, complete=False)
            raise
        yield StepResult(step, _published(content, access), new=step.publishes)

    def _publish_all(self, step: Step) -> Content:
        known = (
            {each.version for each in self._layers.versions(step.artifact.layer_name)}
            if step.paddings
            else set(range(1, step.latest + 1))
        )
        for _ in range(step.paddings):
            self._stop.check()
            known.add(self._publish(step, known, padding=True).version)
        return self._resolve_race(step, self._publish(step, known, padding=False), known)

    def _publish(self, step: Step, known: set[int], *, padding: bool) -> Content:
        """Publish once: before each retry, check whether an earlier attempt succeeded."""
        payload = self._payload(step.artifact, padding=padding)
        wanted = metadata.for_artifact(step.artifact, padding=padding)
        with ExitStack() as stack:
            for pause in (*_PAUSES, None):
                self._stop.check()
                try:
                    return self._send(wanted, payload)
                except ArchitecturesError:
                    if wanted.architectures != (X86_64.name,):  # Lambda assumes x86_64 if none is given
                        raise
                    wanted = replace(wanted, architectures=())
                    if isinstance(payload, Payload):
                        folder = stack.enter_context(temporary_folder("nodelayer-publish-"))
                        payload = prepare(wanted, step.artifact.path, folder / "body")
                except UnreachableError:
                    if pause is None:
                        raise
                    self._stop.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
                    if found := self._published_since(step, known, padding=padding):
                        return found[0]
        raise AssertionError("unreachable")

    def _send(self, wanted: LayerMetadata, payload: Payload | tuple[str, str]) -> Content:
        """Publish while no other step of the region does, and not after an error of the whole region."""
        with self._uploading:
            if self._over is not None:
                raise self._over
            try:
                return self._layers.publish(wanted, payload, self._uploaded)
            except _WHOLE_REGION as error:
                self._over = error
                raise

    def _published_since(self, step: Step, known: set[int], *, padding: bool) -> list[Content]:
        """Return the layer versions of this content that are not known yet, lowest first."""
        numbers = {each.version for each in self._layers.versions(step.artifact.layer_name)} - known
        # The list may lag behind, and Lambda counts up: ask for the next numbers, too.
        newest = max(known, default=0)
        numbers |= {newest + 1, newest + 2}
        return self._same_content(step, numbers, padding=padding)

    def _same_content(self, step: Step, numbers: Iterable[int], *, padding: bool) -> list[Content]:
        """Return those of the numbers that are layer versions of this content, lowest first."""
        artifact = step.artifact
        contents = [self._layers.content(artifact.layer_name, number) for number in sorted(numbers)]
        return [
            each
            for each in contents
            if each is not None
            and each.code_sha256 == artifact.code_sha256
            and metadata.is_padding(each) == padding
        ]

    def _resolve_race(self, step: Step, published: Content, known: set[int]) -> Content:
        """Keep the lowest version number if another publisher published the same content."""
        if published.version == max(known, default=0) + 1:
            return published  # Lambda counts up by one: no other publisher was faster
        name = step.artifact.layer_name
        numbers = {each.version for each in self._layers.versions(name)}
        # The list may lag behind, but each number in between was given to a layer version.
        numbers |= set(range(max(published.version - _GAP, step.latest + 1), published.version))
        others = self._same_content(step, numbers - known - {published.version}, padding=False)
        if not others:
            return published
        # Another publisher may have granted access to its version already: that one is kept.
        used = {each.version for each in others if self._layers.access(name, each.version)}
        kept = min([published, *others], key=lambda each: (each.version not in used, each.version))
        for version in {each.version for each in [published, *others]} - {kept.version} - used:
            self._layers.delete(name, version)
        return kept

    def _check(self, step: Step, content: Content) -> None:
        """Read a layer version back and compare it with the zip."""
        self._show("verifying", None)
        artifact = step.artifact
        seen = self._read_back(artifact.layer_name, content.version) if step.publishes else content
        if (seen.code_sha256, seen.size) != (artifact.code_sha256, artifact.size):
            raise NotVerifiedError(
                f"the published zip differs from the built one: {seen.code_sha256}, {seen.size} bytes",
                where=content.arn,
                todo="delete that layer version, and publish again",
            )

    def _read_back(self, name: str, version: int) -> Content:
        """Return a new layer version; Lambda may take some seconds to show it."""
        for pause in (*_PAUSES, None):
            self._stop.check()
            seen = self._layers.content(name, version)
            if seen is not None:
                return seen
            if pause is not None:
                self._stop.sleep(pause)
        raise NotVerifiedError(
            f"{name}:{version} was published, but Lambda does not find it",
            where=self._region.name,
            todo="run the command again",
        )

    def _grant(self, content: Content, name: str, access: Access) -> Access:
        """Add the permissions that are missing, and return what Lambda then reports."""
        missing = self._access - access
        if not missing:
            return access
        self._show("granting access", None)
        self._layers.permit(name, content.version, missing)
        access = self._layers.access(name, content.version)
        if self._access - access:
            raise NotVerifiedError(
                f"Lambda does not report the permission for {self._access - access}",
                where=content.arn,
                todo="check the policy of the layer version",
            )
        return access

    def _payload(self, artifact: Artifact, *, padding: bool) -> Payload | tuple[str, str]:
        if not needs_bucket(artifact):
            return self._bodies[artifact.layer_name, padding]
        bucket = f"nodelayer-{self._region.account_id}-{self._region.name}"
        key = f"{base64.b64decode(artifact.code_sha256).hex()}.zip"
        with self._uploading:
            self._stop.check()
            self._region.buckets.make(bucket)
            self._stop.check()
            self._region.buckets.upload(artifact.path, bucket, key, self._uploaded)
        return bucket, key

    def _uploaded(self, share: float) -> None:
        state = f"uploading {share * 100:.0f} %" if share < 1 else "publishing"
        if state != self._shown:
            self._shown = state
            self._show(state, (self._done + share) / self._steps)


def _published(content: Content, access: Access) -> Published:
    return metadata.published(content.version, content.arn, content.created, access)
