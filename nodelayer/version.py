"""The version of nodelayer: in a checkout that of pyproject.toml, which an installation may lag behind."""

import tomllib
from importlib.metadata import version
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def _version() -> str:
    try:
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        project = {}
    if project.get("name") == "nodelayer" and isinstance(project.get("version"), str):
        return str(project["version"])
    return version("nodelayer")


__version__ = _version()
