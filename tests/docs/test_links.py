"""Links of README and CONTRIBUTING, and the commands and flags in every page."""

import re

import pytest
from docs.pages import PAGES, anchors, links, name_of
from support import ROOT, contexts

from docs import pages

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)

OF_OTHERS = {
    "--experimental-modules": "Node.js",
    "--max-old-space-size": "Node.js",
    "--permission": "Node.js",
    "--allow-fs-read": "Node.js",
    "--allow-net": "Node.js",
    "--enable-source-maps": "Node.js",
    "--import": "Node.js",
    "--layers": "AWS CLI",
    "--predicate-type": "gh attestation verify",
    "--repo": "gh",
    "--rounds": "benchmarks/",
    "--runtime-config": "AWS CLI",
    "--skip-pull-image": "sam local",
}
"""Flags in the text that belong to other programs."""

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_STARTS = re.compile(r"(?:\.venv/bin/)?invoke (?P<task>(?:[a-z]+\.)?[a-z][a-z-]*)(?P<rest>[^|;&)$]*)")
_MAKES = re.compile(r"(?<![\w.])make (?P<task>(?:[a-z]+\.)?[a-z][a-z-]*)")
_VARIABLE = re.compile(r"\b([A-Z]+)=")
OF_MAKE = {"venv", "help"}
TASKS = {each.name: {*each.flags, *each.inverse_flags} for each in contexts()}
"""The flags that `invoke --help TASK` shows, by task."""


def code(page):
    """Return the lines of code blocks, with continuations joined, and the code spans of a page."""
    lines = [
        line
        for language, text in pages.blocks(page)
        if language in {"console", "yaml", "sh", ""}
        for line in text.replace("\\\n", " ").splitlines()
    ]
    return lines + pages.spans(page)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_each_link_leads_to_an_existing_file_and_heading(page):
    dead = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


@each_page
def test_each_task_in_a_page_exists_and_has_its_flags(page):
    wrong = []
    for line in code(page):
        for found in _STARTS.finditer(line):
            task = found["task"]
            if task not in TASKS:
                wrong.append(found[0])
            else:
                wrong += [
                    f"{task} {flag}" for flag in _FLAG.findall(found["rest"]) if flag not in TASKS[task]
                ]
        wrong += [found[0] for found in _MAKES.finditer(line) if found["task"] not in {*TASKS, *OF_MAKE}]
    assert wrong == []


@each_page
def test_each_flag_in_the_text_belongs_to_a_command_or_a_named_program(page):
    known = {flag for flags in TASKS.values() for flag in flags} | {"--help", *OF_OTHERS}
    alone = {flag for span in pages.spans(page) if span.startswith("--") for flag in _FLAG.findall(span)}
    assert sorted(alone - known) == []


def test_make_passes_on_the_variables_in_the_pages():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    used = {
        name
        for page in PAGES
        for line in code(page)
        for found in [re.search(r"(?<![\w.])make\b(.*)", line)]
        if found
        for name in _VARIABLE.findall(found[1])
    }
    assert used >= {"NODE", "ARGS"}
    assert [name for name in used if f"$({name})" not in makefile] == []
