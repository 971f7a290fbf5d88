"""The runtime client's modules, each by a file of tests beside this one, on Node.js versions that differ."""

import os
import subprocess
from pathlib import Path

import pytest

from nodelayer import architecture
from nodelayer.cache import DownloadCache
from nodelayer.npm import Npm
from nodelayer.progress import Reporter

pytestmark = pytest.mark.network

HERE = Path(__file__).resolve().parent
FILES = sorted(file.name for file in HERE.glob("*.test.js"))
VERSIONS = ["12.16.1", "14.21.3", "18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0"]


@pytest.fixture(scope="module")
def node(cache_folder, tmp_path_factory):
    """The node binary of a version, from the user's cache or npm."""
    source = Npm(cache=DownloadCache(cache_folder), reporter=Reporter(quiet=True), environ=os.environ)
    folder = tmp_path_factory.mktemp("node")

    def binary(version):
        path = folder / version
        if not path.exists():
            path.write_bytes(source.fetch(version, architecture.of_host()).node)
            path.chmod(0o755)
        return path

    return binary


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES)
def test_behaves_as_its_tests_state(file, version, node):
    done = subprocess.run(
        [node(version), HERE / file], capture_output=True, text=True, timeout=120, check=False, cwd=HERE
    )
    assert done.returncode == 0, done.stdout + done.stderr
