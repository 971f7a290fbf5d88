"""Which release a spec means, compared with Node's own semver where the two can be compared."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from nodelayer import node_release
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.node_release import Release, exact, resolve, sort_key, spec_from_files

# fmt: off
VERSIONS = (
    "0.10.48", "4.9.1", "8.17.0", "9.11.2", "10.24.1", "11.15.0", "12.13.0", "12.16.0",
    "12.16.1", "12.22.12", "13.14.0", "14.0.0", "14.21.3", "16.20.2", "18.20.8", "20.9.0",
    "20.20.2", "21.7.3", "22.10.0", "22.11.0", "22.23.3", "23.11.1", "24.10.0", "24.11.0",
    "24.21.0", "25.3.0", "26.10.0",
)
# fmt: on
UNFINISHED = ["12.16.1-rc.1", "27.0.0-pkg1", "18.20.8-test", "27.0.0-nightly20260101"]


def release(version):
    return Release(version, node_release.lts_codename(version), None)


SHELF = [release(version) for version in (*VERSIONS, *UNFINISHED)]


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("12.16.1", "12.16.1"),
        ("v12.16.1", "12.16.1"),
        ("=12.16.1", "12.16.1"),
        ("12", "12.22.12"),
        ("v12", "12.22.12"),
        ("12.16", "12.16.1"),
        ("12.x", "12.22.12"),
        ("^12.16 || >=24", "26.10.0"),
        ("^12.16 || ^14", "14.21.3"),
        (">=12 <13", "12.22.12"),
        ("12 - 14", "14.21.3"),
        ("~12.16.0", "12.16.1"),
        ("<=0.12", "0.10.48"),
        ("*", "26.10.0"),
        ("latest", "26.10.0"),
        ("current", "26.10.0"),
        ("node", "26.10.0"),
        ("lts", "24.21.0"),
        ("LTS", "24.21.0"),
        ("lts/*", "24.21.0"),
        ("lts/-1", "22.23.3"),
        ("lts/erbium", "12.22.12"),
        ("lts/Erbium", "12.22.12"),
        ("  22  ", "22.23.3"),
    ],
)
def test_a_spec_means_the_newest_release_that_fits(spec, version):
    assert resolve(spec, SHELF).version == version


def test_what_is_lts_begins_with_the_first_lts_release_of_a_line():
    assert release("12.13.0").lts == "Erbium"
    assert release("14.0.0").lts is None
    assert release("22.10.0").lts is None
    assert release("22.11.0").lts == "Jod"
    assert release("23.11.1").lts is None


def test_a_line_whose_first_lts_release_is_not_known_goes_by_the_date():
    assert node_release.lts_codename("26.10.0", "2026-10-27") is None
    assert node_release.lts_codename("26.13.0", "2026-10-28") == "Lithium"
    assert node_release.lts_codename("26.13.0", None) is None


@pytest.mark.parametrize("spec", ["27", ">=27", "^27.0.0-0", "27.0.0-pkg1 || 27.0.0-pkg2"])
def test_an_unfinished_release_is_never_picked_by_a_range(spec):
    with pytest.raises(NotFoundError):
        resolve(spec, SHELF)


def test_an_unfinished_release_is_had_by_its_exact_name():
    assert resolve("27.0.0-pkg1", SHELF).version == "27.0.0-pkg1"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("12.16.9", "nearest: 12.16.1, 12.22.12"),
        ("12.99", "nearest: 12.22.12, 13.14.0"),
        ("15", "nearest: 14.21.3, 16.20.2"),
        ("99", "nearest: 26.10.0"),
        ("0.1", "nearest: 0.10.48"),
        ("lts/potassium", "there is argon"),
    ],
)
def test_an_unknown_one_names_the_nearest_there_are(spec, told):
    with pytest.raises(NotFoundError, match=spec.rpartition("/")[2]) as caught:
        resolve(spec, SHELF)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_with_nothing_on_the_shelf_that_is_said():
    with pytest.raises(NotFoundError, match="lists no release"):
        resolve("12", [])


@pytest.mark.parametrize(
    "spec", ["", " ", "twelve", "12.16.1.2", ">", "^", "12 ||| 14", "../12", "12;14", "12.x.1", "9" * 30]
)
def test_what_is_no_spec_is_refused_in_one_line_that_says_what_is_one(spec):
    with pytest.raises(InvalidInputError, match=r"lts/erbium") as caught:
        resolve(spec, SHELF)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("12.16.1", "12.16.1"),
        ("v12.16.1", "12.16.1"),
        (" =v12.16.1 ", "12.16.1"),
        ("12.16", None),
        ("latest", None),
    ],
)
def test_an_exact_spec_needs_no_index(spec, version):
    assert exact(spec) == version


def test_versions_are_ordered_by_number_and_a_prerelease_comes_before_its_release():
    names = ["9.0.0", "10.0.0-rc.1", "10.0.0-rc.2", "10.0.0-rc.10", "10.0.0", "10.0.1", "10.10.0"]
    by_letters = sorted(names)
    assert by_letters != names
    assert sorted(by_letters, key=sort_key) == names
    with pytest.raises(ValueError, match="ten"):
        sort_key("ten")


class Project:
    """A folder of a user's project, with files by name."""

    def __init__(self, folder):
        self.folder = folder

    def has(self, **texts):
        names = {"nvmrc": ".nvmrc", "node_version": ".node-version", "package": "package.json"}
        for name, text in texts.items():
            (self.folder / names[name]).write_text(text)
        return self

    def below(self, name):
        (self.folder / name).mkdir()
        return Project(self.folder / name)

    def spec(self):
        return spec_from_files(self.folder)[0]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_project_says_its_version_in_one_of_three_files(project):
    assert project.has(package='{"engines": {"node": ">=20"}}').spec() == ">=20"
    assert project.has(node_version="20.9.0\n").spec() == "20.9.0"
    assert project.has(nvmrc="lts/iron\n").spec() == "lts/iron"


