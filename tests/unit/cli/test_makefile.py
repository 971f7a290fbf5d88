"""The messages of make if a value or a program is missing."""

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
def test_make_fails_and_names_the_missing_value(words, says, tmp_path):
    environment = tmp_path / "venv"
    if words == ["build-layer"]:
        environment.mkdir()
        (environment / ".made-from-pyproject").touch()
    line = ["make", "--no-print-directory", f"VENV={environment}", *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (Path(environment) / "bin").exists()
