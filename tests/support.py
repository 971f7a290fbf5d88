"""Helpers of tests that are not fixtures: commands as users run them, and a finished layer."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodelayer.cli.program import checkout
from nodelayer.layer import archive

ROOT = Path(__file__).resolve().parent.parent
REPORT = pytest.StashKey()
"""Lines that tests want printed at the end, in the configuration's stash."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.err.strip().splitlines()


@dataclass(frozen=True)
class Built:
    """A finished layer: the zip, and its record as plain JSON."""

    zip: Path
    record: dict

    def names(self):
        with zipfile.ZipFile(self.zip) as opened:
            return opened.namelist()

    def unpacked(self, folder):
        archive.unpack(archive.read(self.zip), folder)
        return folder


def command(*arguments):
    """The argument list of one of our commands, from wherever it is started."""
    return [str(Path(sys.executable).parent / "invoke"), f"--search-root={ROOT}", *map(str, arguments)]


def find_program(name, package):
    """Return the path of a program, or skip the test and name Debian's package of it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: apt-get install {package}")
    return found


def start(line, **how):
    """Start a program that SIGINT can stop: a background job ignores SIGINT, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(line, **how)
    finally:
        signal.signal(signal.SIGINT, before)


def contexts():
    """The commands as Invoke's parser knows them: each with its name and its flags."""
    return checkout().to_contexts()


def environment(**changes):
    """This machine's variables, but for those that would change what a build does; None takes one away."""
    kept = {name: value for name, value in os.environ.items() if name != "NODELAYER_BASE_IMAGE"}
    kept |= {name: str(value) for name, value in changes.items() if value is not None}
    return {name: value for name, value in kept.items() if changes.get(name, "") is not None}
