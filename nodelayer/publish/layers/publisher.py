"""Publish layers in every region: plan, publish, read back.

If a run is killed, the next one plans from what the regions have, and finishes the work.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from nodelayer.aws.account import Account
from nodelayer.aws.errors import NoEndpointError, NotEnabledError
from nodelayer.aws.layers import PRIVATE, Payload, prepare
from nodelayer.aws.regions import Selection
from nodelayer.errors import FunctionError, NodelayerError, NotVerifiedError, RefusedError, machine_error
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest import store
from nodelayer.manifest.model import Manifest
from nodelayer.node.versions import sort_key
from nodelayer.project_paths import PROGRAM
from nodelayer.publish.layers import canary, metadata, ssm
from nodelayer.publish.layers.canary import Candidate
from nodelayer.publish.layers.lease import align_lease
from nodelayer.publish.layers.plan import (
    Plan,
    PublishOptions,
    Step,
    aligned,
    check_account,
    needs_bucket,
    survey_region,
    with_permits,
)
from nodelayer.publish.layers.recorder import Recorder
from nodelayer.publish.layers.region_worker import RegionWorker, StepResult
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.util import parallel
from nodelayer.util.parallel import Running, Stop, StoppedError
from nodelayer.util.temporary import temporary_folder

_ALIGN_ROUNDS = 3
_STOP_S = 0.5
"""Seconds until a stop takes effect while pending regions are waited for."""
_PATIENCE_S = 5.0
"""Seconds without an answer after which the regions that are planned do not wait for the others."""


@dataclass(frozen=True)
class Result:
    """The result of a run. `stopped` are the regions that a stop left unfinished."""

    plan: Plan
    done: tuple[StepResult, ...]
    failures: tuple[Failure, ...]
    stopped: tuple[str, ...] = ()


@dataclass
class _Survey:
    """The planning of all regions; `answered` tells whether one of them has work or failed."""

    known: Manifest
    selection: Selection
    options: PublishOptions
    running: Running[str, list[Step]]
    answered: bool = False


class Publisher:
    """Publishes artifacts with one account; `path` is the manifest. Failures go to the report."""

    def __init__(self, account: Account, path: Path, report: RunReport, stop: Stop | None = None) -> None:
        self._account = account
        self._path = path
        self._report = report
        self._reporter = report.reporter
        self._stop = stop or Stop()
        self._survey: _Survey | None = None

    def plan(
        self,
        artifacts: Sequence[Artifact],
        selection: Selection,
        options: PublishOptions,
        *,
        whole: bool = True,
    ) -> Plan:
        """Return what is left to do. Needs read permissions only, and changes nothing.

        Unless the plan has to be `whole`, regions that answer much later than the others are left pending,
        and `run` plans them later. With `align` it is always whole, because the numbers depend on every
        region.

        Raises:
            RefusedError: The manifest is another account's.
        """
        known = store.read(self._path)
        check_account(known, self._account)

        def survey(region: str) -> list[Step]:
            self._reporter.show(region, "checking")
            return survey_region(self._account.region(region), artifacts, known, align=options.align)

        self._survey = _Survey(known, selection, options, Running(selection.regions, survey))
        found = self._collect(None if whole or options.align else _PATIENCE_S)
        return replace(found, skipped={**selection.skipped, **found.skipped})

    def _collect_late(self) -> Plan:
        """Return the plan of the pending regions, or of those that answer before a stop."""
        assert self._survey is not None  # noqa: S101 - plan() sets it
        late = Plan((), pending=tuple(self._survey.running.pending))
        while late.pending and not self._stop.requested:
            late = late.join(self._collect(_STOP_S, wait=False))
        return late

    def _collect(self, patience: float | None, *, wait: bool = True) -> Plan:
        """Return the plan of the regions that have answered, until none does for `patience` seconds.

        With `wait`, that time begins when the first of them answers.
        """
        assert self._survey is not None  # noqa: S101 - plan() sets it
        survey, running = self._survey, self._survey.running
        recorded = {region for layer in survey.known.layers for region, _ in layer.live()}
        steps: list[Step] = []
        failures: list[Failure] = []
        skipped: dict[str, str] = {}
        for region, found in running.results(patience, wait=wait):
            if isinstance(found, list):
                steps += found
                self._reporter.end(region, "checked")
            elif region not in recorded and (why := _why_skipped(survey.selection, region, found)):
                skipped[region] = why
                self._reporter.end(region, "skipped")
            else:
                failures.append(Failure(region, "", found))
                self._reporter.end(region, "failed")
        survey.answered = survey.answered or bool(steps or failures)
        if not survey.answered and not running.pending:
            count = len(skipped) + len(survey.selection.skipped)
            refused = RefusedError(
                f"no region is left: {count} are skipped", todo="check the credentials and --regions"
            )
            failures.append(Failure("", "", refused))
        failures.sort(key=lambda failure: failure.region)
        for failure in failures:
            self._report.fail(failure)
        steps.sort(
            key=lambda step: (step.region, sort_key(step.artifact.node_version), step.artifact.layer_name)
        )
        if survey.options.align:
            steps = aligned(steps, survey.known)
        access = survey.options.access
        return Plan(
            tuple(with_permits(step, access) for step in steps),
            tuple(failures),
            skipped,
            tuple(sorted(running.pending)),
        )

    def run(
        self,
        artifacts: Sequence[Artifact],
        selection: Selection,
        options: PublishOptions,
        plan: Plan,
        show: Callable[[Plan], None] = lambda _plan: None,
    ) -> Result:
        """Carry out the plan in all regions at once, and record the results in the manifest.

        A failure of a region goes to the report. `show` gets the plan of the regions that were pending, and
        with `align` the plan that is made again after another publisher.

        Raises:
            NodelayerError: The manifest cannot be written. Nothing has been done.
            StoppedError: The user stopped the run twice.
        """
        try:
            with (
                self._stop.on_signals(
                    lambda: self._reporter.warn(
                        "stopping when the running calls to AWS have ended; press again to stop at once"
                    )
                ),
                Recorder(self._path, len(artifacts) * len(selection.regions)) as recorder,
            ):
                # A canary or the alignment comes first: no other layer version becomes public.
                first = replace(options, access=PRIVATE) if options.align or options.canary else options
                self._report.always = options.canary.regions if options.canary else ()
                if options.align and not plan.idle:
                    plan, done = self._align(artifacts, selection, options, plan, recorder, show)
                else:
                    done = self._act(plan, first, recorder)
                    if plan.pending and not self._stop.requested:
                        late = self._collect_late()
                        show(late)
                        done |= self._act(late, first, recorder)
                        plan = plan.join(late)
                ready = first is options or self._is_ready(done, options, recorder)
                granting = options.access and any(not each.step.idle for each in done.values())
                if first is not options and ready and granting:
                    regions = tuple(sorted({region for region, _ in done}))
                    last = self.plan(artifacts, replace(selection, regions=regions), options)
                    # Only what the canary and the alignment have seen.
                    steps = tuple(
                        step
                        for step in last.steps
                        if not step.publishes and (step.region, step.artifact.layer_name) in done
                    )
                    _merge(done, self._act(replace(last, steps=steps), options, recorder))
                if options.parameters and ready:
                    self._write_parameters(done.values())
                elif not options.parameters:
                    self._name_old_parameters(done.values())
        except KeyboardInterrupt as error:
            raise parallel.StoppedError(
                "stopped at once: some layer versions may be published, but not recorded in the manifest",
                todo="run the command again: it finds and records them",
            ) from error
        if self._stop.requested:
            self._report.stopped.update(plan.pending)
        return Result(
            plan,
            tuple(each for _, each in sorted(done.items())),
            tuple(self._report.failures),
            tuple(sorted(self._report.stopped)),
        )

    def _align(  # noqa: PLR0913, PLR0917 - those of run()
        self,
        artifacts: Sequence[Artifact],
        selection: Selection,
        options: PublishOptions,
        plan: Plan,
        recorder: Recorder,
        show: Callable[[Plan], None],
    ) -> tuple[Plan, dict[tuple[str, str], StepResult]]:
        """Carry out a plan with `align` while no other publisher does, and return it with the results."""
        done: dict[tuple[str, str], StepResult] = {}
        try:
            with align_lease(self._account, plan.regions, self._stop, self._reporter.say) as waited:
                plan = self.plan(
                    artifacts, selection, options
                )  # another publisher may have ended just before
                if waited:
                    show(plan)
                private = replace(options, access=PRIVATE)
                done = self._act(plan, private, recorder)
                for _ in range(_ALIGN_ROUNDS):
                    if not _unaligned(done) or self._report.failures or self._stop.requested:
                        break
                    # Deleted layer versions keep their numbers, and no list shows them: plan again.
                    again = self.plan(artifacts, selection, options)
                    _merge(done, self._act(again, private, recorder))
        except StoppedError as error:
            self._report.fail(Failure("", "", error, tuple(plan.regions)))
        if not self._report.failures and not self._stop.requested:
            for failure in _unaligned(done):
                self._report.fail(failure)
        return plan, done

    def _is_ready(
        self, done: Mapping[tuple[str, str], StepResult], options: PublishOptions, recorder: Recorder
    ) -> bool:
        """Run the canary. Return whether it succeeded, and the layers are aligned."""
        if self._stop.requested or (options.align and _unaligned(done)):
            return False
        if options.canary is None:
            return True
        started = {layer.key for layer in store.read(self._path).layers if layer.canary}
        wanted = {
            each.step.artifact.layer_name
            for (region, _), each in done.items()
            if each.new
            or not each.step.idle
            or metadata.entry(each.step.artifact, region, each.published).key not in started
        }
        candidates = []
        regions = tuple(sorted({region for region, _ in done}))
        for region in options.canary.regions:
            for name in sorted(wanted):
                if (found := done.get((region, name))) is None:
                    missing = FunctionError(
                        f"the canary cannot run: there is no layer version in {region}",
                        todo="no access is granted; see the failure of that region",
                    )
                    self._report.fail(Failure("", name, missing, (*regions, region)))
                    return False
                candidates.append(Candidate(region, found.step.artifact, found.published.arn))
        if not candidates:
            return True
        self._reporter.say(canary.estimate(candidates, options.canary.starts))
        before = len(self._report.failures)
        measured = canary.run(self._account, candidates, options.canary, regions, self._stop, self._report)
        if len(self._report.failures) > before or self._stop.requested:
            self._reporter.warn("no access was granted, because the canary did not succeed")
            return False
        for key, each in measured.items():  # a layer without a record is started again
            entry = metadata.entry(done[key].step.artifact, key[0], done[key].published)
            recorder.add(msgspec.structs.replace(entry, canary=each))
        self._flush(recorder)
        return True

    def _act(
        self, plan: Plan, options: PublishOptions, recorder: Recorder
    ) -> dict[tuple[str, str], StepResult]:
        """Carry out one plan. Return the results by region and layer name."""
        done: dict[tuple[str, str], StepResult] = {}
        with temporary_folder("nodelayer-publish-") as scratch:
            bodies = _bodies(plan, scratch)

            def work(name: str) -> list[StepResult | Failure]:
                show = partial(self._reporter.show, name)
                worker = RegionWorker(self._account.region(name), options.access, bodies, self._stop, show)
                return list(worker.work(plan.of(name)))

            for region, ended in parallel.each(plan.regions, work):
                for each in [Failure(region, "", ended)] if isinstance(ended, NodelayerError) else ended:
                    if isinstance(each, Failure):
                        self._report.fail(each)
                        continue
                    name = each.step.artifact.layer_name
                    done[region, name] = each
                    published = msgspec.structs.replace(each.published, parameters=options.parameters)
                    recorder.add(metadata.entry(each.step.artifact, region, published))
                    if not each.step.idle and not self._reporter.on_terminal:
                        how = "published" if each.new else "already published"
                        access = metadata.access_of(each.published)
                        self._reporter.say(f"{region}: {name}:{each.published.version} {how}, {access}")
                self._reporter.end(region)
        self._flush(recorder)
        return done

    def _flush(self, recorder: Recorder) -> None:
        try:
            recorder.flush()
        except NodelayerError as error:
            self._report.fail(Failure("", "the manifest", error, recorder.unwritten))

    def _name_old_parameters(self, done: Iterable[StepResult]) -> None:
        """Name the regions whose SSM parameters may no longer name the newest layer."""
        known = store.read(self._path)
        regions = {each.step.region for each in done if each.new}
        if behind := sorted(region for region in regions if ssm.wanted_in(known, region)):
            self._reporter.warn(
                f"the SSM parameters in {', '.join(behind)} are not updated: use --ssm, or run "
                f"{PROGRAM} verify --fix"
            )

    def _write_parameters(self, done: Iterable[StepResult]) -> None:
        """Write the SSM parameters of what was published, from the manifest as it is now."""
        known = store.read(self._path)
        changed: dict[tuple[str, str], set[str]] = {}
        for each in done:
            if each.complete:
                key = each.step.region, each.step.artifact.architecture
                changed.setdefault(key, set()).add(each.step.artifact.node_version)
        wanted: dict[str, dict[str, str]] = {}
        for (region, architecture), versions in changed.items():
            wanted.setdefault(region, {}).update(ssm.of(known, versions, architecture, region))

        def write(region: str) -> int:
            self._stop.check()
            self._reporter.show(region, "writing SSM parameters")
            return ssm.write(self._account.region(region).parameters, wanted[region], self._stop)

        for region, count in parallel.each(sorted(wanted), write):
            if isinstance(count, NodelayerError):
                self._report.fail(Failure(region, "SSM parameters", count))
                continue
            self._reporter.end(region)
            if count and not self._reporter.on_terminal:
                self._reporter.say(f"{region}: {count} SSM parameters written")


def _why_skipped(selection: Selection, region: str, error: NodelayerError) -> str:
    """Return why a region is skipped that fails with this error; empty if that is a failure."""
    if selection.named:
        return ""
    if isinstance(error, NotEnabledError) and not selection.certain:
        return "not enabled in this account"
    if isinstance(error, NoEndpointError) and region in selection.unsure:
        return "AWS Lambda has no endpoint there"
    return ""


def _merge(done: dict[tuple[str, str], StepResult], later: Mapping[tuple[str, str], StepResult]) -> None:
    """Add the results of a later plan: a layer version of an earlier one is still new."""
    for key, each in later.items():
        done[key] = replace(each, new=each.new or (key in done and done[key].new))


def _unaligned(done: Mapping[tuple[str, str], StepResult]) -> list[Failure]:
    """Return a failure for each layer whose version number is not the same in all regions."""
    versions: dict[str, dict[str, int]] = {}
    for (region, name), each in done.items():
        versions.setdefault(name, {})[region] = each.published.version
    return [
        Failure(
            "",
            name,
            NotVerifiedError(
                f"the layer version numbers differ: {', '.join(map(str, sorted(set(by_region.values()))))}",
                todo="another publisher may be running; run the command again",
            ),
            tuple(sorted(by_region)),
        )
        for name, by_region in versions.items()
        if len(set(by_region.values())) > 1
    ]


def _bodies(plan: Plan, folder: Path) -> dict[tuple[str, bool], Payload]:
    """Write the request bodies that the plan needs, by layer name and whether it is padding."""
    bodies: dict[tuple[str, bool], Payload] = {}
    for step in plan.steps:
        for padding in (False, True):
            key = (step.artifact.layer_name, padding)
            needed = step.paddings > 0 if padding else step.publishes
            if not needed or key in bodies or needs_bucket(step.artifact):
                continue
            path = folder / hashlib.sha256(repr(key).encode()).hexdigest()
            try:
                bodies[key] = prepare(
                    metadata.for_artifact(step.artifact, padding=padding), step.artifact.path, path
                )
            except OSError as error:
                raise machine_error(error, folder, "TMPDIR") from error
    return bodies


def summary(result: Result, failures: int) -> str:
    """Return the result of a run in one line."""
    new = sum(each.new for each in result.done)
    parts = [
        f"{new} layer versions published",
        f"{len(result.done) - new} already published",
        f"{failures} failures" if failures else "",
        f"stopped in {len(result.stopped)} regions" if result.stopped else "",
    ]
    return ", ".join(part for part in parts if part)


def as_json(result: Result) -> Mapping[str, object]:
    """Return the result of a run as a JSON object."""
    return {
        "done": [
            {
                "region": each.step.region,
                "layer_name": each.step.artifact.layer_name,
                "node_version": each.step.artifact.node_version,
                "architecture": each.step.artifact.architecture,
                "arn": each.published.arn,
                "version": each.published.version,
                "new": each.new,
                "complete": each.complete,
                "access": str(metadata.access_of(each.published)),
            }
            for each in result.done
        ],
        "failures": [failure.as_json() for failure in result.failures],
        "left": list(result.stopped),
        "skipped": dict(result.plan.skipped),
    }


def outputs(result: Result | None, asked: int, preferred: Sequence[str]) -> dict[str, str]:
    """Return the outputs for a later step of a GitHub job: all ARNs, and one if one layer was `asked` for.

    That is the ARN in the first `preferred` region that has one, else in any; empty if none was published.
    """
    arns: dict[str, dict[str, str]] = {}
    for each in result.done if result else ():
        if each.complete:
            arns.setdefault(each.step.artifact.layer_name, {})[each.step.region] = each.published.arn
    by_region = next(iter(arns.values()), {}) if asked == 1 else {}
    one = next((by_region[each] for each in (*preferred, *sorted(by_region)) if each in by_region), "")
    return {"layer-arns": json.dumps(arns, sort_keys=True), "layer-arn": one}
