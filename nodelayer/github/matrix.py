"""Which layers a release builds, as a matrix for GitHub Actions: set, releases, manifest and day to jobs.

Everything here is a function of what it is given. Limits: https://docs.github.com/actions/reference/limits,
https://docs.github.com/actions/reference/runners/github-hosted-runners; docs/scale.md works them out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.github.targets import Supported, maintained
from nodelayer.manifest.model import Manifest
from nodelayer.node.versions import OLDEST, Release, is_stable, nearest, resolve, sort_key
from nodelayer.version import __version__

FIRST = OLDEST
"""The oldest of every release: what the runtime client is written for, and tested on, begins with 12."""

EVERY = "every"
"""The spec that means all of them, and stands alone."""

MATRIX_JOBS = 256
"""Jobs that a matrix may have."""
JOB_SECONDS = 6 * 60 * 60
RUNNER_DISK = 14_000_000_000
"""Bytes that a standard runner promises to have free."""

SESSION_SECONDS = 60 * 60
"""How long the credentials of the job that publishes are good for: cloudformation/github-publisher.yaml."""

ZIP_BYTES = 40_000_000
"""Of the largest layer there is, docs/abi.md."""
BUILD_SECONDS = 120
PUBLISH_SECONDS = 15
"""What one layer takes at most, docs/scale.md: to be built and tested; to be published to every region."""

BATCH = min(
    MATRIX_JOBS * (JOB_SECONDS // 2 // BUILD_SECONDS),
    SESSION_SECONDS // PUBLISH_SECONDS,
    RUNNER_DISK // (ZIP_BYTES + ZIP_BYTES * 4 // 3),
)
"""Layers that one workflow run has time and room for: half of the hours that a job may take to build, the
session of the one job that publishes, and on its disk each zip once, and once more as a request's body."""


@dataclass(frozen=True)
class Pair:
    """One layer to be built. `date` is that of the release in ISO 8601, empty where nobody says."""

    version: str
    architecture: Architecture
    date: str = ""


@dataclass(frozen=True)
class Job:
    """What one job builds: versions, oldest first, of one architecture."""

    id: str
    versions: tuple[str, ...]
    architecture: Architecture
    runner: str

    def as_json(self) -> Mapping[str, str]:
        return {
            "id": self.id,
            "node": ",".join(self.versions),
            "arch": self.architecture.name,
            "runner": self.runner,
        }


@dataclass(frozen=True)
class MatrixRequest:
    """What the flags say. No specs: the supported set. `missing`: build only what this manifest lacks of what
    the nodelayer version `by` builds.
    """

    specs: tuple[str, ...] = ()
    missing: Manifest | None = None
    by: str = __version__
    jobs: int = MATRIX_JOBS
    batch: int = 1

    def __post_init__(self) -> None:
        if EVERY in self.specs and len(self.specs) > 1:
            raise InvalidInputError(
                "every release has all of the others in it", where="--node", todo="write every alone"
            )
        if not 1 <= self.jobs <= MATRIX_JOBS:
            raise InvalidInputError(
                f"a matrix has 1 to {MATRIX_JOBS} jobs", where="--jobs", todo="use another number"
            )


@dataclass(frozen=True)
class Matrix:
    """The jobs of one batch of `batches`, what no job builds though it was asked for, and why."""

    jobs: tuple[Job, ...]
    batch: int
    batches: int
    left_out: tuple[str, ...]
    failures: tuple[NotFoundError, ...]

    @property
    def count(self) -> int:
        """Layers, not jobs."""
        return sum(len(job.versions) for job in self.jobs)

    @property
    def line(self) -> str:
        """What `fromJSON` makes a matrix of, on one line."""
        return json.dumps({"include": [job.as_json() for job in self.jobs]}, separators=(",", ":"))

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """What a person sees of it: a row for each job, below a head."""
        return [
            ("job", "runner", "Node.js"),
            *((job.id, job.runner, ", ".join(job.versions)) for job in self.jobs),
        ]

    @property
    def summary(self) -> str:
        more = f", batch {self.batch} of {self.batches}; the others:" if self.batches > 1 else ""
        return f"{self.count} layers in {len(self.jobs)} jobs{more}"

    def outputs(self) -> dict[str, str]:
        return {
            "matrix": self.line,
            "any": "true" if self.jobs else "false",
            "count": str(self.count),
            "batches": str(self.batches),
        }

    def others(self, flags: Mapping[str, str]) -> list[str]:
        """The commands that start the other batches, each as a workflow run of its own."""
        given = "".join(f" -f {name}={value}" for name, value in flags.items() if value)
        start = f"gh workflow run release.yml --ref v{__version__}{given}"
        return [f"{start} -f batch={n}" for n in range(1, self.batches + 1) if n != self.batch]


def plan(
    supported: Supported,
    releases: Mapping[Architecture, Sequence[Release]],
    request: MatrixRequest,
    *,
    today: date,
) -> Matrix:
    """The matrix of a wish. `releases`: what there is, for each architecture wanted.

    A batch is of everything meant, whatever the manifest has, so that it stays the same while others are
    published. Raises InvalidInputError.
    """
    pairs, left_out, failures = _meant(supported, releases, request, today)
    batches = in_batches(pairs)
    if not 1 <= request.batch <= max(1, len(batches)):
        raise InvalidInputError(
            f"there is no batch {request.batch}", where="--batch", todo=f"use 1 to {max(1, len(batches))}"
        )
    chosen = batches[request.batch - 1] if batches else []
    if request.missing is not None:
        chosen = lacking(chosen, request.missing, request.by)
    return Matrix(
        jobs=tuple(in_jobs(chosen, request.jobs, supported.runners)),
        batch=request.batch,
        batches=len(batches),
        left_out=tuple(left_out),
        failures=tuple(failures),
    )


