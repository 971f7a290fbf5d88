"""Which version each kind of spec selects, specs in files, and a comparison with npm's semver."""

import json
import random
import subprocess
from datetime import date

import pytest
from support import find_program

from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.node.versions import (
    SPECS,
    Release,
    exact,
    is_version,
    lts_codename,
    lts_lines,
    nearest,
    outdated,
    resolve,
    sort_key,
    spec_from_files,
    split,
)

# Out of order, as a registry may list them.
RELEASES = [
    Release("26.1.0"),
    Release("12.16.1", "Erbium", "2020-02-18"),
    Release("12.9.1"),
    Release("12.22.12", "Erbium", "2022-04-05"),
    Release("12.13.0", "Erbium", "2019-10-21"),
    Release("12.16.0", "Erbium"),
    Release("0.12.18"),
    Release("10.24.1", "Dubnium"),
    Release("14.15.0", "Fermium"),
    Release("14.14.0"),
    Release("16.20.2", "Gallium"),
    Release("15.14.0"),
    Release("27.0.0-nightly20261101"),
    Release("27.0.0-alpha.0.0.0"),
    Release("26.2.0-rc.1"),
    Release("12.16.2-rc.1"),
]


def selected(spec, releases=RELEASES):
    return resolve(spec, releases).version


def refusal(kind, call, *arguments):
    with pytest.raises(kind) as caught:
        call(*arguments)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


class TestExact:
    @pytest.mark.parametrize("spec", ["12.16.1", "v12.16.1", "=12.16.1", "= v12.16.1", " 12.16.1\n"])
    def test_exact_spec_selects_its_version_in_every_notation(self, spec):
        assert exact(spec) == "12.16.1"
        assert resolve(spec, RELEASES) == Release("12.16.1", "Erbium", "2020-02-18")

    @pytest.mark.parametrize(
        "spec",
        [
            *("12", "12.16", "^12.16.1", ">=12.16.1", "12.16.x", "lts", "latest", "", "012.16.1", "12.16.01"),
            *("12.16.1 || 14.0.0", "12.16.1.0", "12.16.1-", "12.16.1-rc..1", "12.16.1-rc.01", "vv12.16.1"),
            *("1\u0662.16.1", "12.16.1-\u0662", "1234567890.0.0"),
        ],
    )
    def test_ranges_and_invalid_versions_are_not_exact(self, spec):
        assert exact(spec) is None

    def test_an_unknown_version_is_reported_with_the_nearest_ones(self):
        line = refusal(NotFoundError, resolve, "12.16.2", RELEASES)
        assert line == "no Node.js release matches 12.16.2: nearest: 12.16.1, 12.22.12; the newest is 26.1.0"

    def test_prerelease_is_found_only_by_its_exact_version(self):
        assert selected("27.0.0-nightly20261101") == "27.0.0-nightly20261101"
        assert selected("v27.0.0-alpha.0.0.0") == "27.0.0-alpha.0.0.0"
        assert selected("v12.16.2-rc.1") == "12.16.2-rc.1"
        for spec in ("27", ">=27.0.0-0", "^27.0.0-nightly20261101", "^27.0.0-alpha.0.0.0", "27.x"):
            refusal(NotFoundError, resolve, spec, RELEASES)

    @pytest.mark.parametrize("spec", ["latest", "*", ">=26", "26", ">=26.2.0-rc.0 || 26.1"])
    def test_words_and_ranges_never_select_a_prerelease(self, spec):
        assert selected(spec) == "26.1.0"


