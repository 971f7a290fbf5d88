"""Commands run to their end, and layers that several tests look at."""

import json
import subprocess

import pytest
from support import ROOT, Built, Outcome, command, environment

from nodelayer import architecture
from nodelayer.emulation import rie as emulator
from nodelayer.layer import system_library
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

NEEDS_LIBATOMIC = 25


def no_libatomic(arch):
    return system_library.find("libatomic.so.1", *architecture.parse(arch)) is None


@pytest.fixture(scope="session")
def invoke():
    """Run a command to its end."""
    if architecture.of_host() != architecture.X86_64:
        pytest.skip("not x86_64: these tests build and run x86_64 layers")

    def run(*arguments, cwd=None, stdin=None, **changes):
        done = subprocess.run(
            command(*arguments),
            cwd=cwd or ROOT,
            env=environment(**changes),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def layer(invoke, tmp_path_factory):
    """A layer of one version, built once for all tests: locally, from npm, quickly packed."""
    out = tmp_path_factory.mktemp("layers")

    def built(version, arch="x86_64"):
        path = out / f"nodejs-{version}-{arch}.zip"
        if int(version.partition(".")[0]) >= NEEDS_LIBATOMIC and no_libatomic(arch):
            pytest.skip("no libatomic.so.1: apt-get install libatomic1")
        if not path.exists():
            flags = ("--builder=local", "--source=npm", "--compression=fast", f"--out={out}")
            outcome = invoke("build-layer", f"--node={version}", f"--arch={arch}", *flags)
            assert outcome.code == 0, outcome.err
        return Built(path, json.loads(path.with_suffix(".json").read_bytes()))

    return built


@pytest.fixture(scope="session")
def rie(cache_folder):
    """AWS's emulator for this machine."""
    return emulator.rie(
        architecture.of_host(), cache=DownloadCache(cache_folder), reporter=Reporter(quiet=True)
    )
