"""The GitHub API with the real gh and a fake server: errors and retries."""

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
TOKEN = "t0ken-of-a-test"  # noqa: S105 - not a real token


@dataclass(frozen=True)
class GitHubSession:
    state: github_api.State
    environ: dict
    waits: list

    def open(self, repository="", **changes):
        opened = github.open_github(self.environ | changes, Reporter(quiet=True), repository)
        return replace(opened, pause=self.waits.append)


@pytest.fixture
def session(tmp_path, gh_folder):
    with github_api.running(tmp_path / "github") as (state, port):
        path = os.pathsep.join((str(gh_folder), os.environ["PATH"]))
        yield GitHubSession(
            state, github_api.environ(port, TOKEN, PATH=path, GH_CONFIG_DIR=tmp_path / "gh"), []
        )


def test_list_is_read_with_all_its_pages(session):
    for number in range(205):
        session.state.git("update-ref", f"refs/tags/v1.0.{number}", "main")
    assert len(session.open().every("git/matching-refs/tags/v1.")) == 205
    assert len(session.state.calls()) == 3


def test_a_failed_call_is_retried_with_longer_waits(session):
    for _ in range(4):
        session.state.fault("GET", "releases", "502")
    assert session.open().every("releases") == []
    assert session.waits == [1, 2, 4, 8]


def test_call_fails_as_unreachable_after_five_attempts(session):
    for _ in range(9):
        session.state.fault("GET", "releases", "502")
    with pytest.raises(UnreachableError, match=r"Server Error \(HTTP 502\)"):
        session.open().every("releases")
    assert len(session.state.calls()) == 5


def test_post_is_not_retried_if_its_result_is_uncertain(session):
    session.state.fault("POST", "issues", "502 after")
    with pytest.raises(github.UncertainError):
        session.open().post("issues", {"title": "One"})
    assert len(session.state.all("issues")) == 1


def test_call_waits_for_the_rate_limit(session):
    session.state.fault("POST", "issues", "limit")
    assert session.open().post("issues", {"title": "One"})["number"] == 1
    assert session.waits == [60]


def test_a_wrong_token_is_refused_and_never_shown(session):
    (session.state.folder / "config.json").write_text('{"token": "another"}')
    with pytest.raises(RefusedError, match=r"does not accept the credentials.*gh auth login") as refused:
        session.open(GH_DEBUG="api").get("releases")
    assert TOKEN not in str(refused.value)
    assert session.waits == []


def test_error_names_an_unknown_path(session):
    with pytest.raises(NotFoundError, match=r"GET repos/owner/name/releases/9\b"):
        session.open().get("releases/9")
    assert session.open().find("releases/9") is None
    session.open().delete("releases/assets/9")


def test_error_quotes_the_reason_from_github(session):
    with pytest.raises(RefusedError, match=r"GitHub refuses the request .*Reference does not exist"):
        session.open().patch("git/refs/tags/v1", {"sha": "0" * 40})


def test_network_failure_is_a_one_line_unreachable_error(session):
    with pytest.raises(UnreachableError, match="GitHub cannot be reached") as failed:
        session.open(http_proxy="http://127.0.0.1:9").get("releases")
    assert len(str(failed.value).splitlines()) == 1


def test_without_gh_the_error_says_where_to_get_it(session, tmp_path):
    with pytest.raises(MachineError, match=r"gh is not installed .*cli\.github\.com"):
        session.open(PATH=str(tmp_path))


def test_repository_is_the_given_one_or_that_of_the_job_or_the_git_remote(session, tmp_path, monkeypatch):
    assert session.open().repository == "owner/name"
    assert session.open("other/one").repository == "other/one"
    with pytest.raises(InvalidInputError, match="is not a GitHub repository"):
        session.open("https://github.com/owner/name")
    monkeypatch.chdir(tmp_path)
    remote = "https://github.localhost/owner/name.git"
    subprocess.run(["git", "init", "--quiet", Path.cwd()], check=True)
    subprocess.run(["git", "remote", "add", "origin", remote], check=True)
    assert session.open(GITHUB_REPOSITORY="").every("releases") == []
