"""Commands that only the workflows call."""

import os
import shlex
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.cli.command import COMMAS, PATHS, ROOT, SOURCE, SPEC, base_image, build_context, command
from nodelayer.errors import InvalidInputError, NotFoundError, machine_error
from nodelayer.github import step_outputs
from nodelayer.util import tables
from nodelayer.util.console import Reporter

if TYPE_CHECKING:
    from nodelayer.github.builds import Expectation
    from nodelayer.github.matrix import Matrix, MatrixRequest


@command(
    help={
        "node": f"{SPEC}{COMMAS}; every means all versions from 12.0.0 on (default: release-targets.toml)",
        "arch": "architecture: x86_64, arm64 or all (default)",
        "missing": "list only layers that this version of nodelayer has not published to every region of "
        "the manifest",
        "manifest": "file or URL of the manifest for --missing (default: layers.json); if it does not exist, "
        "all layers are listed",
        "batch": "number of the batch, if there are more layers than one workflow run can build (default: 1)",
        "source": SOURCE,
        "outputs": step_outputs.HELP + " Names: matrix, any (true or false)",
    }
)
def matrix(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    arch: str = "all",
    missing: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    batch: int = 1,
    source: str = "auto",
    outputs: str = "",
) -> None:
    """Print the list of layers to build, as JSON for a GitHub Actions matrix."""
    from nodelayer.github.matrix import MatrixRequest
    from nodelayer.manifest.model import Manifest
    from nodelayer.manifest.store import open_manifest
    from nodelayer.node.versions import split

    known = None
    if missing:
        try:
            known = open_manifest(manifest)
        except NotFoundError:
            known = Manifest()
    reporter = Reporter()
    request = MatrixRequest(specs=split(node) if node else (), missing=known, batch=batch)
    planned = _plan(request, source, architecture.parse(arch), reporter)
    rows = [(job.id, planned.runners[job.architecture]) for job in planned.jobs]
    reporter.say_lines(tables.columns([("job", "runner"), *rows]))
    reporter.say(planned.summary)
    for line in planned.others(shlex.quote(node) if node else ""):
        reporter.say(line)
    print(planned.line)
    step_outputs.write(outputs, planned.outputs())
    _report_failures(planned, reporter)


_REPOSITORY = "GitHub repository, OWNER/NAME (default: $GITHUB_REPOSITORY, else that of the git remote)"


@command(
    name="publish-release",
    help={
        "tag": "(required) tag of the release, for example v1.2.3",
        "title": "title of the release (default: nodelayer and the version)",
        "notes": "file with the release notes in Markdown (default: changelog section, layers and ARNs)",
        "manifest": "file or URL of the manifest (default: layers.json); its layers of this version become "
        "the asset layers.json, unless --notes is set",
        "assets": "(required) folder whose files become the assets; SHA256SUMS is written there",
        "move-major": "afterwards move the tag of the major version, for example v1, if this release is its "
        "newest",
        "repository": _REPOSITORY,
    },
)
def publish_release(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    tag: str,
    assets: str,
    title: str = "",
    notes: str = "",
    manifest: str = "layers.json",
    move_major: bool = False,  # noqa: FBT001, FBT002
    repository: str = "",
) -> None:
    """Publish the files of a folder as the GitHub release of a tag.

    After a failure or an interruption run the same command again: it does only what is left. Needs the gh
    program.
    """
    from nodelayer.github import release as github_release
    from nodelayer.github.api import open_github

    reporter = Reporter()
    text = (
        _read_text(notes, "--notes") if notes else _notes(tag, manifest, Path(assets), repository, reporter)
    )
    spec = github_release.ReleaseSpec(
        tag=tag,
        title=title or f"nodelayer {tag.removeprefix('v')}",
        notes=text,
        folder=Path(assets),
        move_major=move_major,
    )
    place = open_github(os.environ, reporter, repository)
    release, changed = github_release.publish(spec, place)
    if not changed:
        reporter.say("The release is already complete")
    print(release["html_url"])


