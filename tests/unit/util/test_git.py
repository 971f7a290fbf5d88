"""How git is run: its timeout, its output and its environment."""

import os
import socket
import time

import pytest
from support import environment

from nodelayer.errors import MachineError
from nodelayer.util.git import open_git


@pytest.fixture
def git(tmp_path):
    opened = open_git(tmp_path, environment(GIT_DIR="/of/another", LANGUAGE="de"))
    opened.run("init", "--quiet", "-b", "main")
    return opened


def test_git_waits_for_a_silent_remote_as_long_as_requested(git):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        tried = git.attempt("ls-remote", f"git://127.0.0.1:{silent.getsockname()[1]}/x", seconds=1)
        assert time.monotonic() - began < 10
    assert (tried.code, tried.reason) == (124, "no answer within 1 s")


def test_a_failed_invocation_has_a_reason_and_no_response(git):
    assert git.answer("symbolic-ref", "HEAD") == "refs/heads/main"
    assert git.answer("rev-parse", "--verify", "--quiet", "HEAD") is None
    assert git.attempt("rev-parse", "--verify", "HEAD").reason == "Needed a single revision"


def test_progress_goes_to_standard_error(git, capfd):
    assert git.shown("-c", "alias.say=!echo out; echo err >&2; exit 3; :", "say") == 3
    assert capfd.readouterr() == ("", "out\nerr\n")


def test_status_does_not_write_the_index(git, tmp_path):
    (tmp_path / "file").write_text("x")
    git.run("add", "file")
    index = (tmp_path / ".git" / "index").read_bytes()
    os.utime(tmp_path / "file", (1, 1))
    git.run("status")
    assert (tmp_path / ".git" / "index").read_bytes() == index


@pytest.mark.parametrize("way", ["attempt", "shown"])
def test_a_missing_folder_is_one_line(tmp_path, way):
    with pytest.raises(
        MachineError, match=r"git cannot be started \(No such file or directory\) \[.*/gone\]"
    ):
        getattr(open_git(tmp_path / "gone", environment()), way)("status")
