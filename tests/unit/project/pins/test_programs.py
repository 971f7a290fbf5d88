"""Pinned programs of other projects, and the newest version that pip finds."""

import pytest
from support import ROOT

from nodelayer.emulation import ministack
from nodelayer.errors import UnreachableError
from nodelayer.project.pins import programs
from nodelayer.util import venv

EQUAL = "=" * 2  # so that this file has no pins of its own
TEXT = f"""\
ONE = "moto[server]{EQUAL}5.9.0"
TWO = ("awscli{EQUAL}1.46.3", "gone{EQUAL}1.0.0")
# "moto" is {EQUAL}5.9.0 there
THREE = 'moto{EQUAL}5.9.0'
FOUR = "ahead{EQUAL}2.0.0"
"""


@pytest.fixture
def root(tmp_path):
    for folder in ("nodelayer/emulation", "tests/unit", "benchmarks"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(TEXT)
    return tmp_path


def newest(name):
    """Return a newer, the same or an older version; one program does not exist."""
    try:
        return {"moto": "5.10.0", "awscli": "1.46.3", "ahead": "1.9.0"}[name]
    except KeyError:
        raise UnreachableError("pip cannot install a package", where=name) from None


def test_only_outdated_programs_are_pinned_to_the_newest_version(root):
    changes = programs.refresh(root, newest=newest)
    after = TEXT.replace(f"moto[server]{EQUAL}5.9.0", f"moto[server]{EQUAL}5.10.0")
    assert changes.files == {"nodelayer/emulation/a.py": after, "tests/unit/a.py": after}
    assert changes.lines == ["~ moto 5.9.0 -> 5.10.0"]
    assert [str(failure) for failure in changes.failures] == ["pip cannot install a package [gone]"]


@pytest.mark.parametrize("version", ["6.0.0rc1", "6.0.0.dev2", "latest"])
def test_prerelease_is_never_pinned(version):
    assert programs.repinned(TEXT, {"moto": version}) == TEXT


def test_emulator_that_nodelayer_installs_is_pinned():
    version = ministack.MINISTACK.requirement.partition(EQUAL)[2]
    changes = programs.refresh(ROOT, newest=lambda name: "9999.0.0" if name == "ministack" else "0.0.0")
    assert changes.lines == [f"~ ministack {version} -> 9999.0.0"]


@pytest.mark.network
def test_pip_finds_the_newest_version_without_installing_it():
    assert programs.number(venv.newest("ministack")) >= (1, 5, 33)
