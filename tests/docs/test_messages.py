"""docs/troubleshooting.md against the source: what it quotes is printed, and nothing is missing."""

import re

import pytest
from support import ROOT

from docs import messages

PAGE = ROOT / "docs" / "troubleshooting.md"
OF_AWS = "What AWS says"
OF_THE_SYSTEM = {"no space left on device", "permission denied", "read-only file system"}
NOT_FOR_A_PAGE = {"…", "nodelayer: …", "… is …", "unreachable"}
"""Nothing but what is put in, or what cannot be."""
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
MESSAGE_HEAD = "| message | cause, and what to do |"


def tables():
    """Section by section the messages in the first column."""
    _, *parts = _SECTION.split(PAGE.read_text(encoding="utf-8"))
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        _, head, rows = text.partition(MESSAGE_HEAD)
        if head:
            yield title, [message for row in rows.splitlines() for message in _first_cell(row)]


def _first_cell(row):
    if not row.startswith("| "):
        return []
    cell = re.split(r"(?<!\\) \| ", row.removeprefix("| "))[0]
    return [found[2].strip().replace("\\|", "|") for found in _SPAN.finditer(cell)]


def quoted():
    return {messages.flat(message) for _, found in tables() for message in found}


@pytest.mark.parametrize("title", [title for title, _ in tables() if title != OF_AWS])
def test_each_message_of_the_page_is_printed_somewhere(title):
    found = dict(tables())[title]
    assert found
    assert [each for each in found if each not in OF_THE_SYSTEM and not messages.exists(each)] == []


def test_what_aws_says_is_said_by_nobody_here():
    found = dict(tables())[OF_AWS]
    assert len(found) > 10
    assert [each for each in found if messages.flat(each) in messages.errors()] == []


def test_each_error_that_can_be_raised_is_on_the_page():
    assert sorted(messages.errors() - quoted() - NOT_FOR_A_PAGE) == []


def test_a_message_that_nobody_prints_is_noticed():
    assert not messages.exists("no layer of Python … for … is built")
    assert messages.exists("no layer of Node.js … for … is built")
    assert messages.exists("nodelayer: AWS_LAMBDA_EXEC_WRAPPER names …, which is not executable")


def test_each_way_a_process_ends_is_told_with_the_number_it_has_in_the_source():
    told = PAGE.read_text(encoding="utf-8").partition("## How the process ended")[2]
    loop = (ROOT / "runtime" / "aws" / "loop.js").read_text(encoding="utf-8")
    bootstrap = (ROOT / "runtime" / "bootstrap").read_text(encoding="utf-8")
    codes = re.findall(r"const EXIT_\w+ = (\d+);", loop) + re.findall(r"\bexit (\d+)", bootstrap)
    assert sorted(codes) == ["1", "126", "127", "128", "129"]
    assert [code for code in codes if not re.search(rf"^\| {code} \|", told, re.MULTILINE)] == []


def test_each_row_has_two_columns():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) != 3] == []
