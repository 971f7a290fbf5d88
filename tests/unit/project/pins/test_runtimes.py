"""The script that keeps until when AWS keeps each runtime: from wheels that pip gives, made up and real."""

import importlib.util
import json
import subprocess
import sys
import zipfile

import pytest
from support import ROOT

from nodelayer.aws import runtimes
from nodelayer.errors import InvalidInputError, NotFoundError

SCRIPT = ROOT / "nodelayer" / "project" / "pins" / "runtimes.py"
KNOWN = {
    "provided": {
        "system": "Amazon Linux",
        "deprecated": "2024-01-08",
        "create_block": None,
        "update_block": None,
        "creates": False,
    },
    "provided.al2023": {
        "system": "Amazon Linux 2023",
        "deprecated": "2029-06-30",
        "create_block": None,
        "update_block": None,
        "creates": True,
    },
}
TABLE = {
    "nodejs20.x": {"deprecated": "2026-04-30", "create-block": "2027-02-01", "update-block": "2027-03-03"},
    "provided": {"deprecated": "2024-01-08", "create-block": None, "update-block": None, "successor": "x"},
    "provided.al2023": {
        "deprecated": "2029-07-31",
        "create-block": "2098-08-31",
        "update-block": "2098-09-30",
        "successor": None,
    },
}


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh_runtimes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def resource(tmp_path):
    path = tmp_path / "runtimes.json"
    path.write_text(json.dumps({"provenance": "p", "as_of": "2026-01-01", "runtimes": KNOWN}))
    return path


def wheel(folder, table, path="cfnlint/data/AdditionalSpecs/LmbdRuntimeLifecycle.json"):
    made = folder / "cfn_lint-9.8.7-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr(path, table if isinstance(table, str) else json.dumps(table))
    return f"--wheel={made}"


def test_dates_that_moved_or_became_known_are_told_and_written(refresh, resource, tmp_path, capsys):
    flag = wheel(tmp_path, TABLE)
    before = resource.read_bytes()
    assert refresh.run(["--compare", flag], resource=resource) == 1
    assert capsys.readouterr().out.splitlines() == [
        "~ provided.al2023 deprecated: 2029-06-30 -> 2029-07-31",
        "~ provided.al2023 create_block: None -> 2098-08-31",
        "~ provided.al2023 update_block: None -> 2098-09-30",
    ]
    assert resource.read_bytes() == before
    assert refresh.run(["--write", flag], resource=resource) == 0
    written = json.loads(resource.read_bytes())
    assert "cfn-lint 9.8.7" in written["provenance"]
    assert written["runtimes"]["provided"] == KNOWN["provided"]
    assert runtimes.Runtime("x", **written["runtimes"]["provided.al2023"]).create_block == "2098-08-31"
    assert refresh.run(["--compare", flag], resource=resource) == 0


def test_where_nothing_differs_nothing_is_written(refresh, resource, tmp_path):
    table = {"provided.al2023": {"deprecated": "2029-06-30"}}
    before = resource.read_bytes()
    assert refresh.run(["--write", wheel(tmp_path, table)], resource=resource) == 0
    assert resource.read_bytes() == before


@pytest.mark.parametrize(("day", "creates"), [("2000-01-01", False), ("2098-01-01", True)])
def test_no_function_can_be_made_from_the_day_on_that_the_table_says(
    refresh, resource, tmp_path, day, creates
):
    table = {"provided.al2023": {"deprecated": "2029-06-30", "create-block": day}}
    refresh.run(["--write", wheel(tmp_path, table)], resource=resource)
    assert json.loads(resource.read_bytes())["runtimes"]["provided.al2023"]["creates"] is creates


def test_a_runtime_that_is_new_asks_for_a_person_and_keeps_nothing_back(refresh, resource, tmp_path, capsys):
    flag = wheel(tmp_path, {**TABLE, "provided.al2027": {"deprecated": "2033-06-30"}})
    with pytest.raises(NotFoundError, match=r"not known here: provided\.al2027"):
        refresh.run(["--write", flag], resource=resource)
    assert json.loads(resource.read_bytes())["runtimes"]["provided.al2023"]["deprecated"] == "2029-07-31"
    assert "2029-07-31" in capsys.readouterr().out


@pytest.mark.parametrize(
    "table",
    [
        "",
        "[]",
        "{",
        '{"provided": 1}',
        '{"provided": {"deprecated": "soon"}}',
        '{"provided": {"deprecated": 3}}',
    ],
)
def test_what_is_no_table_is_one_line_and_nothing_is_written(refresh, resource, tmp_path, table):
    before = resource.read_bytes()
    flag = wheel(tmp_path, table)
    with pytest.raises((InvalidInputError, NotFoundError)) as caught:
        refresh.run(["--write", flag], resource=resource)
    assert "\n" not in str(caught.value)
    assert resource.read_bytes() == before


def test_a_table_that_went_elsewhere_is_told(refresh, resource, tmp_path):
    with pytest.raises(NotFoundError, match="is not in it"):
        refresh.run(["--compare", wheel(tmp_path, TABLE, path="elsewhere.json")], resource=resource)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"runtimes": {"provided": {}}}'])
def test_a_damaged_resource_is_one_line(refresh, resource, text):
    resource.write_text(text)
    with pytest.raises(InvalidInputError, match="not a list of runtimes"):
        refresh.run(["--compare"], resource=resource)


def test_the_bundled_file_stands_as_the_script_writes_it(refresh):
    bundled = json.loads(refresh.BUNDLED.read_bytes())
    version = bundled["provenance"].partition("cfn-lint ")[2].partition(" ")[0]
    day = refresh.dt.date.fromisoformat(bundled["as_of"])
    assert refresh.BUNDLED.read_text() == refresh.rendered(version, bundled["runtimes"], day)


@pytest.mark.network
def test_the_real_table_has_every_runtime_we_know(refresh, tmp_path):
    newest = refresh.programs.wheel("cfn-lint", tmp_path)
    table = refresh.table(newest)
    for name in runtimes.known():
        assert refresh.dt.date.fromisoformat(table[name]["deprecated"])


@pytest.mark.network
def test_run_as_a_command_it_compares_with_the_newest(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--compare"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode in {0, 1}, done.stderr
    assert done.stdout.startswith(
        "~ " if done.returncode else "the dates of the runtimes are those of cfn-lint "
    )
