"""The version of nodelayer, from pyproject.toml; an installed wheel contains a copy of that file."""

import re

from nodelayer.project_paths import project_root

_LINE = re.compile(r'^version = "(.+)"$', re.MULTILINE)


def _version() -> str:
    """Read the line without tomllib or importlib.metadata, which would cost each command 20 ms or more."""
    found = _LINE.search((project_root() / "pyproject.toml").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError("pyproject.toml has no version")
    return found[1]


__version__ = _version()
