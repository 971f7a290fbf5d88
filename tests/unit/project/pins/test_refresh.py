"""Refreshing pins: each on its own, with one summary at the end."""

import json
import subprocess

import pytest
from support import ROOT, command, environment

from nodelayer.errors import InvalidInputError, MachineError, NotVerifiedError, UnreachableError
from nodelayer.project.pins import (
    abi_policies,
    base_images,
    lts_lines,
    programs,
    refresh,
    release_dates,
    release_keys,
    requirements,
    rie,
    runtimes,
)
from nodelayer.project.pins.pin import Changes, Pin
from nodelayer.util.console import Reporter

ONE_FILE = (base_images, lts_lines, release_dates, release_keys, requirements, rie, runtimes)


def changes(root, *failures, line="~ fact 1 -> 2"):
    return (
        Changes([line], {"fact.txt": "2"}, failures) if (root / "fact.txt").read_text() == "1" else Changes()
    )


def same(_root):
    return Changes()


def fails(_root):
    raise UnreachableError("no such host", where="h", todo="wait")


def crashes(_root):
    raise RuntimeError("a fault")


def partly_fails(root):
    return changes(root, NotVerifiedError("the tag has moved"))


def with_markup(root):
    return changes(root, line="~ ```\n@everyone <b>")


def pin(name, function, **more):
    return Pin(name, f"the {name}", function, **more)


@pytest.fixture(autouse=True)
def fact(tmp_path):
    file = tmp_path / "fact.txt"
    file.write_text("1")
    return file


def run(root, *pins, kept=(), daemon=lambda: None):
    return refresh.refresh(root, pins, kept=kept, daemon=daemon, reporter=Reporter(quiet=True))


def test_failing_pin_does_not_stop_the_others_and_sets_the_exit_code(tmp_path, fact):
    outcomes = run(
        tmp_path, pin("first", fails), pin("second", crashes), pin("third", changes), pin("fourth", same)
    )
    assert [each.changed for each in outcomes] == [False, False, True, False]
    assert [[str(failure) for failure in each.changes.failures] for each in outcomes] == [
        ["no such host [h]: wait"],
        ["RuntimeError: a fault: report this error"],
        [],
        [],
    ]
    assert fact.read_text() == "2"
    assert refresh.exit_code(outcomes, compare=False) == UnreachableError.code


def test_kept_pin_is_compared_but_not_written(tmp_path, fact):
    kept = pin("first", changes)
    outcomes = run(tmp_path, kept, kept=[kept])
    assert (outcomes[0].changed, fact.read_text()) == (True, "1")
    assert refresh.exit_code(outcomes, compare=False) == 0
    assert refresh.exit_code(outcomes, compare=True) == 1


def test_a_pin_that_partly_fails_counts_as_changed_and_as_failed(tmp_path, fact):
    outcomes = run(tmp_path, pin("first", partly_fails))
    assert fact.read_text() == "2"
    assert refresh.exit_code(outcomes, compare=False) == NotVerifiedError.code
    text = refresh.summary(outcomes)
    assert "### Changed: the first\n" in text
    assert "### Failed: the first\n" in text


def test_a_pin_that_needs_docker_is_skipped_without_a_docker_daemon(tmp_path, fact):
    def no_daemon():
        raise UnreachableError("Docker does not answer", todo="start it")

    needs_docker = pin("first", changes, needs_docker=True)
    outcomes = run(tmp_path, needs_docker, daemon=no_daemon)
    assert (refresh.exit_code(outcomes, compare=True), fact.read_text()) == (0, "1")
    assert refresh.summary(outcomes).endswith("Skipped: the first (Docker does not answer).\n")
    assert run(tmp_path, needs_docker)[0].changed


