"""Publish runtimes in every region: plan, publish, set the aliases, record.

If a run is killed, the next one plans from what the regions have, and finishes the work.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from nodelayer.aws.account import Account
from nodelayer.aws.arn import RuntimeVersionArn
from nodelayer.aws.layers import PRIVATE, Access
from nodelayer.aws.regions import Selection
from nodelayer.errors import FunctionError, NodelayerError, RefusedError
from nodelayer.image.artifact import Image
from nodelayer.manifest import store
from nodelayer.manifest.model import RuntimeVersion
from nodelayer.publish.canary import MEMORY_MB, CanaryOptions, Starter, as_failed
from nodelayer.publish.layers.recorder import Recorder
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.publish.runtimes.names import CANARY, age
from nodelayer.publish.runtimes.plan import Plan, Step
from nodelayer.publish.runtimes.region_worker import RegionWorker, Result, StepResult
from nodelayer.publish.runtimes.survey import check_account, why_skipped
from nodelayer.util import parallel
from nodelayer.util.parallel import Stop, StoppedError


class Publisher:
    """Publishes images with one account; `path` is the manifest. Failures go to the report."""

    def __init__(self, account: Account, path: Path, report: RunReport) -> None:
        self._account = account
        self._path = path
        self._report = report
        self._reporter = report.reporter
        self._stop = Stop()

    def plan(self, images: Sequence[Image], selection: Selection, access: Access = PRIVATE) -> Plan:
        """Return what is left to do, so that others have `access`. Needs read permissions only.

        Raises:
            RefusedError: The manifest is another account's.
        """
        known = store.read(self._path)
        check_account(known, self._account)
        recorded = {RuntimeVersionArn.parse(arn): each for arn, each in known.runtimes.items()}

        def survey(region: str) -> list[Step | Failure]:
            self._reporter.show(region, "checking")
            names = [arn.version for arn, each in recorded.items() if arn.region == region and each.live]
            return self._worker(region).survey(images, names, access)

        steps: list[Step] = []
        failures: list[Failure] = []
        skipped = dict(selection.skipped)
        for region, found in parallel.each(selection.regions, survey):
            if isinstance(found, NodelayerError):
                if why := why_skipped(selection, region, found):
                    skipped[region] = why
                    self._reporter.end(region, "skipped")
                    continue
                failures.append(Failure(region, "", found))
                continue
            steps += [each for each in found if isinstance(each, Step)]
            failures += [each for each in found if isinstance(each, Failure)]
            self._reporter.end(region, "checked")
        if not steps and not failures:
            refused = RefusedError(
                f"no region is left: {len(skipped)} are skipped", todo="check the credentials and --regions"
            )
            failures.append(Failure("", "", refused))
        for failure in sorted(failures, key=lambda each: each.region):
            self._report.fail(failure)
        return Plan(tuple(sorted(steps, key=lambda step: step.region)), tuple(failures), skipped)

    def run(self, plan: Plan, canary: CanaryOptions | None = None) -> list[StepResult]:
        """Carry out the plan in all regions at once, and record the results in the manifest.

        A failure of a region goes to the report.

        Raises:
            NodelayerError: The manifest cannot be written. Nothing has been done.
            StoppedError: The user stopped the run twice.
        """
        self._report.always = canary.regions if canary else ()
        try:
            with (
                self._stop.on_signals(
                    lambda: self._reporter.warn(
                        "stopping when the running calls to AWS have ended; press again to stop at once"
                    )
                ),
                Recorder(self._path, len(plan.steps)) as recorder,
            ):
                done = self._act(plan, canary, recorder)
                self._flush(recorder)
        except KeyboardInterrupt as error:
            raise StoppedError(
                "stopped at once: some runtime versions may be published, but not recorded in the manifest",
                todo="run the command again: it finds and records them",
            ) from error
        return sorted(done, key=lambda each: (each.step.region, each.step.name))

    def _act(self, plan: Plan, canary: CanaryOptions | None, recorder: Recorder) -> list[StepResult]:
        if canary is None:
            return self._collect(plan.regions, lambda region: self._publish_whole(plan.of(region)), recorder)
        ready = self._collect(
            plan.regions, lambda region: list(self._worker(region).publish(plan.of(region))), recorder
        )
        started = self._start(ready, canary)
        by_region: dict[str, list[StepResult]] = {}
        for each in ready:
            if not each.complete and each.step.name in started:
                by_region.setdefault(each.step.region, []).append(each)
        done = self._collect(
            sorted(by_region),
            lambda region: list(self._worker(region).set_aliases(by_region[region])),
            recorder,
        )
        return [*(each for each in ready if each.complete or each.step.name not in started), *done]

    def _publish_whole(self, steps: Sequence[Step]) -> list[Result]:
        """Publish the versions of one region, and set their aliases."""
        worker = self._worker(steps[0].region)
        published = list(worker.publish(steps))
        ready = [each for each in published if isinstance(each, StepResult)]
        complete = [each for each in ready if each.complete]
        failures = [each for each in published if isinstance(each, Failure)]
        return [*failures, *complete, *worker.set_aliases(ready)]

    def _collect(
        self, regions: Sequence[str], work: Callable[[str], list[Result]], recorder: Recorder
    ) -> list[StepResult]:
        """Work in all regions at once, record what is complete, and report what fails."""
        done = []
        for region, ended in parallel.each(regions, work):
            for each in [Failure(region, "", ended)] if isinstance(ended, NodelayerError) else ended:
                if isinstance(each, Failure):
                    self._report.fail(each)
                    continue
                done.append(each)
                if each.complete and not each.step.idle:
                    recorder.add_runtime(each.version.arn, entry(each))
                    self._say(each)
            self._reporter.end(region)
        return done

    def _start(self, ready: Sequence[StepResult], canary: CanaryOptions) -> set[str]:
        """Start new versions in the regions of the canary; return those of which aliases may be set."""
        regions = tuple(sorted({each.step.region for each in ready}))
        names = {each.step.name for each in ready}
        steps = sorted(
            (each.step for each in ready if each.step.moves), key=lambda each: age(each.version_name)
        )
        moving = tuple(dict.fromkeys(step.name for step in steps))
        bad: set[str] = set()

        def work(region: str) -> list[Failure]:
            there = {each.step.name: each for each in ready if each.step.region == region}
            functions = self._account.open_region(region).functions
            starter = Starter.open(functions, canary, self._stop, self._reporter)
            failures = []
            for name in moving:
                try:
                    self._start_one(region, there.get(name), starter)
                except NodelayerError as error:
                    failures.append(Failure("", name, as_failed(error), (*regions, region)))
            return failures

        for region, ended in parallel.each(canary.regions if moving else (), work):
            failures = (
                [Failure("", name, as_failed(ended), (*regions, region)) for name in moving]
                if isinstance(ended, NodelayerError)
                else ended
            )
            for failure in failures:
                self._report.fail(failure)
                bad.add(failure.layer)
            self._reporter.end(region)
        if bad and not self._stop.requested:
            self._reporter.warn(
                f"only the alias canary was set to {', '.join(sorted(bad))}, because the canary failed"
            )
        return names - bad

    def _start_one(self, region: str, ready: StepResult | None, starter: Starter) -> None:
        """Set the alias `canary` to a version, and start a function on it for each architecture."""
        if ready is None:
            raise FunctionError(
                f"the canary cannot run: {region} does not have the version",
                todo="no alias is set; see the failure of that region",
            )
        step = ready.step
        self._reporter.show(region, f"canary of {step.name}")
        self._stop.check()
        self._worker(region).set_canary(step)
        runtime = RuntimeVersionArn.parse(ready.version.arn).runtime
        for architecture in step.image.architectures:
            spec = starter.spec("custom", architecture, managed=(runtime, CANARY))
            inits = starter.start(spec, step.image.node_version)
            how = f" in {inits[0]:.0f} ms on {MEMORY_MB} MB" if inits else ""
            self._reporter.say(f"{region}: {step.name} starts on {architecture}{how}")

    def _worker(self, region: str) -> RegionWorker:
        return RegionWorker(
            self._account.region(region),
            self._account.partition.name,
            self._stop,
            partial(self._reporter.show, region),
        )

    def _say(self, result: StepResult) -> None:
        if result.step.idle or self._reporter.on_terminal:
            return
        how = "published" if result.new else "already published"
        aliases = ", ".join(move.alias for move in result.moves)
        said = [how, f"aliases {aliases}" if aliases else "", result.kept]
        self._reporter.say(f"{result.step.region}: {result.step.name} {', '.join(filter(None, said))}")

    def _flush(self, recorder: Recorder) -> None:
        try:
            recorder.flush()
        except NodelayerError as error:
            self._report.fail(Failure("", "the manifest", error, recorder.unwritten))


def entry(result: StepResult) -> RuntimeVersion:
    """Return the manifest's entry for a runtime version."""
    image = result.step.image
    return RuntimeVersion(
        node_version=image.node_version,
        nodelayer_version=image.nodelayer_version,
        architectures=list(image.architectures),
        image=result.image,
        organizations=sorted(result.access.organizations),
        accounts=sorted(result.access.accounts),
        published=f"{datetime.fromisoformat(result.version.created).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )


def summary(done: Iterable[StepResult], failures: int, stopped: int) -> str:
    """Return the result of a run in one line."""
    results = list(done)
    new = sum(each.new for each in results)
    parts = [
        f"{new} runtime versions published",
        f"{len(results) - new} already published",
        f"{sum(len(each.moves) for each in results)} aliases set",
        f"{failures} failures" if failures else "",
        f"stopped in {stopped} regions" if stopped else "",
    ]
    return ", ".join(part for part in parts if part)


def as_json(done: Iterable[StepResult], plan: Plan, report: RunReport) -> Mapping[str, object]:
    """Return the result of a run as a JSON object."""
    return {
        "done": [
            {
                "region": each.step.region,
                "runtime": each.step.runtime_name,
                "version": each.step.version_name,
                "arn": each.version.arn,
                "image": each.image,
                "new": each.new,
                "complete": each.complete,
                "aliases": {move.alias: move.version for move in each.moves},
                "kept": each.kept or None,
            }
            for each in done
        ],
        "failures": [failure.as_json() for failure in report.failures],
        "left": sorted(report.stopped),
        "skipped": dict(plan.skipped),
    }
