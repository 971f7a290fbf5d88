"""A clone as its user has it, whose commands meet an emulated account."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from publish import emulators
from publish.conftest import make_layer
from support import ROOT, Outcome
from tools import GH, Tools

from nodelayer import architecture
from nodelayer.util.cache import DownloadCache

AWS_CLI = ("awscli==1.46.3",)
OF_A_CLONE_S_OWN = {".git", ".venv", "dist", "layers.json", "layers.txt", "layers.schema.json"}
_TIMEOUT_S = 300
PROGRAMS = ("bash", "make", "git", "zip", "jq", "openssl", "awk", "sha256sum")


@pytest.fixture(scope="session")
def account(cache_folder):
    """An AWS account that is played by MiniStack."""
    with emulators.ministack(cache_folder) as running:
        yield running


@pytest.fixture(scope="session")
def address():
    """Where a web server has the files of docs/."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=ROOT / "docs")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass(frozen=True)
class Clone:
    """A folder in which every command of the documentation can be typed."""

    folder: Path
    environ: dict

    def type(self, line):
        """Run a line by the shell, as its reader does."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def forget(self):
        """No manifest: nothing is recorded."""
        for path in self.folder.glob("layers.[jt]*"):
            path.unlink()

    def publish(self, *regions, public=False):
        outcome = self.type(
            f"invoke publish --node 12.16.1 --regions {','.join(regions)}{' --public' if public else ''}"
        )
        assert outcome.code == 0, outcome.err


def make_clone(folder, account, cache_folder):
    """The files by links; what is built and published lies in the folder itself."""
    if lacking := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"the pages use {', '.join(lacking)}, not installed here")
    for path in ROOT.iterdir():
        if path.name not in OF_A_CLONE_S_OWN and not path.name.endswith((".egg-info", "_cache")):
            (folder / path.name).symlink_to(path)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("invoke", "python"):  # a link to the latter would not find its packages
        (programs / name).write_text(f'#!/bin/sh\nexec "{Path(sys.executable).parent / name}" "$@"\n')
        (programs / name).chmod(0o755)
    (folder / ".venv" / ".made-from-pyproject").touch()
    tools = Tools(DownloadCache(cache_folder))
    aws, gh = (tools.pip(*each) / "bin" for each in (AWS_CLI, (GH,)))
    path = os.pathsep.join(map(str, (programs, aws, gh, os.environ["PATH"])))
    nobody = {
        "GH_TOKEN": None,
        "GITHUB_TOKEN": None,
        "GH_CONFIG_DIR": folder / ".gh",
    }  # gh is signed in nowhere
    return Clone(folder, account.environ(PATH=path, DOCKER_HOST="unix:///dev/null/none", **nobody))


@pytest.fixture(scope="session")
def built(tmp_path_factory, account, cache_folder):
    """A clone where the real thing is built."""
    if architecture.of_host() != architecture.X86_64:
        pytest.skip("what the pages build and run is for x86_64")
    return make_clone(tmp_path_factory.mktemp("built"), account, cache_folder)


@pytest.fixture(scope="session")
def small(tmp_path_factory, account, cache_folder):
    """A clone with a layer of 12.16.1 that holds no Node.js: enough to be published, quickly."""
    clone = make_clone(tmp_path_factory.mktemp("small"), account, cache_folder)
    make_layer(clone.folder / "dist")
    return clone
