"""Which layers a release builds, as a matrix for GitHub Actions: targets, releases, manifest and day to jobs.

Every function depends on its arguments only. Limits: https://docs.github.com/actions/reference/limits,
https://docs.github.com/actions/reference/runners/github-hosted-runners; docs/performance.md explains them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.github.targets import ReleaseTargets, maintained
from nodelayer.manifest.model import Manifest
from nodelayer.node.versions import OLDEST, Release, is_stable, nearest, resolve, sort_key
from nodelayer.version import __version__

FIRST = OLDEST
"""The oldest release of `every`: the runtime client supports Node.js 12 and later, and is tested on them."""

EVERY = "every"
"""The spec that means all releases, and stands alone."""

MATRIX_JOBS = 256
"""Jobs that a matrix may have."""
RUNNER_DISK = 14_000_000_000
"""Bytes that a standard runner promises to have free."""

SESSION_SECONDS = 60 * 60
"""How long the credentials of the job that publishes are valid: cloudformation/github-publisher.yaml."""

ZIP_BYTES = 40_000_000
"""Of the largest layer, docs/how-it-works.md."""
PUBLISH_SECONDS = 15
"""What one layer takes at most to be published to every region, docs/performance.md."""

BATCH = min(
    MATRIX_JOBS,
    SESSION_SECONDS // PUBLISH_SECONDS,
    RUNNER_DISK // (ZIP_BYTES + ZIP_BYTES * 4 // 3),
)
"""Layers of one workflow run: one job builds each, and one job publishes all of them. The disk of that job
holds each zip once, and once more as the body of a request."""

_MOST_NAMED = 8


@dataclass(frozen=True)
class Job:
    """A job that builds one layer. `date` is that of the release in ISO 8601, empty if unknown."""

    version: str
    architecture: Architecture
    date: str = ""

    @property
    def id(self) -> str:
        return f"{self.version}-{self.architecture}"

    @property
    def order(self) -> tuple[object, int]:
        return sort_key(self.version), architecture.ALL.index(self.architecture)


@dataclass(frozen=True)
class MatrixRequest:
    """What the flags say. No specs: the release targets. `missing`: build only what this manifest lacks of
    the layers that the nodelayer version `by` builds.
    """

    specs: tuple[str, ...] = ()
    missing: Manifest | None = None
    by: str = __version__
    batch: int = 1

    def __post_init__(self) -> None:
        if EVERY in self.specs and len(self.specs) > 1:
            raise InvalidInputError(
                "every includes all other versions", where="--node", todo="use every alone"
            )


@dataclass(frozen=True)
class Matrix:
    """The jobs of one batch of `batches`, what was left out of them, and the specs that name no release."""

    jobs: tuple[Job, ...]
    runners: Mapping[Architecture, str]
    batch: int
    batches: int
    left_out: tuple[str, ...]
    failures: tuple[NotFoundError, ...]

    @property
    def line(self) -> str:
        """One line of JSON, which `fromJSON` makes a matrix of."""
        include = [
            {
                "id": job.id,
                "node": job.version,
                "arch": job.architecture.name,
                "runner": self.runners[job.architecture],
            }
            for job in self.jobs
        ]
        return json.dumps({"include": include}, separators=(",", ":"))

    @property
    def summary(self) -> str:
        more = f", batch {self.batch} of {self.batches}; the others:" if self.batches > 1 else ""
        return f"{len(self.jobs)} layers{more}"

    @property
    def versions(self) -> tuple[str, ...]:
        """The Node.js versions of the jobs, each once, oldest first."""
        return tuple(sorted({job.version for job in self.jobs}, key=sort_key))

    def outputs(self) -> dict[str, str]:
        return {"matrix": self.line, "any": "true" if self.jobs else "false"}

    def others(self, node: str) -> list[str]:
        """List the commands that start the other batches of `--node`, each as a workflow run of its own."""
        given = f" -f node={node}" if node else ""
        start = f"gh workflow run release.yml --ref v{__version__}{given}"
        return [f"{start} -f batch={n}" for n in range(1, self.batches + 1) if n != self.batch]


def plan(
    targets: ReleaseTargets,
    releases: Mapping[Architecture, Sequence[Release]],
    request: MatrixRequest,
    *,
    today: date,
) -> Matrix:
    """Return the matrix of a request. `releases`: those that exist, for each architecture wanted.

    Batches do not depend on the manifest, so a batch stays the same while others are published. Raises
    InvalidInputError.
    """
    if request.specs == (EVERY,):
        jobs, left_out, failures = _every(releases)
    else:
        jobs, left_out, failures = _chosen(_specs(targets, releases, request, today), releases)
    batches = in_batches(jobs)
    if not 1 <= request.batch <= max(1, len(batches)):
        raise InvalidInputError(
            f"batch {request.batch} does not exist", where="--batch", todo=f"use 1 to {max(1, len(batches))}"
        )
    chosen = batches[request.batch - 1] if batches else []
    if request.missing is not None:
        chosen = lacking(chosen, request.missing, request.by)
    return Matrix(
        jobs=tuple(sorted(chosen, key=lambda job: job.order)),
        runners=targets.runners,
        batch=request.batch,
        batches=len(batches),
        left_out=tuple(
            f"Left out for {each}, which does not have them: {_few(words)}"
            for each, words in left_out.items()
            if words
        ),
        failures=tuple(failures),
    )


_Found = tuple[set[Job], Mapping[Architecture, Sequence[str]], list[NotFoundError]]
"""Jobs, what each architecture lacks, and an error for each spec that names no release."""


def _every(releases: Mapping[Architecture, Sequence[Release]]) -> _Found:
    found = {
        each: [
            release
            for release in listed
            if is_stable(release.version) and sort_key(release.version) >= sort_key(FIRST)
        ]
        for each, listed in releases.items()
    }
    versions = {release.version for listed in found.values() for release in listed}
    absent = {
        each: sorted(versions - {release.version for release in listed}, key=sort_key)
        for each, listed in found.items()
    }
    return {_job(release, each) for each, listed in found.items() for release in listed}, absent, []


def _specs(
    targets: ReleaseTargets,
    releases: Mapping[Architecture, Sequence[Release]],
    request: MatrixRequest,
    today: date,
) -> Sequence[str]:
    if request.specs:
        return request.specs
    everything = [release for listed in releases.values() for release in listed]
    majors = maintained(everything, today) if targets.maintenance else ()
    return (*map(str, majors), *targets.versions)


def _chosen(specs: Sequence[str], releases: Mapping[Architecture, Sequence[Release]]) -> _Found:
    jobs: set[Job] = set()
    absent: dict[Architecture, list[str]] = {each: [] for each in releases}
    failures = []
    for spec in specs:
        lacking_it = []
        for each, listed in releases.items():
            try:
                jobs.add(_job(resolve(spec, listed), each))
            except NotFoundError:
                lacking_it.append(each)
        if len(lacking_it) == len(releases):
            names = " or ".join(each.name for each in releases)
            everything = [release for listed in releases.values() for release in listed]
            failures.append(NotFoundError(f"no Node.js {spec} for {names}", todo=nearest(spec, everything)))
        else:
            for each in lacking_it:
                absent[each].append(spec)
    return jobs, absent, failures


def _job(release: Release, of: Architecture) -> Job:
    return Job(release.version, of, (release.date or "")[:10])


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return ", ".join(words[:_MOST_NAMED]) + more


def in_batches(jobs: Iterable[Job], size: int = BATCH) -> list[list[Job]]:
    """Split by release date, so a new release joins the last batch and moves no other."""
    ordered = sorted(jobs, key=lambda job: (job.date, job.order))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def lacking(jobs: Iterable[Job], known: Manifest, by: str) -> list[Job]:
    """Return the jobs whose layer is not live, as built by this version of nodelayer, in every region.

    The regions are those of all its layers: a layer that one region lacks is built again.
    """
    there: dict[tuple[str, str], set[str]] = {}
    for layer in known.of_nodelayer(by).layers:
        regions = there.setdefault((layer.node_version, layer.architecture), set())
        regions |= {region for region, _ in layer.live()}
    everywhere = set().union(*there.values())
    return [
        job
        for job in jobs
        if not everywhere or there.get((job.version, job.architecture.name), set()) < everywhere
    ]
