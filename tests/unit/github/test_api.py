"""GitHub through the real gh and a double of its API: what each failure becomes, and what is retried."""

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import github_api
import pytest

from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from nodelayer.github import api as github
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.network
TOKEN = "t0ken-of-a-test"  # noqa: S105 - it opens nothing


@dataclass(frozen=True)
class Desk:
    state: github_api.State
    environ: dict
    waits: list

    def open(self, repository="", **changes):
        opened = github.open_github(self.environ | changes, Reporter(quiet=True), repository)
        return replace(opened, pause=self.waits.append)


@pytest.fixture
def desk(tmp_path, gh_folder):
    with github_api.running(tmp_path / "github") as (state, port):
        path = os.pathsep.join((str(gh_folder), os.environ["PATH"]))
        yield Desk(state, github_api.environ(port, TOKEN, PATH=path, GH_CONFIG_DIR=tmp_path / "gh"), [])


def test_a_list_is_read_to_its_end(desk):
    for number in range(205):
        desk.state.git("update-ref", f"refs/tags/v1.0.{number}", "main")
    assert len(desk.open().every("git/matching-refs/tags/v1.")) == 205
    assert len(desk.state.calls()) == 3


def test_a_failed_call_is_retried_with_longer_waits(desk):
    for _ in range(4):
        desk.state.fault("GET", "releases", "502")
    assert desk.open().every("releases") == []
    assert desk.waits == [1, 2, 4, 8]


def test_a_call_that_keeps_failing_is_unreachable(desk):
    for _ in range(9):
        desk.state.fault("GET", "releases", "502")
    with pytest.raises(UnreachableError, match=r"Server Error \(HTTP 502\)"):
        desk.open().every("releases")
    assert len(desk.state.calls()) == 5


def test_a_post_is_not_sent_twice(desk):
    desk.state.fault("POST", "issues", "502 after")
    with pytest.raises(github.UncertainError):
        desk.open().post("issues", {"title": "One"})
    assert len(desk.state.all("issues")) == 1


def test_a_rate_limit_is_waited_for(desk):
    desk.state.fault("POST", "issues", "limit")
    assert desk.open().post("issues", {"title": "One"})["number"] == 1
    assert desk.waits == [60]


def test_a_wrong_token_is_refused_and_never_shown(desk):
    (desk.state.folder / "config.json").write_text('{"token": "another"}')
    with pytest.raises(RefusedError, match=r"does not accept the credentials.*gh auth login") as refused:
        desk.open(GH_DEBUG="api").get("releases")
    assert TOKEN not in str(refused.value)
    assert desk.waits == []


def test_an_unknown_path_is_named(desk):
    with pytest.raises(NotFoundError, match=r"GET repos/owner/name/releases/9\b"):
        desk.open().get("releases/9")
    assert desk.open().find("releases/9") is None
    desk.open().delete("releases/assets/9")


def test_a_refusal_has_githubs_words(desk):
    with pytest.raises(RefusedError, match=r"GitHub refuses the request .*Reference does not exist"):
        desk.open().patch("git/refs/tags/v1", {"sha": "0" * 40})


def test_a_network_that_is_down_is_unreachable(desk):
    with pytest.raises(UnreachableError, match="GitHub cannot be reached") as failed:
        desk.open(http_proxy="http://127.0.0.1:9").get("releases")
    assert len(str(failed.value).splitlines()) == 1


def test_without_gh_the_error_says_where_to_get_it(desk, tmp_path):
    with pytest.raises(MachineError, match=r"gh is not installed .*cli\.github\.com"):
        desk.open(PATH=str(tmp_path))


def test_the_repository_is_named_or_the_jobs_or_that_of_the_remote(desk, tmp_path, monkeypatch):
    assert desk.open().repository == "owner/name"
    assert desk.open("other/one").repository == "other/one"
    with pytest.raises(InvalidInputError, match="is not a GitHub repository"):
        desk.open("https://github.com/owner/name")
    monkeypatch.chdir(tmp_path)
    remote = "https://github.localhost/owner/name.git"
    subprocess.run(["git", "init", "--quiet", Path.cwd()], check=True)
    subprocess.run(["git", "remote", "add", "origin", remote], check=True)
    assert desk.open(GITHUB_REPOSITORY="").every("releases") == []
