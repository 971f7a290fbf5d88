"""make, the front door: what it says when a value is missing, in the words of make."""

import subprocess
from pathlib import Path

import pytest
from support import ROOT


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["build-layer"], "NODE is missing; for example: make build-layer NODE=24"),
        (["venv", "PYTHON=python9"], "python9 is not installed; use another Python: make PYTHON="),
    ],
)
def test_make_names_what_is_missing(words, says, tmp_path):
    environment = tmp_path / "venv"
    if words == ["build-layer"]:
        environment.mkdir()
        (environment / ".made-from-pyproject").touch()
    line = ["make", "--no-print-directory", f"VENV={environment}", *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (Path(environment) / "bin").exists()