class TestPartialAndRanges:
    @pytest.mark.parametrize(
        ("spec", "version"),
        [
            *(("12", "12.22.12"), ("v12", "12.22.12"), ("12.16", "12.16.1"), ("12.x", "12.22.12")),
            *(("12.16.x", "12.16.1"), ("0", "0.12.18"), ("0.12", "0.12.18"), ("12.9", "12.9.1")),
        ],
    )
    def test_partial_version_selects_the_newest_release_with_that_prefix(self, spec, version):
        assert selected(spec) == version

    @pytest.mark.parametrize(
        ("spec", "version"),
        [
            *(("^12.13.0", "12.22.12"), ("~12.16.0", "12.16.1"), (">=12 <12.16", "12.13.0")),
            *(("12.9 - 12.16.0", "12.16.0"), ("^12.16 || >=24", "26.1.0"), ("<12", "10.24.1")),
            *(("^0.12.0", "0.12.18"), ("14 || 12", "14.15.0"), (">12.9.1 <=12.13.0", "12.13.0")),
            *(("<=12.16", "12.16.1"), ("  >=  14   <15  ", "14.15.0"), ("\t12\t", "12.22.12")),
        ],
    )
    def test_range_selects_its_newest_release(self, spec, version):
        assert selected(spec) == version

    def test_an_empty_range_is_reported_with_the_nearest_versions(self):
        assert "nearest: 16.20.2, 26.1.0" in refusal(NotFoundError, resolve, "^18.3", RELEASES)

    @pytest.mark.parametrize(
        "spec",
        [
            *("", "   ", "twelve", "12.", "12..1", "12.16.1.1", "file", "iojs", "12,14", "12 && 14", "!12"),
            *("012", "12.016", "<>12", "latest || 12", "99999999999999999999", "9" * 5000, "12.x.1"),
            *("lts12", "\u0661\u0662", "1\u0662", "\uff11\uff12", "12\x00", "12; rm", "../12", "**", "*12"),
            *("12\n14 abc", "x" * 300, ">", "^", "12 ||| 14", "12;14", "9" * 30),
        ],
    )
    def test_an_invalid_spec_is_one_line_with_examples(self, spec):
        with pytest.raises(InvalidInputError) as caught:
            resolve(spec, RELEASES)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(SPECS)


class TestWords:
    @pytest.mark.parametrize("spec", ["latest", "current", "node", "stable", "Latest"])
    def test_words_for_the_newest_release_select_it(self, spec):
        assert selected(spec) == "26.1.0"

    @pytest.mark.parametrize(
        ("spec", "version"),
        [
            *(("lts", "16.20.2"), ("lts/*", "16.20.2"), ("LTS", "16.20.2"), ("lts/-0", "16.20.2")),
            *(("lts/-1", "14.15.0"), ("lts/-2", "12.22.12"), ("lts/-3", "10.24.1")),
            *(("lts/erbium", "12.22.12"), ("lts/Erbium", "12.22.12"), ("lts/fermium", "14.15.0")),
        ],
    )
    def test_the_lts_syntax_of_nvm_means_the_newest_release_of_a_line(self, spec, version):
        assert selected(spec) == version

    def test_an_unknown_lts_line_is_reported_with_the_known_ones(self):
        line = refusal(NotFoundError, resolve, "lts/argon", RELEASES)
        assert line == "no LTS line is named 'argon': use one of dubnium, erbium, fermium, gallium"

    @pytest.mark.parametrize("spec", ["lts/-4", "lts/-12", "lts/-999999999"])
    def test_too_large_an_lts_offset_is_reported_with_the_number_of_lines(self, spec):
        assert refusal(NotFoundError, resolve, spec, RELEASES) == (
            f"no LTS line matches {spec}: there are 4 LTS lines"
        )


class TestNearest:
    @pytest.mark.parametrize(
        ("spec", "line"),
        [
            ("13", "nearest: 12.22.12, 14.14.0; the newest is 26.1.0"),
            ("12.16.99", "nearest: 12.16.1, 12.22.12; the newest is 26.1.0"),
            ("99", "nearest: 26.1.0"),
            ("0.1.0", "nearest: 0.12.18; the newest is 26.1.0"),
            ("latest", "the newest is 26.1.0"),
        ],
    )
    def test_nearest_names_the_neighbours_and_the_newest_but_no_prerelease(self, spec, line):
        assert nearest(spec, RELEASES) == line


