"""The layers that a release builds, as a matrix for GitHub Actions.

Every function depends on its arguments only. Limits: https://docs.github.com/actions/reference/limits,
https://docs.github.com/actions/reference/runners/github-hosted-runners
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.github.targets import ReleaseTargets, maintained
from nodelayer.layer.record import LayerTarget
from nodelayer.manifest.model import Manifest
from nodelayer.node.versions import OLDEST, Release, is_stable, nearest, resolve, sort_key
from nodelayer.util.json_text import loads
from nodelayer.version import __version__

FIRST = OLDEST
"""The oldest release that `every` includes: the runtime client supports Node.js 12 and later."""

ENDINGS = (".zip", ".json", ".cdx.json")
"""The endings of the files of a layer: zip, build record, SBOM."""

EVERY = "every"
"""The spec for all releases; it cannot be combined with others."""

MATRIX_JOBS = 256
"""GitHub's limit of jobs in a matrix."""
RUNNER_DISK = 14_000_000_000
"""Free disk of a standard runner in bytes."""

SESSION_SECONDS = 60 * 60
"""Lifetime of the credentials of the publish job, from cloudformation/github-publisher.yaml."""

ZIP_BYTES = 40_000_000
"""Size of the largest layer."""
PUBLISH_SECONDS = 15
"""Longest time to publish one layer to every region."""

BATCH = min(
    MATRIX_JOBS,
    SESSION_SECONDS // PUBLISH_SECONDS,
    RUNNER_DISK // (ZIP_BYTES + ZIP_BYTES * 4 // 3),
)
"""Layers of one workflow run. One job builds each layer, and one job publishes all of them: its disk holds
each zip, and its Base64 form in a request."""

_MOST_NAMED = 8


@dataclass(frozen=True)
class Job:
    """A job that builds one layer; `date` is the release date in ISO 8601, empty if unknown."""

    version: str
    architecture: Architecture
    date: str = ""

    @property
    def id(self) -> str:
        """The ID of the job in the matrix, for example 12.16.1-x86_64."""
        return f"{self.version}-{self.architecture}"

    @property
    def target(self) -> LayerTarget:
        """The layer."""
        return LayerTarget(self.version, self.architecture)

    @property
    def assets(self) -> set[str]:
        """The names of its files in the release of its tag."""
        return {*(f"{self.target.stem}{end}" for end in ENDINGS), f"attestation-{self.id}.jsonl"}

    @property
    def order(self) -> tuple[object, int]:
        """A sort key: version, then architecture."""
        return sort_key(self.version), architecture.ALL.index(self.architecture)


@dataclass(frozen=True)
class MatrixRequest:
    """The layers to plan.

    No `specs` means the release targets. With a manifest in `missing`, layers that the nodelayer version `by`
    has published in every region of it are skipped; with `released`, the assets of its release, only if all
    of their files are among them.
    """

    specs: tuple[str, ...] = ()
    missing: Manifest | None = None
    released: frozenset[str] | None = None
    by: str = __version__
    batch: int = 1

    def __post_init__(self) -> None:
        if EVERY in self.specs and len(self.specs) > 1:
            raise InvalidInputError(
                "every cannot be combined with other versions", where="--node", todo="use every alone"
            )


@dataclass(frozen=True)
class Matrix:
    """The jobs of one batch, the skipped versions, and an error for each spec without a release."""

    jobs: tuple[Job, ...]
    runners: Mapping[Architecture, str]
    batch: int
    batches: int
    left_out: tuple[str, ...]
    failures: tuple[NotFoundError, ...]

    @property
    def line(self) -> str:
        """One line of JSON, for `fromJSON` in a workflow."""
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
        """The number of layers and the batch, as one line."""
        more = (
            f", batch {self.batch} of {self.batches}. To build the others, run:" if self.batches > 1 else ""
        )
        return f"{len(self.jobs)} layers{more}"

    @property
    def versions(self) -> tuple[str, ...]:
        """The distinct Node.js versions of the jobs, oldest first."""
        return tuple(sorted({job.version for job in self.jobs}, key=sort_key))

    def outputs(self) -> dict[str, str]:
        """Return the step outputs."""
        return {"matrix": self.line, "any": "true" if self.jobs else "false"}

    def others(self, node: str) -> list[str]:
        """Return the commands that start a workflow run for each other batch of `--node`."""
        given = f" -f node={node}" if node else ""
        start = f"gh workflow run release.yml --ref v{__version__}{given}"
        return [f"{start} -f batch={n}" for n in range(1, self.batches + 1) if n != self.batch]


def read(line: str) -> list[Job]:
    """Return the jobs of a matrix that `Matrix.line` gave. Raises InvalidInputError."""
    try:
        rows = loads(line)["include"]
        return [Job(str(row["node"]), architecture.parse(str(row["arch"]))[0]) for row in rows]
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidInputError(
            "the value is not a matrix", where="--matrix", todo="pass the output matrix of github.matrix"
        ) from error


def plan(
    targets: ReleaseTargets,
    releases: Mapping[Architecture, Sequence[Release]],
    request: MatrixRequest,
    *,
    today: date,
) -> Matrix:
    """Return the matrix of a request, from the existing releases of each architecture.

    The batches do not depend on the manifest, so a batch stays the same while others are published.
    Raises InvalidInputError if the batch does not exist.
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
        unpublished = set(lacking(chosen, request.missing, request.by))
        chosen = [
            job
            for job in chosen
            if job in unpublished or (request.released is not None and not job.assets <= request.released)
        ]
    return Matrix(
        jobs=tuple(sorted(chosen, key=lambda job: job.order)),
        runners=targets.runners,
        batch=request.batch,
        batches=len(batches),
        left_out=tuple(
            f"Skipped for {each}, because Node.js has no such release: {_few(words)}"
            for each, words in left_out.items()
            if words
        ),
        failures=tuple(failures),
    )


_Found = tuple[set[Job], Mapping[Architecture, Sequence[str]], list[NotFoundError]]
"""Jobs, the missing versions of each architecture, and an error for each spec without a release."""


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
    """Split jobs by release date, so that a new release changes only the last batch."""
    ordered = sorted(jobs, key=lambda job: (job.date, job.order))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def lacking(jobs: Iterable[Job], known: Manifest, by: str) -> list[Job]:
    """Return the jobs whose layer the nodelayer version `by` has not published in every region.

    "Every region" means each region that has any of its layers.
    """
    published: dict[tuple[str, str], set[str]] = {}
    for layer in known.of_nodelayer(by).layers:
        regions = published.setdefault((layer.node_version, layer.architecture), set())
        regions |= {region for region, _ in layer.live()}
    everywhere = set().union(*published.values())
    return [
        job
        for job in jobs
        if not everywhere or published.get((job.version, job.architecture.name), set()) < everywhere
    ]
