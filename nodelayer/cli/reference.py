"""The command reference of the documentation, generated from the commands."""

import inspect
import re

from nodelayer.cli.program import checkout, installed

_HEAD = """# Commands

In a checkout, type `invoke` before a command; with the Python package, type `nodelayer`. `--help` after a
command prints its part of this page.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | the answer is no: for example, `--compare` found a difference |
| 2 | the command line or an input file is wrong |
| 3 | no such version or layer |
| 4 | a host cannot be reached |
| 5 | a download, a zip or a layer version failed verification |
| 6 | the layer would not start on Lambda |
| 7 | a problem on this computer: disk full, no permission, a program is missing |
| 8 | the function answered with an error |
| 9 | AWS or GitHub refused the request |
| 130 | stopped with Ctrl-C |

`make` ends with 2 for every failure.

"""

_NO_COLUMN = re.compile(r"[|<>*_{}]")


def text() -> str:
    """Return the page as Markdown: every command with its description and its flags."""
    commands, users = checkout(), installed().task_names
    flags = {str(context.name): context.help_tuples() for context in commands.to_contexts()}
    sections: dict[str, list[str]] = {
        "Commands for users": list(users),
        "Commands for the sample stack and for development": [
            each for each in commands.tasks if each not in users
        ],
        "Commands for GitHub workflows": sorted(each for each in flags if each.startswith("github.")),
        "Commands for maintainers": sorted(each for each in flags if each.startswith("project.")),
    }
    return _HEAD + "\n".join(
        f"## {title}\n\n"
        + "\n".join(_command(name, inspect.getdoc(commands[name]), flags[name]) for name in names)
        for title, names in sections.items()
    )


def _command(name: str, description: str | None, flags: list[tuple[str, str | None]]) -> str:
    rows = "".join(f"| `{flag}` | {_escaped(meaning or '')} |\n" for flag, meaning in flags)
    return f"### {name}\n\n{_escaped(description or '')}\n\n| flag | meaning |\n|---|---|\n{rows}"


def _escaped(words: str) -> str:
    return _NO_COLUMN.sub(r"\\\g<0>", words)
