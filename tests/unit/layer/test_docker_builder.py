"""What can be said of the Docker builder without a daemon."""

import re
from pathlib import Path

import pytest

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import UnreachableError
from nodelayer.layer import docker_builder
from nodelayer.util.console import Reporter

DOCKERFILE = (Path(__file__).resolve().parents[3] / "docker" / "Dockerfile").read_text()


def test_the_dockerfile_by_hand_and_the_builder_start_from_the_same_image():
    default = re.search(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert default[1] == docker_builder.base_reference("provided.al2023", None, X86_64)
    assert "@sha256:" in default[1]


def test_the_stages_are_the_four_the_design_names():
    assert re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE) == [
        "fetch",
        "verify",
        "assemble",
        "export",
    ]


def test_the_older_runtimes_are_built_inside_amazon_linux_2():
    for runtime in ("provided", "provided.al2"):
        assert docker_builder.short(docker_builder.base_reference(runtime, None, X86_64)).endswith(
            "amazonlinux:2"
        )


def test_a_base_image_given_by_name_wins_and_may_name_the_architecture():
    assert docker_builder.base_reference("provided.al2023", "mine:1", X86_64) == "mine:1"
    assert docker_builder.base_reference("provided.al2023", "mine:{arch}", ARM64) == "mine:arm64"


def test_a_daemon_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(UnreachableError, match="no Docker daemon answers") as caught:
        docker_builder.connect(Reporter(quiet=True))
    assert "--builder local" in str(caught.value)
    assert "\n" not in str(caught.value)
