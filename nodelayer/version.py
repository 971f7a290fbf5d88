"""The version of nodelayer, as pyproject.toml states it; an installed wheel holds a copy of that file."""

import re

from nodelayer.project_paths import project_root

_LINE = re.compile(r'^version = "(.+)"$', re.MULTILINE)


def _version() -> str:
    """Read the line without tomllib or importlib.metadata, which cost each command 20 ms and more."""
    found = _LINE.search((project_root() / "pyproject.toml").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError("pyproject.toml has no version")
    return found[1]


__version__ = _version()
