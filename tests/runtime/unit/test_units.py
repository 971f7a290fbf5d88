"""Unit tests of the runtime client's modules, in JavaScript, on every major version of Node.js."""

import subprocess
from pathlib import Path

import pytest
from runtime.clients import EVERY_MAJOR

pytestmark = pytest.mark.network

HERE = Path(__file__).resolve().parent
FILES = sorted(file.name for file in HERE.glob("*.test.js"))


@pytest.mark.parametrize("node", EVERY_MAJOR)
@pytest.mark.parametrize("file", FILES)
def test_javascript_unit_tests_pass(file, node, runtimes):
    if why_not := runtimes.why_not("nodelayer", node):
        pytest.skip(why_not)
    program = runtimes.client("nodelayer", node).folder / "nodejs" / "bin" / "node"
    line = [program, HERE / file]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr
