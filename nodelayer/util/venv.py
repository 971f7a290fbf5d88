"""Other Python programs, each in a virtual environment of its own below the download cache.

They pin versions that could conflict with nodelayer's, so they are never installed beside it.
"""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from nodelayer import architecture
from nodelayer.errors import MachineError, UnreachableError
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter
from nodelayer.util.json_text import loads

FOLDER = "programs"


def environment(
    *requirements: str, cache: DownloadCache, reporter: Reporter, folder: str = FOLDER
) -> tuple[Path, bool]:
    """Return a virtual environment with these packages, and whether it was created by this call.

    Raises:
        UnreachableError: Pip cannot install the packages.
        MachineError: The disk is full, or this Python has no pip.
    """
    name = "-".join((*requirements, f"py{sys.version_info.major}.{sys.version_info.minor}"))

    def make(place: Path) -> None:
        with reporter.work(f"installing {', '.join(requirements)} (pip)"):
            _run([sys.executable, "-m", "venv", "--without-pip", str(place)], requirements)
            # Compiling modules that are never imported takes longer than the installation itself.
            line = [sys.executable, "-m", "pip", "--python", str(place), "install", "-qq", "--no-input"]
            _run([*line, "--disable-pip-version-check", "--no-compile", *requirements], requirements)

    return kept(name, make, cache=cache, reporter=reporter, folder=folder)


def wheel(requirement: str, folder: Path) -> Path:
    """Download the wheel of a requirement into an empty folder.

    Dependencies and the Python that the wheel requires do not matter: it is read, not installed.

    Raises:
        UnreachableError: Pip cannot download it.
        MachineError: The disk is full, or this Python has no pip.
    """
    line = [sys.executable, "-m", "pip", "download", "-qq", "--no-input", "--disable-pip-version-check"]
    line += ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", f"--dest={folder}", requirement]
    _run([*line, "--retries=1"], (requirement,))
    return next(folder.glob("*.whl"))


def newest(requirement: str) -> str:
    """Return the newest version of a package that pip would install, without installing it.

    Raises:
        UnreachableError: Pip cannot find the package.
        MachineError: This Python has no pip.
    """
    line = [sys.executable, "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    line += ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--report=-", requirement]
    return str(loads(_run(line, (requirement,)))["install"][0]["metadata"]["version"])


def kept(
    name: str, make: Callable[[Path], None], *, cache: DownloadCache, reporter: Reporter, folder: str = FOLDER
) -> tuple[Path, bool]:
    """Return a folder of the cache that `make` fills once, and whether this call filled it.

    `make` gets the final path of the folder, because programs in it may contain that path. The file `.whole`
    marks a complete folder; an incomplete one is made again.
    """
    flat = f"{name.replace('/', '_')}-{architecture.of_host()}"
    place = cache.root / folder / flat
    with cache.lock(f"{folder}-{flat}", reporter):
        if (place / ".whole").exists():
            (place / ".whole").touch()  # for DownloadCache.prune
            return place, False
        with cache.guard():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            make(place)
            (place / ".whole").touch()
        cache.prune()
        return place, True


def _run(line: list[str], requirements: tuple[str, ...]) -> str:
    where = ", ".join(requirements)
    if importlib.util.find_spec("pip") is None:
        raise MachineError("this Python has no pip", where=where, todo="run: python -m ensurepip")
    done = subprocess.run(line, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return done.stdout
    if "No space left" in done.stderr:
        raise MachineError("no disk space left for pip's packages", where=where, todo="free some space")
    errors = [each for each in done.stderr.splitlines() if each.startswith("ERROR: ")]
    why = f" ({errors[-1].removeprefix('ERROR: ')})" if errors else ""
    raise UnreachableError(
        f"pip cannot install a package{why}",
        where=where,
        todo="check the network, and the package index that `pip config list` prints",
    )
