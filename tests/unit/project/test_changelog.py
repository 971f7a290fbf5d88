"""Reading a section of the changelog, and moving Unreleased below a version."""

from datetime import date

import pytest
from support import ROOT

from nodelayer.errors import InvalidInputError
from nodelayer.project.changelog import FILE, Changelog

DAY = date(2026, 11, 25)
HEAD = "# Changelog\n\nAll of it.\n\n"
NEW = "### Added\n\n- A door.\n  It opens.\n"
OLD = "## [1.2.2] - 2026-01-02\n\n- Walls.\n\n## [1.2.2-rc.1] - 2026-01-01\n\n- A floor.\n"


@pytest.mark.parametrize("old", ["", f"\n{OLD}"])
def test_a_release_adds_one_heading_below_unreleased_and_changes_nothing_else(old):
    before = Changelog(f"{HEAD}## [Unreleased]\n\n{NEW}{old}")
    after = before.released("1.2.3", DAY)
    assert after.section("1.2.3") == before.unreleased() == NEW.strip()
    assert after.section("Unreleased") == ""
    assert after.text.replace("\n## [1.2.3] - 2026-11-25\n", "", 1) == before.text


def test_section_ends_at_the_next_heading_and_is_found_by_its_full_name():
    log = Changelog(HEAD + OLD)
    assert [log.section(name) for name in ("1.2.2", "1.2.2-rc.1", "1.2")] == ["- Walls.", "- A floor.", None]


@pytest.mark.parametrize("body", ["", "### Added\n\n### Fixed\n", "<!-- write\nhere -->\n"])
def test_unreleased_section_without_text_is_refused(body):
    with pytest.raises(InvalidInputError, match="no text below"):
        Changelog(f"{HEAD}## [Unreleased]\n\n{body}\n{OLD}").released("1.2.3", DAY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + OLD, "no text below ## \\[Unreleased\\]"),
        (f"{HEAD}## [Unreleased]\n\n{NEW}\n{OLD}", "already has a section for 1.2.2"),
    ],
)
def test_an_unusable_changelog_is_rejected(text, message):
    with pytest.raises(InvalidInputError, match=message):
        Changelog(text).released("1.2.2", DAY)


def test_the_changelog_of_this_repository_can_be_released():
    log = Changelog((ROOT / FILE).read_text(encoding="utf-8"))
    assert log.released("999.0.0", DAY).section("999.0.0") == log.unreleased()
