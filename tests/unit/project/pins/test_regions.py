"""The lowest boto3 that knows every region: by pip, from wheels made up and real."""

import json
import zipfile

import boto3
import pytest

from nodelayer.errors import InvalidInputError, NotVerifiedError, UnreachableError
from nodelayer.project.pins import regions

PYPROJECT = '[project]\ndependencies = [\n    "boto3>=1.44,<2", # why\n    "types-boto3>=1.43,<2",\n]\n'


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
def root(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def test_a_new_region_raises_the_bound_and_changes_nothing_else(index, root):
    index.boto3("1.44.0", "1.44.0", "eu-west-1", "us-east-1")
    index.boto3("1.45.3", "1.45.1", "eu-west-1", "us-east-1", "eu-new-1")
    changes = regions.refresh(root)
    assert changes.files == {"pyproject.toml": PYPROJECT.replace('"boto3>=1.44,', '"boto3>=1.45.3,')}
    assert changes.lines == ["+ eu-new-1 (aws)", "~ boto3>=1.44 -> boto3>=1.45.3"]
    (root / "pyproject.toml").write_text(changes.files["pyproject.toml"])
    assert not regions.refresh(root).files


def test_a_newer_boto3_without_a_new_region_leaves_the_bound_alone(index, root):
    index.boto3("1.44.0", "1.44.0", "eu-west-1")
    index.boto3("1.45.3", "1.45.3", "eu-west-1")
    changes = regions.refresh(root)
    assert (changes.lines, changes.files) == ((), {})


def test_a_removed_region_is_listed(index, root):
    index.boto3("1.44.0", "1.44.0", "eu-west-1", "eu-old-1")
    index.boto3("1.45.3", "1.45.3", "eu-west-1")
    assert regions.refresh(root).lines[0] == "- eu-old-1 (aws)"


def test_a_bound_that_no_index_has_is_one_line_with_pips_reason(index, root):
    index.boto3("1.45.3", "1.45.3", "eu-west-1")
    with pytest.raises(UnreachableError, match=r"pip cannot install it \(.*boto3==1\.44") as caught:
        regions.refresh(root)
    assert "\n" not in str(caught.value)


def test_a_wheel_without_endpoints_or_requirements_is_one_line(index, root):
    index.wheel("boto3", "1.44.0", "botocore>=1.44.0")
    index.wheel("botocore", "1.44.0")
    with pytest.raises(NotVerifiedError, match=r"endpoints.json.*\[botocore-1\.44\.0"):
        regions.refresh(root)
    index.wheel("boto3", "1.44.0")
    with pytest.raises(NotVerifiedError, match=r"\[boto3-1\.44\.0"):
        regions.refresh(root)


@pytest.mark.parametrize("text", ["", '"boto3"', '"boto3>=1.44,<2" "boto3>=1.44,<2"'])
def test_a_pyproject_without_one_bound_is_one_line(root, text):
    (root / "pyproject.toml").write_text(text)
    with pytest.raises(InvalidInputError, match="expected one"):
        regions.refresh(root)


@pytest.mark.network
def test_the_real_wheel_has_the_regions_of_boto3_itself(tmp_path):
    version, places = regions.regions(f"boto3=={boto3.__version__}", tmp_path)
    assert version == boto3.__version__
    session = boto3.Session()
    assert places == {
        (partition, region)
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("lambda", partition_name=partition)
    }
