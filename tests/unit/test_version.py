"""nodelayer's own version: what the checkout says, whatever was installed from it."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version as installed

import pytest
from support import ROOT

import nodelayer


def told(folder):
    """The version that a nodelayer in that folder gives itself."""
    line = [sys.executable, "-c", "from nodelayer.version import __version__; print(__version__)"]
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        line, env=environ, cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "nodelayer").mkdir()
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "nodelayer" / name, tmp_path / "nodelayer")
    (tmp_path / "nodelayer" / "__init__.py").write_text("")
    return tmp_path


def test_it_is_that_of_this_checkout():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert nodelayer.__version__ == project["version"]


@pytest.mark.parametrize("version", ["7.8.9", "7.8.9-rc.1"])
def test_right_after_a_release_it_is_the_new_one_without_an_installation(copy, version):
    (copy / "pyproject.toml").write_text(f'[project]\nname = "nodelayer"\nversion = "{version}"\n')
    assert told(copy) == version


@pytest.mark.parametrize(
    "text", [None, "[", "[project]\nname = 'other'\nversion = '7.8.9'\n", "[project]\nname = 'nodelayer'\n"]
)
def test_without_a_checkout_it_is_the_installed_one(copy, text):
    if text is not None:
        (copy / "pyproject.toml").write_text(text)
    assert told(copy) == installed("nodelayer")
