"""The script that raises the oldest boto3 for a new region: by pip, from wheels made up and real."""

import importlib.util
import json
import subprocess
import sys
import zipfile

import boto3
import pytest
from support import ROOT

from nodelayer.errors import InvalidInputError, NotFoundError, UnreachableError

SCRIPT = ROOT / "nodelayer" / "project" / "pins" / "regions.py"
PYPROJECT = '[project]\ndependencies = [\n    "boto3>=1.44,<2", # why\n    "types-boto3>=1.43,<2",\n]\n'


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh_regions", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Index:
    """A folder that pip takes for the only place there is."""

    def __init__(self, folder):
        self.folder = folder

    def wheel(self, name, version, needs="", files=()):
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(self.folder / f"{name}-{version}-py3-none-any.whl", "w") as opened:
            requires = f"Requires-Dist: {needs}\n" if needs else ""
            opened.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
            )
            opened.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            opened.writestr(f"{info}/RECORD", "")
            for path, data in files:
                opened.writestr(path, data)

    def boto3(self, version, core, *regions):
        self.wheel("boto3", version, f"botocore<1.99.0,>={core}")
        aws = {
            "partition": "aws",
            "regions": {region: {} for region in (*regions, "xx-void-1")},
            "services": {"lambda": {"endpoints": {region: {} for region in (*regions, "fips-us-east-1")}}},
        }
        other = {"partition": "aws-iso", "regions": {"us-iso-east-1": {}}, "services": {}}
        data = json.dumps({"partitions": [aws, other]})
        self.wheel("botocore", core, files=[("botocore/data/endpoints.json", data)])


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    return Index(folder)


@pytest.fixture
def pyproject(tmp_path):
    path = tmp_path / "pyproject.toml"
    path.write_text(PYPROJECT)
    return path


def test_a_new_region_raises_the_bound_and_changes_nothing_else(refresh, index, pyproject, capsys):
    index.boto3("1.44.0", "1.44.0", "eu-west-1", "us-east-1")
    index.boto3("1.45.3", "1.45.1", "eu-west-1", "us-east-1", "eu-new-1")
    assert refresh.run(["--compare"], pyproject=pyproject) == 1
    assert pyproject.read_text() == PYPROJECT
    assert refresh.run(["--write"], pyproject=pyproject) == 0
    assert pyproject.read_text() == PYPROJECT.replace('"boto3>=1.44,', '"boto3>=1.45.3,')
    assert capsys.readouterr().out.splitlines() == ["+ eu-new-1 (aws)", "~ boto3>=1.44 -> boto3>=1.45.3"] * 2
    assert refresh.run(["--compare"], pyproject=pyproject) == 0


def test_a_newer_boto3_without_a_new_region_leaves_the_bound_alone(refresh, index, pyproject, capsys):
    index.boto3("1.44.0", "1.44.0", "eu-west-1")
    index.boto3("1.45.3", "1.45.3", "eu-west-1")
    assert refresh.run(["--write"], pyproject=pyproject) == 0
    assert pyproject.read_text() == PYPROJECT
    assert capsys.readouterr().out == "boto3 1.44 knows the 1 regions that 1.45.3 knows\n"


def test_a_region_that_is_gone_is_told_too(refresh, index, pyproject, capsys):
    index.boto3("1.44.0", "1.44.0", "eu-west-1", "eu-old-1")
    index.boto3("1.45.3", "1.45.3", "eu-west-1")
    assert refresh.run(["--compare"], pyproject=pyproject) == 1
    assert capsys.readouterr().out.startswith("- eu-old-1 (aws)\n")


def test_a_bound_that_nobody_has_is_one_line_with_pips_reason(refresh, index, pyproject):
    index.boto3("1.45.3", "1.45.3", "eu-west-1")
    with pytest.raises(UnreachableError, match=r"pip cannot install it \(.*boto3==1\.44") as caught:
        refresh.run(["--write"], pyproject=pyproject)
    assert "\n" not in str(caught.value)
    assert pyproject.read_text() == PYPROJECT


def test_endpoints_that_are_no_longer_there_are_told(refresh, index, pyproject):
    index.wheel("boto3", "1.44.0", "botocore>=1.44.0")
    index.wheel("botocore", "1.44.0")
    with pytest.raises(InvalidInputError, match="no endpoints as botocore had them"):
        refresh.run(["--write"], pyproject=pyproject)
    index.wheel("boto3", "1.44.0")
    with pytest.raises(NotFoundError, match="does not say which botocore"):
        refresh.run(["--write"], pyproject=pyproject)


@pytest.mark.parametrize("text", ["", '"boto3"', '"boto3>=1.44,<2" "boto3>=1.44,<2"'])
def test_a_pyproject_without_one_bound_is_one_line(refresh, pyproject, text):
    pyproject.write_text(text)
    with pytest.raises(InvalidInputError, match="not one"):
        refresh.run(["--compare"], pyproject=pyproject)


@pytest.mark.network
def test_the_real_wheel_says_what_boto3_itself_says(refresh, tmp_path):
    version, places = refresh.regions(f"boto3=={boto3.__version__}", tmp_path)
    assert version == boto3.__version__
    session = boto3.Session()
    assert places == {
        (partition, region)
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("lambda", partition_name=partition)
    }


@pytest.mark.network
def test_run_as_a_command_it_compares_with_the_newest(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--compare"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode in {0, 1}, done.stderr
    assert "boto3" in done.stdout
