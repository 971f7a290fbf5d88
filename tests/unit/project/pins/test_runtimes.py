"""Dates of Lambda's runtimes, from wheels of cfn-lint."""

import datetime as dt
import json
import zipfile

import pytest
from support import ROOT

from nodelayer.aws.runtimes import Runtime
from nodelayer.errors import NotFoundError, NotVerifiedError
from nodelayer.project.pins import runtimes
from nodelayer.project.pins.pin import resource

FILE = runtimes.FILE
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


@pytest.fixture
def refresh(tmp_path):
    """Compare with a wheel that has this table."""
    file = tmp_path / FILE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"provenance": "p", "as_of": "2026-01-01", "runtimes": KNOWN}))

    def compare(table, path=runtimes.TABLE):
        wheel = tmp_path / "cfn_lint-9.8.7-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as opened:
            opened.writestr(path, table if isinstance(table, str) else json.dumps(table))
        return runtimes.refresh(tmp_path, wheel=wheel)

    return compare


def runtimes_of(changes):
    return json.loads(changes.files[FILE])["runtimes"]


def test_changed_and_new_dates_are_listed_and_written(refresh):
    changes = refresh(TABLE)
    assert changes.lines == [
        "~ provided.al2023 deprecated 2029-06-30 -> 2029-07-31",
        "~ provided.al2023 create_block None -> 2098-08-31",
        "~ provided.al2023 update_block None -> 2098-09-30",
    ]
    assert "cfn-lint 9.8.7" in json.loads(changes.files[FILE])["provenance"]
    assert runtimes_of(changes)["provided"] == KNOWN["provided"]
    assert Runtime("x", **runtimes_of(changes)["provided.al2023"]).create_block == "2098-08-31"


def test_refresh_changes_nothing_if_the_dates_are_the_same(refresh):
    assert refresh({"provided.al2023": {"deprecated": "2029-06-30"}}).files == {}


@pytest.mark.parametrize(("day", "creates"), [("2000-01-01", False), ("2098-01-01", True)])
def test_runtime_allows_no_new_functions_from_its_create_block_date(refresh, day, creates):
    changes = refresh({"provided.al2023": {"deprecated": "2029-06-30", "create-block": day}})
    assert runtimes_of(changes)["provided.al2023"]["creates"] is creates


def test_a_new_runtime_is_a_failure_that_does_not_stop_the_others(refresh):
    changes = refresh({**TABLE, "provided.al2027": {"deprecated": "2033-06-30"}})
    (failure,) = changes.failures
    assert isinstance(failure, NotFoundError)
    assert "AWS has a new runtime: provided.al2027" in str(failure)
    assert runtimes_of(changes)["provided.al2023"]["deprecated"] == "2029-07-31"


@pytest.mark.parametrize("table", ["", "[]", '{"provided": 1}', '{"provided": {"deprecated": "soon"}}'])
def test_invalid_table_is_refused_in_one_line(refresh, table):
    with pytest.raises(NotVerifiedError, match="unexpected format") as caught:
        refresh(table)
    assert "\n" not in str(caught.value)


def test_wheel_without_the_table_is_refused(refresh):
    with pytest.raises(NotVerifiedError, match=r"no item named.*cfn_lint-9\.8\.7"):
        refresh(TABLE, path="elsewhere.json")


def test_bundled_file_has_the_format_that_refresh_writes():
    text = (ROOT / FILE).read_text()
    bundled = json.loads(text)
    written = resource(bundled["provenance"], "runtimes", bundled["runtimes"])
    assert written.replace(dt.datetime.now(tz=dt.UTC).date().isoformat(), bundled["as_of"]) == text
