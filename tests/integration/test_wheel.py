"""The wheel, as somebody installs it who has no checkout."""

import json
import os
import subprocess
import sys
import venv

import pytest
from support import ROOT, Outcome, command

pytestmark = pytest.mark.full

VERSION = "24.21.0"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """`nodelayer` in an environment of its own, from a wheel that is built of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    venv.create(folder / "venv", with_pip=True)
    (wheel,) = folder.glob("*.whl")
    install = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    return folder / "venv" / "bin" / "nodelayer"


def run(line, cwd):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, line)), cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.network
def test_the_installed_program_builds_the_bytes_of_the_checkout_where_its_user_stands(program, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "src").mkdir(parents=True)
    there.mkdir()
    (here / ".nvmrc").write_text(f"v{VERSION}\n")
    how = ("--source=npm", "--builder=local", "--compression=fast")
    installed = run([program, "build-layer", "--node=file", *how], here / "src")
    assert installed.code == 0, installed.err
    assert installed.out == f"dist/nodejs-{VERSION}-x86_64.zip\n"
    assert run(command("build-layer", f"--node={VERSION}", *how), there).code == 0
    records = [
        json.loads((folder / "dist" / f"nodejs-{VERSION}-x86_64.json").read_text())
        for folder in (here / "src", there)
    ]
    assert records[0]["sha256"] == records[1]["sha256"]
    answered = run([program, "test-layer", f"--node={VERSION}"], here / "src")
    assert answered.code == 0, answered.err


@pytest.mark.network
def test_the_installed_program_prints_the_version_of_the_checkout(program, tmp_path):
    assert run([program, "--version"], tmp_path).out == run([sys.executable, "-c", CHECKOUT], ROOT).out


CHECKOUT = "from nodelayer.version import __version__; print('nodelayer', __version__)"
