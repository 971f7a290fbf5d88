"""Each benchmark completes at a small size and counts only correct responses."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest
from support import ROOT, command

BENCHMARKS = ROOT / "benchmarks"
NODE = ("--node", "12.16.1")
SMALL = {
    "sizes": ("--rounds=1", *NODE),
    "build": ("--rounds=1", *NODE),
    "runtime": ("--rounds=1", *NODE),
    "code_cache": ("--rounds=1", "--node=24.21.0"),
    "endurance": ("--invocations=1000", *NODE),
    "publish": ("--rounds=1", *NODE, "--regions", "eu-west-1"),
    "publish_runtime": (
        *("--rounds=1", "--latency=0.001", "--creating=0.1", "--megabytes=1"),
        *("--regions", "eu-west-1"),
    ),
    "catalog": ("--rounds=1", "--versions=20"),
    "startup": ("--rounds=1",),
}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root: mounts need it")
MARKS = {"catalog": pytest.mark.browser, "code_cache": needs_root, "publish_runtime": (), "startup": ()}
CLIENT = """
import http.client, os
link = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    link.request("GET", "/2018-06-01/runtime/invocation/next")
    reply = link.getresponse()
    event, name = reply.read(), reply.headers["Lambda-Runtime-Aws-Request-Id"]
    link.request("POST", f"/2018-06-01/runtime/invocation/{name}/response", ANSWER)
    link.getresponse().read()
"""

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: apt-get install gcc libc6-dev")


@pytest.fixture
def measure(monkeypatch):
    """Return the module that the benchmarks share."""
    specification = importlib.util.spec_from_file_location("measure", BENCHMARKS / "measure.py")
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "measure", module)  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@needs_gcc
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, pytest.mark.network)) for name in SMALL]
)
@pytest.mark.full
def test_a_benchmark_writes_its_figures(name, tmp_path):
    script = [sys.executable, BENCHMARKS / f"{name}.py", *SMALL[name], "--results", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == done.stdout
    tables = json.loads((tmp_path / f"{name}.json").read_bytes())["tables"]
    figures = [figure for table in tables for ways in table["rows"].values() for figure in ways.values()]
    assert figures
    assert all(rounds and min(rounds) > 0 for rounds in figures)


def test_bench_lists_every_benchmark():
    done = subprocess.run(command("bench", "--only", "none"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(f"use {', '.join(SMALL)}")


def test_interleave_alternates_the_variants_and_verdicts_compare_medians(measure):
    called, times = [], iter([1, 4, 8, 2, 30, 2])

    def way(name):
        called.append(name)
        return next(times)

    rounds = measure.interleave({name: lambda name=name: way(name) for name in ("ours", "peer")}, 3)
    assert called == ["ours", "peer", "peer", "ours", "ours", "peer"]
    table = measure.Table("Time", {"one": rounds}, ours="ours", limits={"peer": 0.5})
    assert table.verdicts() == [["Time: one, compared with peer", "0.5", "0.5", "met"]]
    assert "| one | 2 | 4 (0.5) |" in table.markdown()


@needs_gcc
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [("event", ""), ("iter([event[:1], event[1:]])", ""), ("b'null'", "is not its event")],
    ids=["whole", "chunked", "wrong"],
)
def test_benchmark_runtime_api_counts_only_correct_responses(answer, complaint, tmp_path):
    api = tmp_path / "api"
    warnings = ("-Wall", "-Wextra", "-Werror")
    subprocess.run(["gcc", *warnings, "-O2", "-o", api, BENCHMARKS / "programs" / "api.c"], check=True)
    client = [sys.executable, "-c", CLIENT.replace("ANSWER", answer)]
    done = subprocess.run([api, "--", *client], input="10\n", capture_output=True, text=True, check=False)
    assert (done.returncode, complaint in done.stderr) == (1 if complaint else 0, True)
    assert complaint or json.loads(done.stdout)["cycles"] == 9
