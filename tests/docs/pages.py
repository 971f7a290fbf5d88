"""The pages of the documentation, taken apart: commands and what they show, code, links, headings."""

import re
import shlex
from dataclasses import dataclass

from support import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_PROMPTS = ("$ ", "# ")


@dataclass(frozen=True)
class Command:
    """A command of a console block, its lines joined, and the lines that are shown below it."""

    page: str
    text: str
    shown: tuple[str, ...]

    @property
    def flat(self):
        """On one line, without the comment behind it."""
        return re.sub(r" # .*", "", " ".join(self.text.replace("\\\n", " ").split()))


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """Every code block: its language and its text."""
    return [(found[2], found[3]) for found in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def spans(page):
    """Every piece of code within the text, on one line; a bar that a table escapes is a bar."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(found[2].replace("\\|", "|").split()) for found in _SPAN.finditer(prose)]


def consoles(page):
    """Every console block: its commands, and the lines before the first of them."""
    for language, text in blocks(page):
        if language == "console":
            yield _console(name_of(page), text.splitlines())


def commands(page):
    return [command for found, _ in consoles(page) for command in found]


def _console(page, lines):
    found, before = [], []
    while lines:
        line = lines.pop(0)
        if not line.startswith(_PROMPTS):
            before.append(line)
            continue
        text = line[2:]
        while text.endswith("\\") or not _whole(text):
            text += "\n" + lines.pop(0)
        shown = []
        while lines and not lines[0].startswith(_PROMPTS):
            shown.append(lines.pop(0))
        found.append(Command(page, text, tuple(shown)))
    return found, before


def _whole(text):
    try:
        shlex.split(text, comments=True)
    except ValueError:  # no closing quotation
        return False
    return True


def links(page):
    """Every link that is not to another host."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [
        target
        for target in _LINK.findall(_SPAN.sub("", prose))
        if not target.startswith(("http://", "https://"))
    ]


def anchors(page):
    """The anchors of its headings, as GitHub makes them."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "")).lower().replace(" ", "-")
        for heading in _HEADING.findall(prose)
    }
