"""The matrix command, called like in a workflow, with a list of releases from a local web server."""

import json
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from unit.github.test_matrix import entry
from unit.github.test_step_outputs import read

from nodelayer.github import matrix, targets
from nodelayer.manifest.model import Manifest
from nodelayer.node.versions import Release
from nodelayer.version import __version__

pytestmark = pytest.mark.full

BOTH = ["linux-x64", "linux-arm64"]
INDEX = [
    ("v26.1.0", BOTH, False),
    ("v24.5.0", BOTH, "Krypton"),
    ("v24.4.0", BOTH, "Krypton"),
    ("v22.9.0", ["linux-x64"], "Jod"),
    ("v12.16.1", BOTH, "Erbium"),
    ("v10.1.0", BOTH, "Dubnium"),
]
NEWEST = {10: "10.1.0", 12: "12.16.1", 22: "22.9.0", 24: "24.5.0", 26: "26.1.0"}
ONE = {"id": "24.5.0-x86_64", "node": "24.5.0", "arch": "x86_64", "runner": "ubuntu-24.04"}


@pytest.fixture
def site(tmp_path):
    """Serve a folder with a list of releases."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    listed = [
        {"version": version, "date": "2026-01-01", "files": files, "lts": lts}
        for version, files, lts in INDEX
    ]
    (folder / "index.json").write_text(json.dumps(listed))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def run_matrix(invoke, site, tmp_path):
    def run(*flags):
        return invoke(
            "github.matrix",
            "--source=nodejs.org",
            *flags,
            cwd=tmp_path,
            NVM_NODEJS_ORG_MIRROR=site[1],
            NODELAYER_CACHE_DIR=tmp_path / "cache",
        )

    return run


def jobs(outcome):
    return json.loads(outcome.out)["include"]


def test_matrix_prints_json_on_stdout_a_table_on_stderr_and_step_outputs(run_matrix, tmp_path):
    outcome = run_matrix("--node=24", f"--outputs={tmp_path / 'outputs'}")
    assert outcome.code == 0, outcome.err
    arm64 = ONE | {"id": "24.5.0-arm64", "arch": "arm64", "runner": "ubuntu-24.04-arm"}
    assert outcome.out == json.dumps({"include": [ONE, arm64]}, separators=(",", ":")) + "\n"
    assert "24.5.0-arm64   ubuntu-24.04-arm" in outcome.lines
    assert "2 layers" in outcome.lines
    assert read((tmp_path / "outputs").read_text()) == {
        "matrix": outcome.out.strip(),
        "any": "true",
    }


def test_default_matrix_depends_on_the_date_and_missing_versions_are_named(run_matrix):
    outcome = run_matrix()
    lines = targets.maintained([Release(version) for version in NEWEST.values()], datetime.now(UTC).date())
    expected = {f"{NEWEST[major]}-x86_64" for major in (*lines, 12)}
    assert expected == {job["id"] for job in jobs(outcome) if job["arch"] == "x86_64"}
    assert "nodelayer: no Node.js 14.21.3 for x86_64 or arm64: nearest: 12.16.1, 22.9.0" in outcome.err
    assert outcome.code == 3


def test_matrix_fails_for_an_unknown_version_after_it_prints_the_others(run_matrix, tmp_path):
    outcome = run_matrix("--node=99,24", "--arch=x86_64", f"--outputs={tmp_path / 'outputs'}")
    assert (outcome.code, jobs(outcome)) == (3, [ONE])
    assert outcome.lines[-1] == "nodelayer: no Node.js 99 for x86_64: nearest: 26.1.0"
    assert read((tmp_path / "outputs").read_text())["any"] == "true"


@pytest.mark.parametrize("how", ["file", "url"])
def test_missing_omits_layers_that_the_manifest_has(run_matrix, site, how):
    folder, url = site
    place = {"file": folder / "layers.json", "url": f"{url}/layers.json"}[how]
    flags = ("--missing", "--node=24,26", f"--manifest={place}")
    assert len(jobs(run_matrix(*flags))) == 4  # no manifest yet
    known = Manifest.of([entry("24.5.0", "x86_64"), entry("26.1.0", "x86_64", nodelayer="0.0.1")])
    (folder / "layers.json").write_text(known.json_text())
    outcome = run_matrix(*flags)
    assert outcome.code == 0, outcome.err
    assert [job["id"] for job in jobs(outcome)] == ["24.5.0-arm64", "26.1.0-x86_64", "26.1.0-arm64"]


def test_a_manifest_that_cannot_be_read_is_an_error(run_matrix, tmp_path):
    (tmp_path / "layers.json").write_text("<<<<<<<")
    outcome = run_matrix("--missing", "--node=24")
    assert (outcome.code, outcome.out) == (5, "")


def test_matrix_prints_the_command_that_starts_the_second_batch(run_matrix, site):
    releases = [
        {"version": f"v12.{n}.0", "date": f"2020-01-{n % 28 + 1:02}", "files": BOTH, "lts": False}
        for n in range(matrix.BATCH)
    ]
    (site[0] / "index.json").write_text(json.dumps(releases))
    outcome = run_matrix("--node=every")
    assert outcome.lines[-2:] == [
        f"{matrix.BATCH} layers, batch 1 of 2. To build the others, run:",
        f"gh workflow run release.yml --ref v{__version__} -f node=every -f batch=2",
    ]
    assert run_matrix("--node=every", "--batch=2").code == 0


@pytest.mark.parametrize(
    "flags",
    ["--node=twelve", "--node=24,", "--node=24,every", "--node=24 --batch=2", "--arch=riscv"],
)
def test_invalid_flag_gives_a_one_line_error_and_no_matrix(run_matrix, flags):
    outcome = run_matrix(*flags.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.lines) == 1
