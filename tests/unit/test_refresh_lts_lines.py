"""The script that keeps the LTS lines those that Node.js publishes."""

import importlib.util
import json

import pytest
from support import ROOT

from nodelayer import node_release
from nodelayer.errors import InvalidInputError, UnreachableError


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh_lts", ROOT / "scripts" / "refresh_lts_lines.py")
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


@pytest.mark.parametrize("text", ["", "[]", "{", '{"v12": 1}'])
def test_what_is_no_schedule_is_one_line_and_nothing_is_written(refresh, files, text):
    folder, arguments = files
    before = (folder / "bundled.json").read_text()
    (folder / "schedule.json").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        refresh.run(["--write", *arguments], resource=folder / "bundled.json")
    assert "\n" not in str(caught.value)
    assert (folder / "bundled.json").read_text() == before


def test_an_address_that_cannot_be_reached_is_one_line(refresh, files):
    folder, _ = files
    with pytest.raises(UnreachableError, match="--index FILE"):
        refresh.run(["--compare", "--index=http://127.0.0.1:9/index.json"], resource=folder / "bundled.json")


def test_the_bundled_lines_are_what_the_script_would_write(refresh):
    text = refresh.BUNDLED.read_text()
    content = json.loads(text)
    assert list(content["lines"]) == sorted(content["lines"], key=int)
    assert {"12", "24", "26"} <= {str(major) for major in node_release.lts_lines()}
