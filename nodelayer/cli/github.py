"""Commands that only the workflows call."""

import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.cli.command import ROOT, SOURCE, SPECS, build_context, command
from nodelayer.errors import InvalidInputError, NotFoundError, machine_error
from nodelayer.github import step_outputs
from nodelayer.util import tables
from nodelayer.util.console import Reporter

if TYPE_CHECKING:
    from nodelayer.github.matrix import Matrix, MatrixRequest


@command(
    help={
        "node": f"these instead of release-targets.toml: {SPECS}; every: all from 12.0.0 on",
        "arch": "x86_64, arm64 or all (default)",
        "missing": "only layers that some region of the manifest lacks for this version of nodelayer",
        "manifest": "file or URL of the manifest for --missing; if it does not exist, everything is missing",
        "batch": "number of the batch, if one workflow run has no room for all",
        "source": SOURCE,
        "outputs": step_outputs.HELP + " (matrix, any)",
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
    """Print the layers that a release builds, as JSON for a GitHub Actions matrix."""
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
    reporter.say(tables.columns([("job", "runner"), *rows]).rstrip("\n"))
    reporter.say(planned.summary)
    for line in planned.others(shlex.quote(node) if node else ""):
        reporter.say(line)
    print(planned.line)
    step_outputs.write(outputs, planned.outputs())
    _report_failures(planned, reporter)


_REPOSITORY = "OWNER/NAME at GitHub; left out: $GITHUB_REPOSITORY, or that of git's remote"


@command(
    name="publish-release",
    help={
        "tag": "v1.2.3",
        "title": "the release's title; left out: nodelayer and the version",
        "notes": "file with its text in Markdown; left out: changelog, layers and ARNs, from --manifest",
        "manifest": "file or URL of the manifest; what is of this version becomes an asset too, layers.json",
        "assets": "folder whose files become its assets; SHA256SUMS is written into it",
        "move-major": "move the tag v1 there afterwards, if it is the newest of that major",
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
    """Publish a folder's files as the GitHub release of a tag; run it again and it does what is left."""
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
        reporter.say("The release is complete already")
    print(release["html_url"])


@command(
    help={
        "manifest": "file or URL of the manifest; fetch-manifest writes one",
        "workflow": "the workflow to start, as it is in the newest release",
        "source": SOURCE,
        "dry-run": "print what would be started, and stop",
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
    """Start the release workflow for the release targets that are not published yet."""
    from nodelayer.github import watch as watching
    from nodelayer.github.api import open_github
    from nodelayer.github.matrix import MatrixRequest
    from nodelayer.manifest.store import open_manifest
    from nodelayer.project.release import version_of

    reporter = Reporter()
    place = open_github(os.environ, reporter, repository)
    known = open_manifest(manifest)
    tag = watching.newest_tag(place)
    if tag is None:
        reporter.say("nodelayer has no release yet, so nothing to add to")
        return
    request = MatrixRequest(missing=known, by=version_of(tag))
    planned = _plan(request, source, architecture.ALL, reporter)
    versions = planned.versions
    if not versions:
        reporter.say(f"Nothing is missing in {tag}")
    elif (run := watching.active_run(place, workflow, tag)) is not None:
        reporter.say(f"Missing in {tag}: {', '.join(versions)}; a run is active: {run['html_url']}")
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
        "fragments": "a manifest, or a folder with several",
        "branch": "the branch for the manifest alone (default: layers); created if it does not exist",
        "remote": "name of a remote, or its address",
        "message": "of the commit",
        "outputs": step_outputs.HELP + " (added, commit)",
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
    """Merge manifests into the one on a branch and push it; pushes at the same time lose nothing."""
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
        "branch": "the branch with the manifest (default: layers)",
        "remote": "name of a remote, or its address",
        "out": "the file; entries that it already has are kept",
    },
)
def fetch_manifest(
    _ctx: Context, branch: str = "layers", remote: str = "origin", out: str = "layers.json"
) -> None:
    """Write the manifest of a branch to a file; an empty one if the branch does not exist."""
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
        "tag": "the tag that was pushed, as in v1.2.3",
        "released": "also check that the tag has a published GitHub release",
        "outputs": step_outputs.HELP + " (tag, version, major, prerelease)",
    },
)
def check_tag(
    _ctx: Context,
    tag: str,
    released: bool = False,  # noqa: FBT001, FBT002
    outputs: str = "",
) -> None:
    """Check a tag against pyproject.toml and the changelog; print the version."""
    from nodelayer.github import watch as watching
    from nodelayer.github.api import open_github
    from nodelayer.project import release as own_release

    checked = own_release.check_tag(tag, Path.cwd())
    if released:
        watching.check_released(open_github(os.environ, Reporter()), tag)
    step_outputs.write(outputs, checked.outputs)
    print(checked.version)


def _read_text(file: str, flag: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise machine_error(error, Path(file), flag) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError("the file is not UTF-8 text", where=file, todo=f"correct {flag}") from error


def _plan(
    request: "MatrixRequest", source: str, architectures: Sequence[Architecture], reporter: Reporter
) -> "Matrix":
    """Plan the matrix of a request for today, and print what is left out."""
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
    """Render the notes of a release, and write its part of the manifest among the assets."""
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
            f"the notes omit the tables of {' and '.join(left_out)}: GitHub's limit on their length"
        )
    return text
