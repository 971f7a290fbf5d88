"""Dependencies of nodelayer, pinned by hash within the bounds of pyproject.toml."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import ROOT

from nodelayer.errors import UnreachableError
from nodelayer.project.pins import requirements

TEXT = (ROOT / "requirements.txt").read_text()
PINS = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", TEXT, re.MULTILINE))
OLD = """\
[project]
name = "app"
version = "1"
dependencies = ["idna>=3.4,<4"]
"""


@pytest.mark.parametrize(
    "line", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
)
def test_each_dependency_is_pinned_within_the_bounds_of_pyproject(line):
    wanted = Requirement(line)
    assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)])


def test_build_backend_is_pinned_within_the_bounds_of_pyproject():
    (line,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert Requirement(line).specifier.contains(PINS["hatchling"])


def test_each_pin_has_hashes_and_no_index_url():
    blocks = re.split(r"\n(?=\S)", TEXT.strip())[1:]
    assert len(blocks) == len(PINS)
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in TEXT


@pytest.mark.network
def test_outdated_version_is_raised(tmp_path):
    (tmp_path / "pyproject.toml").write_text(OLD)
    file = tmp_path / "requirements.txt"
    file.write_text("idna==3.4\n")
    changes = requirements.refresh(tmp_path)
    assert changes.lines[0].startswith("~ idna 3.4 -> 3.")
    file.write_text(changes.files["requirements.txt"])
    assert not requirements.refresh(tmp_path).files


@pytest.mark.network
def test_refresh_fails_if_the_requirements_have_no_solution(tmp_path):
    (tmp_path / "pyproject.toml").write_text(OLD.replace("idna>=3.4,<4", "idna>=999"))
    with pytest.raises(UnreachableError, match="uv cannot resolve the requirements"):
        requirements.refresh(tmp_path)
