"""The wheel, installed without a checkout."""

import json
import os
import subprocess
import sys
import venv

import pytest
from support import ROOT, Outcome, command
from tools import Tools

from nodelayer.util.cache import DownloadCache

pytestmark = pytest.mark.full

VERSION = "24.21.0"
SAM_CLI = ("aws-sam-cli==1.170.0", "cfn-lint==1.58.0")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Install a wheel of this checkout into a new environment; return the path of `nodelayer`."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    venv.create(folder / "venv", with_pip=True)
    (wheel,) = folder.glob("*.whl")
    install = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    return folder / "venv" / "bin" / "nodelayer"


def run(line, cwd, **variables):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(
        list(map(str, line)), cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.network
def test_installed_program_builds_the_same_zip_as_the_checkout(program, tmp_path):
    project, other = tmp_path / "project", tmp_path / "other"
    (project / "src").mkdir(parents=True)
    other.mkdir()
    (project / ".nvmrc").write_text(f"v{VERSION}\n")
    flags = ("--source=npm", "--builder=local", "--compression=fast")
    installed = run([program, "build-layer", "--node=file", *flags], project / "src")
    assert installed.code == 0, installed.err
    assert installed.out == f"dist/nodejs-{VERSION}-x86_64.zip\n"
    assert run(command("build-layer", f"--node={VERSION}", *flags), other).code == 0
    records = [
        json.loads((folder / "dist" / f"nodejs-{VERSION}-x86_64.json").read_text())
        for folder in (project / "src", other)
    ]
    assert records[0]["sha256"] == records[1]["sha256"]
    answered = run([program, "test-layer", f"--node={VERSION}"], project / "src")
    assert answered.code == 0, answered.err


@pytest.mark.network
def test_installed_program_builds_a_function_with_sam(program, cache_folder, tmp_path):
    sam = Tools(DownloadCache(cache_folder)).pip(*SAM_CLI)
    (tmp_path / "app.mjs").write_text("export const handler = async () => process.version;\n")
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-24-21-0-x86_64:1"
    line = (program, "sam-build", f"--layer-arn={arn}", "--function=.", "--handler=app.handler")
    path = f"{sam / 'bin'}{os.pathsep}{os.environ['PATH']}"
    built = run(line, tmp_path, PATH=path)
    assert built.code == 0, built.err
    function = tmp_path / ".aws-sam" / "build" / "Function"
    assert [each.name for each in function.iterdir()] == ["app.mjs"]


@pytest.mark.network
def test_the_installed_program_prints_the_version_of_the_checkout(program, tmp_path):
    assert run([program, "--version"], tmp_path).out == run([sys.executable, "-c", CHECKOUT], ROOT).out


CHECKOUT = "from nodelayer.version import __version__; print('nodelayer', __version__)"
