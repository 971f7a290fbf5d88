"""The snippets of docs/consuming.md, as `invoke arn` prints them of docs/layers.sample.json.

    python scripts/docs_snippets.py             ends with 1 where the page says something else
    python scripts/docs_snippets.py --write     into docs/consuming.md

Each stands between two comments, the first of which names its format.
"""

import argparse
import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path

from invoke import Collection, Program

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "docs" / "layers.sample.json"
PAGE = ROOT / "docs" / "consuming.md"
END = "<!-- end of what was made -->"
MADE = re.compile(
    rf"<!-- made by scripts/docs_snippets\.py: ([\w-]+) -->\n```(\w+)\n.*?\n```\n{END}", re.DOTALL
)


def tasks() -> Program:
    """The commands of tasks.py, in this process: starting one anew for each format takes long."""
    found = importlib.util.spec_from_file_location("tasks", ROOT / "tasks.py")
    if found is None or found.loader is None:
        raise FileNotFoundError(ROOT / "tasks.py")
    module = sys.modules["tasks"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return Program(namespace=Collection.from_module(module))


def printed(program: Program, format: str) -> str:  # noqa: A002 - the flag's own name
    """What the command prints in that format, without the newline at its end."""
    words = ["invoke", "arn", "--node=12.16.1", "--region=eu-west-1", f"--format={format}"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        program.run([*words, f"--manifest={SAMPLE}"], exit=False)
    return out.getvalue().rstrip("\n")


def filled(page: str) -> str:
    """The page with each snippet as it is printed now."""
    program = tasks()
    return MADE.sub(
        lambda found: (
            f"<!-- made by scripts/docs_snippets.py: {found[1]} -->\n"
            f"```{found[2]}\n{printed(program, found[1])}\n```\n{END}"
        ),
        page,
    )


def main() -> int:
    """0 when the page says what is printed, or says it now."""
    parser = argparse.ArgumentParser(description="the snippets of docs/consuming.md")
    parser.add_argument("--write", action="store_true", help="replace them in docs/consuming.md")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    made = filled(page)
    if options.write:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if made != page:
        print("docs/consuming.md: scripts/docs_snippets.py --write", file=sys.stderr)
    return int(made != page)


if __name__ == "__main__":
    sys.exit(main())