@command(
    help={
        "manifest": "file or URL of the manifest (default: layers.json), as github.fetch-manifest writes it",
        "workflow": "workflow to start at the tag of the newest release (default: release.yml)",
        "source": SOURCE,
        "dry-run": "print what would be started, and start nothing",
        "repository": _REPOSITORY,
    }
)
def watch(
    _ctx: Context,
    manifest: str = "layers.json",
    workflow: str = "release.yml",
    source: str = "auto",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    repository: str = "",
) -> None:
    """Start the release workflow for the release targets that are not published or not released yet.

    A layer is complete if the manifest has it in every region, and the newest release has its zip, build
    record, SBOM and attestation. Needs the gh program.
    """
    from nodelayer.github import watch as watching
    from nodelayer.github.api import open_github
    from nodelayer.github.matrix import MatrixRequest
    from nodelayer.manifest.store import open_manifest
    from nodelayer.project.release import version_of

    reporter = Reporter()
    place = open_github(os.environ, reporter, repository)
    known = open_manifest(manifest)
    release = watching.newest_release(place)
    if release is None:
        reporter.say("nodelayer has no release yet, so there is no release to add layers to")
        return
    tag = str(release["tag_name"])
    request = MatrixRequest(missing=known, released=watching.assets(place, release), by=version_of(tag))
    planned = _plan(request, source, architecture.ALL, reporter)
    versions = planned.versions
    if not versions:
        reporter.say(f"Nothing is missing in {tag}")
    elif (run := watching.active_run(place, workflow, tag)) is not None:
        reporter.say(f"Missing in {tag}: {', '.join(versions)}; a run is already active: {run['html_url']}")
    elif dry_run:
        print(f"{workflow} at {tag}: {','.join(versions)}")
    else:
        watching.start(place, workflow, tag, versions)
        reporter.say(f"Started {workflow} at {tag}")
        print(",".join(versions))
    _report_failures(planned, reporter)


@command(
    name="push-manifest",
    bare_value_flag="fragments",
    help={
        "fragments": "(required) manifest file, or folder with manifest files; --fragments may be omitted",
        "branch": "branch that holds only the manifest (default: layers); created if it does not exist",
        "remote": "name or address of the git remote (default: origin)",
        "message": "commit message (default: Layers published)",
        "outputs": step_outputs.HELP + " Names: added (number of new ARNs), commit",
    },
)
def push_manifest(
    _ctx: Context,
    fragments: str,
    branch: str = "layers",
    remote: str = "origin",
    message: str = "Layers published",
    outputs: str = "",
) -> None:
    """Merge manifests into the manifest on a branch, and push it; concurrent pushes are merged."""
    from nodelayer.github import manifest_branch
    from nodelayer.util.git import open_git

    reporter = Reporter()
    place = manifest_branch.ManifestBranch(open_git(Path.cwd(), os.environ), remote, branch)
    pushed = manifest_branch.push(manifest_branch.read_fragments(Path(fragments)), place, message, reporter)
    step_outputs.write(outputs, {"added": str(len(pushed.added)), "commit": pushed.commit})
    print(tables.columns(pushed.added), end="")
    reporter.say(
        f"{place}: {len(pushed.added)} layer versions added" if pushed.commit else f"{place}: no change"
    )


@command(
    name="fetch-manifest",
    help={
        "branch": "branch with the manifest (default: layers)",
        "remote": "name or address of the git remote (default: origin)",
        "out": "file to write (default: layers.json); if it exists, the two manifests are merged",
    },
)
def fetch_manifest(
    _ctx: Context, branch: str = "layers", remote: str = "origin", out: str = "layers.json"
) -> None:
    """Write the manifest of a branch to a file; an empty manifest if the branch does not exist."""
    from nodelayer.github import manifest_branch
    from nodelayer.manifest import store
    from nodelayer.util.git import open_git

    store.check_writable(Path(out))
    place = manifest_branch.ManifestBranch(open_git(Path.cwd(), os.environ), remote, branch)
    fetched = manifest_branch.fetch(place)
    store.update(Path(out), lambda known: known.merge(fetched))
    Reporter().say(f"{len(fetched.layers)} layers")
    print(out)


