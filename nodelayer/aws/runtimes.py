"""Lambda's runtimes that a layer runs on, and until when AWS keeps them."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Runtime:
    """One `provided.*` runtime: its system, and dates in ISO 8601, None where we do not know one.

    From `deprecated` on AWS no longer patches it, from `create_block` on no function can be made on it, from
    `update_block` on none can be changed. `creates` is false where functions can no longer be made already.
    """

    name: str
    system: str
    deprecated: str
    create_block: str | None
    update_block: str | None
    creates: bool


@cache
def known() -> dict[str, Runtime]:
    """The runtimes by name, oldest first, as bundled in runtimes.json."""
    text = resources.files("nodelayer.aws").joinpath("runtimes.json").read_text(encoding="utf-8")
    return {name: Runtime(name, **facts) for name, facts in json.loads(text)["runtimes"].items()}
