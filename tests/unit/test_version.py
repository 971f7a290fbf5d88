"""nodelayer's version is that of the checkout, not that of the installed package."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from support import ROOT

import nodelayer


def test_version_is_that_of_this_checkout():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert nodelayer.__version__ == project["version"]


@pytest.mark.parametrize("version", ["7.8.9", "7.8.9-rc.1"])
def test_version_after_a_release_needs_no_new_installation(tmp_path, version):
    (tmp_path / "nodelayer").mkdir()
    (tmp_path / "nodelayer" / "__init__.py").touch()
    for name in ("project_paths.py", "version.py"):
        shutil.copy(ROOT / "nodelayer" / name, tmp_path / "nodelayer")
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "nodelayer"\nversion = "{version}"\n')
    line = [sys.executable, "-c", "from nodelayer.version import __version__; print(__version__)"]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(line, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == version
