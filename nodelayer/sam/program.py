"""The SAM CLI: the one on PATH, or a pinned version in a separate virtual environment.

Telemetry is off (SAM_CLI_TELEMETRY=0). The commands of SAM:
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-command-reference.html
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from nodelayer.errors import MachineError, RefusedError, UnreachableError
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter
from nodelayer.util.json_text import loads


@dataclass(frozen=True)
class SamProgram:
    """The `sam` program and the environment variables it runs with."""

    path: Path
    environ: Mapping[str, str]

    @property
    def command(self) -> str:
        """What a user types to start this program."""
        on_path = shutil.which("sam", path=self.environ.get("PATH")) == str(self.path)
        return "sam" if on_path else shlex.quote(str(self.path))

    def run(
        self,
        line: Sequence[str],
        *,
        variables: Mapping[str, str] | None = None,
        to_stdout: bool = False,
    ) -> None:
        """Run a SAM command. Its output goes to standard error, or to standard output with `to_stdout`.

        `variables` are added to the environment variables.

        Raises:
            MachineError: A build failed.
            RefusedError: Another command failed.
        """
        with subprocess.Popen(
            [str(self.path), *line],
            env={**self.environ, **(variables or {}), "SAM_CLI_TELEMETRY": "0", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=None if to_stdout else sys.stderr,
        ) as process:
            try:
                code = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if code:
            kind = MachineError if line[0] == "build" else RefusedError
            raise kind(f"sam {line[0]} failed with exit code {code}", todo="see the messages of SAM above")


def find(cache: DownloadCache, reporter: Reporter, environ: Mapping[str, str]) -> SamProgram:
    """Find SAM on PATH, or install it once into the download cache.

    Raises:
        UnreachableError: It cannot be downloaded.
        MachineError: It cannot be installed.
    """
    if on_path := shutil.which("sam", path=environ.get("PATH", os.defpath)):
        return SamProgram(Path(on_path), environ)
    pinned = loads((files("nodelayer.emulation") / "rie.json").read_bytes())
    requirement = f"{pinned['package']}=={pinned['version']}"
    reporter.say(f"SAM is not on PATH. Using {requirement}, installed once (about 200 MB in the cache)")
    try:
        folder, _ = venv.environment(requirement, cache=cache, reporter=reporter)
    except (UnreachableError, MachineError) as error:
        raise type(error)(
            f"SAM cannot be installed: {error.what}",
            where=error.where,
            todo=f"{error.todo}; or install the SAM CLI yourself",
        ) from error
    return SamProgram(folder / "bin" / "sam", environ)
