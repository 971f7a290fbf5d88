"""The sources of Node.js binaries, and the one that --source names.

To add a source, for example a mirror: write a module with a class like `npm.Npm`, which is made from a
`base.SourceContext` and has what `base.CachingSource` asks for, and add its line to SOURCES. The help and the
choices of --source, the order of `auto` and the names that a build record accepts follow from it.
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from nodelayer.errors import InvalidInputError

if TYPE_CHECKING:
    from nodelayer.node.sources.base import ReleaseSource, SourceContext

SOURCES = {
    "nodejs.org": "nodelayer.node.sources.nodejs_org:NodejsOrg",
    "npm": "nodelayer.node.sources.npm:Npm",
}
"""The class of each source by the name that --source takes, in the order in which `auto` tries them."""

AUTO = "auto"
CHOICES = (AUTO, *SOURCES)


def open_source(name: str, context: "SourceContext") -> "ReleaseSource":
    """Open the source that --source names; nothing is fetched yet. Raises InvalidInputError."""
    from nodelayer.node.sources.auto import Auto  # noqa: PLC0415 - reading SOURCES loads no source

    if name not in CHOICES:
        raise InvalidInputError(
            f"unknown source {name!r}", where="--source", todo=f"use {', '.join(CHOICES)}"
        )
    if name == AUTO:
        return Auto([resolve_name(each)(context) for each in SOURCES.values()], reporter=context.reporter)
    source: ReleaseSource = resolve_name(SOURCES[name])(context)
    return source
