"""Releases with the real gh and a fake GitHub server: visible only if complete, also after interruptions."""

import base64
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import github_api
import pytest
from catalog_fixtures import layer
from msgspec import structs
from support import Outcome, command

from nodelayer.errors import NotFoundError, NotVerifiedError, RefusedError
from nodelayer.github import api as github
from nodelayer.github import release as github_release
from nodelayer.github import release_check
from nodelayer.manifest.model import Manifest
from nodelayer.util.console import Reporter

TAG = "v1.2.3"
NOTES = "Layers of Node.js.\n\n- one\n- two\n"
pytestmark = [pytest.mark.network, pytest.mark.full]

RUN = """
import os, sys
from pathlib import Path
from nodelayer.github import api as github
from nodelayer.github import release as github_release
from nodelayer.util.console import Reporter
spec = github_release.ReleaseSpec("v1.2.3", "One", sys.argv[2], Path(sys.argv[1]), move_major=True)
print(github_release.publish(spec, github.open_github(os.environ, Reporter()))[1])
"""
"""The command without Invoke and boto3, because they take a second to import."""


@dataclass(frozen=True)
class ReleaseSession:
    """The fake GitHub server and a folder of files to release."""

    state: github_api.State
    environ: dict
    assets: Path
    notes: Path

    def type(self, *flags, tag=TAG, **more):
        line = command("github.publish-release", "--tag", tag, "--title", "One", "--notes", self.notes)
        done = subprocess.run(
            [*line, "--assets", self.assets, *flags],
            env=self.environ | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def publish(self, **changes):
        """Publish; return the release and whether something changed."""
        given = {"tag": TAG, "title": "One", "notes": NOTES, "folder": self.assets}
        return github_release.publish(github_release.ReleaseSpec(**given | changes), self.github())

    def github(self):
        return replace(github.open_github(self.environ, Reporter(quiet=True)), pause=lambda _: None)

    def tag(self, name, *, annotated=False, commit="main"):
        if annotated:
            who = {"GIT_COMMITTER_NAME": "N", "GIT_COMMITTER_EMAIL": "E"}
            self.state.git("tag", "-a", "-m", name, name, commit, **who)
        else:
            self.state.git("tag", name, commit)

    def commit(self, message):
        """Add a commit to main."""
        who = {f"GIT_{role}_{what}": what for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        made = self.state.git("commit-tree", "main^{tree}", "-p", "main", "-m", message, **who)
        self.state.git("update-ref", "refs/heads/main", made)
        return made

    def release(self):
        (found,) = self.state.releases()
        return found

    def files(self):
        folder = self.state.release_folder(self.release()) / "assets"
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def local(self):
        return {path.name: path.read_bytes() for path in self.assets.iterdir()}

    def changing_calls(self):
        """Return the calls that change something."""
        return [call for call in self.state.calls() if not call.startswith("GET ")]


@pytest.fixture
def session(tmp_path, gh_folder):
    assets, notes = tmp_path / "assets", tmp_path / "notes.md"
    assets.mkdir()
    notes.write_text(NOTES)
    (assets / "nodejs-12.16.1-x86_64.zip").write_bytes(random.Random(1).randbytes(300_000))
    (assets / "nodejs-12.16.1-x86_64.json").write_text("{}")
    (assets / "build+1.txt").write_text("text")
    with github_api.running(tmp_path / "github") as (state, port):
        path = os.pathsep.join((str(gh_folder), os.environ["PATH"]))
        made = ReleaseSession(
            state, github_api.environ(port, PATH=path, GH_CONFIG_DIR=tmp_path / "gh"), assets, notes
        )
        made.tag(TAG, annotated=True)
        yield made


def test_publish_uploads_every_file_before_it_publishes_the_release(session):
    outcome = session.type()
    assert outcome.code == 0, outcome.err
    url = f"https://github.localhost/owner/name/releases/tag/{TAG}"
    assert outcome.out == f"{url}\n"
    assert session.files() == session.local()
    assert set(session.files()) == {
        "SHA256SUMS",
        "build+1.txt",
        "nodejs-12.16.1-x86_64.json",
        "nodejs-12.16.1-x86_64.zip",
    }
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=session.assets, check=False
    )
    assert checked.returncode == 0
    changes = session.changing_calls()
    assert changes[0] == "POST /repos/owner/name/releases 201"
    assert changes[-1].startswith("PATCH /repos/owner/name/releases/")
    release = session.release()
    assert (release["draft"], release["name"], release["make_latest"]) == (False, "One", "true")
    assert release["assets_when_published"] == 4
    assert release["body"] == NOTES.strip()


def test_a_second_run_changes_nothing_and_reports_it(session):
    session.publish(move_major=True)
    before = session.changing_calls()
    outcome = session.type("--move-major")
    assert (outcome.code, outcome.lines) == (0, ["The release is already complete"])
    assert session.changing_calls() == before


def test_changed_notes_and_title_are_updated(session):
    session.publish()
    _, changed = session.publish(notes="Other.\r\n", title="Two")
    assert changed
    assert (session.release()["body"], session.release()["name"]) == ("Other.", "Two")
    assert session.publish(notes="Other.", title="Two")[1] is False


def test_an_additional_file_is_uploaded_and_added_to_the_checksums(session):
    session.publish()
    (session.assets / "new.txt").write_text("new")
    (session.assets / "build+1.txt").unlink()
    session.publish()
    files = session.files()
    assert files["new.txt"] == b"new"
    lines = files["SHA256SUMS"].decode().splitlines()
    assert [line.split("  ")[1] for line in lines] == sorted(set(files) - {"SHA256SUMS"})
    assert all(hashlib.sha256(files[line[66:]]).hexdigest() == line[:64] for line in lines)


def test_published_asset_is_never_replaced_by_other_content(session):
    session.publish()
    before = session.changing_calls()
    (session.assets / "build+1.txt").write_text("other")
    outcome = session.type()
    assert outcome.code == RefusedError.code
    assert len(outcome.lines) == 1
    assert "build+1.txt is already published with other content (sha256:" in outcome.err
    assert session.changing_calls() == before


def test_immutable_release_is_complete_and_refuses_new_files(session):
    (session.state.folder / "config.json").write_text('{"immutable": true}')
    session.publish()
    assert session.files() == session.local()
    assert session.publish()[1] is False
    (session.assets / "new.txt").write_text("new")
    with pytest.raises(RefusedError, match="immutable release"):
        session.publish()


def test_an_existing_draft_is_completed(session):
    connection = session.github()
    release = connection.post("releases", {"tag_name": TAG, "draft": True, "name": "Old"})
    url = release["upload_url"].partition("{")[0]
    for name, text in (("build+1.txt", "text"), ("nodejs-12.16.1-x86_64.json", "other"), ("own.txt", "own")):
        file = session.assets.parent / "sent"
        file.write_text(text)
        connection.upload(f"{url}?name={name.replace('+', '%2B')}", file)
    kept = session.release()["assets"][0]
    session.publish()
    assert session.release()["id"] == release["id"]
    assert kept in session.release()["assets"]
    assert session.files() == session.local() | {"own.txt": b"own"}
    assert b"  own.txt\n" in session.files()["SHA256SUMS"]


@pytest.mark.parametrize("name", ["nodejs-12.16.1-x86_64.zip", "SHA256SUMS"])
def test_an_interrupted_upload_is_sent_again(session, name):
    session.state.fault("POST", "/assets", "cut", skip=0 if name != "SHA256SUMS" else 3)
    session.publish()
    assert [call for call in session.state.calls() if call.endswith("cut")]
    assert {asset["state"] for asset in session.release()["assets"]} == {"uploaded"}
    assert session.files() == session.local()


@pytest.mark.parametrize("do", ["502", "502 after"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/releases$"),
        ("POST", "/releases$"),
        ("POST", "/assets$"),
        ("GET", "/assets$"),
        ("PATCH", "/releases/"),
        ("POST", "/git/refs$"),
    ],
)
def test_a_temporary_github_error_is_retried(session, do, method, path):
    session.state.fault(method, path, do)
    session.publish(move_major=True)
    assert [call for call in session.state.calls() if " 502" in call]
    assert session.release()["draft"] is False
    assert session.files() == session.local()
    assert session.state.git("rev-parse", "v1") == session.state.git("rev-parse", f"{TAG}^{{commit}}")


def test_release_stays_a_draft_if_files_change_during_the_upload(session):
    class Changing(github.GitHub):
        def upload(self, url, file):
            (session.assets / "build+1.txt").write_text("late")
            super().upload(url, file)

    spec = github_release.ReleaseSpec(TAG, "One", NOTES, session.assets)
    with pytest.raises(NotVerifiedError, match="the assets at GitHub still differ from the files"):
        github_release.publish(spec, Changing(**vars(session.github())))
    assert session.release()["draft"] is True


def test_publish_refuses_a_missing_tag(session):
    with pytest.raises(NotFoundError, match=r"GitHub has no tag v9\.0\.0"):
        session.publish(tag="v9.0.0")
    assert session.changing_calls() == []


def test_major_tag_moves_to_the_newest_version_and_never_back(session):
    first = session.state.git("rev-parse", "main")
    session.publish(move_major=True)
    assert session.state.git("rev-parse", "v1") == first
    second = session.commit("second")
    session.tag("v1.10.0")
    session.tag("v10.0.0")
    session.publish(tag="v1.10.0", move_major=True)
    assert session.state.git("rev-parse", "v1") == second
    third = session.commit("third")
    session.tag("v1.2.4")
    session.tag("v1.11.0-rc.1")
    session.publish(tag="v1.2.4", move_major=True)
    session.publish(tag="v1.11.0-rc.1", move_major=True)
    assert third != second
    assert session.state.git("rev-parse", "v1") == second
    latest = {each["tag_name"]: each["make_latest"] for each in session.state.releases()}
    assert latest == {TAG: "false", "v1.10.0": "true", "v1.2.4": "false", "v1.11.0-rc.1": "false"}
    assert [each["prerelease"] for each in session.state.releases()] == [True, False, False, False]


@pytest.mark.parametrize("seed", range(7))
def test_a_release_killed_at_any_call_is_completed_by_the_next_run(session, seed):
    skip = 4 * seed + 1
    session.state.fault(".*", "", random.Random(seed).choice(["hang", "hang after"]), skip=skip)
    line = [sys.executable, "-c", RUN, session.assets, NOTES]
    killed = subprocess.Popen(line, env=session.environ, start_new_session=True)
    until = time.monotonic() + 60
    while not any(call.endswith("hang") for call in session.state.calls()):
        assert time.monotonic() < until
        assert killed.poll() is None, (
            f"finished after {len(session.state.calls())} calls, expected the kill after {skip}"
        )
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    seen = [each for each in session.state.releases() if not each["draft"]]
    assert all(len(each["assets"]) == 4 for each in seen)
    again = subprocess.run(line, env=session.environ, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert session.release()["assets_when_published"] == 4
    assert session.files() == session.local()
    assert sorted(each["name"] for each in session.release()["assets"]) == sorted(session.local())
    assert session.state.git("rev-parse", "v1") == session.state.git("rev-parse", f"{TAG}^{{commit}}")
    third = subprocess.run(line, env=session.environ, capture_output=True, text=True, check=True)
    assert third.stdout == "False\n"


def test_release_check_finds_zips_that_differ_from_the_manifest(session):
    session.publish()
    zipped = (session.assets / "nodejs-12.16.1-x86_64.zip").read_bytes()
    sha256 = base64.b64encode(hashlib.sha256(zipped).digest()).decode()
    same = structs.replace(layer(build="1.2.3"), size=len(zipped), code_sha256=sha256)
    entries = {
        "same": same,
        "changed": structs.replace(same, code_sha256="A" * 43 + "="),
        "missing": layer("24.1.0", build="1.2.3"),
        "no release": layer(build="1.3.0"),
    }
    found = {
        name: [
            (each.arn, each.kind) for each in release_check.compare(Manifest.of([entry]), session.github())
        ]
        for name, entry in entries.items()
    }
    assert found == {
        "same": [],
        "changed": [(TAG, "the asset nodejs-12.16.1-x86_64.zip is not the published zip")],
        "missing": [(TAG, "the release has no asset nodejs-24.1.0-x86_64.zip")],
        "no release": [("v1.3.0", "this tag has no release")],
    }
