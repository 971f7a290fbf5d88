"""The benchmark of publishing: what it makes of its figures, and a server that takes nothing but the zip."""

import base64
import importlib.util
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from support import ROOT

NAME = "nodejs-12-16-1-x86_64"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def bench(monkeypatch):
    spec = importlib.util.spec_from_file_location("bench_publish", ROOT / "benchmarks" / "publish.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def measured(bench, one, every):
    def way(name, seconds, bandwidth=0):
        runs = [bench.Run(total, 1, 2, 3, 4, 50_000_000) for total in seconds]
        return bench.Way(name, bandwidth, runs, requests=9)

    return bench.Measured([way(bench.ONE, one), way(bench.ALL, every), way(bench.LOOP, [100])])


def test_a_ratio_is_of_rounds_where_both_were_in_the_same(bench):
    found = measured(bench, [1, 2, 30], [2, 4, 60])
    one, every, loop = found.ways
    assert bench.ratio(every, one) == 2
    assert bench.ratio(loop, every) == 25


@pytest.mark.parametrize(("seconds", "missed"), [(13, []), (14, ["unlimited"])])
def test_a_target_is_met_up_to_its_limit(bench, seconds, missed):
    found = measured(bench, [10], [seconds])
    assert bench.missed(found) == missed
    assert ("**not met**" in bench.markdown(found, "here, now")) == bool(missed)


def test_the_manifest_is_measured_in_every_piece(bench):
    found = bench.Measured()
    bench.measure_manifest(["eu-west-1", "us-east-1"], found, rounds=2, versions=3)
    assert found.manifest_bytes > 0
    assert all(
        len(piece.seconds) == 2 and piece.what in bench.markdown(found, "") for piece in found.manifest
    )


@pytest.mark.parametrize("check", ["all", "windows"])
@pytest.mark.parametrize("bandwidth", [0, 50_000_000])
def test_the_server_takes_the_zip_and_nothing_else(tmp_path, check, bandwidth):
    zipped = tmp_path / "layer.zip"
    zipped.write_bytes(bytes(range(256)) * 50_000)
    command = [sys.executable, ROOT / "benchmarks" / "publish_server.py"]
    command += [f"--zip={zipped}", "--regions=eu-west-1", "--latency=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
            ask(endpoint, "/control", json.dumps({"bandwidth": bandwidth, "check": check}).encode())
            assert publish(endpoint, zipped.read_bytes())["Version"] == 1
            with pytest.raises(urllib.error.HTTPError, match="400"):
                publish(endpoint, zipped.read_bytes()[:-1] + b"?")
            assert ask(endpoint, "/control")["wrong"] == 1
        finally:
            process.kill()


def publish(endpoint, zipped):
    body = json.dumps({"Content": {"ZipFile": base64.b64encode(zipped).decode()}, "Description": ""})
    return ask(endpoint, f"/2018-10-31/layers/{NAME}/versions", io.BytesIO(body.encode()), len(body))


def ask(endpoint, path, data=None, length=None):
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=me/20260101/eu-west-1/lambda/aws4_request"}
    if length is not None:
        headers["Content-Length"] = str(length)
    with DIRECT.open(urllib.request.Request(endpoint + path, data, headers), timeout=30) as answer:  # noqa: S310
        return json.load(answer)
