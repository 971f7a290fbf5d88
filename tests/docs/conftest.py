"""A clone whose commands reach an emulated AWS account."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from publish import emulators
from publish.conftest import make_layer
from support import ROOT, Outcome, find_program

NOT_LINKED = {".git", ".venv", "dist", "layers.json", "layers.txt", "layers.schema.json"}
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Clone:
    """A folder in which commands of the documentation run."""

    folder: Path
    environ: dict

    def type(self, line):
        """Run a line in the shell."""
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


@pytest.fixture(scope="session")
def clone(tmp_path_factory, cache_folder):
    """Link the files of the project; the layer of 12.16.1 holds no Node.js, which is enough to publish it."""
    find_program("jq", "jq")
    folder = tmp_path_factory.mktemp("clone")
    for path in ROOT.iterdir():
        if path.name not in NOT_LINKED and not path.name.endswith((".egg-info", "_cache")):
            (folder / path.name).symlink_to(path)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "invoke").write_text(f'#!/bin/sh\nexec "{Path(sys.executable).parent / "invoke"}" "$@"\n')
    (programs / "invoke").chmod(0o755)
    make_layer(folder / "dist")
    with emulators.ministack(cache_folder) as account:
        path = os.pathsep.join((str(programs), os.environ["PATH"]))
        yield Clone(folder, account.environ(PATH=path, DOCKER_HOST="unix:///dev/null/none"))