class TestOrder:
    def test_versions_sort_by_semver_precedence(self):
        # https://semver.org/#spec-item-11
        names = ["alpha", "alpha.0.0.0", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
        inorder = ["0.12.18", *(f"1.0.0-{name}" for name in names), "1.0.0", "1.0.9", "1.0.10", "2.0.0"]
        mixed = random.Random(7).sample(inorder, len(inorder))
        assert sorted(mixed, key=sort_key) == inorder

    @pytest.mark.parametrize("text", ["", "12", "12.16", "12.16.1.1", "x.1.2", "12.16.1+b", "1.0.0-a..b"])
    def test_an_invalid_version_has_no_sort_key(self, text):
        assert not is_version(text)


class TestLtsLines:
    @pytest.mark.parametrize(
        ("version", "published", "codename"),
        [
            ("12.13.0", None, "Erbium"),
            ("12.12.0", None, None),
            ("12.12.0", "2030-01-01", None),
            ("12.22.12", None, "Erbium"),
            ("13.14.0", "2030-01-01", None),
            ("4.2.0", None, "Argon"),
            ("4.1.2", None, None),
            ("0.12.18", None, None),
            ("24.11.0", None, "Krypton"),
            ("22.10.0", None, None),
            ("22.11.0", None, "Jod"),
        ],
    )
    def test_release_is_lts_from_the_first_lts_release_of_its_line(self, version, published, codename):
        assert lts_codename(version, published) == codename

    def test_the_date_decides_if_the_first_lts_release_is_unknown(self):
        unknown = [line for line in lts_lines().values() if line.first is None]
        for line in unknown:
            version = f"{line.major}.99.0"
            assert lts_codename(version, line.since) == line.codename
            assert lts_codename(version, f"{line.since}T09:30:00.000Z") == line.codename
            assert lts_codename(version, "2015-01-01") is None
            assert lts_codename(version, None) is None


@pytest.fixture
def project(tmp_path):
    """Return a folder two levels deep, and a function that writes files above or into it."""

    def write(text, *parts):
        path = tmp_path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    write("", "a", "b", "keep")
    return tmp_path / "a" / "b", write


def package(engines):
    return json.dumps({"name": "x", "engines": engines})


def runtime(wanted):
    return json.dumps({"engines": {"npm": "11"}, "devEngines": {"runtime": wanted}})


def test_release_is_outdated_after_end_of_life_or_if_a_newer_one_is_known():
    known = ["24.20.0", "24.21.0", "24.22.0-rc.1", "26.0.0"]
    before, after = date(2026, 11, 27), date(2028, 6, 1)
    assert "reached its end of life on 2022-04-30" in outdated("12.16.1", known, before)
    assert outdated("24.20.0", known, before) == "Node.js 24.21.0 is newer than 24.20.0"
    assert outdated("24.21.0", known, before) == outdated("24.20.0", today=before) == ""
    assert "Node.js 24 reached its end of life" in outdated("24.21.0", known, after)
    assert outdated("25.0.0", known, before) == ""


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "text", "spec"),
        [
            (".nvmrc", "12.16.1\n", "12.16.1"),
            (".nvmrc", "v12.16.1", "v12.16.1"),
            (".nvmrc", "\n  \r\n# ours\n lts/erbium # the old one\r\n14\n", "lts/erbium"),
            (".nvmrc", b"\xef\xbb\xbf12.16.1\n", "12.16.1"),
            (".nvmrc", "\ufeff\n# ours\n\n  v12.16.1  # for now\n", "v12.16.1"),
            (".node-version", "12.16\n", "12.16"),
            (".tool-versions", "python 3.13.1\nnodejs 24.21.0 22.1.0 # both\n", "24.21.0"),
            (".tool-versions", "# ours\nnode lts\n", "lts"),
            ("package.json", package({"node": " ^12.16 || >=24 "}), "^12.16 || >=24"),
            ("package.json", runtime({"name": "node", "version": "^24"}), "^24"),
            ("package.json", runtime([{"name": "bun"}, {"name": "node", "version": "24.1.0"}]), "24.1.0"),
        ],
    )
    def test_the_spec_is_read_from_the_file(self, project, name, text, spec):
        here, write = project
        path = write(text, "a", "b", name)
        assert spec_from_files(here) == (spec, path.resolve())

    def test_nvmrc_takes_precedence_over_node_version_and_engines(self, project):
        here, write = project
        write(package({"node": "10"}), "a", "b", "package.json")
        assert spec_from_files(here)[0] == "10"
        write("12", "a", "b", ".node-version")
        assert spec_from_files(here)[0] == "12"
        write("14", "a", "b", ".nvmrc")
        assert spec_from_files(here)[0] == "14"

    def test_file_in_the_nearest_folder_takes_precedence(self, project):
        here, write = project
        write("14", ".nvmrc")
        assert spec_from_files(here)[0] == "14"
        write("12", "a", ".node-version")
        assert spec_from_files(here)[0] == "12"
        write(package({"node": "10"}), "a", "b", "package.json")
        assert spec_from_files(here)[0] == "10"

    @pytest.mark.parametrize(
        "text",
        [
            *("{}", package({}), package({"npm": "6"}), package({"node": ""}), package({"node": 12})),
            *(package({"node": " "}), package([]), package("12"), package(None), "[]", '"12"', "null"),
            *(
                runtime({"name": "bun", "version": "1"}),
                runtime({"name": "node"}),
                runtime("node"),
                runtime([1]),
            ),
        ],
    )
    def test_package_json_without_a_node_version_is_ignored(self, project, text):
        here, write = project
        write("14", ".nvmrc")
        write(text, "a", "b", "package.json")
        assert spec_from_files(here)[0] == "14"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            (".tool-versions", b"\xff"),
            (".nvmrc", ""),
            (".nvmrc", "# nothing\n\n"),
            (".nvmrc", b"\xff\xfe1\x002\x00"),
            ("package.json", "{"),
            ("package.json", ""),
            ("package.json", b"\xff"),
            ("package.json", "[" * 100_000),
        ],
    )
    def test_an_unreadable_file_is_one_line_that_names_it(self, project, name, text):
        here, write = project
        write("14", ".nvmrc")
        path = write(text, "a", "b", name)
        with pytest.raises(InvalidInputError) as caught:
            spec_from_files(here)
        assert caught.value.where == str(path.resolve())
        assert "\n" not in str(caught.value)

    def test_without_a_file_the_error_names_the_searched_folder(self, project):
        here, _ = project
        if any(
            (above / name).exists()
            for above in here.parents
            for name in (".nvmrc", ".node-version", ".tool-versions", "package.json")
        ):
            pytest.skip("a folder above this machine's temporary files names a version")
        assert str(here) in str(refusal_of_files(here))


