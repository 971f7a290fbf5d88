"""The runtime client's modules, each by a file of tests beside this one, on Node.js versions that differ."""

import subprocess
from pathlib import Path

import pytest
from runtime.clients import EVERY_MAJOR

pytestmark = pytest.mark.network

HERE = Path(__file__).resolve().parent
FILES = sorted(file.name for file in HERE.glob("*.test.js"))


@pytest.mark.parametrize("version", EVERY_MAJOR)
@pytest.mark.parametrize("file", FILES)
def test_behaves_as_its_tests_state(file, version, runtimes):
    if why_not := runtimes.why_not("nodelayer", version):
        pytest.skip(why_not)
    node = runtimes.client("nodelayer", version).folder / "nodejs" / "bin" / "node"
    line = [node, HERE / file]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr
