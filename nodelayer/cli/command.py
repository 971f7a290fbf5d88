"""What commands share: flags, errors as one line and an exit code, confirmations."""

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from invoke import Exit, ParseError, Task
from invoke.parser import Argument

from nodelayer import architecture
from nodelayer.errors import InvalidInputError, NodelayerError
from nodelayer.node.sources import registry
from nodelayer.project_paths import project_paths, project_root

if TYPE_CHECKING:
    from nodelayer.layer import artifact, build

ROOT = project_root()


PATHS = project_paths()


SPEC = "Node.js version: 12.16.1, 24, '^12.16 || >=24', lts, lts/erbium or latest"


FILE_SPEC = SPEC + "; file reads it from .nvmrc, .node-version, .tool-versions or package.json"


FUNCTION = "folder of the function (default: the sample function)"


HANDLER = "handler of the function, as file.export (default: function.handler)"


COMMAS = "; separate several with commas"


ARCH = "architecture: x86_64 (default), arm64 or all"


SOURCE = (
    f"where to download Node.js: {', '.join(registry.SOURCES)} or auto (default: "
    f"the download cache, then {', then '.join(registry.AUTO_ORDER)})"
)


SIGNATURE = (
    "check the OpenPGP signature of the Node.js release team (default); --no-signature skips the check, "
    "and the build record says so"
)


COMPRESSION = "best (default): smallest zip; fast: quicker build, larger zip"


class Flag(Argument):
    """A flag whose errors are one line that names the flag."""

    def __repr__(self) -> str:
        return f"--{self.names[0]}"

    def set_value(self, value: object, cast: bool = True) -> None:  # noqa: FBT001, FBT002 - Invoke's signature
        """Set the value. Raises ParseError if it is not a number and should be."""
        try:
            super().set_value(value, cast)
        except ValueError:
            raise ParseError(f"{self} takes a whole number, not {value!r}") from None


SHORT_FLAGS: dict[str, str] = {}
"""Short flags, by long flag; the same in every command."""


