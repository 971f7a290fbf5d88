"""The changelog, in the format of Keep a Changelog.

https://keepachangelog.com/en/1.1.0/. A section begins at a line `## [NAME]` and ends at the next one.
"""

import re
from dataclasses import dataclass
from datetime import date

from nodelayer.errors import InvalidInputError

FILE = "CHANGELOG.md"

_UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^## \[([^\]]+)\].*\n?", re.MULTILINE)
_NO_TEXT = re.compile(r"(?s:<!--.*?-->)|^#.*$|\s", re.MULTILINE)


@dataclass(frozen=True)
class Changelog:
    """The text of a changelog, with Unix line endings."""

    text: str

    def section(self, name: str) -> str | None:
        """Return the text of a section as Markdown, None if there is no such section."""
        headings = list(_HEADING.finditer(self.text))
        for heading, following in zip(headings, [*headings[1:], None], strict=True):
            if heading[1] == name:
                end = following.start() if following else len(self.text)
                return self.text[heading.end() : end].strip("\n")
        return None

    def unreleased(self) -> str:
        """Return the text of the section Unreleased. Raises InvalidInputError if it is empty."""
        section = self.section(_UNRELEASED)
        if section is None or not _NO_TEXT.sub("", section):
            raise InvalidInputError(
                f"the changelog has no text below ## [{_UNRELEASED}]",
                where=FILE,
                todo="describe the changes there, and commit",
            )
        return section

    def released(self, version: str, day: date) -> "Changelog":
        """Move the text of Unreleased below a heading of the version.

        Raises InvalidInputError if Unreleased has no text, or the version already has a section.
        """
        self.unreleased()
        if self.section(version) is not None:
            raise InvalidInputError(
                f"the changelog already has a section for {version}",
                where=FILE,
                todo=f"move its text below ## [{_UNRELEASED}], and commit",
            )
        heading = f"## [{_UNRELEASED}]\n"
        released = f"{heading}\n## [{version}] - {day.isoformat()}\n"
        return Changelog(self.text.replace(heading, released, 1))
