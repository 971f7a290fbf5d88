"""The pages of the documentation, taken apart: commands, code, links, headings."""

import re
import shlex

from support import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_PROMPTS = ("$ ", "# ")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """Every code block: its language and its text."""
    return [(found[2], found[3]) for found in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def spans(page):
    """Every piece of code within the text, on one line; a bar that a table escapes is a bar."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(found[2].replace("\\|", "|").split()) for found in _SPAN.finditer(prose)]


def commands(page):
    """Every command of the console blocks, on one line, without the comment behind it."""
    for language, text in blocks(page):
        lines = text.splitlines() if language == "console" else []
        while lines:
            line = lines.pop(0)
            if line.startswith(_PROMPTS):
                command = line[2:]
                while command.endswith("\\") or not _whole(command):
                    command += "\n" + lines.pop(0)
                yield re.sub(r" # .*", "", " ".join(command.replace("\\\n", " ").split()))


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