def _meant(
    supported: Supported,
    releases: Mapping[Architecture, Sequence[Release]],
    request: MatrixRequest,
    today: date,
) -> tuple[list[Pair], list[str], list[NotFoundError]]:
    """The layers meant, each once; a line for each architecture that has not got all; an error for each spec
    that means nothing anywhere.
    """
    everything = [release for listed in releases.values() for release in listed]
    if request.specs == (EVERY,):
        found = {each: _from_first(listed) for each, listed in releases.items()}
        versions = {release.version for listed in found.values() for release in listed}
        lacks = {each: versions - {release.version for release in found[each]} for each in releases}
        return _pairs(found), _left_out({each: _sorted(lacks[each]) for each in lacks}), []
    majors = maintained(everything, today) if supported.maintenance and not request.specs else ()
    chosen: dict[Architecture, list[Release]] = {each: [] for each in releases}
    absent: dict[Architecture, list[str]] = {each: [] for each in releases}
    failures = []
    for spec in request.specs or (*map(str, majors), *supported.versions):
        lacking_it = []
        for each, listed in releases.items():
            try:
                chosen[each].append(resolve(spec, listed))
            except NotFoundError:
                lacking_it.append(each)
        if len(lacking_it) == len(releases):
            names = " or ".join(each.name for each in releases)
            failures.append(NotFoundError(f"no Node.js {spec} for {names}", todo=nearest(spec, everything)))
        else:
            for each in lacking_it:
                absent[each].append(spec)
    return _pairs(chosen), _left_out(absent), failures


def _from_first(listed: Iterable[Release]) -> list[Release]:
    return [each for each in listed if is_stable(each.version) and sort_key(each.version) >= sort_key(FIRST)]


def _pairs(chosen: Mapping[Architecture, Iterable[Release]]) -> list[Pair]:
    """Each once, in the order of versions."""
    every = {
        (release.version, each): Pair(release.version, each, (release.date or "")[:10])
        for each, listed in chosen.items()
        for release in listed
    }
    return sorted(every.values(), key=_by_version)


def _by_version(pair: Pair) -> tuple[object, int]:
    return sort_key(pair.version), architecture.ALL.index(pair.architecture)


def _sorted(versions: Iterable[str]) -> list[str]:
    return sorted(versions, key=sort_key)


def _left_out(absent: Mapping[Architecture, Sequence[str]], most: int = 8) -> list[str]:
    return [
        f"Left out for {each}, which has none: {', '.join(words[:most])}"
        + (f" and {len(words) - most} more" if len(words) > most else "")
        for each, words in absent.items()
        if words
    ]


def in_batches(pairs: Iterable[Pair], size: int = BATCH) -> list[list[Pair]]:
    """Slices of at most `size`, by the day of the release: one that is new goes into the last, moves none."""
    every = sorted(pairs, key=lambda pair: (pair.date, _by_version(pair)))
    return [every[start : start + size] for start in range(0, len(every), size)]


def lacking(pairs: Iterable[Pair], known: Manifest, by: str) -> list[Pair]:
    """Those that are not live, as this version of nodelayer built them, in each region that any of its layers
    is in: what one region did not take is missing there.
    """
    there: dict[tuple[str, str], set[str]] = {}
    for layer in known.of_nodelayer(by).layers:
        regions = there.setdefault((layer.node_version, layer.architecture), set())
        regions |= {region for region, _ in layer.live()}
    everywhere = set().union(*there.values())
    return [
        pair
        for pair in pairs
        if not everywhere or there.get((pair.version, pair.architecture.name), set()) < everywhere
    ]


def in_jobs(pairs: Iterable[Pair], most: int, runners: Mapping[Architecture, str]) -> list[Job]:
    """A job for each, or, where that makes more than `most`, jobs of several versions of one architecture.

    Those of one architecture differ by one version at most. Ids depend on nothing but the pairs and `most`.
    Raises InvalidInputError where there are more architectures than jobs.
    """
    every = sorted(pairs, key=_by_version)
    if len(every) <= most:
        return [
            Job(
                f"{each.version}-{each.architecture}",
                (each.version,),
                each.architecture,
                runners[each.architecture],
            )
            for each in every
        ]
    mine = {
        each: [pair.version for pair in every if pair.architecture == each]
        for each in architecture.ALL
        if any(pair.architecture == each for pair in every)
    }
    if len(mine) > most:
        raise InvalidInputError(
            "a job builds for one architecture", where=f"--jobs {most}", todo=f"use {len(mine)} or more"
        )
    size = -(-len(every) // most)
    while sum(-(-len(versions) // size) for versions in mine.values()) > most:
        size += 1
    jobs = []
    for each, versions in mine.items():
        count = -(-len(versions) // size)
        for n in range(count):
            part = versions[n * len(versions) // count : (n + 1) * len(versions) // count]
            jobs.append(Job(f"{each}-{n + 1:03}", tuple(part), each, runners[each]))
    return jobs
