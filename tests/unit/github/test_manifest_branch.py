"""The manifest branch with the real git: concurrent pushes, shallow clones, untouched user files."""

import json
import os
import subprocess

import pytest
from support import Outcome, command, environment

from nodelayer.errors import NotVerifiedError, RefusedError, UnreachableError
from nodelayer.github import manifest_branch
from nodelayer.github.manifest_branch import ManifestBranch
from nodelayer.manifest import store
from nodelayer.manifest.model import Layer, Manifest, Published, RuntimeVersion
from nodelayer.manifest.schema import parse
from nodelayer.util.console import Reporter
from nodelayer.util.git import open_git
from nodelayer.version import __version__

QUIET = Reporter(quiet=True)
REGIONS = ("eu-west-1", "us-east-1", "ap-northeast-1")


def entry(node, region="eu-west-1", version=1, nodelayer=__version__):
    name = f"nodejs-{node.replace('.', '-')}-x86_64"
    arn = f"arn:aws:lambda:{region}:123456789012:layer:{name}:{version}"
    return Layer(
        node_version=node,
        architecture="x86_64",
        nodelayer_version=nodelayer,
        layer_name=name,
        code_sha256="A" * 43 + "=",
        size=1,
        compatible_runtimes=["provided.al2023"],
        regions={region: Published(version=version, arn=arn, published="2026-01-02T03:04:05Z")},
    )


