"""The targets of a release from `release-targets.toml`, and the major versions in maintenance."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, MachineError, NodelayerError
from nodelayer.node.versions import Release, check_spec, is_stable, lts_lines, sort_key

FILE = "release-targets.toml"


@dataclass(frozen=True)
class ReleaseTargets:
    """Whether to build every maintained major version, other specs, and the runner of each architecture."""

    maintenance: bool
    versions: tuple[str, ...]
    runners: dict[Architecture, str]

    def with_runner(self, wanted: Iterable[Architecture]) -> tuple[Architecture, ...]:
        """Return the architectures that have a runner. Raises InvalidInputError if there is none."""
        found = tuple(each for each in wanted if each in self.runners)
        if not found:
            raise InvalidInputError(
                f"{FILE} has no runner for this architecture", where="--arch", todo="add one to [runners]"
            )
        return found


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    maintenance: bool
    versions: list[str]
    runners: dict[str, str]

    def __post_init__(self) -> None:
        for spec in self.versions:
            if spec.strip().lower() == "file":
                raise ValueError("'file' is not allowed in versions: use version numbers or ranges")
            try:
                check_spec(spec)
            except NodelayerError as error:
                raise ValueError(f"versions: {error}") from None
        known = [each.name for each in architecture.ALL]
        if not self.runners:
            raise ValueError(f"[runners] is empty: add a runner for {' or '.join(known)}")
        for name, label in self.runners.items():
            if name not in known:
                raise ValueError(f"unknown architecture {name!r} in [runners]: use {', '.join(known)}")
            if not re.fullmatch(r"[\w.-]+", label):
                raise ValueError(f"{label!r} in [runners] is not a runner label")


def load(path: Path) -> ReleaseTargets:
    """Read the targets. Raises InvalidInputError, or MachineError if the file cannot be read."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        file = msgspec.convert(raw, _File)
    except OSError as error:
        raise MachineError(
            f"the file cannot be read ({error.strerror})", where=str(path), todo="restore it from git"
        ) from error
    except msgspec.ValidationError as error:
        raise InvalidInputError(str(error), where=str(path), todo="correct the file") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise InvalidInputError(
            f"the file is not TOML ({error})", where=str(path), todo="correct the file"
        ) from error
    runners = {each: file.runners[each.name] for each in architecture.ALL if each.name in file.runners}
    return ReleaseTargets(file.maintenance, tuple(file.versions), runners)


def maintained(releases: Iterable[Release], today: date) -> tuple[int, ...]:
    """Return the released major versions that are maintained on a day.

    An LTS line is maintained until its end-of-life date. A major version above every LTS line is the current
    one. Any other has no LTS phase and ended with the next major version.
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
