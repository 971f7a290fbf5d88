"""The function that SAM builds: its folder, its handler, and how function/Makefile builds it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nodelayer.aws.arn import LayerVersionArn
from nodelayer.errors import InvalidInputError
from nodelayer.node.versions import OLDEST
from nodelayer.project_paths import project_paths

_HANDLER = re.compile(r"(?P<file>(?:[^\s/]*/)*[^\s/.]+)\.[^\s/]+")
_OWN_TARGET = re.compile(r"^build-Function\s*:", re.MULTILINE)
_VERSION = re.compile(r"nodejs-(\d+)-(\d+)-(\d+)-")
_JAVASCRIPT = ("", ".js", ".mjs", ".cjs", "/index.js", "/package.json")
_TYPESCRIPT = (".ts", ".mts", ".cts")


@dataclass(frozen=True)
class Function:
    """A function for a layer of this Node.js version.

    Raises:
        InvalidInputError: The folder does not exist, or has no file for the handler.
    """

    folder: Path
    handler: str
    node_version: str

    def __post_init__(self) -> None:
        match = _HANDLER.fullmatch(self.handler)
        if match is None:
            raise InvalidInputError(
                f"{self.handler!r} is not a handler", where="--handler", todo="write it as file.export"
            )
        if not self.folder.is_dir():
            raise InvalidInputError(
                "the folder of the function does not exist", where=str(self.folder), todo="name a folder"
            )
        if not self._has_makefile and not self._file(*_JAVASCRIPT, *_TYPESCRIPT):
            raise InvalidInputError(
                f"the folder has no file {match['file']}.js, .mjs, .cjs or .ts",
                where=str(self.folder),
                todo="correct --handler: write it as file.export",
            )

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables of the Makefile: TYPESCRIPT is empty for a handler in JavaScript."""
        typescript = "" if self._file(*_JAVASCRIPT) else self._file(*_TYPESCRIPT)
        return {"TYPESCRIPT": typescript, "TARGET": f"node{self.node_version.partition('-')[0]}"}

    def render(self, template: str, layer_content: Path) -> str:
        """Return template.yaml for this function and this content of the layer."""
        sample = project_paths().function
        replaced = {
            "ContentUri: dist/layer.zip": f"ContentUri: {_quote(layer_content)}",
            "CodeUri: function/": f"CodeUri: {_quote(self.folder)}",
            "Handler: function.handler": f"Handler: {json.dumps(self.handler)}",
        }
        if self.folder.resolve() != sample:
            replaced["      Description: Returns the Node.js version that it runs on\n"] = ""
        if not self._has_makefile:
            replaced["BuildMethod: makefile"] = f"BuildMethod: makefile\n      ContextPath: {_quote(sample)}"
        for old, new in replaced.items():
            template = template.replace(old, new)
        return template

    @cached_property
    def _has_makefile(self) -> bool:
        """Whether the function's own Makefile can build it."""
        makefile = self.folder / "Makefile"
        return makefile.is_file() and _OWN_TARGET.search(makefile.read_text("utf-8", "replace")) is not None

    def _file(self, *suffixes: str) -> str:
        """Return the handler's file, relative to the folder; empty if there is none."""
        match = _HANDLER.fullmatch(self.handler)
        names = [f"{match['file']}{suffix}" for suffix in suffixes] if match else []
        return next((name for name in names if (self.folder / name).is_file()), "")


def node_version_of(layer_arn: str, *, exactly: bool = False) -> str:
    """Return the Node.js version in the name of a layer; the oldest one if there is none in it.

    Raises:
        InvalidInputError: There is none in it, and `exactly` is set.
    """
    match = _VERSION.match(LayerVersionArn.parse(layer_arn).name)
    if match is None and exactly:
        raise InvalidInputError(
            "the name of the layer does not contain its Node.js version",
            where="--code-cache",
            todo="omit this flag, or use a layer of nodelayer",
        )
    return ".".join(match.groups()) if match else OLDEST


def _quote(path: Path) -> str:
    return json.dumps(str(path.resolve()))