def run(*line, cwd, **more):
    done = subprocess.run(
        list(map(str, line)), cwd=cwd, env=environment(**more), capture_output=True, text=True, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def git(folder, *words):
    outcome = run("git", *words, cwd=folder)
    assert outcome.code == 0, outcome.err
    return outcome.out.strip()


@pytest.fixture
def remote(tmp_path):
    """A bare repository with a branch main of three commits."""
    bare, work = tmp_path / "remote.git", tmp_path / "first"
    git(tmp_path, "init", "--quiet", "--bare", "-b", "main", bare)
    git(tmp_path, "init", "--quiet", "-b", "main", work)
    for number in range(3):
        (work / "file").write_text(str(number))
        git(work, "add", ".")
        git(work, "-c", "user.name=N", "-c", "user.email=E", "commit", "--quiet", "-m", str(number))
    git(work, "push", "--quiet", bare, "main")
    return bare


@pytest.fixture
def clone(tmp_path, remote):
    """A shallow clone with uncommitted work."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{remote}", folder)
    (folder / "file").write_text("at work")
    (folder / "new").write_text("new")
    git(folder, "add", "new")
    return folder


def branch_of(folder, remote="origin"):
    return ManifestBranch(open_git(folder, environment(GIT_CONFIG_GLOBAL=os.devnull)), remote)


def on_branch(remote, name="layers.json"):
    return git(remote, "show", f"layers:{name}")


def everything(folder):
    """Return every file of a clone except the objects, and the output of git status."""
    files = [path for path in folder.rglob("*") if path.is_file() and "objects" not in path.parts]
    return {path: path.read_bytes() for path in files}, git(folder, "status", "--porcelain=v2", "--branch")


def test_push_creates_and_extends_a_branch_with_only_the_manifest(remote, clone):
    before = everything(clone)
    branch = branch_of(clone)
    assert manifest_branch.fetch(branch) == Manifest()
    first = manifest_branch.push(Manifest.of([entry("12.16.1")]), branch, "one", QUIET)
    assert [(row[0], row[2]) for row in first.added] == [("12.16.1", "eu-west-1")]
    more = Manifest.of([entry("24.1.0"), entry("12.16.1", "us-east-1")])
    second = manifest_branch.push(more, branch, "two", QUIET)
    assert [(row[0], row[2]) for row in second.added] == [("12.16.1", "us-east-1"), ("24.1.0", "eu-west-1")]
    assert git(remote, "ls-tree", "--name-only", "layers").split() == [
        "layers.json",
        "layers.schema.json",
        "layers.txt",
    ]
    assert on_branch(remote, "layers.txt").count("arn:aws:lambda") == 3
    assert git(remote, "log", "--format=%s", "layers").split() == ["two", "one"]
    assert git(remote, "log", "-1", "--format=%an", "layers") == "github-actions[bot]"
    assert git(remote, "rev-list", "--count", "layers") == "2"  # no commit of main
    assert manifest_branch.fetch(branch) == parse(on_branch(remote).encode(), "")
    assert everything(clone) == before


def test_an_unchanged_manifest_creates_no_commit(remote, clone, tmp_path):
    (tmp_path / "part.json").write_text(Manifest.of([entry("12.16.1")]).json_text())
    line = command(
        "github.push-manifest", tmp_path / "part.json", "--remote", remote, "--outputs", tmp_path / "out"
    )
    first, second = run(*line, cwd=clone), run(*line, cwd=clone)
    assert (first.code, first.out.split()[:3]) == (0, ["12.16.1", "x86_64", "eu-west-1"])
    assert first.lines[-1].endswith("1 layer versions added")
    assert (second.code, second.out) == (0, "")
    assert second.lines[-1].endswith("no change")
    assert git(remote, "rev-list", "--count", "layers") == "1"
    assert (tmp_path / "out").read_text().splitlines()[2:] == ["added=0", "commit="]


def test_ten_concurrent_pushes_lose_no_entry(remote, clone, tmp_path):
    parts = []
    for number in range(10):
        folder = tmp_path / "parts" / str(number)
        folder.mkdir(parents=True)
        layers = [entry(f"12.16.{number}", region) for region in REGIONS]
        for layer in layers:
            (folder / f"{next(iter(layer.regions))}.json").write_text(Manifest.of([layer]).json_text())
        parts.append(folder)
    running = [
        subprocess.Popen(
            command("github.push-manifest", part),
            cwd=clone,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for part in parts
    ]
    ended = [(each.communicate()[1], each.returncode) for each in running]
    assert [code for _, code in ended] == [0] * 10, ended
    assert any("somebody else pushed first" in message for message, _ in ended)
    recorded = parse(on_branch(remote).encode(), "")
    assert {(layer.node_version, *sorted(layer.regions)) for layer in recorded.layers} == {
        (f"12.16.{number}", *sorted(REGIONS)) for number in range(10)
    }
    assert git(remote, "rev-list", "--count", "layers") == "10"


def test_push_fails_after_20_attempts(remote, clone, monkeypatch):
    branch = branch_of(clone)
    manifest_branch.push(Manifest.of([entry("12.16.1")]), branch, "one", QUIET)
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY\n"
        'new=$(git -c user.name=N -c user.email=E commit-tree "layers^{tree}" -p layers -m other)\n'
        "git update-ref refs/heads/layers $new\nexit 1\n"
    )
    hook.chmod(0o755)
    for name in ("_FIRST_WAIT_S", "_MOST_WAIT_S"):
        monkeypatch.setattr(manifest_branch, name, 0)
    with pytest.raises(UnreachableError, match="somebody else pushed first, 20 times"):
        manifest_branch.push(Manifest.of([entry("24.1.0")]), branch, "two", QUIET)
    assert git(remote, "rev-list", "--count", "layers") == "21"


def test_a_refused_push_is_not_retried(remote, clone):
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\necho called >> {remote}/calls\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RefusedError, match="pre-receive hook declined"):
        manifest_branch.push(Manifest.of([entry("24.1.0")]), branch_of(clone), "", QUIET)
    assert (remote / "calls").read_text() == "called\n"


def test_new_entry_of_a_newer_nodelayer_is_refused_and_an_old_one_stays(remote, clone, tmp_path):
    newer = tmp_path / "newer.json"
    newer.write_text(Manifest.of([entry("24.1.0", nodelayer="99.0.0")]).json_text())
    outcome = run(*command("github.push-manifest", newer), cwd=clone)
    assert outcome.code == 5
    assert "a new entry for nodejs-24-1-0-x86_64 names nodelayer 99.0.0, but this is " in outcome.err
    assert git(remote, "branch", "--list", "layers") == ""
    arn = "arn:aws:lambda:eu-west-1:123456789012:runtime/nodejs-24/version/24.1.0_99.0.0"
    runtime = RuntimeVersion(
        node_version="24.1.0",
        nodelayer_version="99.0.0",
        architectures=["arm64"],
        image=f"x@sha256:{'0' * 64}",
        published="2026-11-24T20:15:04Z",
    )
    with pytest.raises(NotVerifiedError, match=f"a new entry for {arn} names nodelayer 99"):
        store.accept(Manifest(), Manifest.of([], {arn: runtime}))
    known = Manifest.of([entry("24.1.0", nodelayer="99.0.0")])  # a newer nodelayer wrote the branch
    assert len(store.accept(known, Manifest.of([*known.layers, entry("12.16.1")])).layers) == 2


def test_a_branch_with_other_files_is_not_changed(remote, clone):
    git(remote, "branch", "layers", "main")
    with pytest.raises(NotVerifiedError, match=r"the branch has no layers\.json"):
        manifest_branch.push(Manifest.of([entry("24.1.0")]), branch_of(clone), "one", QUIET)
    assert git(remote, "rev-parse", "layers") == git(remote, "rev-parse", "main")


def test_fetch_fails_if_the_remote_does_not_answer(clone, tmp_path):
    for remote in (tmp_path / "nowhere", "http://user:secret@127.0.0.1:9/x.git"):
        outcome = run(
            *command("github.fetch-manifest", "--remote", remote, "--out", tmp_path / "l.json"), cwd=clone
        )
        assert (outcome.code, len(outcome.lines)) == (UnreachableError.code, 1), outcome.err
        assert "the remote does not answer" in outcome.err
        assert "secret" not in outcome.err
        assert not (tmp_path / "l.json").exists()


def test_fetch_writes_the_manifest_to_a_file(clone, tmp_path):
    line = command("github.fetch-manifest", "--out", tmp_path / "layers.json")
    empty = run(*line, cwd=clone)
    assert (empty.code, empty.out) == (0, f"{tmp_path / 'layers.json'}\n")
    assert json.loads((tmp_path / "layers.json").read_text())["layers"] == []
    manifest_branch.push(Manifest.of([entry("12.16.1")]), branch_of(clone), "one", QUIET)
    assert run(*line, cwd=clone).code == 0
    assert [
        each["node_version"] for each in json.loads((tmp_path / "layers.json").read_text())["layers"]
    ] == ["12.16.1"]


@pytest.mark.network
def test_git_uses_the_credentials_of_gh(clone, tmp_path, gh_folder):
    """Check what git sends to a remote of that host; the token is only in the environment."""
    path = os.pathsep.join((str(gh_folder), os.environ["PATH"]))
    variables = {"PATH": path, "GH_HOST": "github.localhost", "GH_TOKEN": "t0ken", "GH_CONFIG_DIR": tmp_path}
    opened = open_git(clone, environment(**variables))
    sent = "protocol=https\nhost=github.localhost\n\n"
    filled = dict(
        line.split("=", 1) for line in opened.attempt("credential", "fill", sent=sent).out.splitlines()
    )
    assert (filled["username"], filled["password"]) == ("x-access-token", "t0ken")
    shown = opened.run("-c", "alias.line=!cat /proc/$PPID/cmdline", "line")
    assert "gh' auth git-credential" in shown or "gh auth git-credential" in shown
    assert "t0ken" not in shown
