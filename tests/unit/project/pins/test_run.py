"""Refreshing all that is pinned: each by its own process, and told at the end."""

import json
import subprocess

import pytest
from support import ROOT, command, environment

from nodelayer.errors import InvalidInputError, MachineError, UnreachableError
from nodelayer.project.pins import run as refresh
from nodelayer.util.console import Reporter

CHANGES = """
import sys
from pathlib import Path
here = Path("facts/{name}.txt")
print("~ {name} 1 -> 2")
if "--write" in sys.argv:
    here.write_text("2")
sys.exit(1 if "--compare" in sys.argv else 0)
"""
SAME = "print('it is the newest')"
FAILS = "import sys; print('no such host [h]: wait', file=sys.stderr); sys.exit(4)"
CRASHES = "raise RuntimeError('a fault')"
HALF = CHANGES.replace("sys.exit(1 if", "print('and one failed', file=sys.stderr)\nsys.exit(5 if 1 or")


def there():
    """A Docker daemon."""


def no_daemon():
    raise UnreachableError("no Docker daemon answers", todo="start it")


@pytest.fixture
def make(tmp_path):
    """Pins of a repository, by the text of the script of each."""

    def made(**scripts):
        (tmp_path / "facts").mkdir()
        pins = []
        for name, text in scripts.items():
            (tmp_path / f"{name}.py").write_text(text.replace("{name}", name))
            (tmp_path / "facts" / f"{name}.txt").write_text("1")
            pins.append(refresh.Pin(name, f"the {name}", (f"{name}.py",), (f"facts/{name}.txt",)))
        return tuple(pins)

    return made


def run(root, pins, kept=(), daemon=there):
    return refresh.run(root, pins, kept=kept, daemon=daemon, reporter=Reporter(quiet=True))


def fact(root, name):
    return (root / "facts" / f"{name}.txt").read_text()


def test_one_that_fails_stops_no_other_and_gives_its_exit_code(make, tmp_path):
    pins = make(first=FAILS, second=CRASHES, third=CHANGES, fourth=SAME)
    done = run(tmp_path, pins)
    assert [each.changed for each in done] == [False, False, True, False]
    assert [each.code for each in done] == [4, 1, 0, 0]
    assert done[0].failures == ("no such host [h]: wait",)
    assert done[1].failures[-1] == "RuntimeError: a fault"
    assert fact(tmp_path, "third") == "2"
    assert refresh.code_of(done, compare=False) == 4


def test_what_is_kept_is_compared_and_not_written(make, tmp_path):
    pins = make(first=CHANGES, second=CHANGES)
    done = run(tmp_path, pins, kept=pins[:1])
    assert [(each.changed, each.kept) for each in done] == [(True, True), (True, False)]
    assert [fact(tmp_path, name) for name in ("first", "second")] == ["1", "2"]
    assert refresh.code_of(done, compare=False) == 0
    assert refresh.code_of(done, compare=True) == 1


def test_a_crash_in_a_comparison_is_a_failure_and_no_difference(make, tmp_path):
    pins = make(first=CRASHES)
    (done,) = run(tmp_path, pins, kept=pins)
    assert (done.changed, done.code) == (False, 1)
    assert done.failures


def test_what_python_leaves_beside_a_script_is_no_change(make, tmp_path):
    (pin,) = make(first="from pathlib import Path; Path('facts/x.pyc').touch(); print('same')")
    (done,) = run(tmp_path, [refresh.Pin(pin.name, pin.what, pin.command, ("facts",))])
    assert not done.changed


def test_what_did_part_of_its_work_is_told_as_changed_and_as_failed(make, tmp_path):
    (done,) = run(tmp_path, make(first=HALF))
    assert (done.changed, done.code, done.failures) == (True, 5, ("and one failed",))
    text = refresh.summary([done])
    assert "### The first\n" in text
    assert "### Failed: the first\n" in text


def test_what_needs_a_daemon_is_skipped_with_its_reason_where_there_is_none(make, tmp_path):
    (pin,) = make(first=CHANGES)
    pin = refresh.Pin(pin.name, pin.what, pin.command, pin.places, docker=True)
    (done,) = run(tmp_path, [pin], daemon=no_daemon)
    assert (done.skipped, done.code, fact(tmp_path, "first")) == ("no Docker daemon answers", 0, "1")
    assert refresh.summary([done]).endswith("Skipped: the first (no Docker daemon answers).\n")
    (done,) = run(tmp_path, [pin])
    assert done.changed


def test_what_never_ends_is_ended(make, tmp_path, monkeypatch):
    monkeypatch.setattr(refresh, "_TIMEOUT_S", 1)
    first, second = run(tmp_path, make(first="import time; time.sleep(60)", second=CHANGES))
    assert (first.code, first.failures) == (4, ("not done within 1 s",))
    assert second.changed


