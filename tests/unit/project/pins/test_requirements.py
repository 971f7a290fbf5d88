"""What nodelayer runs on, pinned by hash: that pyproject.toml allows it, and that the script keeps it so."""

import importlib.util
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import ROOT

from nodelayer.errors import UnreachableError

TEXT = (ROOT / "requirements.txt").read_text()
PINS = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", TEXT, re.MULTILINE))
OLD = """\
[project]
name = "app"
version = "1"
dependencies = ["idna>=3.4,<4"]
"""


def load():
    spec = importlib.util.spec_from_file_location(
        "script", ROOT / "nodelayer" / "project" / "pins" / "requirements.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "line", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
)
def test_what_pyproject_asks_for_is_pinned_within_its_bounds(line):
    wanted = Requirement(line)
    assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)])


def test_what_builds_the_installation_is_pinned_as_pyproject_asks():
    (line,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert line == load().BUILD
    assert Requirement(line).specifier.contains(PINS["setuptools"])


def test_each_pin_has_hashes_and_no_place_is_named():
    blocks = re.split(r"\n(?=\S)", TEXT.strip())[1:]
    assert len(blocks) == len(PINS)
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in TEXT


@pytest.mark.network
def test_a_pin_that_is_behind_is_told_and_then_raised(tmp_path, capsys):
    (tmp_path / "pyproject.toml").write_text(OLD)
    file = tmp_path / "requirements.txt"
    file.write_text("idna==3.4\n")
    run = load().run
    assert run(["--compare"], root=tmp_path) == 1
    assert file.read_text() == "idna==3.4\n"
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("idna==")]
    assert told != "idna==3.4"
    assert run(["--write"], root=tmp_path) == 0
    assert told in file.read_text()
    assert run(["--compare"], root=tmp_path) == 0


@pytest.mark.network
def test_what_cannot_be_resolved_is_one_line_and_the_file_stays(tmp_path):
    (tmp_path / "pyproject.toml").write_text(OLD.replace("idna>=3.4,<4", "idna>=999"))
    file = tmp_path / "requirements.txt"
    file.write_text("idna==3.4\n")
    with pytest.raises(UnreachableError, match="uv cannot resolve the requirements"):
        load().run(["--write"], root=tmp_path)
    assert file.read_text() == "idna==3.4\n"


@pytest.mark.network
def test_an_installation_of_the_pins_takes_nothing_else(tmp_path):
    """pip itself refuses what has another hash, or is not named."""
    damaged = tmp_path / "requirements.txt"
    damaged.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", TEXT))
    line = ["download", "--no-deps", "--quiet", "--require-hashes", "-r", damaged, "-d", tmp_path / "got"]
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "python", "-m", "pip", *line], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "DO NOT MATCH" in done.stderr
