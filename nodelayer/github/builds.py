"""Decide which built layers a job with rights accepts from jobs that executed downloaded programs.

Nothing here executes a layer, or believes a name, a number or a digest that a build reports: each is derived
from the matrix, from the bytes of the zip and from this version of nodelayer, and has to be equal. Only what
no file shows (where Node.js came from, in which system the layer was invoked) comes from the build record, if
two builds agree.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nodelayer.architecture import Architecture
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotVerifiedError,
    RefusedError,
    UnreachableError,
    machine_error,
)
from nodelayer.github.api import SIGN_IN
from nodelayer.github.matrix import ENDINGS, Job
from nodelayer.layer import abi, archive, contents
from nodelayer.layer.record import BuildRecord, LayerTarget, describe, load
from nodelayer.node import openpgp
from nodelayer.node.versions import Release, is_version, lts_codename, resolve
from nodelayer.util.attempts import attempt_each
from nodelayer.util.console import Reporter
from nodelayer.util.json_text import loads

WORKFLOW = ".github/workflows/layer.yml"
"""The workflow whose attestations are accepted."""

_GH_S = 300.0
_GH_SIGNED_OUT = 4  # exit code of gh
_TODO = "do not publish it; find out which job changed it"

Subjects = Mapping[str, str]
"""The sha256 in hex of each file that an attestation names."""


@dataclass(frozen=True)
class Expectation:
    """What the build record of a layer has to say besides what its zip shows."""

    runtime: Path
    """The folder of the runtime client that the layer contains."""
    base_image: Callable[[str, Architecture], str]
    """Returns the reference of the base image for a runtime of Lambda."""


def chosen(folder: Path, specs: Sequence[str], architecture: Architecture) -> list[LayerTarget]:
    """Return the layers that a folder has to hold: one for each spec, by the names of its files.

    Raises:
        NotFoundError: No zip in the folder has a version that a spec means.
    """
    end = f"-{architecture}.zip"
    versions = [path.name.removeprefix("nodejs-").removesuffix(end) for path in folder.glob(f"nodejs-*{end}")]
    # `compare` names a file with another name.
    releases = [Release(version, lts_codename(version)) for version in versions if is_version(version)]
    found = {resolve(spec, releases).version for spec in specs}
    return [LayerTarget(version, architecture) for version in sorted(found)]


def compare(first: Path, second: Path, targets: Sequence[LayerTarget], expectation: Expectation) -> None:
    """Check that two folders hold exactly the files of these layers, with equal bytes, and check each layer.

    Raises:
        NotVerifiedError: They do not.
    """
    expected = {f"{target.stem}{end}" for target in targets for end in ENDINGS}
    for folder in (first, second):
        if unexpected := sorted(_files(folder) - expected):
            raise NotVerifiedError(f"not expected: {', '.join(unexpected)}", where=str(folder), todo=_TODO)
        _check_present(folder, expected)
    for name in sorted(expected):
        digests = [_sha256(folder / name) for folder in (first, second)]
        if digests[0] != digests[1]:
            raise NotVerifiedError(
                f"the two builds differ: sha256 {digests[0]} and {digests[1]}",
                where=name,
                todo="build again; if they differ again, find out which job changed it",
            )
    for target in targets:
        check(first, target, expectation)


def check(folder: Path, target: LayerTarget, expectation: Expectation) -> None:
    """Check that the build record of a layer says what its zip shows. Raises NodelayerError."""
    zipped, path = folder / f"{target.stem}.zip", folder / f"{target.stem}.json"
    entries = list(archive.read(zipped))
    files = contents.elf_files(entries)
    runtime = abi.choose_runtime(files, target.architecture)
    record = load(path)
    derived = describe(
        target,
        entries,
        zipped,
        runtimes=abi.check(files, target.architecture, policies=runtime.policies).compatible,
        compression="best",
        source=record.source,
        builder=msgspec.structs.replace(
            record.builder,
            name="docker",
            base_image=expectation.base_image(runtime.name, target.architecture),
            executed=True,
            invoked=True,
        ),
    )
    wrong = [
        name for name in BuildRecord.__struct_fields__ if getattr(record, name) != getattr(derived, name)
    ]
    if wrong:
        raise NotVerifiedError(
            f"the build record is not what the zip shows: {', '.join(wrong)}", where=path.name, todo=_TODO
        )
    own = [*contents.client(expectation.runtime), *contents.settings(target.version)]
    others = sorted(entry.path for entry in entries if entry not in own)
    libraries = (f"lib/{name}" for name in record.builder.libraries)
    if others != sorted([contents.NODE, contents.LICENSE, *libraries]) or len(entries) != len(own) + len(
        others
    ):
        raise NotVerifiedError(
            f"the zip is not Node.js and the runtime client of this commit: {', '.join(others)}",
            where=zipped.name,
            todo=_TODO,
        )
    signer = record.source.signed_by
    if signer not in {key.fingerprint for key in openpgp.pinned_keys()}:
        raise NotVerifiedError(
            f"no OpenPGP signature by a pinned key ({record.source.signature})",
            where=path.name,
            todo="build it from nodejs.org",
        )


def accept(  # noqa: PLR0913 - every collaborator
    folder: Path,
    jobs: Sequence[Job],
    out: Path,
    *,
    subjects: Callable[[Path, Path], Subjects],
    expectation: Expectation,
    reporter: Reporter,
) -> tuple[list[Job], list[NodelayerError]]:
    """Move the layers of a matrix that their attestations name to `out`; return them, and the failures.

    `subjects` verifies the attestation of a zip, and returns the files that it names. A layer that is missing
    or refused does not stop the others. A file that belongs to no layer is a failure, and nobody reads it.
    """
    accepted: list[Job] = []

    def accept_one(job: Job) -> None:
        _check_present(folder, job.assets)
        bundle = folder / f"attestation-{job.id}.jsonl"
        signed = subjects(folder / f"{job.target.stem}.zip", bundle)
        if signed != {name: _sha256(folder / name) for name in job.assets - {bundle.name}}:
            raise NotVerifiedError("the attestation does not name these files", where=bundle.name, todo=_TODO)
        check(folder, job.target, expectation)
        try:
            out.mkdir(parents=True, exist_ok=True)
            for name in job.assets:
                shutil.move(folder / name, out / name)
        except OSError as error:
            raise machine_error(error, out, "--out") from error
        accepted.append(job)

    failures = attempt_each(jobs, accept_one, reporter, name=lambda job: job.id)
    unexpected = _files(folder) - set().union(*(job.assets for job in jobs))
    if unexpected:
        error = NotVerifiedError(
            f"not planned: {', '.join(sorted(unexpected))}", where=str(folder), todo=_TODO
        )
        reporter.fail(f"nodelayer: {error}")
        failures.append(error)
    return accepted, failures


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _check_present(folder: Path, names: Iterable[str]) -> None:
    if missing := sorted(set(names) - _files(folder)):
        raise NotVerifiedError(
            f"missing: {', '.join(missing)}", where=str(folder), todo="see the job that builds it"
        )


def attested(file: Path, bundle: Path, *, program: Path, environ: Mapping[str, str]) -> Subjects:
    """Verify with gh that layer.yml attested a file, for the repository, ref and commit of this job.

    Raises:
        NotVerifiedError: It did not.
        InvalidInputError: A variable of a GitHub job is missing.
    """
    repository, ref, commit = (environ.get(f"GITHUB_{name}", "") for name in ("REPOSITORY", "REF", "SHA"))
    if not (repository and ref and commit):
        raise InvalidInputError(
            "GITHUB_REPOSITORY, GITHUB_REF or GITHUB_SHA is not set", todo="run it in a GitHub Actions job"
        )
    flags = [f"--bundle={bundle}", f"--source-digest={commit}"]
    return _verified(file, repository, ref, flags, program=program, environ=environ, todo=_TODO)


def attested_for_release(
    file: Path, repository: str, release: str, *, program: Path, environ: Mapping[str, str]
) -> Subjects:
    """Verify with gh that layer.yml attested a file at the tag of a release; GitHub has the attestation.

    Raises:
        NotVerifiedError: It did not.
    """
    todo = "if --repository is right, do not use the layer"
    return _verified(
        file, repository, f"refs/tags/v{release}", [], program=program, environ=environ, todo=todo
    )


def _verified(  # noqa: PLR0913 - every input of gh
    file: Path,
    repository: str,
    ref: str,
    flags: Sequence[str],
    *,
    program: Path,
    environ: Mapping[str, str],
    todo: str,
) -> Subjects:
    line = [str(program), "attestation", "verify", str(file), f"--repo={repository}", *flags]
    line += [f"--signer-workflow={repository}/{WORKFLOW}", f"--source-ref={ref}"]
    line += ["--deny-self-hosted-runners", "--format=json"]
    try:
        done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=_GH_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"gh does not answer ({error})", where=line[0], todo="try again") from error
    if done.returncode:
        reason = " ".join(done.stderr.split()) or "no reason given"
        if done.returncode == _GH_SIGNED_OUT:
            raise RefusedError("gh is not signed in to GitHub", where=file.name, todo=SIGN_IN)
        if "creating Sigstore verifier" in reason:
            raise UnreachableError(
                f"the keys of Sigstore cannot be fetched ({reason})",
                where=file.name,
                todo="check the network",
            )
        raise NotVerifiedError(f"the attestation is not valid ({reason})", where=file.name, todo=todo)
    return subjects(done.stdout, file.name)


def subjects(output: str, where: str) -> Subjects:
    """Return the files that a verified attestation names, from what gh printed.

    Raises:
        NotVerifiedError: It printed something else.
    """
    try:
        statement = loads(output)[0]["verificationResult"]["statement"]
        return {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    except (ValueError, LookupError, TypeError) as error:
        raise NotVerifiedError(
            f"gh printed an unexpected answer ({error!r})", where=where, todo="use another gh"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
