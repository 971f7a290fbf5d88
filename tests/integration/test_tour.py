"""The whole journey, as a newcomer takes it: one command, no AWS account, no Docker."""

import re
import socket
import subprocess

import pytest
from support import command, environment

from nodelayer.cli import tour

pytestmark = [pytest.mark.network, pytest.mark.full]


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tour")
    return folder, subprocess.run(
        command("tour"),
        cwd=folder,
        env=environment(AWS_PROFILE="nobody", AWS_ENDPOINT_URL="http://127.0.0.1:9", TMPDIR=folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_tour_ends_with_the_response_of_a_function_on_the_published_layer(taken):
    _, done = taken
    assert done.returncode == 0, done.stderr
    answer = done.stderr.split("$ invoke run --layer-arn ")[1]
    assert re.search(r"^\{\"node\":\"v12\.16\.1\",.*\}$", answer, re.MULTILINE)
    assert re.search(r"nodejs-12-16-1-x86_64:1 from eu-west-1: CodeSha256 \S{43}=", answer)


def test_every_step_prints_the_command_that_a_user_would_type(taken):
    _, done = taken
    typed = re.findall(r"^\$ invoke (\S+)", done.stderr, re.MULTILINE)
    assert typed == [step.words[0] for step in tour.steps("12.16.1")]


def test_the_second_publish_finds_nothing_to_do(taken):
    _, done = taken
    assert "0 layer versions published, 3 already published" in done.stderr


def test_it_leaves_nothing_behind(taken):
    folder, done = taken
    assert list(folder.iterdir()) == []
    port = int(re.search(r"at http://127\.0\.0\.1:(\d+);", done.stderr)[1])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_step_that_fails_ends_it_with_its_code_and_its_line(tmp_path):
    done = subprocess.run(
        command("tour", "--node", "12.16.99"),
        cwd=tmp_path,
        env=environment(TMPDIR=tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("nodelayer: this step of the tour failed")
    assert list(tmp_path.iterdir()) == []
