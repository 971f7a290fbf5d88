"""The Lambda runtimes that a layer runs on, and the dates when AWS retires them."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

from nodelayer.util.json_text import loads


@dataclass(frozen=True)
class Runtime:
    """One `provided.*` runtime: its operating system, and dates in ISO 8601; None if a date is not known.

    From `deprecated` on, AWS no longer patches it. From `create_block` on, Lambda rejects new functions, and
    from `update_block` on also changes to functions. `creates` is false if it rejects new functions already.
    """

    name: str
    system: str
    deprecated: str
    create_block: str | None
    update_block: str | None
    creates: bool


@cache
def known() -> dict[str, Runtime]:
    """Return the runtimes by name, oldest first, from the bundled runtimes.json."""
    text = resources.files("nodelayer.aws").joinpath("runtimes.json").read_text(encoding="utf-8")
    return {name: Runtime(name, **facts) for name, facts in loads(text)["runtimes"].items()}
