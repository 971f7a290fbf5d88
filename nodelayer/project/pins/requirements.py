"""Pin what nodelayer itself runs on to the newest versions that pyproject.toml allows, with their hashes.

    python nodelayer/project/pins/requirements.py --compare     exit 1 where requirements.txt would change
    python nodelayer/project/pins/requirements.py --write

`make venv EXTRAS=` installs exactly these, so the jobs that publish run what was looked at, and two runs of
one tag build the same bytes. uv resolves them, for every Python and machine at once; where from, its own
configuration says.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nodelayer.errors import UnreachableError
from nodelayer.project.pins import run as refresh
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

ROOT = Path(__file__).resolve().parents[3]
FILE = "requirements.txt"
UV = "uv==0.13.9"
BUILD = "setuptools>=77,<90"
"""What [build-system] asks for: an editable installation is built by it."""
HEAD = (
    "# What `make venv EXTRAS=` installs. Made of pyproject.toml by nodelayer/project/pins/requirements.py.\n"
)


def resolved(root: Path, uv: Path) -> str:
    """The file's text as it would be now. Raises UnreachableError where uv cannot resolve it."""
    with tempfile.NamedTemporaryFile("w", suffix=".in") as build:
        build.write(f"{BUILD}\n")
        build.flush()
        line = [str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        line += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--upgrade"]
        done = subprocess.run(
            [*line, "pyproject.toml", build.name], cwd=root, capture_output=True, text=True, check=False
        )
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["no reason given"])[-1].strip()
        raise UnreachableError(
            f"uv cannot resolve the requirements ({told})", where=FILE, todo="run it again"
        )
    return HEAD + done.stdout


def run(arguments: Sequence[str], *, root: Path = ROOT, uv: Path | None = None) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Pin what nodelayer runs on, with hashes.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument("--write", action="store_true", help="write the file, where it differs")
    options = parser.parse_args(arguments)
    if uv is None:
        made, _ = venv.environment(UV, cache=DownloadCache(), reporter=Reporter(quiet=True))
        uv = made / "bin" / "uv"
    path = root / FILE
    old, new = path.read_text(encoding="utf-8") if path.exists() else "", resolved(root, uv)
    pins = [{line.split()[0] for line in text.splitlines() if "==" in line} for text in (old, new)]
    for line in sorted(pins[1] - pins[0]):
        print(line)
    if options.write and old != new:
        path.write_text(new, encoding="utf-8")
    return 1 if options.compare and old != new else 0


if __name__ == "__main__":
    sys.exit(refresh.typed(run))
