"""The script that keeps the LTS lines those that Node.js publishes."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import ROOT

from nodelayer.errors import InvalidInputError, MachineError, NotFoundError, UnreachableError
from nodelayer.node import versions


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location(
        "refresh_lts", ROOT / "nodelayer" / "project" / "pins" / "lts_lines.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path):
    """What is published, what is bundled, and the arguments that name them."""
    index = [
        {"version": "v14.15.1", "lts": "Fermium"},
        {"version": "v14.15.0", "lts": "Fermium"},
        {"version": "v14.14.0", "lts": False},
        {"version": "v12.13.0", "lts": "Erbium"},
        {"version": "v12.9.0", "lts": False},
    ]
    schedule = {
        "v0.12": {"start": "2015-02-06", "end": "2016-12-31"},
        "v12": {"start": "2019-04-23", "lts": "2019-10-21", "end": "2022-04-30", "codename": "Erbium"},
        "v13": {"start": "2019-10-22", "end": "2020-06-01"},
        "v14": {"start": "2020-04-21", "lts": "2020-10-27", "end": "2023-04-30", "codename": "Fermium"},
        "v98": {"start": "2098-04-01", "lts": "2098-10-01", "end": "2101-04-30", "codename": ""},
    }
    erbium = {"codename": "Erbium", "first": "12.13.0", "since": "2019-10-21", "end_of_life": "2022-04-30"}
    bundled = {"provenance": "p", "as_of": "2020-01-01", "lines": {"12": erbium}}
    for name, content in (("index", index), ("schedule", schedule), ("bundled", bundled)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path, [f"--index={tmp_path / 'index.json'}", f"--schedule={tmp_path / 'schedule.json'}"]


def test_compare_says_what_came_and_ends_with_one(refresh, files, capsys):
    folder, arguments = files
    before = (folder / "bundled.json").read_text()
    assert refresh.run(["--compare", *arguments], resource=folder / "bundled.json") == 1
    out = capsys.readouterr().out
    assert out.startswith("+ 14 ")
    assert "14.15.0" in out
    assert (folder / "bundled.json").read_text() == before


def test_write_brings_what_is_published_and_then_nothing_differs(refresh, files):
    folder, arguments = files
    assert refresh.run(["--write", *arguments], resource=folder / "bundled.json") == 0
    assert refresh.run(["--compare", *arguments], resource=folder / "bundled.json") == 0
    written = json.loads((folder / "bundled.json").read_bytes())
    assert list(written["lines"]) == ["12", "14"]
    assert written["provenance"] == "p"


def test_where_nothing_differs_not_even_the_day_is_written(refresh, files):
    folder, arguments = files
    refresh.run(["--write", *arguments], resource=folder / "bundled.json")
    old = {**json.loads((folder / "bundled.json").read_bytes()), "as_of": "2020-01-01"}
    (folder / "bundled.json").write_text(json.dumps(old))
    assert refresh.run(["--write", *arguments], resource=folder / "bundled.json") == 0
    assert json.loads((folder / "bundled.json").read_bytes()) == old


def test_what_neither_source_tells_of_stays(refresh, files):
    folder, arguments = files
    (folder / "index.json").write_text("[]")
    schedule = {"v14": {"lts": "2020-10-27", "end": "2023-04-30", "codename": "Fermium"}}
    (folder / "schedule.json").write_text(json.dumps(schedule))
    before = json.loads((folder / "bundled.json").read_bytes())["lines"]
    assert refresh.run(["--write", *arguments], resource=folder / "bundled.json") == 0
    after = json.loads((folder / "bundled.json").read_bytes())["lines"]
    assert after["12"] == before["12"]
    assert after["14"]["first"] is None


def test_the_first_lts_release_is_the_lowest_whatever_the_order_of_the_index(refresh, files):
    folder, arguments = files
    names = ["14.15.10", "14.15.9", "14.16.0", "14.15.2"]
    index = [{"version": f"v{name}", "lts": "Fermium"} for name in names]
    (folder / "index.json").write_text(json.dumps(index))
    refresh.run(["--write", *arguments], resource=folder / "bundled.json")
    assert json.loads((folder / "bundled.json").read_bytes())["lines"]["14"]["first"] == "14.15.2"


def test_a_first_lts_release_that_was_not_known_is_filled_in(refresh, files, capsys):
    folder, arguments = files
    content = json.loads((folder / "bundled.json").read_bytes())
    content["lines"]["12"]["first"] = None
    (folder / "bundled.json").write_text(json.dumps(content))
    assert refresh.run(["--compare", *arguments], resource=folder / "bundled.json") == 1
    assert "~ 12 first: None -> 12.13.0" in capsys.readouterr().out


def test_an_lts_line_without_a_plan_is_not_passed_over(refresh, files):
    folder, arguments = files
    (folder / "schedule.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="says nothing of 14"):
        refresh.run(["--compare", *arguments], resource=folder / "bundled.json")


def test_what_is_written_is_what_nodelayer_reads(refresh, files, monkeypatch):
    folder, arguments = files
    refresh.run(["--write", *arguments], resource=folder / "bundled.json")
    lines = json.loads((folder / "bundled.json").read_bytes())["lines"]
    read = {
        int(major): versions.LtsLine(
            int(major), line["codename"], line["first"], line["since"], line["end_of_life"]
        )
        for major, line in lines.items()
    }
    monkeypatch.setattr(versions, "lts_lines", lambda: read)
    assert versions.lts_codename("14.15.0") == "Fermium"
    assert versions.lts_codename("14.14.0") is None


def test_a_date_that_moved_is_told(refresh, files, capsys):
    folder, arguments = files
    schedule = json.loads((folder / "schedule.json").read_bytes())
    schedule["v12"]["end"] = "2022-05-01"
    (folder / "schedule.json").write_text(json.dumps(schedule))
    refresh.run(["--compare", *arguments], resource=folder / "bundled.json")
    assert "~ 12 end_of_life: 2022-04-30 -> 2022-05-01" in capsys.readouterr().out


def test_a_line_whose_codename_nobody_says_is_not_made_up(refresh, files):
    folder, arguments = files
    schedule = {"v16": {"lts": "2021-10-26", "end": "2023-09-11", "codename": ""}}
    (folder / "schedule.json").write_text(json.dumps(schedule))
    with pytest.raises(InvalidInputError, match="codename of v16"):
        refresh.run(["--write", *arguments], resource=folder / "bundled.json")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"v12": 1}', '{"v12": {"lts": "soon"}}', "[" * 100_000])
def test_what_is_no_schedule_is_one_line_and_nothing_is_written(refresh, files, text):
    folder, arguments = files
    before = (folder / "bundled.json").read_text()
    (folder / "schedule.json").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        refresh.run(["--write", *arguments], resource=folder / "bundled.json")
    assert "\n" not in str(caught.value)
    assert (folder / "bundled.json").read_text() == before


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"version": "v12"}]', '[{"version": "x", "lts": "A"}]'])
def test_what_is_no_index_is_one_line_and_nothing_is_written(refresh, files, text):
    folder, arguments = files
    before = (folder / "bundled.json").read_text()
    (folder / "index.json").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        refresh.run(["--write", *arguments], resource=folder / "bundled.json")
    assert "\n" not in str(caught.value)
    assert (folder / "bundled.json").read_text() == before


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"provenance": "p", "lines": {"12": {}}}'])
def test_a_damaged_resource_is_one_line(refresh, files, text):
    folder, arguments = files
    (folder / "bundled.json").write_text(text)
    with pytest.raises(InvalidInputError, match="not a list of LTS lines"):
        refresh.run(["--compare", *arguments], resource=folder / "bundled.json")


def test_a_resource_that_cannot_be_written_is_one_line(refresh, files, monkeypatch):
    folder, arguments = files

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder), "write_text", refused)
    with pytest.raises(MachineError, match="cannot be written: Permission denied"):
        refresh.run(["--write", *arguments], resource=folder / "bundled.json")


class Handler(BaseHTTPRequestHandler):
    """Gives the files of a folder."""

    def do_GET(self):
        path = self.server.folder / self.path.strip("/")
        data = path.read_bytes() if path.is_file() else b"not here"
        self.send_response(200 if path.is_file() else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def address(files, monkeypatch):
    """The base address of a server that gives what is published."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder = files[0]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_both_may_come_from_an_address(refresh, files, address, capsys):
    arguments = ["--compare", f"--index={address}/index.json", f"--schedule={address}/schedule.json"]
    assert refresh.run(arguments, resource=files[0] / "bundled.json") == 1
    assert capsys.readouterr().out.startswith("+ 14 ")


def test_an_address_with_nothing_there_is_said_so(refresh, files, address):
    folder, arguments = files
    with pytest.raises(NotFoundError, match=r"it is not there \(404\)"):
        refresh.run(["--compare", *arguments, f"--index={address}/no"], resource=folder / "bundled.json")


def test_run_as_a_command_a_failure_is_one_line_and_its_code(files):
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "nodelayer" / "project" / "pins" / "lts_lines.py",
            "--compare",
            "--index=/nothing/here",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
        cwd=files[0],
    )
    assert done.returncode == 2
    assert done.stderr == "cannot be read: No such file or directory [/nothing/here]\n"


def test_an_address_that_cannot_be_reached_is_one_line(refresh, files):
    folder, _ = files
    with pytest.raises(UnreachableError, match="--index FILE"):
        refresh.run(["--compare", "--index=http://127.0.0.1:9/index.json"], resource=folder / "bundled.json")


def test_the_bundled_lines_are_what_the_script_would_write(refresh):
    text = refresh.BUNDLED.read_text()
    content = json.loads(text)
    assert list(content["lines"]) == sorted(content["lines"], key=int)
    assert {"12", "24", "26"} <= {str(major) for major in versions.lts_lines()}
