"""The version that pyproject.toml gives this project: read, raised by a step, and written."""

import re
import tomllib
from dataclasses import dataclass

import nodesemver

from nodelayer.errors import InvalidInputError
from nodelayer.node.versions import sort_key

FILE = "pyproject.toml"
STEPS = ("patch", "minor", "major")


@dataclass(frozen=True)
class Pyproject:
    """The text of a pyproject.toml, line ends as they are in the file."""

    text: str

    @property
    def version(self) -> str:
        """The project's version, semver without build metadata. Raises InvalidInputError."""
        try:
            project = tomllib.loads(self.text).get("project")
        except tomllib.TOMLDecodeError as error:
            raise InvalidInputError(f"not TOML ({error})", where=FILE, todo="mend it") from error
        version = project.get("version") if isinstance(project, dict) else None
        if version is None:
            raise InvalidInputError(
                "the project has no version", where=FILE, todo='write version = "1.2.3" below [project]'
            )
        if not isinstance(version, str) or not is_semver(version):
            raise InvalidInputError(
                f"the project's version {version!r} is no semantic version",
                where=FILE,
                todo='write one, without build metadata: version = "1.2.3"',
            )
        return version

    def with_version(self, version: str) -> "Pyproject":
        """The same text but for the version's own characters. Raises InvalidInputError."""
        old = self.version
        wanted = tomllib.loads(self.text)
        wanted["project"]["version"] = version
        # The same words may stand elsewhere; where it is the version, the parser says so.
        for found in re.finditer(rf"(?<=[\"']){re.escape(old)}(?=[\"'])", self.text):
            changed = self.text[: found.start()] + version + self.text[found.end() :]
            if tomllib.loads(changed) == wanted:
                return Pyproject(changed)
        raise InvalidInputError(
            "the line of the version cannot be found", where=FILE, todo=f'write it as version = "{old}"'
        )


def is_semver(version: str) -> bool:
    """Whether it is a version of Semantic Versioning 2.0.0, strictly, and without build metadata."""
    try:
        sort_key(version)
    except ValueError:
        return False
    return not version.startswith("v")


def raised(version: str, step: str) -> str:
    """The version after a step; a prerelease becomes what it is one of. Raises InvalidInputError."""
    if step not in STEPS:
        raise InvalidInputError(f"{step!r} is no step of a version", todo=f"use {', '.join(STEPS)}")
    return str(nodesemver.inc(version, step, loose=False))
