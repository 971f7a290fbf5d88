"""The targets of a release, from `release-targets.toml`, and the lines in maintenance on a day."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, MachineError, NodelayerError
from nodelayer.node.versions import Release, check_spec, is_stable, lts_lines, sort_key

FILE = "release-targets.toml"


@dataclass(frozen=True)
class ReleaseTargets:
    """Whether every line in maintenance is built, which other specs, and the runner of each architecture."""

    maintenance: bool
    versions: tuple[str, ...]
    runners: dict[Architecture, str]

    def with_runner(self, wanted: Iterable[Architecture]) -> tuple[Architecture, ...]:
        """Return those that have a runner. Raises InvalidInputError if none has."""
        found = tuple(each for each in wanted if each in self.runners)
        if not found:
            raise InvalidInputError(
                f"{FILE} has no runner for it", where="--arch", todo="add one in [runners]"
            )
        return found


def _spec(text: str) -> str:
    if text.strip().lower() == "file":
        raise ValueError("a file belongs to one folder; name versions")
    try:
        check_spec(text)
    except NodelayerError as error:
        raise ValueError(str(error)) from None
    return text


def _architecture(name: str) -> str:
    known = [each.name for each in architecture.ALL]
    if name not in known:
        raise ValueError(f"unknown architecture; use {', '.join(known)}")
    return name


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    maintenance: bool
    versions: list[Annotated[str, AfterValidator(_spec)]]
    runners: dict[
        Annotated[str, AfterValidator(_architecture)],
        Annotated[str, Field(pattern=r"^[\w.-]+$", description="A label")],
    ] = Field(min_length=1)


def load(path: Path) -> ReleaseTargets:
    """Read the targets. Raises InvalidInputError with file and key, MachineError if it cannot be read."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        file = _File.model_validate(raw)
    except OSError as error:
        raise MachineError(
            f"cannot be read ({error.strerror})", where=str(path), todo="restore it from git"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInputError(f"key {key}: {said}", where=str(path), todo="correct it") from error
    except ValueError as error:  # of TOML or of UTF-8
        raise InvalidInputError(
            f"the file is not TOML ({error})", where=str(path), todo="correct it"
        ) from error
    runners = {each: file.runners[each.name] for each in architecture.ALL if each.name in file.runners}
    return ReleaseTargets(file.maintenance, tuple(file.versions), runners)


def maintained(releases: Iterable[Release], today: date) -> tuple[int, ...]:
    """Return the majors in maintenance on a day, of those that have a release.

    An LTS line is maintained until the day of its end of life. A major above every LTS line is the current
    one. Any other had no LTS phase, and ended when the next major came.
    """
    lines = lts_lines()
    majors = {sort_key(each.version).major for each in releases if is_stable(each.version)}
    newest = max((major for major in majors if major in lines), default=0)
    return tuple(
        sorted(
            major
            for major in majors
            if (major in lines and today.isoformat() <= lines[major].end_of_life)
            or (major not in lines and major > newest)
        )
    )