def test_the_summary_tells_all_of_it_and_what_a_source_says_is_no_markup(make, tmp_path):
    evil = "print('~ ```\\n@everyone <b>')"
    pins = make(first=CHANGES, second=CHANGES, third=FAILS, fourth=SAME, fifth=evil + CHANGES)
    text = refresh.summary(run(tmp_path, pins, kept=pins[1:2]))
    assert text.startswith("### The first\n\n`first`\n\n```text\n~ first 1 -> 2\n```\n")
    assert "### Behind, and left as it is: the second\n" in text
    assert '`make project.refresh ARGS="--only second"` writes it.' in text
    assert "### Failed: the third\n" in text
    assert "```text\nno such host [h]: wait\n```" in text
    assert "Up to date: `fourth`.\n" in text
    assert "````text\n~ ```\n@everyone <b>\n~ fifth 1 -> 2\n````\n" in text


def test_without_a_change_the_summary_says_so(make, tmp_path):
    assert refresh.summary(run(tmp_path, make(first=SAME))).startswith(
        "Nothing that is pinned was changed.\n"
    )


def test_a_summary_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(MachineError, match="--summary"):
        refresh.write_summary(str(tmp_path / "none" / "file"), [])


def test_pins_are_chosen_by_name_in_their_own_order():
    assert [pin.name for pin in refresh.chosen("rie, abi", "--only")] == ["abi", "rie"]
    assert refresh.chosen("", "--only") == ()
    with pytest.raises(
        InvalidInputError, match=r"nothing pinned is called regoins \[--keep\]: it is base-images"
    ):
        refresh.chosen("regoins", "--keep")


def test_every_script_and_every_place_is_there():
    for pin in refresh.PINS:
        assert (ROOT / pin.command[0]).is_file()
        assert any((ROOT / place).exists() for place in pin.places)


def test_every_script_that_refreshes_is_run_and_documented():
    scripts = {path.name for path in (ROOT / "scripts").glob("refresh_*.py")} | {"derive_abi_policy.py"}
    assert {pin.command[0] for pin in refresh.PINS} == {f"scripts/{name}" for name in scripts}
    page = (ROOT / "docs" / "refreshing.md").read_text()
    for pin in refresh.PINS:
        assert f"| `{pin.name}` |" in page
        assert f"`{pin.command[0]}`" in page


def test_the_workflow_asks_for_all_and_keeps_what_its_token_may_not_change():
    workflow = (ROOT / ".github" / "workflows" / "refresh.yml").read_text()
    assert "vars.REFRESH_APP_CLIENT_ID == '' && 'actions'" in workflow
    assert refresh.chosen("actions", "--keep")


# ---- as a command


def invoke(*arguments, **changes):
    return subprocess.run(
        command("project.refresh", *arguments),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment(**changes),
    )


def test_an_unknown_name_is_one_line():
    done = invoke("--only=nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nodelayer: nothing pinned is called nothing [--only]: it is base-images, ")


def test_a_source_that_does_not_answer_is_told_in_log_summary_and_exit_code(tmp_path):
    nobody = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:1")
    done = invoke(
        "--only=lts-lines,base-images",
        "--compare",
        f"--summary={tmp_path / 's.md'}",
        f"--outputs={tmp_path / 'o'}",
        **nobody,
        NO_PROXY="",
        no_proxy="",
    )
    assert done.returncode == 4
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["base-images", "lts-lines"]
    assert (tmp_path / "s.md").read_text().count("### Failed: ") == 2
    assert (tmp_path / "o").read_text() == "changed=false\n"


@pytest.mark.network
def test_what_pip_can_tell_is_compared_for_real_and_the_files_stay_as_they_are():
    places = [ROOT / place for pin in refresh.PINS for place in pin.places]
    before = {path: path.read_bytes() for path in places if path.is_file()}
    done = invoke("--only=runtimes,regions,rie", "--compare")
    assert done.returncode in {0, 1}, done.stderr
    assert {line.partition(":")[0] for line in done.stderr.splitlines()} == {"runtimes", "regions", "rie"}
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.network
def test_an_emulator_that_is_behind_is_pinned_to_the_newest(tmp_path):
    """By the script itself, in a repository of its own."""
    for name in ("scripts", "nodelayer"):
        (tmp_path / name).mkdir()
    (tmp_path / "scripts" / "refresh_rie.py").write_text(
        (ROOT / "nodelayer" / "project" / "pins" / "rie.py").read_text()
    )
    for path in (ROOT / "nodelayer").iterdir():
        if path.name != "resources":
            (tmp_path / "nodelayer" / path.name).symlink_to(path)
    (tmp_path / "nodelayer" / "resources").mkdir()
    pinned = json.loads((ROOT / "nodelayer" / "resources" / "rie.json").read_bytes())
    resource = tmp_path / "nodelayer" / "resources" / "rie.json"
    resource.write_text(json.dumps({**pinned, "version": "1.0.0", "wheel_sha256": "0" * 64}))
    (done,) = run(tmp_path, refresh.chosen("rie", "--only"))
    assert (done.failures, done.changed) == ((), True)
    assert done.lines[0].startswith("aws-sam-cli 1.0.0 is pinned, ")
    assert json.loads(resource.read_bytes())["wheel_sha256"] != "0" * 64
    (again,) = run(tmp_path, refresh.chosen("rie", "--only"))
    assert not again.changed
