"""Mutants of valid files: each reader of foreign bytes accepts them or ends in one line, quickly."""

import base64
import json
import os
import subprocess
import sys
import time
import zlib

import pytest
from fuzz import readers


def run_python(*arguments):
    path = os.pathsep.join(each for each in sys.path if each)
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def read_mutants(capsys, folder, count, *names):
    """Read mutants of these formats in another process; print and return what was seen of each."""
    done = run_python("-m", "fuzz.readers", str(count), folder, *names)
    rows = [json.loads(each) for each in done.stdout.splitlines()]
    with capsys.disabled():
        for row in rows:
            sys.stdout.write(f"\n{', '.join(f'{name} {value}' for name, value in row.items())}")
    assert len(rows) == len(names), done.stderr[-2_000:]
    return rows


def check(rows, count, folder):
    for row in rows:
        if row["failure"]:  # with the mutant, because a runner of GitHub keeps no file
            data = (folder / row["format"].replace("/", "-")).read_bytes()
            pytest.fail(f"{row['failure']}; base64 of zlib: {base64.b64encode(zlib.compress(data)).decode()}")
        assert row["mutants"] >= count
        assert row["slowest_s"] < readers.MOST_S
        assert row["peak_mb"] < readers.MOST_MB


def test_every_seed_is_valid(tmp_path):
    for name, form in readers.FORMATS.items():
        for seed in form.seeds:
            assert (name, readers.refusal(form, form.pack(seed), tmp_path)) == (name, "")


@pytest.mark.full
def test_a_mutant_of_each_format_is_read_or_refused_in_one_line(capsys, tmp_path):
    check(read_mutants(capsys, tmp_path, 50, *readers.FORMATS), 50, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", readers.FORMATS)
def test_10_000_mutants_are_read_or_refused_in_one_line(capsys, tmp_path, name):
    check(read_mutants(capsys, tmp_path, 10_000, name), 10_000, tmp_path)


@pytest.mark.full
def test_each_kind_of_faulty_reader_is_found_with_its_mutant(tmp_path):
    program = f"""
import os, sys
from fuzz import readers
def faulty(fault):
    def read(data, folder):
        if data != b"valid":
            exec(fault)
    return readers.Format(read, [b"valid"])
readers.MOST_S = 1
readers.FORMATS = {{
    "hangs": faulty("while True: pass"),
    "takes memory": faulty("bytearray(600 << 20)"),
    "raises": faulty("1 / 0"),
    "ends the process": faulty("os._exit(0)"),
}}
readers.main(10, {str(tmp_path)!r})
"""
    rows = [json.loads(line) for line in run_python("-c", program).stdout.splitlines()]
    assert [row["format"] for row in rows if row["failure"]] == [
        "hangs",
        "takes memory",
        "raises",
        "ends the process",
    ]
    assert all((tmp_path / row["format"]).read_bytes() != b"valid" for row in rows)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("attestation", b"[" * 100_000),
        ("layer policy", b"[]"),
        ("layer policy", b'{"Statement": [1]}'),
        ("layer policy", b'{"Statement": [{"Effect": "Allow", "Principal": "*", "Condition": []}]}'),
        ("answer", b"[" * 100_000),
        ("log", b"INIT REPORT(durationMs: 1.2.3)"),
        ("log", b"INVOKE RTDONE(status: success, duration: ..ms)"),
        ("log", b"INVOKE RTDONE(" * 500_000),
        ("npm failure", json.dumps({"error": {"code": "E1", "summary": "A" * 100_000}}).encode()),
        ("npm log", b"npm error " + b"A" * 100_000),
        ("code cache outcome", b"[]"),
        ("code cache outcome", b"[" * 100_000),
        ("code cache outcome", json.dumps({"error": "[" * 100_000}).encode()),
        ("manifest", json.dumps({"schema_version": 1, "layers": [{"A" * 100_000: 1}]}).encode()),
    ],
)
def test_a_mutant_that_once_failed_is_read_or_refused_in_one_short_line(name, data, tmp_path):
    started = time.process_time()
    line = readers.refusal(readers.FORMATS[name], data, tmp_path)
    assert time.process_time() - started < readers.MOST_S
    assert line.isprintable()
    assert len(line) < readers.MOST_LINE
