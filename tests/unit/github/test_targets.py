"""The release targets: the format of their file, and the lines maintained on a date."""

from datetime import date

import pytest
from support import ROOT

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import InvalidInputError, MachineError
from nodelayer.github import targets
from nodelayer.node.versions import Release, exact

VALID = """
maintenance = true
versions = ["12.16.1", "lts/iron"]
[runners]
arm64 = "ubuntu-24.04-arm"
x86_64 = "my-runner_2"
"""


def read(folder, text):
    path = folder / "release-targets.toml"
    path.write_text(text)
    return targets.load(path)


def test_targets_of_this_repository_are_lines_and_exact_versions_for_two_architectures():
    found = targets.load(ROOT / targets.FILE)
    assert found.maintenance
    assert "12.16.1" in found.versions
    assert [version for version in found.versions if exact(version) is None] == []
    assert found.runners == {X86_64: "ubuntu-24.04", ARM64: "ubuntu-24.04-arm"}


def test_runners_are_sorted_by_architecture(tmp_path):
    found = read(tmp_path, VALID)
    assert (found.maintenance, found.versions) == (True, ("12.16.1", "lts/iron"))
    assert list(found.runners.items()) == [(X86_64, "my-runner_2"), (ARM64, "ubuntu-24.04-arm")]
    assert found.with_runner([ARM64]) == (ARM64,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("maintenance = true", "", "Object missing required field `maintenance`"),
        ("maintenance = true", "maintenance = true\nlines = 3", "Object contains unknown field `lines`"),
        ('"lts/iron"', '"twelve"', "versions: 'twelve' is not a Node.js version or range"),
        ('"lts/iron"', '"file"', "'file' is not allowed in versions"),
        ('"lts/iron"', "12", "Expected `str`, got `int` - at `$.versions[1]`"),
        ("arm64 =", "riscv =", "unknown architecture 'riscv' in [runners]: use x86_64, arm64"),
        ('"my-runner_2"', '"a,b"', "'a,b' in [runners] is not a runner label"),
        ("[runners]", "[runners", "the file is not TOML"),
    ],
)
def test_error_names_the_file_and_the_key(tmp_path, old, new, message):
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path, VALID.replace(old, new))
    line = str(caught.value)
    assert line.startswith(message)
    assert str(tmp_path / "release-targets.toml") in line
    assert "\n" not in line


def test_a_missing_or_binary_file_is_one_line(tmp_path):
    with pytest.raises(MachineError, match="cannot be read"):
        targets.load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="not TOML"):
        targets.load(tmp_path / "bytes.toml")


def test_an_architecture_without_a_runner_is_left_out_and_an_empty_matrix_is_rejected(tmp_path):
    found = read(tmp_path, VALID.replace('arm64 = "ubuntu-24.04-arm"\n', ""))
    assert found.with_runner([X86_64, ARM64]) == (X86_64,)
    with pytest.raises(InvalidInputError, match="no runner"):
        found.with_runner([ARM64])


EVERY = [Release(f"{major}.1.0") for major in range(4, 27)]


@pytest.mark.parametrize(
    ("day", "majors"),
    [
        (date(2026, 11, 25), (22, 24, 26)),
        (date(2026, 4, 30), (20, 22, 24, 26)),
        (date(2026, 5, 1), (22, 24, 26)),
        (date(2027, 5, 1), (24, 26)),
        (date(2030, 1, 1), ()),
    ],
)
def test_line_is_maintained_through_its_end_of_life_date(day, majors):
    assert targets.maintained(EVERY, day) == majors


def test_a_line_without_a_release_is_not_maintained():
    assert targets.maintained(EVERY[:-2], date(2026, 2, 1)) == (20, 22, 24)
    assert targets.maintained([], date(2026, 2, 1)) == ()


def test_current_line_is_the_newest_above_the_lts_lines():
    newer = [*EVERY, Release("27.0.0")]
    assert targets.maintained(newer, date(2026, 11, 25)) == (22, 24, 26, 27)
    assert 25 not in targets.maintained(EVERY, date(2026, 11, 25))
    assert targets.maintained(EVERY[:-1], date(2026, 2, 1)) == (20, 22, 24, 25)
