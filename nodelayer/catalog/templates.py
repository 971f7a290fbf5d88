"""Render the templates in assets/. Every value is escaped; a missing value is an error."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def read_asset(name: str) -> str:
    """Return the text of a file in assets/, without the newline at its end."""
    return files("nodelayer.catalog").joinpath("assets", name).read_text(encoding="utf-8").strip()


def render(name: str, **values: object) -> str:
    """Render the template `name` of assets/ with these values."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415 - `invoke arn` needs none

    environment = Environment(
        loader=FunctionLoader(read_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    environment.filters["count_regions"] = lambda regions: (
        f"{len(regions)} region{'' if len(regions) == 1 else 's'}"
    )
    return environment
