"""Dependencies of nodelayer: the newest versions that pyproject.toml allows, with their hashes.

`make venv EXTRAS=` installs exactly these, so that jobs that publish use reviewed versions, and two runs of
one tag build the same zips. uv resolves them for all Python versions and platforms, from the index in its own
configuration.
"""

import subprocess
import tempfile
import tomllib
from pathlib import Path

from nodelayer.errors import UnreachableError
from nodelayer.project.pins.pin import Changes, Pin, differences
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

FILE = "requirements.txt"
UV = "uv==0.13.9"
HEAD = (
    "# What `make venv EXTRAS=` installs. Made of pyproject.toml by nodelayer/project/pins/requirements.py.\n"
)


def refresh(root: Path) -> Changes:
    """Compare requirements.txt with what uv resolves now."""
    environment, _ = venv.environment(UV, cache=DownloadCache(), reporter=Reporter(quiet=True))
    path = root / FILE
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    new = _resolved(root, environment / "bin" / "uv")
    return Changes(differences(_versions(old), _versions(new)), {FILE: new} if new != old else {})


PIN = Pin("requirements", "dependencies of nodelayer, by hash", refresh)


def _resolved(root: Path, uv: Path) -> str:
    """Return the new text of the file. Raises UnreachableError if uv cannot resolve it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    with tempfile.NamedTemporaryFile("w", suffix=".in") as build:
        build.write("\n".join(project.get("build-system", {}).get("requires", [])))
        build.flush()
        line = [str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        line += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--upgrade"]
        done = subprocess.run(
            [*line, "pyproject.toml", build.name], cwd=root, capture_output=True, text=True, check=False
        )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].strip()
        raise UnreachableError(
            f"uv cannot resolve the requirements ({reason})", where=FILE, todo="check pyproject.toml"
        )
    return HEAD + done.stdout


def _versions(text: str) -> dict[str, str]:
    """Return the version of each package; its marker counts as part of the version."""
    pins = [line.rstrip(" \\").partition("==") for line in text.splitlines() if "==" in line]
    return {name: version for name, _, version in pins if not name.startswith(("#", " "))}