@command(
    name="check-tag",
    bare_value_flag="tag",
    help={
        "tag": "(required) tag to check, for example v1.2.3; --tag may be omitted",
        "released": "also check that the tag has a published GitHub release",
        "outputs": step_outputs.HELP + " Names: tag, version, major, prerelease",
    },
)
def check_tag(
    _ctx: Context,
    tag: str,
    released: bool = False,  # noqa: FBT001, FBT002
    outputs: str = "",
) -> None:
    """Check a tag against pyproject.toml and the changelog, and print its version."""
    from nodelayer.github import watch as watching
    from nodelayer.github.api import open_github
    from nodelayer.project import release as own_release

    checked = own_release.check_tag(tag, Path.cwd())
    if released:
        watching.check_released(open_github(os.environ, Reporter()), tag)
    step_outputs.write(outputs, checked.outputs)
    print(checked.version)


@command(
    name="check-builds",
    help={
        "node": f"(required) {SPEC}{COMMAS}",
        "arch": "architecture: x86_64 (default) or arm64",
        "first": "(required) folder of the first build",
        "second": "(required) folder of the second build",
        "out": "folder for the files, if they are accepted (default: dist)",
    },
)
def check_builds(
    _ctx: Context, node: str, first: str, second: str, arch: str = "x86_64", out: str = "dist"
) -> None:
    """Compare two builds of the same layers, and check that each build record says what its zip shows.

    Executes nothing of the layers. Exit code 5 if the builds differ, or if a file is missing, unexpected or
    forged.
    """
    from nodelayer.github import builds
    from nodelayer.node.versions import split

    (of,) = architecture.parse(arch)
    targets = builds.chosen(Path(first), split(node), of)
    builds.compare(Path(first), Path(second), targets, _expectation())
    try:
        shutil.copytree(first, out, dirs_exist_ok=True)
    except OSError as error:
        raise machine_error(error, Path(out), "--out") from error
    for target in targets:
        print(Path(out) / f"{target.stem}.zip")


@command(
    name="accept-layers",
    bare_value_flag="folder",
    help={
        "folder": "(required) folder with the files of all layers and their attestations; --folder may be "
        "omitted",
        "matrix": "(required) the planned layers, as github.matrix prints them",
        "out": "folder to which accepted layers are moved (default: dist)",
        "outputs": step_outputs.HELP + " Name: any (true if a layer was accepted)",
    },
)
def accept_layers(_ctx: Context, folder: str, matrix: str, out: str = "dist", outputs: str = "") -> None:
    """Accept exactly the planned layers that layer.yml attested at the commit of this job.

    A refused layer does not stop the others; exit code 5 if there is any. Needs the gh program and the
    variables of a GitHub Actions job.
    """
    from nodelayer.github import builds
    from nodelayer.github import matrix as matrices
    from nodelayer.github.api import open_github

    reporter = Reporter()
    github = open_github(os.environ, reporter)
    accepted, failures = builds.accept(
        Path(folder),
        matrices.read(matrix),
        Path(out),
        subjects=lambda file, bundle: builds.attested(
            file, bundle, program=github.program, environ=github.environ
        ),
        expectation=_expectation(),
        reporter=reporter,
    )
    step_outputs.write(outputs, {"any": "true" if accepted else "false"})
    for job in accepted:
        print(Path(out) / f"{job.target.stem}.zip")
    if failures:
        raise Exit(code=failures[0].code)