def test_the_summary_names_every_outcome_and_quotes_sources(tmp_path):
    kept = pin("kept", changes)
    text = refresh.summary(
        run(tmp_path, kept, pin("failed", fails), pin("same", same), pin("markup", with_markup), kept=[kept])
    )
    assert "### Outdated, not changed: the kept\n" in text
    assert "```text\n~ fact 1 -> 2\n```" in text
    assert "run `invoke project.refresh --only kept`" in text
    assert "```text\nno such host [h]: wait\n```" in text
    assert "Up to date: `same`.\n" in text
    assert "````text\n~ ```\n@everyone <b>\n````\n" in text
    assert refresh.summary(run(tmp_path, pin("same", same))).startswith("No pin was changed.")


def test_write_summary_fails_if_the_file_cannot_be_written(tmp_path):
    with pytest.raises(MachineError, match="--summary"):
        refresh.write_summary(str(tmp_path / "none" / "file"), [])


def test_choose_returns_the_named_pins_in_the_order_of_the_list():
    assert [each.name for each in refresh.choose("rie, abi", "--only")] == ["abi", "rie"]
    assert refresh.choose("", "--only") == ()
    with pytest.raises(InvalidInputError, match=r"unknown pin 'regoins' \[--only\]: use base-images, abi"):
        refresh.choose("regoins", "--only")


def test_every_pin_module_is_listed_and_documented():
    modules = {path.stem for path in (ROOT / "nodelayer" / "project" / "pins").glob("*.py")}
    listed = {each.refresh.__module__.rpartition(".")[2] for each in refresh.PINS}
    assert listed == modules - {"__init__", "pin", "refresh"}
    page = (ROOT / "docs" / "github-actions.md").read_text()
    for each in refresh.PINS:
        assert f"| `{each.name}` |" in page


def test_refresh_paths_lists_every_file_that_a_pin_can_change():
    text = (ROOT / ".github" / "refresh-paths.txt").read_text()
    listed = [line for line in text.splitlines() if not line.startswith("#")]
    assert listed == sorted(set(listed))
    files = {base_images.DOCKERFILE, *(each.FILE for each in ONE_FILE)}
    files |= {path.relative_to(ROOT).as_posix() for path in (ROOT / abi_policies.FOLDER).glob("*.json")}
    pinned = [path for folder in programs.FOLDERS for path in (ROOT / folder).rglob("*.py")]
    files |= {
        path.relative_to(ROOT).as_posix() for path in pinned if programs.PINNED.search(path.read_text())
    }
    assert set(listed) == files


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


def test_unreachable_source_is_reported_in_log_summary_and_exit_code(tmp_path):
    unreachable_proxy = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:1")
    done = invoke(
        "--only=lts-lines,base-images",
        "--compare",
        f"--summary={tmp_path / 's.md'}",
        f"--outputs={tmp_path / 'o'}",
        **unreachable_proxy,
        NO_PROXY="",
        no_proxy="",
    )
    assert done.returncode == 4
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["base-images", "lts-lines"]
    assert (tmp_path / "s.md").read_text().count("### Failed: ") == 2
    assert (tmp_path / "o").read_text() == "changed=false\n"


@pytest.mark.network
def test_compare_with_the_real_pip_sources_changes_no_file():
    before = {path: path.read_bytes() for path in (ROOT / "nodelayer").rglob("*.json")}
    done = invoke("--only=runtimes,rie", "--compare")
    assert done.returncode in {0, 1}, done.stderr
    assert {line.partition(":")[0] for line in done.stderr.splitlines()} == {"runtimes", "rie"}
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.network
def test_an_outdated_emulator_is_pinned_to_the_newest(tmp_path):
    file = tmp_path / "nodelayer" / "emulation" / "rie.json"
    file.parent.mkdir(parents=True)
    pinned = json.loads((ROOT / "nodelayer" / "emulation" / "rie.json").read_bytes())
    file.write_text(json.dumps({**pinned, "version": "1.0.0", "wheel_sha256": "0" * 64}))
    (outcome,) = run(tmp_path, *refresh.choose("rie", "--only"))
    assert outcome.changes.failures == ()
    assert outcome.changes.lines[0].startswith("~ version 1.0.0 -> ")
    assert json.loads(file.read_bytes())["wheel_sha256"] != "0" * 64
    assert not run(tmp_path, *refresh.choose("rie", "--only"))[0].changed