def refusal_of_files(folder):
    with pytest.raises(NotFoundError) as caught:
        spec_from_files(folder)
    assert "\n" not in str(caught.value)
    return caught.value


# The ranges that are compared with the package `semver`.

VERSIONS = [
    *("0.0.0", "0.0.1", "0.0.3", "0.0.4", "0.1.0", "0.10.48", "0.11.16", "0.12.0", "0.12.7", "0.12.18"),
    *("1.0.0", "1.0.1", "1.1.0", "1.2.0", "1.2.3", "1.2.4", "2.0.0", "3.3.1", "4.0.0", "4.2.0", "4.9.1"),
    *("5.12.0", "6.17.1", "8.17.0", "9.11.2", "10.0.0", "10.13.0", "10.24.1", "11.15.0", "12.0.0", "12.0.1"),
    *("12.13.0", "12.15.0", "12.16.0", "12.16.1", "12.16.2", "12.16.3", "12.17.0", "12.22.12", "13.0.0"),
    *("13.14.0", "14.0.0", "14.0.1", "14.15.0", "14.21.3", "15.14.0", "16.0.0", "16.20.2", "17.9.1"),
    *("18.20.8", "20.9.0", "22.11.0", "23.11.1", "24.0.0", "24.11.0", "25.0.0", "26.0.0", "26.1.0", "27.0.0"),
]
PARTS = [
    *("12", "12.16", "12.16.1", "12.x", "12.16.x", "*", "v12", "0", "0.12", "0.12.7", "0.0.3", "1.0.0-rc.1"),
    *("12.16.1+build", "012", "x.x"),
]
OPERATORS = ["", "^", "~", "~>", ">=", ">", "<", "<=", "=", ">= ", "^v", "==", "!", "=>"]
RANGES = [
    *(operator + part for operator in OPERATORS for part in PARTS),
    *("||", "|| 12", "12 ||", "12||14", "12 || 14 || 16", "^12.16 || >=24", ">=12 <14 || >=16", "12 | 14"),
    *("12 - 14", "12.16 - 13.2", "12.16.1 - 12", "0.12 - 1", "* - 12", "12 - *", "12 -14", "12- 14"),
    *("12 - 14 || 16", "12 - 14 16", "^12 - 14", "12 - <14", "v12 - v14", "12.0.0 - 14.0.0-rc.1"),
    *(">=12 <14", ">=12<14", ">=12.0.0<14.0.0", ">10 !=12", ">=12, <14", "12 14", "12 12.16", "^12 <12.16"),
    *("^0", "^0.0", "^0.x", "~0", "~0.0", "<0", ">0", "<0.0.0", "<0.12", "<=0.12", ">0.12", "~0.12.x"),
    *(
        ">x",
        "<x",
        ">=x",
        "<=x",
        ">*",
        "=*",
        "^*",
        "~x",
        "* 12",
        "12 *",
        "12*",
        "^12*",
        "**",
        "<=**",
        "*=*",
        "*12",
    ),
    *(">=12.0.0-0", "<13.0.0-0", "^12.0.0-0", "<12.16.1-beta", ">12.16.1-beta", "~12.16.1-beta", "*-beta"),
    *("12.x-beta", "12-beta", "^12-beta", ">=12-beta", "12.16.1-beta - 13", "12.16.1-beta.01", "12.16.1-01"),
    *("12a", "a12", "12.", ".12", "12..1", "12.16.1.1", "-1", "12-", "^", "~", ">", ">=", "abc", "12 abc"),
    *("vv12", "v 12", "= v12", "=v 12", "V12", "^>12", "<>12", "<<12", "1.2.3 - 1.2.4 - 1.2.5", "'12'"),
    *("99999999999999999999", "^9007199254740992.0.0", "\t12\t", "12\n14", ">=\u00a012", "\u0661\u0662"),
    *("~>12", "~>0.10", "^ 12.16", "27", "^27", ">12 <12", "12.16 - 12.22.12", ">=12 <14 || 20"),
    *(">=12.16.1-rc.1 <12.16.2", ">1.2.3-alpha", "~0.10", "^0.10.48"),
    *("1\u0662", "^1\u0662", "12.x.1", "x.1", ">=vx.1", "12.*.*", "12.x.x", "12.16.X"),
]
# Ranges that semver accepts but nodelayer refuses, because each is probably a typing error.
STRICTER = {
    *("~>12.x.1", "^12.x.1"),  # semver ignores the number
    *("12.16.1*", ">=12.16.1*"),  # semver ignores the star
    "12+b",  # semver ignores the build
    "",  # an empty spec does not ask for the newest release
    "\ufeff12",
}
SEMVER = """
const semver = require(process.argv[1]);
const { ranges, versions } = JSON.parse(require("fs").readFileSync(0));
const inside = (range) => versions.filter((version) => semver.satisfies(version, range));
console.log(JSON.stringify(ranges.map((range) => semver.validRange(range) === null ? null : inside(range))));
"""