@command(
    name="check-environment",
    bare_value_flag="name",
    help={"name": "(required) name of the environment; --name may be omitted", "repository": _REPOSITORY},
)
def check_environment(_ctx: Context, name: str, repository: str = "") -> None:
    """Check that a GitHub environment exists, and that not every branch can use it. Needs the gh program."""
    from nodelayer.github import gates
    from nodelayer.github.api import open_github

    reporter = Reporter()
    if not gates.check_environment(open_github(os.environ, reporter, repository), name):
        reporter.warn(f"the environment {name} was not checked, because the token may not read it")


@command(
    name="check-canary",
    bare_value_flag="role",
    help={"role": "ARN of the canary's role; none: publish without a canary. --role may be omitted"},
)
def check_canary(_ctx: Context, role: str = "") -> None:
    """Check the variable CANARY_ROLE of a release, without which no canary runs."""
    from nodelayer.publish import canary

    if not role:
        raise InvalidInputError(
            "the release stops, because the variable CANARY_ROLE is not set and no canary would run",
            todo="set it to the ARN of the role nodelayer-canary, or to none to publish without a canary",
        )
    if role == "none":
        Reporter().warn("CANARY_ROLE is none: the layers become public without a start on Lambda")
    else:
        canary.check((), None, 1, role)


@command(
    name="wait-for-check",
    bare_value_flag="name",
    help={
        "name": "(required) name of the check, for example required; --name may be omitted",
        "commit": "(required) commit of the check",
        "minutes": "longest time to wait (default: 90)",
        "repository": _REPOSITORY,
    },
)
def wait_for_check(_ctx: Context, name: str, commit: str, minutes: int = 90, repository: str = "") -> None:
    """Wait until a check of a commit has passed, and print its address. Needs the gh program."""
    from nodelayer.github import gates
    from nodelayer.github.api import open_github

    print(
        gates.wait_for_check(open_github(os.environ, Reporter(), repository), name, commit, minutes=minutes)
    )


def _expectation() -> "Expectation":
    from nodelayer.github.builds import Expectation
    from nodelayer.layer.docker_builder import base_reference

    return Expectation(PATHS.runtime, lambda runtime, of: base_reference(runtime, base_image(), of))


def _read_text(file: str, flag: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise machine_error(error, Path(file), flag) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            "the file is not UTF-8 text", where=file, todo=f"use another file for {flag}"
        ) from error


def _plan(
    request: "MatrixRequest", source: str, architectures: Sequence[Architecture], reporter: Reporter
) -> "Matrix":
    """Plan the matrix for today, and print which versions are skipped."""
    from nodelayer.github import matrix, targets

    chosen = targets.load(ROOT / targets.FILE)
    opened = build_context(source, signature=True).source
    releases = {each: opened.releases(each) for each in chosen.with_runner(architectures)}
    planned = matrix.plan(chosen, releases, request, today=datetime.now(UTC).date())
    for line in planned.left_out:
        reporter.say(line)
    return planned


def _report_failures(planned: "Matrix", reporter: Reporter) -> None:
    for failure in planned.failures:
        reporter.fail(f"nodelayer: {failure}")
    if planned.failures:
        raise Exit(code=planned.failures[0].code)


def _notes(tag: str, manifest: str, assets: Path, repository: str, reporter: Reporter) -> str:
    """Return the notes of a release, and write its part of the manifest to the assets."""
    from nodelayer.layer.artifact import built_records
    from nodelayer.manifest import store
    from nodelayer.project import release as own_release
    from nodelayer.project import release_notes

    version = own_release.version_of(tag)
    known = store.open_manifest(manifest)
    store.copy_into(assets, known.of_nodelayer(version))
    notes = release_notes.collect(
        version,
        known,
        built_records(assets),
        changes=own_release.changes(version, Path.cwd()),
        repository=repository or os.environ.get("GITHUB_REPOSITORY", ""),
    )
    text, left_out = release_notes.render(notes)
    if left_out:
        reporter.warn(
            f"the notes omit the tables of {' and '.join(left_out)}, because GitHub limits their length"
        )
    return text
