"""Mutants of valid files: each reader of foreign bytes accepts them or ends in one line, quickly."""

import json
import os
import subprocess
import sys

import pytest
from fuzz import readers


def read_mutants(capsys, folder, count, *names):
    """Read mutants of these formats in another process; print and return what was seen of each."""
    path = os.pathsep.join(each for each in sys.path if each)
    line = [sys.executable, "-W", "ignore", "-m", "fuzz.readers", str(count), folder, *names]
    done = subprocess.run(
        line, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    rows = [json.loads(each) for each in done.stdout.splitlines()]
    with capsys.disabled():
        for row in rows:
            sys.stdout.write(f"\n{', '.join(f'{name} {value}' for name, value in row.items())}")
    assert len(rows) == len(names), done.stderr[-2_000:]
    return rows


def check(rows, count):
    for row in rows:
        assert row["failure"] == ""
        assert row["mutants"] >= count
        assert row["slowest_s"] < readers.MOST_S
        assert row["peak_mb"] < readers.MOST_MB


def test_every_seed_is_valid(tmp_path):
    for name, form in readers.FORMATS.items():
        for seed in form.seeds:
            assert (name, readers.refusal(form, form.pack(seed), tmp_path)) == (name, "")


@pytest.mark.full
def test_a_mutant_of_each_format_is_read_or_refused_in_one_line(capsys, tmp_path):
    check(read_mutants(capsys, tmp_path, 50, *readers.FORMATS), 50)


@pytest.mark.long
@pytest.mark.parametrize("name", readers.FORMATS)
def test_10_000_mutants_are_read_or_refused_in_one_line(capsys, tmp_path, name):
    check(read_mutants(capsys, tmp_path, 10_000, name), 10_000)


@pytest.mark.full
@pytest.mark.parametrize("fault", ["hangs", "takes memory", "raises", "ends the process"])
def test_a_faulty_reader_is_found_with_its_mutant(fault, tmp_path):
    """The harness itself: each kind of fault is a failure, and the file that causes it is kept."""
    faults = {
        "hangs": "while True: pass",
        "takes memory": "bytearray(600 << 20)",
        "raises": "1 / 0",
        "ends the process": "os._exit(0)",
    }
    program = f"""
import os, sys
from fuzz import readers
def read(data, folder):
    if data != b"valid":
        {faults[fault]}
readers.MOST_S = 1
readers.FORMATS = {{"it": readers.Format(read, [b"valid"])}}
readers.main(10, {str(tmp_path)!r})
"""
    path = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["failure"]
    assert (tmp_path / "it").read_bytes() != b"valid"
