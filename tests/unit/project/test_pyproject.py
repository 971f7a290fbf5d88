"""The version in pyproject.toml: only its own characters change."""

import tomllib

import pytest
from support import ROOT

from nodelayer.errors import InvalidInputError
from nodelayer.project import pyproject
from nodelayer.project.pyproject import FILE, Pyproject

TRAPS = """\
# version = "1.2.3"
[build-system]
requires = ["x==1.2.3"]
version = "1.2.3"

[tool.other]
text = \"\"\"
[project]
version = "1.2.3"
\"\"\"

[project]
name = "x" # "1.2.3"
dependencies = ["1.2.3"]
LINE

[tool.more]
version = "1.2.3"
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "line",
    [
        'version = "1.2.3"',
        "version='1.2.3' # it's \"1.2.3\"",
        '"version"   =   "1.2.3"',
        '  version = """1.2.3"""',
    ],
)
def test_only_the_version_of_the_project_changes(line, end):
    text = TRAPS.replace("LINE", line).replace("\n", end)
    changed = Pyproject(text).with_version("10.0.0")
    assert changed.text == TRAPS.replace("LINE", line.replace("1.2.3", "10.0.0", 1)).replace("\n", end)
    assert changed.version == "10.0.0"


def test_an_inline_table_and_a_dotted_key_are_understood():
    for text in ('project = {name = "1.2.3", version = "1.2.3"}', 'project.version = "1.2.3"'):
        assert tomllib.loads(Pyproject(text).with_version("2.0.0").text)["project"]["version"] == "2.0.0"


def test_this_repository_s_own_file_changes_in_one_line():
    before = Pyproject((ROOT / FILE).read_bytes().decode())
    after = before.with_version("999.0.0")
    lines = zip(before.text.splitlines(), after.text.splitlines(), strict=True)
    assert [new for old, new in lines if old != new] == ['version = "999.0.0"']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project]\nname = 'x'\n", "the project has no version"),
        ("[project]\ndynamic = ['version']\n", "the project has no version"),
        ("[tool.x]\nversion = '1.2.3'\n", "the project has no version"),
        ("project = 1\n", "the project has no version"),
        ("[project\n", "not TOML"),
        *(
            (f"[project]\nversion = {version}\n", "is no semantic version")
            for version in (
                "'1.2'",
                "'v1.2.3'",
                "'1.2.3rc1'",
                "'01.2.3'",
                "'1.2.3+b'",
                "''",
                "12",
                "'1.2.3-01'",
            )
        ),
        ('[project]\nversion = "1.2.\\u0033"\n', "cannot be found"),
    ],
)
def test_what_has_no_version_to_raise_is_refused(text, message):
    with pytest.raises(InvalidInputError, match=message):
        Pyproject(text).with_version("2.0.0")


@pytest.mark.parametrize(
    ("version", "step", "raised"),
    [
        ("0.1.0", "patch", "0.1.1"),
        ("0.1.9", "minor", "0.2.0"),
        ("0.9.9", "major", "1.0.0"),
        ("1.9.9", "patch", "1.9.10"),
        ("1.9.9", "minor", "1.10.0"),
        ("1.9.9", "major", "2.0.0"),
        ("1.2.3-rc.1", "patch", "1.2.3"),
        ("2.0.0-rc.1", "major", "2.0.0"),
    ],
)
def test_a_step_means_what_it_says_before_1_0_too(version, step, raised):
    assert pyproject.raised(version, step) == raised


@pytest.mark.parametrize("step", ["", "Patch", "prerelease", "1.2.3"])
def test_no_other_step_is_taken(step):
    with pytest.raises(InvalidInputError, match="is no step of a version: use patch, minor, major"):
        pyproject.raised("1.2.3", step)
