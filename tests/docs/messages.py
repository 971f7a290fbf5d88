"""What nodelayer can print, read from its source: texts with `…` for what is put into them."""

import ast
import functools
import re

from support import ROOT

PYTHON = [*sorted((ROOT / "nodelayer").glob("*.py")), ROOT / "tasks.py"]
RUNTIME = [ROOT / "runtime" / "bootstrap", *sorted((ROOT / "runtime" / "aws").glob("*.js"))]
_RAISES = re.compile(r"(\w+Error|kind|_refuse|Exit)")
_NOT_TOLD = {"ValueError", "AssertionError", "MaxRetryError"}
"""Caught within, and told in other words."""


def flat(text):
    """On one line, with one `…` where several things are put in side by side."""
    return re.sub(r"…(…| and …)*", "…", " ".join(text.split()))


def texts(node):
    """The texts that an expression can be; none where it is not written there."""
    match node:
        case ast.Constant(value=str()):
            return [node.value]
        case ast.JoinedStr():
            parts = (str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
            return ["".join(parts)]
        case ast.IfExp():
            return texts(node.body) + texts(node.orelse)
        case ast.BinOp(op=ast.Add()):
            return [left + right for left in texts(node.left) for right in texts(node.right)]
    return []


@functools.cache
def errors():
    """The first words of each error that is raised somewhere."""
    found = set()
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = ast.unparse(node.func).rpartition(".")[2]
                if _RAISES.fullmatch(name) and name not in _NOT_TOLD:
                    found |= {flat(text) for text in texts(node.args[0])}
    return frozenset(found)


@functools.cache
def printed():
    """Every text in the source, of Python, JavaScript and shell."""
    found = set()
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
                found |= {flat(text) for text in texts(node)}
    for path in RUNTIME:
        source = re.sub(r"['`] \+\s*\n\s*['`]", "", path.read_text(encoding="utf-8"))
        source = re.sub(r"\\(['`])", r"\1", source)
        found |= {re.sub(r"\$\{[^}]*\}|\$[A-Z_]+", "…", line) for line in source.splitlines()}
    return frozenset(found)


def exists(quoted):
    """Whether a message with `…` in it is written somewhere in the source."""
    pieces = [re.escape(piece) for piece in flat(quoted).split("…")]
    pattern = re.compile(".*".join(pieces))
    return any(pattern.search(text) for text in printed())
