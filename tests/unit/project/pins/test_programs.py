"""The script that pins programs of others: what it changes in files, and what pip really says."""

import importlib.util

import pytest
from support import ROOT

from nodelayer.emulation import ministack
from nodelayer.errors import UnreachableError
from nodelayer.util import venv

SCRIPT = ROOT / "nodelayer" / "project" / "pins" / "programs.py"
EQUAL = "=" * 2  # so that the script finds no pins in here
TEXT = f"""\
ONE = "moto[server]{EQUAL}5.9.0"
TWO = ("awscli{EQUAL}1.46.3", "gone{EQUAL}1.0.0")
# "moto" is {EQUAL}5.9.0 there
THREE = 'moto{EQUAL}5.9.0'
FOUR = "ahead{EQUAL}2.0.0"
"""


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh_programs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    for folder in ("nodelayer", "tests/unit", "benchmarks"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(TEXT)
    return tmp_path


def newest(name):
    """What an index has: one that jumps a digit, one that stays, one that lags."""
    try:
        return {"moto": "5.10.0", "awscli": "1.46.3", "ahead": "1.9.0"}[name]
    except KeyError:
        raise UnreachableError("pip cannot install it", where=name) from None


def text(root, folder):
    return (root / folder / "a.py").read_text()


def test_what_is_behind_is_pinned_to_the_newest_and_nothing_else_changes(refresh, root, capsys):
    assert refresh.run(["--write"], root=root, newest=newest) == UnreachableError.code
    changed = TEXT.replace(f"moto[server]{EQUAL}5.9.0", f"moto[server]{EQUAL}5.10.0")
    assert (text(root, "nodelayer"), text(root, "tests/unit"), text(root, "benchmarks")) == (
        changed,
        changed,
        TEXT,
    )
    assert capsys.readouterr() == ("~ moto 5.9.0 -> 5.10.0\n", "pip cannot install it [gone]\n")


def test_comparing_writes_nothing_and_ends_with_one_where_something_is_behind(refresh, root):
    for folder in ("nodelayer", "tests/unit"):
        (root / folder / "a.py").write_text(TEXT.replace("gone", "awscli").replace("1.0.0", "1.46.3"))
    before = text(root, "nodelayer")
    assert refresh.run(["--compare"], root=root, newest=newest) == 1
    assert text(root, "nodelayer") == before
    assert refresh.run(["--write"], root=root, newest=newest) == 0
    assert refresh.run(["--compare"], root=root, newest=newest) == 0


@pytest.mark.parametrize("version", ["6.0.0rc1", "6.0.0.dev2", "latest"])
def test_what_is_no_release_is_not_pinned(refresh, version):
    assert refresh.repinned(TEXT, {"moto": version}) == TEXT


def test_the_emulator_that_nodelayer_installs_is_one_of_them(refresh):
    source = (ROOT / "nodelayer" / "local_aws.py").read_text()
    found = [
        f"{each['name']}{each['extras']}{EQUAL}{each['version']}" for each in refresh._PIN.finditer(source)
    ]
    assert found == [ministack.MINISTACK.requirement]


@pytest.mark.network
def test_pip_says_which_version_is_the_newest_without_installing_it(refresh):
    assert refresh.number(venv.newest("ministack")) >= (1, 5, 33)


@pytest.mark.network
def test_a_package_that_is_not_there_is_one_line():
    with pytest.raises(UnreachableError, match="pip cannot install it") as caught:
        venv.newest(f"pip{EQUAL}0.0.0")
    assert "\n" not in str(caught.value)
