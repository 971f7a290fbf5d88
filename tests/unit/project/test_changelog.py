"""Moving a changelog's section, over the shapes that changelogs have."""

import itertools
from datetime import date

import pytest
from support import ROOT

from nodelayer.errors import InvalidInputError
from nodelayer.project.changelog import FILE, Changelog

DAY = date(2026, 11, 25)
HEAD = "# Changelog\n\nAll of it.\n\n"
NEW = "### Added\n\n- A door.\n  It opens.\n\n### Fixed\n\n- A window, see [#7].\n"
OLD = "## [1.2.2] - 2026-01-02\n\n### Added\n\n- Walls.\n\n## [1.2.1] - 2026-01-01\n\n- A floor.\n"
AT = "https://github.com/o/r"
COMPARED = f"[Unreleased]: {AT}/compare/v1.2.2...HEAD\n[1.2.2]: {AT}/compare/v1.2.1...v1.2.2\n"
ISSUE = f"[#7]: {AT}/issues/7\n"
TRAP = "> ## [Unreleased]\n\n```\n## [Unreleased]\n```\n\n<!--\n## [1.2.3]\n-->\n\n"

SHAPES = [
    (head, blank, body, old, links, end)
    for head, blank, body, old, links, end in itertools.product(
        (HEAD, HEAD + TRAP),
        ("\n", ""),
        (NEW, NEW + "\n```\n## [9.9.9]\n```\n", "- One line"),
        ("", "\n" + OLD),
        ("", "\n" + COMPARED, "\n" + ISSUE + COMPARED),
        ("\n", "\r\n"),
    )
]


def shape(parts):
    head, blank, body, old, links, end = parts
    return (head + "## [Unreleased]\n" + blank + body.rstrip("\n") + "\n" + old + links).replace("\n", end)


@pytest.mark.parametrize("parts", SHAPES)
def test_what_was_unreleased_is_the_version_s_and_nothing_else_changes(parts):
    before = Changelog(shape(parts))
    after = before.released("1.2.3", DAY)
    end = parts[-1]
    assert after.section("1.2.3") == before.unreleased() != ""
    assert after.unreleased() == ""
    assert after.section("1.2.2") == before.section("1.2.2")
    assert after.text.count(f"{end}## [1.2.3] - 2026-11-25{end}") == 1
    # Without the lines that are new, it is the file as it was, byte for byte.
    without = after.text.replace(f"{end}## [1.2.3] - 2026-11-25{end}", "", 1)
    without = without.replace(f"[1.2.3]: {AT}/compare/v1.2.2...v1.2.3{end}", "", 1)
    assert without.replace("/compare/v1.2.3...HEAD", "/compare/v1.2.2...HEAD") == before.text
    if "compare" in before.text:
        assert f"[Unreleased]: {AT}/compare/v1.2.3...HEAD{end}[1.2.3]: {AT}/compare/v1.2.2...v1.2.3{end}" in (
            after.text
        )


@pytest.mark.parametrize(
    ("links", "wanted"),
    [
        (f"[1.2.2]: {AT}/releases/tag/v1.2.2\n", f"[1.2.3]: {AT}/releases/tag/v1.2.3\n"),
        (f"[1.2.2]: {AT}/compare/v1.2.1...v1.2.2\n", f"[1.2.3]: {AT}/compare/v1.2.2...v1.2.3\n"),
        (f"[unreleased]: {AT}/commits/main\n", ""),
        (f"[Unreleased]: <{AT}/compare/v1.2.2..main>\n", f"[1.2.3]: {AT}/compare/v1.2.2...v1.2.3\n"),
        ("[other]: https://example.org/v1.2.2\n", ""),
    ],
)
def test_other_manners_of_link_references_are_kept(links, wanted):
    before = Changelog(HEAD + "## [Unreleased]\n\n- A.\n\n" + OLD + "\n" + links)
    after = before.released("1.2.3", DAY).text
    assert wanted in after
    assert after.count("[1.2.3]:") == bool(wanted)
    lines = after.replace("compare/v1.2.3..main>", "compare/v1.2.2..main>").splitlines()
    assert [line for line in before.text.splitlines() if line not in lines] == []


@pytest.mark.parametrize(
    "body", ["", "### Added\n\n### Fixed\n", "<!-- write here -->\n", "\n\n", f"{ISSUE}", "***\n"]
)
def test_a_section_that_says_nothing_is_not_released(body):
    log = Changelog(HEAD + "## [Unreleased]\n\n" + body + "\n" + OLD)
    with pytest.raises(InvalidInputError, match="nothing stands below"):
        log.released("1.2.3", DAY)


@pytest.mark.parametrize(
    "body", ["Words.\n", "    code\n", "- item\n", "> quoted\n", "<b>bold</b>\n", "### Added\n\n1. one\n"]
)
def test_a_section_that_says_anything_is_released(body):
    log = Changelog(HEAD + "## [Unreleased]\n\n" + body + "\n" + OLD)
    assert log.released("1.2.3", DAY).section("1.2.3") == body.strip("\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + OLD, "no section ## \\[Unreleased\\]"),
        ("", "no section ## \\[Unreleased\\]"),
        (HEAD + "## [Unreleased]\n\n- A\n\n## [Unreleased]\n\n- B\n", "more than one section"),
        (HEAD + "## [Unreleased]\n\n- A\n\n## [1.2.3] - 2026-01-01\n\n- B\n", "a section for 1.2.3 already"),
    ],
)
def test_what_is_no_changelog_to_release_from_is_refused(text, message):
    with pytest.raises(InvalidInputError, match=message):
        Changelog(text).released("1.2.3", DAY)


def test_a_version_is_not_found_by_the_beginning_of_another():
    log = Changelog(HEAD + "## [1.2.30] - 2026-01-01\n\n- B\n\n## [1.2.3-rc.1]\n\n- C\n")
    assert (log.section("1.2.3"), log.section("1.2.3-rc.1"), log.section("1.2.30")) == (None, "- C", "- B")


def test_a_section_brings_the_link_references_that_it_uses_and_no_other():
    log = Changelog(HEAD + "## [Unreleased]\n\n" + NEW + "\n" + OLD + "\n" + ISSUE + COMPARED)
    assert log.unreleased() == NEW + "\n" + ISSUE.strip()


def test_the_changelog_of_this_repository_can_be_released():
    log = Changelog((ROOT / FILE).read_text(encoding="utf-8"))
    assert log.released("999.0.0", DAY).section("999.0.0") == log.unreleased()
