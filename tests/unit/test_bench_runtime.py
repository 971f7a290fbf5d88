"""The benchmark's Runtime API: it counts right answers only, however the client sends them."""

import importlib.util
import json
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from support import ROOT

BENCHMARK = ROOT / "benchmarks" / "runtime"
EVENT = '{"message":"hello!"}'

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

CLIENT = """
import os, socket, sys
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
api = "/2018-06-01/runtime/invocation/"
link = socket.create_connection((host, int(port)))
replies = link.makefile("rb")

def reply():
    status = replies.readline().split()[1]
    headers = {}
    while (line := replies.readline().strip()):
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    return status, headers, replies.read(int(headers.get("content-length", 0)))

def get():
    return f"GET {api}next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode()

def post(id, body, more=None, kind="response"):
    length = f"Content-Length: {len(body)}\\r\\n" if more is None else more
    return f"POST {api}{id}/{kind} HTTP/1.1\\r\\nHost: x\\r\\n{length}\\r\\n".encode()

link.sendall(get())
while True:
    _, headers, body = reply()
    id = headers["lambda-runtime-aws-request-id"]
    ANSWER
    assert reply()[0] == b"202"
    link.sendall(get())
"""

CHUNKED = r"""
    link.sendall(post(id, b"", "Transfer-Encoding: chunked\r\n") + b"5\r\n" + body[:5])
    link.sendall(b"\r\nf\r\n" + body[5:] + b"\r\n0\r\n\r\n")
"""

CONTINUED = r"""
    link.sendall(post(id, body, f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n"))
    assert reply()[0] == b"100"
    link.sendall(body)
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for name in ("api", "floor"):
        source = BENCHMARK / f"{name}.c"
        subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-o", folder / name, source], check=True)
    (folder / "event.json").write_text(EVENT)
    return folder


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's own modules, which find each other as neighbours."""
    monkeypatch.syspath_prepend(str(BENCHMARK))
    found = {}
    for name in ("rig", "report"):
        spec = importlib.util.spec_from_file_location(name, BENCHMARK / f"{name}.py")
        found[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, found[name])
        spec.loader.exec_module(found[name])
    return found


def feed(programs, client, bursts):
    command = [programs / "api", "--event", programs / "event.json", "--timeout", "5", "--", *client]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as api:
        lines = []
        for burst in bursts:
            api.stdin.write(f"{burst}\n")
            api.stdin.flush()
            lines.append(api.stdout.readline())
        _, said = api.communicate()
    return [json.loads(line) for line in lines if line], said, api.returncode


def scripted(answer):
    return [sys.executable, "-c", CLIENT.replace("ANSWER", answer.strip())]


@pytest.mark.parametrize("floor", [[], ["pipelined"]])
def test_either_floor_answers_every_event_of_every_burst(programs, floor):
    results, said, code = feed(programs, [programs / "floor", *floor], [1, 100, 50])
    assert code == 0, said
    assert [result["cycles"] for result in results] == [0, 99, 49]
    assert 0 < results[0]["first_get_ns"] < results[0]["first_answer_ns"]
    assert 0 < results[1]["p50_ns"] <= results[1]["p99_ns"] <= results[1]["total_ns"]


@pytest.mark.parametrize(
    "answer",
    [
        "link.sendall(post(id, body) + body)",
        "link.sendall(post(id, body)); link.sendall(body[:5]); link.sendall(body[5:])",
        CHUNKED,
        CONTINUED,
    ],
    ids=["at once", "in pieces", "chunked", "after 100 Continue"],
)
def test_an_answer_counts_however_it_is_sent(programs, answer):
    results, said, code = feed(programs, scripted(answer), [10])
    assert code == 0, said
    assert results[0]["cycles"] == 9


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ('link.sendall(post(id, b"null") + b"null")', "is not its event"),
        ('link.sendall(post("another", body) + body)', "expected POST"),
        ('link.sendall(post(id, b"{}", kind="error") + b"{}")', "reports an error"),
        ("link.sendall(get())", "has not answered"),
        ("sys.exit()", "has ended"),
    ],
)
def test_a_client_that_does_anything_else_fails_the_run(programs, answer, complaint):
    results, said, code = feed(programs, scripted(answer), [10])
    assert (results, code) == ([], 1)
    assert complaint in said


@pytest.mark.parametrize("shape", ["text", "records"])
@pytest.mark.parametrize("size", [1_000, 100_000])
def test_an_event_has_its_size_and_is_what_json_is_made_of_again(modules, shape, size):
    rig = modules["rig"]
    text = rig._text(size) if shape == rig.TEXT else rig._records(size)
    assert len(text) == size
    assert json.dumps(json.loads(text), separators=(",", ":")) == text


def test_a_ratio_is_of_rounds_not_of_medians(modules):
    assert modules["report"].ratio([1, 2, 30], [2, 4, 60]) == 0.5


def test_a_target_is_met_up_to_its_limit(modules):
    report, rig = modules["report"], modules["rig"]
    measured = report.Measured(
        loads=[
            report.Load("24.21.0", client, 20, rig.TEXT, us=[us], cpu_us=[1], p99_us=[1])
            for client, us in [(rig.OURS, 40), (rig.RIC.name, 100), (rig.FLOOR, 30)]
        ]
    )
    verdicts = {verdict.what.rpartition("against ")[2]: verdict for verdict in report.verdicts(measured)}
    assert verdicts[rig.RIC.name].met
    assert not verdicts[rig.FLOOR].met
    assert "**not met**" in report.markdown(measured, list(verdicts.values()), ["here", "now"])


def test_the_plot_is_well_formed(modules):
    report, rig = modules["report"], modules["rig"]
    loads = [
        report.Load("24.21.0", client, size, rig.TEXT, us=[us * size])
        for client, us in [(rig.OURS, 1), (rig.RIC.name, 3)]
        for size in (20, 1000)
    ]
    svg = report.plot(report.Measured(loads=loads))
    assert ET.fromstring(svg).tag.endswith("svg")
    assert svg.count("{") == svg.count("}")
