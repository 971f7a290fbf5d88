"""Commands that only the workflows call."""

import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from invoke import Context, Exit, task

from nodelayer import architecture
from nodelayer.cli.command import ROOT, SOURCE, SPECS, build_context, command
from nodelayer.errors import (
    InvalidInputError,
    NotFoundError,
    machine_error,
)
from nodelayer.github import api as github
from nodelayer.github import manifest_branch, step_outputs
from nodelayer.github import matrix as matrices
from nodelayer.github import release as github_release
from nodelayer.github import targets as supporting
from nodelayer.github import watch as watching
from nodelayer.layer import artifact
from nodelayer.manifest import model as manifests
from nodelayer.node import versions as node_release
from nodelayer.project import release as own_release
from nodelayer.project import release_notes
from nodelayer.util import git, tables
from nodelayer.util.console import Reporter


@task(
    help={
        "node": f"these instead of the supported set: {SPECS}; every: all from {matrices.FIRST} on",
        "arch": "x86_64, arm64 or all (default)",
        "missing": "only what some region lacks that has other layers of this nodelayer",
        "manifest": "file or URL of the manifest for --missing; none there: everything is missing",
        "jobs": "at most so many jobs; more layers than that share jobs",
        "batch": "which part of what one workflow run has no room for, from 1 on",
        "source": SOURCE,
        "supported": "the supported set",
        "outputs": step_outputs.HELP + " (matrix, any, count, batches)",
        "json": "the matrix alone, without the table for people",
    }
)
@command
def matrix(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    arch: str = "all",
    missing: bool = False,  # noqa: FBT001, FBT002
    manifest: str = "layers.json",
    jobs: int = matrices.MATRIX_JOBS,
    batch: int = 1,
    source: str = "auto",
    supported: str = "",
    outputs: str = "",
    json: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Which layers a release builds: the jobs of a GitHub Actions matrix, as one line of JSON."""
    wanted = matrices.MatrixRequest(
        specs=node_release.split(node) if node else (),
        missing=_manifest_or_none(manifest) if missing else None,
        jobs=jobs,
        batch=batch,
    )
    reporter = Reporter()
    made = _matrix(wanted, supported, source, architecture.parse(arch), reporter)
    if not json:
        reporter.say(tables.columns(made.rows).rstrip("\n"))
    reporter.say(made.summary)
    for line in made.others({"node": shlex.quote(node) if node else ""}):
        reporter.say(line)
    print(made.line)
    step_outputs.write(outputs, made.outputs())
    for failure in made.failures:
        reporter.fail(f"nodelayer: {failure}")
    if made.failures:
        raise Exit(code=made.failures[0].code)


_REPOSITORY = "OWNER/NAME at GitHub; left out: $GITHUB_REPOSITORY, or that of git's remote"


@task(
    name="publish-release",
    help={
        "tag": "v1.2.3",
        "title": "the release's title; left out: nodelayer and the version",
        "notes": "file with its text in Markdown; left out: what release-notes says, from --manifest",
        "manifest": "file or URL of the manifest; what is of this version becomes an asset too, layers.json",
        "assets": "folder whose files become its assets; SHA256SUMS is written into it",
        "target": "commit to tag, where the tag is not there yet",
        "prerelease": "mark it so; a tag as v1.2.3-rc.1 does by itself",
        "latest": "--no-latest: never GitHub's latest release; otherwise the newest version is",
        "move-major": "move the tag v1 there afterwards, if it is the newest of that major",
        "dry-run": "show the plan and stop",
        "repository": _REPOSITORY,
        "outputs": step_outputs.HELP,
    },
)
@command
def publish_release(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    tag: str,
    assets: str,
    title: str = "",
    notes: str = "",
    manifest: str = "layers.json",
    target: str = "",
    prerelease: bool = False,  # noqa: FBT001, FBT002
    latest: bool = True,  # noqa: FBT001, FBT002
    move_major: bool = False,  # noqa: FBT001, FBT002
    dry_run: bool = False,  # noqa: FBT001, FBT002
    repository: str = "",
    outputs: str = "",
) -> None:
    """Publish a folder's files as the GitHub release of a tag; run it again and it does what is left."""
    reporter = Reporter()
    text = _text_of(notes, "--notes") if notes else _notes(tag, manifest, Path(assets), repository, reporter)
    order = github_release.ReleaseSpec(
        tag=tag,
        title=title or f"nodelayer {tag.removeprefix('v')}",
        notes=text,
        assets=github_release.read_folder(Path(assets)),
        target=target,
        prerelease=prerelease,
        latest=latest,
        move_major=move_major,
    )
    place = github.open_github(os.environ, reporter, repository)
    if dry_run:
        print(tables.columns(github_release.rows(order, github_release.plan(order, place))), end="")
        return
    release, changed = github_release.publish(order, place, Path(assets))
    if not changed:
        reporter.say("Everything is there already")
    _tell(outputs, {"url": release["html_url"], "id": release["id"]})
    print(release["html_url"])


@task(
    help={
        "manifest": "file or URL of the manifest; fetch-manifest writes one",
        "workflow": "the workflow to start, as it is at the newest release",
        "supported": "the supported set",
        "source": SOURCE,
        "dry-run": "say what would be started, and stop",
        "repository": _REPOSITORY,
    }
)
@command
def watch(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    manifest: str = "layers.json",
    workflow: str = "release.yml",
    supported: str = "",
    source: str = "auto",
    dry_run: bool = False,  # noqa: FBT001, FBT002
    repository: str = "",
) -> None:
    """Start the release workflow for the Node.js versions that are supported and not published yet."""
    reporter = Reporter()
    place = github.open_github(os.environ, reporter, repository)
    known = manifests.open_manifest(manifest)
    tag = watching.newest_tag(place)
    if tag is None:
        reporter.say("Nothing of ours is released yet: nothing to add to")
        return
    wish = matrices.MatrixRequest(missing=known, by=own_release.version_of(tag))
    made = _matrix(wish, supported, source, architecture.ALL, reporter)
    versions = watching.versions_of(made)
    if not versions:
        reporter.say(f"Nothing is missing in {tag}")
    elif (run_at_work := watching.at_work(place, workflow, tag)) is not None:
        reporter.say(f"Missing in {tag}: {', '.join(versions)}; a run is at work: {run_at_work['html_url']}")
    elif dry_run:
        print(f"{workflow} at {tag}: {','.join(versions)}")
    else:
        watching.start(place, workflow, tag, versions)
        reporter.say(f"Started {workflow} at {tag}")
        print(",".join(versions))
    for failure in made.failures:
        reporter.fail(f"nodelayer: {failure}")
    if made.failures:
        raise Exit(code=made.failures[0].code)


@task(
    name="push-manifest",
    positional=["fragments"],
    help={
        "fragments": "a manifest, or a folder with many of them",
        "branch": "the branch that holds the manifest, and nothing else; made where there is none",
        "remote": "name of a remote, or its address",
        "message": "of the commit",
        "outputs": step_outputs.HELP,
    },
)
@command
def push_manifest(
    _ctx: Context,
    fragments: str,
    branch: str = manifest_branch.BRANCH,
    remote: str = "origin",
    message: str = "Layers published",
    outputs: str = "",
) -> None:
    """Merge manifests into the one on the branch layers and push it; many at once lose nothing."""
    reporter = Reporter()
    place = manifest_branch.ManifestBranch(git.open_git(Path.cwd(), os.environ), remote, branch)
    pushed = manifest_branch.push(manifest_branch.read_fragments(Path(fragments)), place, message, reporter)
    _tell(outputs, {"added": len(pushed.added), "commit": pushed.commit})
    print(tables.columns(pushed.added), end="")
    manifest_branch.say(pushed, place, reporter)


@task(
    name="fetch-manifest",
    help={
        "branch": "the branch that holds the manifest",
        "remote": "name of a remote, or its address",
        "out": "the file; what it has already is kept",
    },
)
@command
def fetch_manifest(
    _ctx: Context, branch: str = manifest_branch.BRANCH, remote: str = "origin", out: str = manifests.FILE
) -> None:
    """Write the manifest of the branch layers to a file; an empty one where there is no branch yet."""
    manifests.check_writable(Path(out))
    fetched = manifest_branch.fetch(
        manifest_branch.ManifestBranch(git.open_git(Path.cwd(), os.environ), remote, branch)
    )
    merged = manifests.update(Path(out), lambda known: known.merge(fetched))
    own = "" if merged == fetched else ", and what the file had of its own"
    Reporter().say(f"{len(fetched.layers)} layers{own}")
    print(out)


@task(
    name="check-tag",
    positional=["tag"],
    help={
        "tag": "the tag that was pushed, as in v1.2.3",
        "released": "and has a published release at GitHub already",
        "outputs": step_outputs.HELP + " (tag, version, major, prerelease)",
    },
)
@command
def check_tag(_ctx: Context, tag: str, released: bool = False, outputs: str = "") -> None:  # noqa: FBT001, FBT002
    """Check that a tag is this checkout's version, and that the changelog tells of it; print the version."""
    checked = own_release.check_tag(tag, ROOT)
    if released:
        watching.check_released(github.open_github(os.environ, Reporter()), tag)
    step_outputs.write(outputs, checked.outputs)
    print(checked.version)


@task(
    name="release-notes",
    help={
        "tag": "the release of nodelayer, as in v1.2.3: its changelog, and the layers it built",
        "node": "notes of new releases of Node.js instead, without changelog: versions with commas between",
        "manifest": "file or URL of the manifest; no AWS credentials are needed",
        "dist": "folder with built layers: those are among the release's assets",
        "repository": "OWNER/REPOSITORY on GitHub (default: $GITHUB_REPOSITORY)",
    },
)
@command
def print_release_notes(
    _ctx: Context,
    tag: str,
    node: str = "",
    manifest: str = "layers.json",
    dist: str = "dist",
    repository: str = "",
) -> None:
    """Print the notes of a GitHub release as Markdown: what is new, layers, ARNs, how to verify them."""
    known = manifests.open_manifest(manifest)
    print(_told(tag, known, node, Path(dist), repository, Reporter()), end="")


def _manifest_or_none(place: str) -> manifests.Manifest:
    """The manifest, an empty one where nothing has been published yet."""
    try:
        return manifests.open_manifest(place)
    except NotFoundError:
        return manifests.Manifest()


def _text_of(file: str, flag: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise machine_error(error, Path(file), flag) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError("not text in UTF-8", where=file, todo=f"mend {flag}") from error


def _matrix(
    wish: matrices.MatrixRequest,
    supported: str,
    source: str,
    architectures: Sequence[architecture.Architecture],
    reporter: Reporter,
) -> matrices.Matrix:
    """The matrix of a wish on this day; what is left out is told."""
    chosen = supporting.load(Path(supported) if supported else ROOT / supporting.FILE)
    opened = build_context(source, signature=True).source
    releases = {each: opened.releases(each) for each in chosen.of(architectures)}
    made = matrices.plan(chosen, releases, wish, today=datetime.now(UTC).date())
    for line in made.left_out:
        reporter.say(line)
    return made


def _notes(tag: str, manifest: str, assets: Path, repository: str, reporter: Reporter) -> str:
    """The notes of a release, whose part of the manifest is laid among the assets."""
    known = manifests.open_manifest(manifest)
    manifests.copy_into(assets, known.of_nodelayer(own_release.version_of(tag)))
    return _told(tag, known, "", assets, repository, reporter)


def _told(  # noqa: PLR0913, PLR0917 - what notes are made of
    tag: str, known: manifests.Manifest, node: str, dist: Path, repository: str, reporter: Reporter
) -> str:
    version = own_release.version_of(tag)
    told = release_notes.tell(
        version,
        known,
        artifact.built_records(dist),
        nodes=node_release.split(node) if node else (),
        changes="" if node else own_release.changes(version, ROOT),
        repository=repository or os.environ.get("GITHUB_REPOSITORY", ""),
    )
    text, left_out = release_notes.render(told)
    if left_out:
        reporter.warn(
            f"longer than GitHub takes, so left out of the notes: the tables of {' and '.join(left_out)}"
        )
    return text


def _tell(place: str, values: Mapping[str, object]) -> None:
    step_outputs.write(place, {name: str(value) for name, value in values.items()})