def test_the_nearest_folder_wins(project):
    inner = project.has(nvmrc="12").below("service").has(package='{"engines": {"node": "24"}}')
    assert inner.below("src").spec() == "24"
    assert project.spec() == "12"


@pytest.mark.parametrize(
    "text",
    ['{"name": "x"}', '{"engines": {"npm": "10"}}', "[]", '{"engines": {"node": " "}}', '{"engines": []}'],
)
def test_a_package_that_says_nothing_of_node_is_passed_over(project, text):
    assert project.has(nvmrc="12").below("service").has(package=text).spec() == "12"


def test_comments_blank_lines_and_a_byte_order_mark_are_no_version(project):
    assert project.has(nvmrc="\ufeff\n# ours\n\n  v12.16.1  # for now\n").spec() == "v12.16.1"


@pytest.mark.parametrize(
    ("name", "text"), [(".nvmrc", "\n# none\n"), ("package.json", "{"), (".nvmrc", b"\xff\xfe")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, text):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInputError, match=str(tmp_path / name)):
        spec_from_files(tmp_path)


def semver_of_npm():
    """The folder of the semver package that npm itself resolves with, or None."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    root = subprocess.run(
        [npm, "root", "--global"], capture_output=True, text=True, check=True
    ).stdout.strip()
    found = [Path(root) / "npm" / "node_modules" / "semver"]
    found += [folder / "node_modules" / "semver" for folder in Path(npm).resolve().parents]
    return next((folder for folder in found if folder.is_dir()), None)


PARTS = ("12", "12.16", "12.16.1", "v12", "12.x", "12.*", "x", "*", "0", "0.10", "0.10.48", "24.11.0", "27")
OPERATORS = ("", "=", ">", ">=", "<", "<=", "^", "~", "~>", ">= ", "^ ")
RANGES = [f"{operator}{part}" for part in PARTS for operator in OPERATORS] + [
    "12 || 14",
    "^12.16 || >=24",
    ">=12 <14",
    ">=12 <14 || 20",
    "12 - 14",
    "12.16.1 - 14.0",
    "12.16 - 12.22.12",
    "||",
    "12 ||",
    ">12 <12",
    "^0.10.48",
    "~0.10",
    ">=12.16.1-rc.1 <12.16.2",
    ">1.2.3-alpha",
    "^14.0.0-0",
]

JUDGE = """
const semver = require(process.argv[1]);
const { ranges, versions } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(ranges.map((range) => semver.validRange(range) === null
  ? null : versions.filter((version) => semver.satisfies(version, range)))));
"""


def test_ranges_mean_what_node_means_by_them():
    folder = semver_of_npm()
    if folder is None:
        pytest.skip("no npm here, or not with its own semver")
    told = subprocess.run(
        ["node", "-e", JUDGE, folder],
        input=json.dumps({"ranges": RANGES, "versions": VERSIONS}),
        capture_output=True,
        text=True,
        check=True,
    )
    differences = {}
    for spec, theirs in zip(RANGES, json.loads(told.stdout), strict=True):
        try:
            ours = [each for each in VERSIONS if _fits(spec, each)]
        except InvalidInputError:
            ours = None
        if ours != theirs:
            differences[spec] = (ours, theirs)
    assert differences == {}
    assert len(RANGES) > 150


def _fits(spec, version):
    """Whether a range holds a version, by what resolve() picks from a shelf of one."""
    try:
        return resolve(spec, [Release(version)]).version == version
    except NotFoundError:
        return False
