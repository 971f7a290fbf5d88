"""The tour: build, publish, look up, download and run a layer, without an AWS account or Docker.

Each step runs a command as a user types it, against an emulator of AWS.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from nodelayer.cli.command import cache_folder, command
from nodelayer.errors import NodelayerError

if TYPE_CHECKING:
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter

REGIONS = ("ap-southeast-2", "eu-west-1", "us-east-1")
LOOKED_UP = "eu-west-1"


@dataclass(frozen=True)
class Step:
    """A title, and the words after `invoke`; `{arn}` becomes the last line that the previous step printed."""

    title: str
    words: tuple[str, ...]


def steps(node: str) -> Sequence[Step]:
    """Return the steps for one version; all run in the same folder."""
    return (
        Step("Build a layer", ("build-layer", "--node", node, "--builder", "local")),
        Step("Publish it", ("publish", "--node", node, "--regions", ",".join(REGIONS), "--public")),
        Step(
            "Publish it again: nothing changes",
            ("publish", "--node", node, "--regions", ",".join(REGIONS), "--public"),
        ),
        Step("Compare the manifest with the account", ("verify",)),
        Step(
            "Print a template for a function on this layer",
            ("arn", "--node", node, "--region", LOOKED_UP, "--format", "sam"),
        ),
        Step("Look up its ARN", ("arn", "--node", node, "--region", LOOKED_UP)),
        Step(
            "Download that layer version, and run the sample function on it",
            ("run", "--layer-arn", "{arn}"),
        ),
    )


def take(
    node: str,
    *,
    invoke: Sequence[str],
    cache: "DownloadCache",
    reporter: "Reporter",
    environ: Mapping[str, str],
) -> str:
    """Run each step and return the answer of the function. `invoke` is the command line of the program.

    Raises NodelayerError if a step fails; the step has printed the reason.
    """
    from nodelayer.emulation import ministack

    began = time.monotonic()
    output = ""
    with (
        tempfile.TemporaryDirectory(prefix="nodelayer-tour-") as folder,
        ministack.running(ministack.MINISTACK, cache, reporter) as aws,
    ):
        variables = ministack.environ(aws.endpoint, environ)
        reporter.say(f"MiniStack emulates AWS at {aws.endpoint}; the folder is {folder}")
        for number, step in enumerate(steps(node), start=1):
            words = [
                word.format(arn=output.strip().splitlines()[-1] if output else "") for word in step.words
            ]
            reporter.say_lines(f"\n{number}. {step.title}\n$ invoke {shlex.join(words)}")
            output = _run([*invoke, *words], Path(folder), variables, reporter)
    reporter.say_lines(
        f"\nThe tour took {time.monotonic() - began:.0f} s. The emulator and the folder are removed."
    )
    return output


def _run(line: Sequence[str], folder: Path, environ: Mapping[str, str], reporter: "Reporter") -> str:
    """Run a command, print its stdout when it ends, and return it; stderr goes straight to the terminal."""
    with subprocess.Popen(line, cwd=folder, env=dict(environ), stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()
            raise
    if output:
        reporter.say_lines(output)
    if process.returncode:
        error = NodelayerError(
            "this step of the tour failed", where=shlex.join(line), todo="see the message above"
        )
        error.code = process.returncode
        raise error
    return output


@command(help={"node": "exact Node.js version (default: 12.16.1)"})
def tour(_ctx: Context, node: str = "12.16.1") -> None:
    """Try nodelayer without an AWS account: build a layer, publish it to an emulator of AWS, and run it."""
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter

    invoke = [str(Path(sys.executable).parent / "nodelayer")]
    cache = DownloadCache(cache_folder())
    take(node, invoke=invoke, cache=cache, reporter=Reporter(), environ=os.environ)
