"""The whole journey on one machine: build, publish, look up, fetch back, run. No AWS account, no Docker.

Every step is a command as its users type it, run against an emulator of AWS that is started for it.
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
    """What a step is for, and the words after `invoke`. {arn} is what the step before it printed last."""

    title: str
    words: tuple[str, ...]


def steps(node: str) -> Sequence[Step]:
    """The journey of one version; every command runs in the same folder."""
    return (
        Step("Build a layer", ("build-layer", "--node", node, "--builder", "local")),
        Step("Publish it", ("publish", "--node", node, "--regions", ",".join(REGIONS), "--public")),
        Step(
            "Again: nothing is left to do",
            ("publish", "--node", node, "--regions", ",".join(REGIONS), "--public"),
        ),
        Step("Compare the manifest with the account", ("verify",)),
        Step(
            "Write a function on it, for your tool",
            ("arn", "--node", node, "--region", LOOKED_UP, "--format", "sam"),
        ),
        Step("Look its ARN up", ("arn", "--node", node, "--region", LOOKED_UP)),
        Step(
            "Fetch that layer version back, and run the sample function on it",
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
    """Take the tour, and return the answer of the function. `invoke` starts the commands.

    Raises NodelayerError where a step fails; its own line stands above.
    """
    from nodelayer.emulation import ministack

    began = time.monotonic()
    output = ""
    with (
        tempfile.TemporaryDirectory(prefix="nodelayer-tour-") as folder,
        ministack.running(ministack.MINISTACK, cache, reporter) as aws,
    ):
        variables = ministack.environ(aws.endpoint, environ)
        reporter.say(f"AWS is played by MiniStack at {aws.endpoint}; the folder is {folder}")
        for number, step in enumerate(steps(node), start=1):
            words = [
                word.format(arn=output.strip().splitlines()[-1] if output else "") for word in step.words
            ]
            reporter.say(f"\n{number}. {step.title}\n$ invoke {shlex.join(words)}")
            output = _run([*invoke, *words], Path(folder), variables, reporter)
    reporter.say(
        f"\nAll of it took {time.monotonic() - began:.0f} s. The emulator and the folder are gone again."
    )
    return output


def _run(line: Sequence[str], folder: Path, environ: Mapping[str, str], reporter: "Reporter") -> str:
    """What a command prints on stdout, shown when it ends; its progress goes straight to the terminal."""
    with subprocess.Popen(line, cwd=folder, env=dict(environ), stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()
            raise
    if output:
        reporter.say(output.rstrip("\n"))
    if process.returncode:
        error = NodelayerError(
            "this step of the tour failed", where=shlex.join(line), todo="its reason stands above"
        )
        error.code = process.returncode
        raise error
    return output


@command(help={"node": "the exact version to take along"})
def tour(_ctx: Context, node: str = "12.16.1") -> None:
    """Build, publish to three regions, look up, fetch back and run: on an emulator of AWS, no account."""
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter

    invoke = [str(Path(sys.executable).parent / "nodelayer")]
    cache = DownloadCache(cache_folder())
    take(node, invoke=invoke, cache=cache, reporter=Reporter(), environ=os.environ)
