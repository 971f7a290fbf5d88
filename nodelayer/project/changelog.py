"""The changelog in the format of Keep a Changelog: read a version's section, and release the next one.

https://keepachangelog.com/en/1.1.0/. A Markdown parser finds the headings, so one within code or a comment
does not count. Every byte that does not have to change stays.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from markdown_it import MarkdownIt

from nodelayer.errors import InvalidInputError

FILE = "CHANGELOG.md"

_UNRELEASED = "[unreleased]"
_COMPARED = re.compile(r"(?P<base>[^\s<]+/compare/)(?P<old>\S+?)\.{2,3}(?P<new>[^\s>]+)")
_VERSION = r"\[?{}\]?(?:\s.*)?"


@dataclass(frozen=True)
class _Section:
    """A heading of level two: its text, its first line, the line below it, and the line after the section."""

    title: str
    start: int
    below: int
    end: int


@dataclass(frozen=True)
class Changelog:
    """The text of a changelog, with the line ends of the file."""

    text: str

    @property
    def _lines(self) -> list[str]:
        # Not str.splitlines, which knows more ends of a line than Markdown has.
        return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", self.text)

    def _parsed(self) -> tuple[list[_Section], Mapping[str, tuple[int, int]]]:
        """Return the sections, and the lines of each link reference by its label in capitals."""
        known: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
        tokens = MarkdownIt("commonmark").parse(self.text, known)
        heads = [
            (index, token)
            for index, token in enumerate(tokens)
            if token.type == "heading_open" and token.level == 0 and token.tag in {"h1", "h2"}
        ]
        starts = [token.map[0] for _, token in heads if token.map] + [len(self._lines)]
        sections = [
            _Section(tokens[index + 1].content.strip(), token.map[0], token.map[1], end)
            for (index, token), end in zip(heads, starts[1:], strict=True)
            if token.map and token.tag == "h2"
        ]
        return sections, {label: found["map"] for label, found in known.get("references", {}).items()}

    def _unreleased(self) -> _Section:
        found = [each for each in self._parsed()[0] if each.title.lower() == _UNRELEASED]
        if len(found) != 1:
            how_often = "more than one section" if found else "no section"
            raise InvalidInputError(
                f"the changelog has {how_often} ## [Unreleased]", where=FILE, todo="correct it, and commit it"
            )
        return found[0]

    def _of(self, version: str) -> _Section | None:
        title = re.compile(_VERSION.format(re.escape(version)))
        return next((each for each in self._parsed()[0] if title.fullmatch(each.title)), None)

    def _body(self, section: _Section) -> str:
        """Return the text below a heading, with the link references that it uses and no other."""
        lines, references = self._lines, self._parsed()[1]
        where = {line for first, last in references.values() for line in range(first, last)}
        kept = [lines[line] for line in range(section.below, section.end) if line not in where]
        body = _plain_ends("".join(kept)).strip("\n")
        used = [
            _plain_ends("".join(lines[first:last])).rstrip("\n")
            for label, (first, last) in references.items()
            if f"[{label}]" in " ".join(body.upper().split())
        ]
        return "\n\n".join([body, "\n".join(used)] if used else [body])

    def section(self, version: str) -> str | None:
        """Return a version's section as Markdown with Unix line ends, None if it has no section."""
        found = self._of(version)
        return None if found is None else self._body(found)

    def unreleased(self) -> str:
        """Return the text of the section Unreleased. Raises InvalidInputError without that section."""
        return self._body(self._unreleased())

    def released(self, version: str, day: date) -> "Changelog":
        """Move the text of Unreleased below a heading of the version, and add its link reference.

        Raises InvalidInputError if Unreleased is missing or empty, or the version has a section already.
        """
        section = self._unreleased()
        if self._of(version) is not None:
            raise InvalidInputError(
                f"the changelog has a section for {version} already",
                where=FILE,
                todo="move what is in it below ## [Unreleased], and commit that",
            )
        if not _has_text(self.unreleased()):
            raise InvalidInputError(
                "nothing stands below ## [Unreleased]",
                where=FILE,
                todo="write what has changed, and commit it",
            )
        lines = self._lines
        end = "\r\n" if lines[section.start].endswith("\r\n") else "\n"
        heading = f"{end}## [{version}] - {day.isoformat()}{end}"
        for line, text in self._references(version, end).items():
            lines[line] = text
        lines.insert(section.below, heading)
        return Changelog("".join(lines))

    def _references(self, version: str, end: str) -> Mapping[int, str]:
        """Return the changed link references by line: the version gets one if the version before has one."""
        sections, references = self._parsed()
        for section in sections:
            name = section.title.strip("[]") if section.title.lower() == _UNRELEASED else ""
            before = name or section.title.partition(" ")[0].strip("[]")
            if (found := references.get(before.upper())) is None:
                continue
            line = self._lines[found[0]]
            compared = _COMPARED.search(line)
            if name and compared:
                moved = line[: compared.start("old")] + f"v{version}" + line[compared.end("old") :].rstrip()
                new = f"[{version}]: {compared['base']}{compared['old']}...v{version}"
                return {found[0]: f"{moved}{end}{new}{_end_of(line)}"}
            if not name and f"v{before}" in line:
                new = (
                    f"[{version}]: {compared['base']}v{before}...v{version}"
                    if compared
                    else line.replace(before, version).rstrip()
                )
                return {found[0]: f"{new}{end}{line}"}
        return {}


def _has_text(body: str) -> bool:
    """Return whether there is more than headings, comments and link references."""
    tokens = MarkdownIt("commonmark").parse(body)
    headings = {index + 1 for index, token in enumerate(tokens) if token.type == "heading_open"}
    return any(
        token.content.strip()
        and index not in headings
        and not re.fullmatch(r"(?s)<!--.*-->\s*", token.content)
        for index, token in enumerate(tokens)
    )


def _plain_ends(text: str) -> str:
    return re.sub(r"\r\n?", "\n", text)


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
