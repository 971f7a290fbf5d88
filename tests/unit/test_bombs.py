"""Small files that describe much: each reader refuses them within 10 seconds and 500 MB."""

import json
import subprocess
import sys

import bombs
import pytest
from support import ROOT

NAMES = [bomb.__name__ for bomb in (*bombs.TARS, *bombs.ZIPS, *bombs.ELFS, *bombs.JSONS)]


@pytest.fixture(scope="module")
def outcomes():
    command = [sys.executable, ROOT / "tests" / "bombs.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_is_refused_before_it_costs_time_or_memory(outcomes, name):
    _, seconds, megabytes, outcome = outcomes[name]
    assert outcome.startswith("refused: ")
    assert outcome.isprintable()
    assert seconds < 10
    assert megabytes < 500
