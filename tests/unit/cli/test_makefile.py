"""The arguments that make passes to invoke, and its messages if a value or a program is missing."""

import json
import os
import subprocess
import sys
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


HOSTILE = (
    "$(shell touch {0})",
    "$(eval x:=$(shell touch {0}))",
    "`touch {0}`",
    "$$(touch {0})",
    '"; touch {0}; "',
    "'; touch {0}; '",
    "24\ntouch {0}",
    "24\n\ttouch {0}\n",
    "\\ $X ${{HOME}} $(HOME) # % : =",
)


@pytest.fixture
def arguments(tmp_path):
    """Return a function that runs make with an invoke that prints its arguments, and returns them."""
    program = tmp_path / "bin" / "invoke"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    (tmp_path / ".made-from-pyproject").touch()

    def run(*words, **environ):
        done = subprocess.run(
            ["make", "--no-print-directory", f"VENV={tmp_path}", *words],
            cwd=ROOT,
            env=os.environ | environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("text", HOSTILE)
def test_values_reach_invoke_without_being_evaluated(arguments, tmp_path, text):
    trap = tmp_path / "trap"
    value = text.format(trap)
    flags = [f"--node={value}", f"--arch={value}", f"--builder={value}"]
    values = {"NODE": value, "ARCH": value, "BUILDER": value}
    assert arguments("build-layer", *(f"{name}={each}" for name, each in values.items())) == [
        "build-layer",
        *flags,
    ]
    assert arguments("run", **values) == ["run", *flags]
    assert not trap.exists()


def test_a_target_is_not_evaluated(arguments, tmp_path):
    target = f"run;touch {tmp_path}/trap"
    assert arguments(target, "NODE=24", "ARGS=--timeout 5 --event 'a b'") == [
        target,
        "--node=24",
        "--timeout",
        "5",
        "--event",
        "a b",
    ]
    assert not (tmp_path / "trap").exists()