class Command(Task[Callable[..., None]]):
    """A task with long flags only.

    `bare_value_flag` names the flag that may be omitted before its value, as in `release patch`.
    """

    bare_value_flag = ""

    def get_arguments(
        self,
        ignore_unknown_help: bool | None = None,  # noqa: FBT001 - Invoke's signature
    ) -> list[Argument]:
        """Return the flags as `Flag`, with the short flags of SHORT_FLAGS only."""
        texts = dict(self.help)
        known = super().get_arguments(ignore_unknown_help)
        self.help = texts  # Invoke empties it
        return [
            Flag(
                names=(*each.names, *SHORT_FLAGS.get(each.names[0], "")),
                kind=each.kind,
                default=each.default,
                help=each.help,
                attr_name=each.attr_name,
            )
            for each in known
        ]

    def __call__(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
        """Run the command. Raises Exit if a required flag is missing."""
        for each in inspect.signature(self.body).parameters.values():
            if each.default is inspect.Parameter.empty and kwargs.get(each.name, "") is None:
                flag = each.name.replace("_", "-")
                raise Exit(f"nodelayer: --{flag} is missing: see {self.name} --help", code=2)
        super().__call__(*args, **kwargs)


given_flags: dict[str, str | bool] = {}
"""Flags of the running command that differ from their defaults; True for a flag without a value."""

QUIET = "print results, warnings and errors, but no progress"


def command(
    *,
    help: Mapping[str, str] | None = None,  # noqa: A002 - Invoke's word
    name: str | None = None,
    bare_value_flag: str = "",
    repeated: Sequence[str] = (),
) -> Callable[[Callable[..., None]], Command]:
    """Return a decorator that makes a command of a function.

    Parameters become flags; a parameter without a default becomes a required flag. Each of `repeated` may be
    given several times.
    """

    def made(body: Callable[..., None]) -> Command:
        texts = {**(help or {}), "quiet": QUIET}
        result = Command(
            _guarded(body), name=name, help=texts, positional=[], auto_shortflags=False, iterable=repeated
        )
        result.bare_value_flag = bare_value_flag
        return result

    return made


def _guarded(body: Callable[..., None]) -> Callable[..., None]:
    """Add --quiet, one line and an exit code for each error, and a clean stop on SIGINT and SIGTERM."""
    known = inspect.signature(body)

    @functools.wraps(body)
    def wrapped(*args: object, quiet: bool = False, **kwargs: object) -> None:
        def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        given_flags.clear()
        given_flags.update(
            (f"--{name.replace('_', '-')}", value if value is True else str(value))
            for name, value in kwargs.items()
            if value not in (known.parameters[name].default, [])
        )
        if quiet:
            from nodelayer.util.console import Reporter

            Reporter.all_quiet = True
        from nodelayer.util.console import escaped_output

        try:
            with escaped_output():
                body(*args, **kwargs)
        except NodelayerError as error:
            raise Exit(f"nodelayer: {error}", code=error.code) from error
        except KeyboardInterrupt:
            raise Exit("nodelayer: stopped; no incomplete files are left", code=130) from None

    quiet_flag = inspect.Parameter("quiet", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=False)
    wrapped.__signature__ = known.replace(  # type: ignore[attr-defined]
        parameters=[*known.parameters.values(), quiet_flag]
    )
    return wrapped


REGIONS = "regions separated by commas, or all (default): every region enabled in the account"


MANIFEST = "manifest: the file that records published layers (default: layers.json)"


PROFILE = "AWS profile (default: the one that AWS_PROFILE names, or the default profile)"


def confirm(question: str, todo: str = "use --yes to skip this question") -> None:
    """Ask on the terminal. Raises InvalidInputError if there is no terminal, Exit if the answer is no."""
    if not sys.stdin.isatty():
        raise InvalidInputError(question, where="no terminal", todo=todo)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Exit("nodelayer: nothing was changed", code=1)


def built_layers(
    node: str | None, arch: str, out: Path
) -> "tuple[list[artifact.Artifact], list[NodelayerError]]":
    """Return the built layers of these versions (None: every layer in the folder), and print each failure.

    Raises Exit if there is no layer.
    """
    from nodelayer.layer import artifact
    from nodelayer.node import versions
    from nodelayer.util.console import Reporter

    if node is None:
        found, failures = artifact.all_built(out)
    else:
        names = [each.name for each in architecture.parse(arch)]
        found, failures = artifact.each_built(versions.split(node), names, out)
    reporter = Reporter()
    for failure in failures:
        reporter.fail(f"nodelayer: {failure}")
    if not found:
        raise Exit(code=failures[0].code)
    return found, failures


def base_image() -> str | None:
    """Return the image that replaces those of the targets."""
    return os.environ.get("NODELAYER_BASE_IMAGE") or None


def build_context(source: str, *, signature: bool, active_keys: bool = False) -> "build.BuildContext":
    """Return the build context for the flags and the environment."""
    from nodelayer.emulation import invoke, rie
    from nodelayer.layer import build, docker_builder
    from nodelayer.node.sources.auto import open_source
    from nodelayer.node.sources.base import SourceContext
    from nodelayer.util.cache import DownloadCache
    from nodelayer.util.console import Reporter

    reporter = Reporter()
    cache = DownloadCache(cache_folder())
    return build.BuildContext(
        paths=PATHS,
        source=open_source(source, SourceContext(cache, reporter, os.environ, signature, active_keys)),
        reporter=reporter,
        emulator=lambda arch: rie.rie(arch, cache=cache, reporter=reporter),
        invoke=lambda layer, version, arch: invoke.check_unpacked(
            layer,
            version,
            arch,
            PATHS.function,
            {"hello": PATHS.event.read_bytes()},
            rie.rie(arch, cache=cache, reporter=reporter),
        ),
        engine=functools.cache(lambda: docker_builder.connect(reporter)),
    )


def cache_folder() -> Path | None:
    """Return the folder of $NODELAYER_CACHE_DIR, None for the default."""
    named = os.environ.get("NODELAYER_CACHE_DIR")
    return Path(named) if named else None
