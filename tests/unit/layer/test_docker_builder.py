"""Parts of the Docker builder that need no daemon."""

import re
from pathlib import Path

import docker
import pytest

from nodelayer.errors import MachineError, UnreachableError
from nodelayer.layer import docker_builder
from nodelayer.util.console import Reporter

DOCKERFILE = (Path(__file__).resolve().parents[3] / "docker" / "Dockerfile").read_text()


def test_the_image_build_runs_nothing_of_the_layer():
    assert re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE) == ["fetch", "proof"]
    fetch, proof = re.findall(r"^RUN (.*)$", DOCKERFILE, re.MULTILINE)
    assert fetch == "sh /nodelayer/fetch-libraries.sh /nodelayer/lib ${LIBRARIES}"
    assert "/opt/nodejs" not in proof


def test_a_missing_docker_daemon_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(UnreachableError, match="Docker does not answer") as caught:
        docker_builder.connect(Reporter(quiet=True))
    assert "--builder local" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["write /var/lib/docker/tmp/x: no space left on device", "No space left"])
def test_a_full_docker_daemon_is_reported_with_advice(text):
    error = docker_builder._explained(docker.errors.APIError("500 Server Error", explanation=text), "base")
    assert isinstance(error, MachineError)
    assert "Docker has no disk space left" in str(error)
    assert "docker system prune" in str(error)
