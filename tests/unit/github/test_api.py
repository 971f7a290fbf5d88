"""GitHub by its own program, the real gh at a double: what each failure becomes, how often it is tried."""

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
    place = desk.open()
    for number in range(205):
        desk.state.git("update-ref", f"refs/tags/v1.0.{number}", "main")
    assert len(place.every("git/matching-refs/tags/v1.")) == 205
    assert len([call for call in desk.state.calls() if "matching-refs" in call]) == 3


@pytest.mark.parametrize("times", [1, 4])
def test_what_fails_is_asked_again_with_longer_waits(desk, times):
    for _ in range(times):
        desk.state.fault("GET", "releases", "502")
    assert desk.open().every("releases") == []
    assert desk.waits == [1, 2, 4, 8][:times]


def test_what_fails_again_and_again_is_unreachable(desk):
    for _ in range(9):
        desk.state.fault("GET", "releases", "502")
    with pytest.raises(UnreachableError, match="GitHub answers 502"):
        desk.open().every("releases")
    assert len(desk.state.calls()) == 5


def test_what_makes_something_is_not_sent_twice_unseen(desk):
    desk.state.fault("POST", "issues", "502 after")
    with pytest.raises(github.UncertainError):
        desk.open().post("issues", {"title": "One"})
    assert len(desk.state.all("issues")) == 1


def test_a_limit_is_waited_for_as_github_says(desk):
    desk.state.fault("POST", "issues", "limit", seconds=7)
    assert desk.open().post("issues", {"title": "One"})["number"] == 1
    assert desk.waits == [7]


def test_a_limit_that_is_far_away_is_told_at_once(desk):
    desk.state.fault("GET", "releases", "limit", seconds=3600)
    with pytest.raises(RefusedError, match="GitHub asks to slow down: You have exceeded a secondary rate"):
        desk.open().every("releases")
    assert desk.waits == []


def test_limits_that_do_not_say_how_long_take_a_minute_and_more():
    unsaid = github.Answer(403, {}, b'{"message": "You have exceeded a secondary rate limit"}')
    assert [unsaid.patience(0, tries) for tries in range(3)] == [60, 120, 240]
    primary = github.Answer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1100"}, b"{}")
    assert (primary.limited, primary.patience(1000, 0)) == (True, 100)
    assert not github.Answer(403, {"x-ratelimit-remaining": "7"}, b'{"message": "No"}').limited


def test_a_token_that_is_wrong_or_missing_is_refused_and_never_shown(desk):
    (desk.state.folder / "config.json").write_text('{"token": "another"}')
    with pytest.raises(RefusedError, match="does not accept the token") as refused:
        desk.open().get("releases")
    assert TOKEN not in str(refused.value)
    with pytest.raises(RefusedError, match="gh auth login"):
        desk.open(GH_TOKEN="").get("releases")
    assert desk.waits == []


def test_what_is_not_there_says_where(desk):
    with pytest.raises(NotFoundError, match=r"GET repos/owner/name/releases/9\b"):
        desk.open().get("releases/9")
    assert desk.open().find("releases/9") is None
    desk.open().delete("releases/assets/9")


def test_what_is_refused_is_told_in_githubs_words(desk):
    place = desk.open()
    with pytest.raises(RefusedError, match="GitHub refuses it: Validation Failed, head invalid"):
        place.post("pulls", {"title": "x", "head": "none", "base": "main"})


def test_a_network_that_is_down_is_unreachable(desk):
    with pytest.raises(UnreachableError, match="GitHub cannot be reached") as failed:
        desk.open(http_proxy="http://127.0.0.1:9").get("releases")
    assert len(str(failed.value).splitlines()) == 1
    assert desk.waits == list(github.WAITS_S)


def test_a_machine_without_gh_says_where_it_comes_from(desk, tmp_path):
    with pytest.raises(MachineError, match=r"gh is not installed .*cli\.github\.com"):
        desk.open(PATH=str(tmp_path))


def test_the_repository_is_named_or_the_jobs_or_that_of_the_remote(desk, tmp_path, monkeypatch):
    assert desk.open().repository == "owner/name"
    assert desk.open("other/one").repository == "other/one"
    with pytest.raises(InvalidInputError, match="is no repository"):
        desk.open("https://github.com/owner/name")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="which repository"):
        desk.open(GITHUB_REPOSITORY="")
    remote = "https://github.localhost/owner/name.git"
    subprocess.run(["git", "init", "--quiet", Path.cwd()], check=True)
    subprocess.run(["git", "remote", "add", "origin", remote], check=True)
    assert desk.open(GITHUB_REPOSITORY="").repository == "owner/name"


def test_variables_that_change_what_gh_prints_are_not_passed_on(desk):
    place = desk.open(GH_DEBUG="api", GH_FORCE_TTY="1", CLICOLOR_FORCE="1", GH_REPO="x/y")
    assert place.get("")["full_name"] == "owner/name"
