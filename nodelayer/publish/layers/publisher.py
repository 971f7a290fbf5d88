"""Layer versions in every region: plan, then act, then read back.

A run that was killed anywhere is finished by the next one, since that plans from what it finds.
Two publishers at once settle it by number: the lowest layer version of the same content stays, and whoever
sees a higher one deletes it before anybody is let in.
"""

import base64
import hashlib
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nodelayer.architecture import X86_64
from nodelayer.aws import account as aws
from nodelayer.aws.account import PRIVATE, Access, Account, Content, Payload, Region
from nodelayer.aws.regions import Selection
from nodelayer.errors import NodelayerError, NotVerifiedError, UnreachableError, machine_error
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest import model as manifest
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.node.versions import sort_key
from nodelayer.publish.layers import ssm
from nodelayer.publish.layers.plan import (
    Failure,
    Plan,
    PublishOptions,
    Step,
    aligned,
    check_account,
    is_padding,
    staged,
    survey_region,
    with_permits,
)
from nodelayer.util import parallel
from nodelayer.util.console import Reporter
from nodelayer.util.parallel import Stop

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds, roughly, between one PublishLayerVersion and the next."""
_ALIGN_ROUNDS = 3


@dataclass(frozen=True)
class Done:
    """A step that came to its end, or was stopped after the layer version was there."""

    step: Step
    published: Published
    new: bool
    complete: bool = True


@dataclass(frozen=True)
class Result:
    """How a run ended. `left` are the regions that a stop kept from their end."""

    plan: Plan
    done: tuple[Done, ...]
    failures: tuple[Failure, ...]
    left: tuple[str, ...] = ()


class Publisher:
    """Publishes artifacts with one account; `path` is the manifest."""

    def __init__(self, account: Account, path: Path, reporter: Reporter, stop: Stop | None = None) -> None:
        self._account = account
        self._path = path
        self._reporter = reporter
        self._stop = stop or Stop()

    def plan(self, artifacts: Sequence[Artifact], selection: Selection, options: PublishOptions) -> Plan:
        """What is to be done. Needs read rights only; changes nothing.

        Raises RefusedError where the manifest is another account's.
        """
        known = manifest.read(self._path)
        check_account(known, self._account)
        steps: list[Step] = []
        failures: list[Failure] = []
        skipped = dict(selection.skipped)

        def survey(region: str) -> list[Step]:
            return survey_region(self._account.region(region), artifacts, known, options)

        for region, found in parallel.each(selection.regions, survey, parallel=options.parallel):
            if isinstance(found, aws.NotEnabledError) and not selection.certain and not selection.named:
                skipped[region] = "not enabled in this account"
            elif isinstance(found, NodelayerError):
                failures.append(Failure(region, "", found))
            else:
                steps += found
        steps.sort(
            key=lambda step: (step.region, sort_key(step.artifact.node_version), step.artifact.metadata.name)
        )
        if options.align:
            steps = aligned(steps, known)
        steps = [with_permits(step, options.access) for step in steps]
        failures.sort(key=lambda failure: failure.region)
        return Plan(tuple(steps), tuple(failures), skipped)

    def run(
        self, artifacts: Sequence[Artifact], selection: Selection, options: PublishOptions, plan: Plan
    ) -> Result:
        """Do what the plan says, region by region at once, and record what is done as it is done.

        Never raises for a region: its error is among the failures. Raises NodelayerError before anything is
        done where the manifest could not be written.
        """
        manifest.check_writable(self._path)
        try:
            return self._run(artifacts, selection, options, plan)
        except KeyboardInterrupt as error:
            raise parallel.StoppedError(
                "stopped at once: what was under way may be published and not recorded",
                todo="run it again: it finds what is there",
            ) from error

    def _run(
        self, artifacts: Sequence[Artifact], selection: Selection, options: PublishOptions, plan: Plan
    ) -> Result:
        with self._stop.on_signals(
            lambda: self._reporter.warn("stopping: the calls under way are finished first; again: at once")
        ):
            result = self._act(plan, options)
            for _ in range(_ALIGN_ROUNDS if options.align else 0):
                numbers = {(done.step.artifact.metadata.name, done.published.version) for done in result.done}
                names = {name for name, _ in numbers}
                if len(numbers) <= len(names) or result.failures or self._stop.told:
                    break
                # Deleted layer versions keep their numbers, and no list shows them: look again, and fill up.
                result = self._act(self.plan(artifacts, selection, options), options)
        return replace(result, failures=(*result.failures, *_unaligned(result))) if options.align else result

    def _act(self, plan: Plan, options: PublishOptions) -> Result:
        done: list[Done] = []
        failures = list(plan.failures)
        left: set[str] = set()
        recorder = Recorder(self._path)
        regions = sorted({step.region for step in plan.steps})
        with TemporaryDirectory(prefix="nodelayer-publish-") as scratch:
            with ThreadPoolExecutor(1) as aside:  # hashing and writing leave this thread room for the clients
                prepared = aside.submit(_bodies, plan, options, Path(scratch))
                for region in sorted({step.region for step in plan.steps if step.publishes}):
                    self._account.region(region).get_ready()
                bodies = prepared.result()

            def work(region: str) -> list[Done | Failure]:
                worker = _Worker(self._account.region(region), self._account.id, options, bodies, self._stop)
                return list(worker.work(plan.of(region)))

            with self._reporter.work(f"publishing in {len(regions)} regions"):
                for region, ended in parallel.each(regions, work, parallel=options.parallel):
                    outcomes = [Failure(region, "", ended)] if isinstance(ended, NodelayerError) else ended
                    for each in outcomes:
                        if isinstance(each, Done):
                            done.append(each)
                            self._tell(each)
                            if not each.complete and self._stop.told:
                                left.add(region)
                            self._record(recorder, each, failures)
                        elif isinstance(each.error, parallel.StoppedError):
                            left.add(region)
                        else:
                            failures.append(each)
                            self._reporter.fail(f"{region}: {each.error}")
        try:
            recorder.flush()
        except NodelayerError as error:
            failures.append(Failure("", "the manifest", error))
        if options.parameters:
            failures += self._parameters(done, options)
        return Result(
            plan,
            tuple(sorted(done, key=lambda each: (each.step.region, each.step.artifact.metadata.name))),
            tuple(failures),
            tuple(sorted(left)),
        )

    def _record(self, recorder: "Recorder", each: Done, failures: list[Failure]) -> None:
        try:
            recorder.add(each.step.artifact.entry(each.step.region, each.published))
        except NodelayerError as error:  # what is published is found again by the next run
            if not any(failure.layer == "the manifest" for failure in failures):
                failures.append(Failure("", "the manifest", error))
                self._reporter.fail(f"not recorded: {error}")

    def _tell(self, each: Done) -> None:
        if each.step.idle:
            return
        what = "published" if each.new else "there already"
        access = Access(each.published.public, frozenset(each.published.organizations))
        name = each.step.artifact.metadata.name
        self._reporter.say(f"{each.step.region}: {name}:{each.published.version} {what}, {access}")

    def _parameters(self, done: Sequence[Done], options: PublishOptions) -> list[Failure]:
        """Write the SSM parameters of what was published, from the manifest as it is now."""
        known = manifest.read(self._path)
        wanted: dict[str, dict[str, str]] = {}
        for each in done:
            if each.complete:
                artifact, region = each.step.artifact, each.step.region
                wanted.setdefault(region, {}).update(
                    ssm.of(known, artifact.node_version, artifact.architecture, region)
                )

        def write(region: str) -> int:
            self._stop.check()
            return ssm.write(self._account.region(region), wanted[region], self._stop)

        failures = []
        for region, count in parallel.each(sorted(wanted), write, parallel=options.parallel):
            if isinstance(count, NodelayerError):
                failures.append(Failure(region, "SSM parameters", count))
                self._reporter.fail(f"{region}: {count}")
            elif count:
                self._reporter.say(f"{region}: {count} SSM parameters written")
        return failures


class Recorder:
    """Writes entries into the manifest as they come; one that takes long to write is written less often."""

    _MOST = 0.2  # of the time that passes

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[Layer] = []
        self._next = 0.0

    def add(self, layer: Layer) -> None:
        """Raises NodelayerError where the manifest cannot be written; the entry is kept for the next time."""
        self._waiting.append(layer)
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        began = time.monotonic()
        self._next = began + 1
        news = Manifest.of(self._waiting)
        manifest.update(self._path, lambda known: known.merge(news))
        self._waiting = []
        ended = time.monotonic()
        self._next = ended + (ended - began) / self._MOST


def _unaligned(result: Result) -> list[Failure]:
    """The layers that ended with several numbers, though nothing failed: others published meanwhile."""
    numbers: dict[str, dict[int, str]] = {}
    for each in result.done:
        numbers.setdefault(each.step.artifact.metadata.name, {})[each.published.version] = each.step.region
    return [
        Failure(
            region,
            name,
            NotVerifiedError(
                f"the numbers differ: {', '.join(map(str, sorted(mine)))}", where=name, todo="run it again"
            ),
        )
        for name, mine in numbers.items()
        if len(mine) > 1 and not result.failures and not result.left
        for region in sorted({each.step.region for each in result.done})
    ]


def retry_regions(failures: Iterable[Failure], left: Iterable[str]) -> tuple[str, ...]:
    """The regions that were not finished."""
    return tuple(sorted({failure.region for failure in failures if failure.region} | set(left)))


def summary(result: Result) -> str:
    """How it went, in one line."""
    new = sum(each.new for each in result.done)
    parts = [
        f"{new} layer versions published",
        f"{len(result.done) - new} were there",
        f"{len(result.failures)} failures" if result.failures else "",
        f"stopped in {len(result.left)} regions" if result.left else "",
    ]
    return ", ".join(part for part in parts if part)


def as_json(result: Result) -> Mapping[str, object]:
    """How it went, for a program."""
    return {
        "done": [
            {
                "region": each.step.region,
                "layer_name": each.step.artifact.metadata.name,
                "node_version": each.step.artifact.node_version,
                "architecture": each.step.artifact.architecture,
                "arn": each.published.arn,
                "version": each.published.version,
                "new": each.new,
                "complete": each.complete,
                "access": str(Access(each.published.public, frozenset(each.published.organizations))),
            }
            for each in result.done
        ],
        "failures": [failure.as_json() for failure in result.failures],
        "left": list(result.left),
        "skipped": dict(result.plan.skipped),
    }


def outputs(result: Result | None, asked: int, region: str) -> dict[str, str]:
    """What is told to a later step of a GitHub job: every ARN, and the one where one layer was `asked` for.

    That is the ARN in `region`, else in the first region by name; empty where nothing was published.
    """
    arns: dict[str, dict[str, str]] = {}
    for each in result.done if result else ():
        if each.complete:
            arns.setdefault(each.step.artifact.metadata.name, {})[each.step.region] = each.published.arn
    by_region = next(iter(arns.values()), {}) if asked == 1 else {}
    one = by_region.get(region) or next((arn for _, arn in sorted(by_region.items())), "")
    return {"layer-arns": json.dumps(arns, sort_keys=True), "layer-arn": one}


class _Worker:
    """One region's work. Every call is its own step: a stop comes between two of them."""

    def __init__(
        self,
        region: Region,
        account: str,
        options: PublishOptions,
        bodies: Mapping[tuple[str, bool], Payload],
        stop: Stop,
    ) -> None:
        self._region = region
        self._account = account
        self._options = options
        self._bodies = bodies
        self._stop = stop
        self._chance = random.Random()  # noqa: S311 - how long to wait, no secret

    def work(self, steps: Iterable[Step]) -> Iterator[Done | Failure]:
        """Each step's end. What concerns the whole region ends its other steps as well."""
        broken: NodelayerError | None = None
        for step in steps:
            if broken is None:
                try:
                    yield from self._step(step)
                except (aws.NotEnabledError, aws.ExpiredError, parallel.StoppedError) as error:
                    broken = error
                except NodelayerError as error:
                    yield Failure(step.region, step.artifact.metadata.name, error)
            if broken is not None:
                yield Failure(step.region, step.artifact.metadata.name, broken)

    def _step(self, step: Step) -> Iterator[Done | Failure]:
        """The step's end; where it fails after the layer version was read back, that is told as well."""
        self._stop.check()
        name = step.artifact.metadata.name
        for version in step.duplicates:
            self._region.delete(name, version)
        if step.publishes:
            content = self._publish_all(step)
        else:
            assert step.existing is not None  # noqa: S101 - or it would be published
            if step.idle:
                listed = step.existing
                yield Done(
                    step, _published(listed.version, listed.arn, listed.created, step.access), new=False
                )
                return
            found = self._region.content(name, step.existing.version)
            if found is None:
                raise UnreachableError(f"{step.existing.arn} is gone", where=step.region, todo="run it again")
            content = found
        before = PRIVATE if step.publishes else step.access
        if not self._stop.told:
            self._check(step, content)
        try:
            self._stop.check()
            access = self._finish(step, content)
        except NodelayerError:
            yield Done(step, _of(content, before), new=step.publishes, complete=False)
            raise
        yield Done(step, _of(content, access), new=step.publishes)

    def _publish_all(self, step: Step) -> Content:
        known = (
            {each.version for each in self._region.versions(step.artifact.metadata.name)}
            if step.paddings
            else None
        )
        for _ in range(step.paddings):
            self._stop.check()
            padding = self._publish(step, known, padding=True)
            known = {*(known or ()), padding.version}
        mine = self._publish(step, known, padding=False)
        return self._settle(step, mine, known)

    def _publish(self, step: Step, known: set[int] | None, *, padding: bool) -> Content:
        """Publish once, however often it has to be tried."""
        payload = self._payload(step.artifact, padding=padding)
        metadata = step.artifact.padding if padding else step.artifact.metadata
        with ExitStack() as stack:
            for pause in (*_PAUSES, None):
                self._stop.check()
                try:
                    return self._region.publish(metadata, payload)
                except aws.ArchitecturesError:
                    if metadata.architectures != (X86_64.name,):  # which is what a layer without any is for
                        raise
                    metadata = replace(metadata, architectures=())
                    if isinstance(payload, Payload):
                        folder = stack.enter_context(TemporaryDirectory(prefix="nodelayer-publish-"))
                        payload = aws.prepare(metadata, step.artifact.path, Path(folder) / "body")
                except UnreachableError:
                    if pause is None:
                        raise
                    self._stop.sleep(pause * self._chance.uniform(0.5, 1.5))
                    found = self._since(step, known, padding=padding)
                    if found:
                        return found[0]
        raise AssertionError("unreachable")

    def _since(self, step: Step, known: set[int] | None, *, padding: bool) -> list[Content]:
        """The layer versions of this content that were not there when the plan was made, lowest first."""
        artifact = step.artifact
        found = []
        for each in self._region.versions(artifact.metadata.name):
            old = each.version in known if known is not None else each.version <= step.latest
            if not old and is_padding(each) == padding:
                content = self._region.content(artifact.metadata.name, each.version)
                if content is not None and content.code_sha256 == artifact.code_sha256:
                    found.append(content)
        return found

    def _settle(self, step: Step, mine: Content, known: set[int] | None) -> Content:
        """Where the same content came in twice, the lowest number stays, and is taken."""
        found = self._since(step, {*(known or range(1, step.latest + 1)), mine.version}, padding=False)
        if not found:
            return mine
        name = step.artifact.metadata.name
        # The other publisher may have let somebody in already, whatever the numbers say.
        used = {each.version for each in found if self._region.access(name, each.version)}
        first = min([mine, *found], key=lambda each: (each.version not in used, each.version))
        for version in {each.version for each in [mine, *found]} - {first.version} - used:
            self._region.delete(name, version)
        return first

    def _check(self, step: Step, content: Content) -> None:
        """Read back, and compare."""
        artifact = step.artifact
        seen = self._read_back(artifact.metadata.name, content.version) if step.publishes else content
        if (seen.code_sha256, seen.size) != (artifact.code_sha256, artifact.size):
            raise NotVerifiedError(
                f"what is published is not what was sent: {seen.code_sha256}, {seen.size} bytes",
                where=content.arn,
                todo="delete that layer version, and publish again",
            )

    def _finish(self, step: Step, content: Content) -> Access:
        """Permit, and read that back as well; have the second account read it."""
        artifact = step.artifact
        name, version = artifact.metadata.name, content.version
        access = PRIVATE if step.publishes else step.access
        missing = self._options.access - access
        if missing:
            self._stop.check()
            self._region.permit(name, version, missing)
            access = self._region.access(name, version)
            if self._options.access - access:
                raise NotVerifiedError(
                    f"the permission for {self._options.access - access} did not hold",
                    where=content.arn,
                    todo="look at the layer version's policy",
                )
        if self._options.reader is not None:
            read = self._options.reader(step.region).content_by_arn(content.arn)
            if read is None or read.code_sha256 != artifact.code_sha256:
                raise NotVerifiedError(
                    "the second account cannot read the layer version",
                    where=content.arn,
                    todo="permit it with --public or --organization-id",
                )
        return access

    def _read_back(self, name: str, version: int) -> Content:
        """What is there of what was just published; a moment may pass until it is."""
        for pause in (*_PAUSES, None):
            self._stop.check()
            seen = self._region.content(name, version)
            if seen is not None:
                return seen
            if pause is not None:
                self._stop.sleep(pause)
        raise NotVerifiedError(
            f"{name}:{version} was published and is not there", where=self._region.name, todo="run it again"
        )

    def _payload(self, artifact: Artifact, *, padding: bool) -> Payload | tuple[str, str]:
        if not staged(artifact, self._options):
            return self._bodies[artifact.metadata.name, padding]
        named = self._options.staging
        bucket = (named or "nodelayer-{account}-{region}").format(
            region=self._region.name, account=self._account
        )
        key = f"{base64.b64decode(artifact.code_sha256).hex()}.zip"
        if named is None:
            self._stop.check()
            self._region.make_bucket(bucket)
        self._stop.check()
        self._region.upload(artifact.path, bucket, key)
        return bucket, key


def _bodies(plan: Plan, options: PublishOptions, folder: Path) -> dict[tuple[str, bool], Payload]:
    """The request bodies that the plan needs, in files, by layer name and whether it is a filler."""
    bodies: dict[tuple[str, bool], Payload] = {}
    for step in plan.steps:
        for padding in (False, True):
            key = (step.artifact.metadata.name, padding)
            needed = step.paddings > 0 if padding else step.publishes
            if not needed or key in bodies or staged(step.artifact, options):
                continue
            metadata = step.artifact.padding if padding else step.artifact.metadata
            path = folder / hashlib.sha256(repr(key).encode()).hexdigest()
            try:
                bodies[key] = aws.prepare(metadata, step.artifact.path, path)
            except OSError as error:
                raise machine_error(error, folder, "TMPDIR") from error
    return bodies


def _of(content: Content, access: Access) -> Published:
    return _published(content.version, content.arn, content.created, access)


def _published(version: int, arn: str, created: str, access: Access) -> Published:
    return Published(
        version=version,
        arn=arn,
        published=created,
        public=access.public,
        organizations=sorted(access.organizations),
    )
