"""What commands share: flags, errors as one line and an exit code, confirmations."""

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec

from invoke import Exit

from nodelayer import architecture
from nodelayer.emulation import invoke
from nodelayer.emulation import rie as emulator
from nodelayer.errors import (
    InvalidInputError,
    NodelayerError,
)
from nodelayer.layer import artifact, build, docker_builder
from nodelayer.node import versions as node_release
from nodelayer.node.sources import registry
from nodelayer.node.sources.base import SourceContext
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

ROOT = Path(__file__).resolve().parents[2]


PATHS = build.ProjectPaths(
    runtime=ROOT / "runtime",
    function=ROOT / "function",
    dockerfiles=ROOT / "docker",
    event=ROOT / "function" / "events" / "hello.json",
)


P = ParamSpec("P")


SPEC = "version: 12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest, file (.nvmrc, engines)"


SPECS = SPEC + "; several with commas between"


ARCH = "x86_64 (default), arm64 or all"


SOURCE = (
    f"where Node.js comes from: {', '.join(registry.SOURCES)}, or auto (default): "
    "the download cache, then each of them in this order"
)


SIGNATURE = "--no-signature leaves the release team's OpenPGP signature unchecked; the build record says so"


COMPRESSION = "best (default: smallest) or fast (for trying out)"


def command(body: Callable[P, None]) -> Callable[P, None]:
    """What commands share: one line and an exit code for what went wrong, an orderly end when stopped."""

    @functools.wraps(body)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        try:
            body(*args, **kwargs)
        except NodelayerError as error:
            raise Exit(f"nodelayer: {error}", code=error.code) from error
        except KeyboardInterrupt:
            raise Exit("nodelayer: stopped; nothing half-done is left", code=130) from None

    return wrapped


REGIONS = "all (enabled in the account) or names with commas between"


MANIFEST = "the manifest of published layers: a file"


PROFILE = "the AWS profile to use"


ACCOUNT = "refuse to work in any account but this one (12 digits)"


PARTITION = "aws, aws-cn, aws-us-gov, aws-eusc; only needed with --regions all and no region of your own"


CREDENTIALS = {"profile": PROFILE, "account": ACCOUNT, "partition": PARTITION}
"""The flags of every command that asks an account, told once."""


def confirm(question: str, todo: str = "--yes does it without") -> None:
    """Ask on the terminal. Raises InvalidInputError where nobody can answer, Exit where the answer is no."""
    if not sys.stdin.isatty():
        raise InvalidInputError(question, where="nobody to ask", todo=todo)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Exit("nodelayer: nothing was deleted", code=1)


def built_layers(
    node: str | None, arch: str, out: Path
) -> tuple[list[artifact.Artifact], list[NodelayerError]]:
    """What is built of it (None: everything there is), and what is not, told.

    Raises Exit where there is nothing at all.
    """
    if node is None:
        found, failures = artifact.all_built(out)
    else:
        names = [each.name for each in architecture.parse(arch)]
        found, failures = artifact.each_built(node_release.split(node), names, out)
    reporter = Reporter()
    for failure in failures:
        reporter.fail(f"nodelayer: {failure}")
    if not found:
        raise Exit(code=failures[0].code)
    return found, failures


def build_context(source: str, *, signature: bool) -> build.BuildContext:
    reporter = Reporter()
    cache = DownloadCache(cache_folder())
    return build.BuildContext(
        paths=PATHS,
        source=registry.open_source(source, SourceContext(cache, reporter, os.environ, signature)),
        reporter=reporter,
        emulator=lambda arch: emulator.rie(arch, cache=cache, reporter=reporter),
        invoke=lambda layer, version, arch: invoke.check_unpacked(
            layer,
            version,
            arch,
            PATHS.function,
            {"hello": PATHS.event.read_bytes()},
            emulator.rie(arch, cache=cache, reporter=reporter),
        ),
        engine=functools.cache(lambda: docker_builder.connect(reporter)),
    )


def cache_folder() -> Path | None:
    named = os.environ.get("NODELAYER_CACHE_DIR")
    return Path(named) if named else None
