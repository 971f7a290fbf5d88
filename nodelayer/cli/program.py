"""The program `nodelayer`, and the same behaviour for `invoke` in a checkout."""

import inspect
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from invoke import Collection, Exit, ParseError, Program
from invoke.parser import Argument, Parser, ParserContext

from nodelayer.cli import layers, lookup, publish, runtime_upkeep, runtimes, sam, tour
from nodelayer.cli.command import Command
from nodelayer.version import __version__

LISTED = (
    *("build-layer", "build-image", "run", "test-layer", "code-cache"),
    *("publish", "arn", "verify", "verify-layer", "backfill", "prune", "withdraw", "catalog"),
    *("publish-runtime", "rollback-runtime", "verify-runtimes", "prune-runtimes", "restore-runtime"),
    *("sam-build", "deploy", "invoke-function", "logs", "destroy", "tour", "download", "clean"),
    *("release", "test", "test-all", "lint", "bench"),
)
"""The commands of `--list`, in its order."""

_CORE = {
    "complete",
    "debug",
    "help",
    "list",
    "list-depth",
    "list-format",
    "print-completion-script",
    "version",
}
_CORE |= {"write-pyc"}  # Program.parse_core reads each of them


class NodelayerProgram(Program):
    """Invoke's program, with one command in each call, and suggestions and exit code 2 for usage errors."""

    def core_args(self) -> list[Argument]:
        """Return Invoke's own flags; the program `nodelayer` has only those of _CORE."""
        known = super().core_args()
        return known if self.namespace is None else [each for each in known if each.names[0] in _CORE]

    def update_config(self, merge: bool = True) -> None:  # noqa: FBT001, FBT002 - Invoke's signature
        """Read Invoke's configuration files in a checkout only."""
        if self.namespace is None:
            super().update_config(merge)

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse Invoke's own flags."""
        with self._usage_errors():
            super().parse_core(argv)
            sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)  # Invoke sets it to True
            if not hasattr(self, f"list_{self.args['list-format'].value}"):
                raise ParseError("unknown --list-format: use flat, nested or json")

    def parse_tasks(self) -> None:
        """Parse the command and its flags."""
        words = self.core.unparsed
        task = self.collection[words[0]] if words and words[0] in self.collection.task_names else None
        if isinstance(task, Command) and task.bare_value_flag and words[1:] and not words[1].startswith("-"):
            words.insert(1, f"--{task.bare_value_flag}")
        with self._usage_errors():
            super().parse_tasks()
            if len(self.tasks) > 1:
                names = ", ".join(str(task.name) for task in self.tasks)
                raise ParseError(f"more than one command ({names}): run them one after another")

    def parse_cleanup(self) -> None:
        """Print the version, the help or the list, if a flag asks for it."""
        with self._usage_errors():
            super().parse_cleanup()

    def list_tasks(self) -> None:
        """List the first level; `--list github` and `--list-depth 2` list the other commands."""
        if self.list_format == "flat" and not self.list_root:
            self.list_depth = self.list_depth or 1
        super().list_tasks()

    def print_help(self) -> None:
        """Print the usage and the commands."""
        if self.namespace is None:
            super().print_help()
            return
        print(f"Usage: {self.name} COMMAND [--flags]\n       {self.name} COMMAND --help")
        print(f"       {self.name} --version | --list | --print-completion-script bash|zsh|fish\n")
        self.list_tasks()

    def print_task_help(self, name: str) -> None:
        """Print the usage, the docstring and the flags of a command."""
        program = self.name.lower()
        text = (inspect.getdoc(self.collection[name]) or "").replace("Example: ", f"Example: {program} ")
        print(f"Usage: {program} {name} [--flags]\n\n{text}\n")
        if tuples := self.parser.contexts[name].help_tuples():
            self.print_columns(tuples)

    def _make_parser(self) -> Parser:
        """After a command, accept --help but no other flag of Invoke: there, -p is not --pty."""
        known = [each for each in super().core_args() if each.names[0] == "help"]
        return Parser(initial=ParserContext(args=known), contexts=self.collection.to_contexts())

    def _make_pairs(
        self, coll: Collection, ancestors: list[str] | None = None
    ) -> list[tuple[str, str | None]]:
        pairs: list[tuple[str, str | None]] = super()._make_pairs(coll, ancestors)
        order = {name: index for index, name in enumerate(coll.tasks)}
        return sorted(pairs, key=lambda pair: order.get(pair[0].strip().rpartition(".")[2], len(order)))

    @contextmanager
    def _usage_errors(self) -> Iterator[None]:
        try:
            yield
        except (ParseError, ValueError) as error:
            raise Exit(f"{self.name.lower()}: {self._explanation(error)}", code=2) from error
        except BrokenPipeError as error:  # as in `--list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=0) from error
        except Exit as stop:
            raise Exit(stop.message, code=2 if stop.message else stop.code) from stop

    def _explanation(self, error: Exception) -> str:
        """Return one line: what is wrong with the command line, and the nearest known word."""
        found = re.fullmatch(r"No idea what ['\"](.*)['\"] is!", str(error), re.DOTALL)
        if not found:
            return " ".join(str(error).split())
        import difflib  # only usage errors need it

        word, context = found[1], getattr(error, "context", None)
        within, is_flag = context.name if context else None, word.startswith("-")
        if not is_flag and within:
            return f"{within} does not take {word!r}: write each value after its flag (see {within} --help)"
        what = f"{within} has no flag" if within else "unknown flag" if is_flag else "unknown command"
        names = list(self.collection.task_names) if hasattr(self, "collection") else []
        known = [*context.flags, *context.inverse_flags] if is_flag and context else names
        begun = [each for each in known if len(word) > 2 and each.startswith(word)]  # noqa: PLR2004
        near = begun or difflib.get_close_matches(word, known, n=1)
        todo = f"did you mean {near[0]}?" if near else f"see {within} --help" if within else "see --list"
        return f"{what} {word}: {todo}"


def _of(*modules: object) -> list[Command]:
    return [each for module in modules for each in vars(module).values() if isinstance(each, Command)]


def _name(task: Command) -> str:
    return task.name.replace("_", "-")


def _collection(*modules: object) -> Collection:
    return Collection(*sorted(_of(*modules), key=lambda task: LISTED.index(_name(task))))


def installed() -> Collection:
    """Return the commands that work outside a checkout."""
    return _collection(layers, publish, runtimes, runtime_upkeep, lookup, sam, tour)


def checkout() -> Collection:
    """Return all commands, with those of workflows (`github.`) and of maintainers (`project.`)."""
    from nodelayer.cli import github, project  # the installed program does not have them

    made = _collection(layers, publish, runtimes, runtime_upkeep, lookup, sam, tour)
    workflows, rest = Collection("github", *_of(github)), Collection("project")
    for task in _of(project):
        (made if _name(task) in LISTED else rest).add_task(task)
    for module, collection in ((github, workflows), (project, rest)):
        collection.__doc__ = module.__doc__
        made.add_collection(collection)
    return made


def main() -> None:
    """Run the program `nodelayer`."""
    program = NodelayerProgram(
        name="nodelayer",
        binary="nodelayer",
        binary_names=["nodelayer"],
        version=__version__,
        namespace=installed(),
    )
    program.run()