@pytest.fixture(scope="module")
def by_semver(tmp_path_factory):
    """Return a function that asks semver for the versions in each range, or None if it is invalid."""
    node = find_program("node", "nodejs npm")
    folder = tmp_path_factory.mktemp("semver")
    (folder / "package.json").write_text("{}")
    line = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run([*line, "semver@7.8.6"], cwd=folder, check=True, timeout=120)

    def asked(ranges, versions):
        done = subprocess.run(
            [node, "-e", SEMVER, str(folder / "node_modules" / "semver")],
            input=json.dumps({"ranges": ranges, "versions": versions}),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return dict(zip(ranges, json.loads(done.stdout), strict=True))

    return asked


def by_us(spec):
    try:
        return [version for version in VERSIONS if found(spec, version)]
    except InvalidInputError:
        return None


def found(spec, version):
    try:
        return resolve(spec, [Release(version)]).version == version
    except NotFoundError:
        return False


class TestSeveralSpecs:
    def test_split_keeps_the_order_and_drops_duplicates(self):
        assert split("12.16.1,24") == ("12.16.1", "24")
        assert split(" ^12.16 || >=24 , lts/erbium,24,24") == ("^12.16 || >=24", "lts/erbium", "24")
        assert split("12.1 - 12.3") == ("12.1 - 12.3",)

    @pytest.mark.parametrize("text", ["", ",", "12,", ",12", "12,,24", " "])
    def test_split_refuses_an_empty_spec(self, text):
        with pytest.raises(InvalidInputError, match="the list has an empty version"):
            split(text)

    @pytest.mark.parametrize("spec", ["12,24", "12.16.1,", "^12,^24", "lts,latest", "12 , 24", "v12.16.1,24"])
    def test_spec_with_a_comma_is_refused(self, spec):
        with pytest.raises(InvalidInputError):
            resolve(spec, RELEASES)


@pytest.mark.network
class TestAgainstSemver:
    def test_every_range_matches_the_versions_that_npm_semver_matches(self, by_semver):
        expected = by_semver(RANGES, VERSIONS)
        assert sum(inside is None for inside in expected.values()) > 30
        assert sum(inside not in (None, []) for inside in expected.values()) > 150
        assert {spec: by_us(spec) for spec in expected} == expected

    def test_syntax_that_only_npm_semver_accepts_is_rejected(self, by_semver):
        expected = by_semver(sorted(STRICTER), VERSIONS)
        assert None not in expected.values()
        assert {spec: by_us(spec) for spec in expected} == dict.fromkeys(expected)

    def test_random_ranges_match_as_in_npm_semver_or_are_rejected(self, by_semver):
        chance = random.Random(20200218)
        pieces = [*PARTS, *OPERATORS, " ", " ", " - ", " || ", ".", "-", "x", "*", "26", "1", "v", "rc.1"]
        ranges = {"".join(chance.choices(pieces, k=chance.randint(1, 6))).strip() for _ in range(6000)}
        expected = by_semver(sorted(ranges), VERSIONS)
        wrong = {
            spec: (ours, inside)
            for spec, inside in expected.items()
            if (ours := by_us(spec)) is not None and ours != inside
        }
        assert wrong == {}
        assert sum(bool(inside) for inside in expected.values()) > 250
