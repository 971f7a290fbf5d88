"""Which Node.js release a spec means: `12.16.1`, `12`, `^12.16 || >=24`, `lts/erbium`, `latest`, `file`."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from semver import Version

from nodelayer.errors import IncompatibleError, InvalidInputError, NotFoundError

OLDEST = "12.0.0"
"""The oldest Node.js that layers are built of: the runtime client is tested on 12 and later."""

SPECS = "12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest or file"
"""Examples of every kind of spec, for messages and help."""

_NEWEST = frozenset({"latest", "current", "node", "stable"})
_NUMBERS = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")
# A number after a wildcard says nothing (`12.x.1`); newer versions of semver refuse it, older ones ignore it.
# Nor may anything touch a star from the sides where it would be dropped in silence (`12*`, `*12`, `**`).
_BAD_WILDCARD = re.compile(r"(?<![\w-])v*(?:\d+\.)?[xX*]\.\d|\*[v=<>~^]*[\w*]|[0-9A-Za-uw-z]\*")
_HUGE_NUMBER = re.compile(r"\d{10}")  # node-semver refuses it


@dataclass(frozen=True)
class Release:
    """One release: `version` as in `12.16.1`, `lts` its codename once it is LTS, `date` in ISO 8601."""

    version: str
    lts: str | None = None
    date: str | None = None


@dataclass(frozen=True)
class Spec:
    """What one spec of --node asks for; `file` is the path it was read from, for the spec `file`."""

    text: str
    file: str = ""


@dataclass(frozen=True)
class LtsLine:
    """A major that is or was LTS. `first` is its first LTS release, None while we do not know it."""

    major: int
    codename: str
    first: str | None
    since: str
    end_of_life: str

    def holds(self, version: str, published: str | None) -> bool:
        """Whether a release of this major is an LTS one; by its date where the first one is not known."""
        if self.first is not None:
            return sort_key(version) >= sort_key(self.first)
        return published is not None and published[:10] >= self.since


@cache
def lts_lines() -> dict[int, LtsLine]:
    """The LTS lines by major, as bundled in lts_lines.json."""
    text = Path(__file__).with_name("lts_lines.json").read_text(encoding="utf-8")
    return {
        int(major): LtsLine(int(major), line["codename"], line["first"], line["since"], line["end_of_life"])
        for major, line in json.loads(text)["lines"].items()
    }


def lts_codename(version: str, published: str | None = None) -> str | None:
    """The codename of an LTS release, for a source that does not say; `published` is an ISO 8601 date."""
    line = lts_lines().get(sort_key(version).major)
    return line.codename if line is not None and line.holds(version, published) else None


def sort_key(version: str) -> Version:
    """Parse an exact version, which sorts by semver precedence. Raises ValueError.

    A leading `v` is dropped. Node.js publishes no build metadata, and nothing may differ by it alone.
    """
    parsed = Version.parse(version.removeprefix("v"))
    if parsed.build is not None or not version.isascii() or _HUGE_NUMBER.search(version.partition("-")[0]):
        raise ValueError(version)
    return parsed


def is_version(text: str) -> bool:
    """Check whether a text is an exact version, with or without a leading `v`."""
    try:
        sort_key(text)
    except ValueError:
        return False
    return True


def is_stable(version: str) -> bool:
    """Check whether an exact version is no prerelease. Raises ValueError."""
    return sort_key(version).prerelease is None


def exact(spec: str) -> str | None:
    """Return the version that an exact spec names, without `v`; None if a list of releases is needed."""
    word = spec.strip().removeprefix("=").strip()
    return word.removeprefix("v") if is_version(word) else None


def check_supported(version: str) -> None:
    """Raises IncompatibleError for a version that is too old for the runtime client."""
    if sort_key(version) < sort_key(OLDEST):
        raise IncompatibleError(
            f"Node.js {version} is too old for the runtime client", todo=f"use {OLDEST} or later"
        )


def resolve(spec: str, releases: Iterable[Release]) -> Release:
    """The newest release a spec means. A prerelease is taken only where it is named exactly.

    Raises InvalidInputError for what is no spec, and NotFoundError naming the nearest releases there are.
    """
    every = sorted(releases, key=lambda release: sort_key(release.version))
    stable = [release for release in every if is_stable(release.version)]
    word = spec.strip()
    version = exact(word)
    if version is not None:
        found = [release for release in every if release.version == version]
    elif word.lower() in _NEWEST:
        found = stable
    elif word.lower() == "lts" or word.lower().startswith("lts/"):
        found = _of_lts(word, stable)
    else:
        found = _in_range(word, stable)
    if not found:
        raise NotFoundError(f"no Node.js {word} here", todo=nearest(word, stable))
    return found[-1]


def check_spec(spec: str, *, where: str = "") -> None:
    """Raises InvalidInputError for what is no spec."""
    try:
        resolve(spec, ())
    except NotFoundError:
        return
    except InvalidInputError as error:
        raise InvalidInputError(error.what, where=where, todo=error.todo) from error


def split(text: str) -> tuple[str, ...]:
    """Split the specs of a flag at its commas. Raises InvalidInputError for an empty one."""
    specs = tuple(dict.fromkeys(spec.strip() for spec in text.split(",")))
    if "" in specs:
        raise InvalidInputError(
            "a version is missing", where=f"--node {text!r}", todo="write one, or several with commas between"
        )
    return specs


def parse_specs(text: str, start: Path) -> tuple[Spec, ...]:
    """Parse --node; `file` is looked up in `start` and the folders above it.

    Raises InvalidInputError for what is no spec, NotFoundError for `file` if no file names a version.
    """
    specs = []
    for each in split(text):
        spec, path = spec_from_files(start) if each.lower() == "file" else (each, "")
        check_spec(spec, where=str(path))
        specs.append(Spec(spec, str(path)))
    return tuple(specs)


def nearest(spec: str, releases: Iterable[Release]) -> str:
    """What to take instead: the releases around the first number a spec names, and the newest."""
    versions = sorted((release.version for release in releases if is_stable(release.version)), key=sort_key)
    if not versions:
        return "the source lists no release for this architecture"
    numbers = _NUMBERS.search(spec)
    if numbers is None:
        return f"the newest is {versions[-1]}"
    wanted = [int(number) for number in numbers.groups() if number is not None]
    parts = {version: [int(part) for part in version.split(".")][: len(wanted)] for version in versions}
    below = [version for version in versions if parts[version] <= wanted]
    above = [version for version in versions if parts[version] > wanted]
    around = [*below[-1:], *above[:1]]
    newest = f"; the newest is {versions[-1]}" if versions[-1] not in around else ""
    return f"nearest: {', '.join(around)}{newest}"


def spec_from_files(start: Path) -> tuple[str, Path]:
    """The spec a project asks for, and the file that says so.

    Looks in `start` and each folder above it for .nvmrc, .node-version, and `engines.node` of package.json.
    Raises NotFoundError where there is none, InvalidInputError where one cannot be read.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        for name, read in (
            (".nvmrc", _first_line),
            (".node-version", _first_line),
            ("package.json", _engines),
        ):
            path = folder / name
            if path.is_file() and (spec := read(path)) is not None:
                return spec, path
    raise NotFoundError(
        "no .nvmrc, .node-version or package.json with engines.node",
        where=f"{start.resolve()} and above",
        todo=f"write one, or name the version: {SPECS}",
    )


def _of_lts(word: str, stable: Sequence[Release]) -> list[Release]:
    """The words of nvm: `lts` or `lts/*` the newest line, `lts/-1` the one before, `lts/erbium` by name."""
    name = word.lower().partition("/")[2]
    lts = [release for release in stable if release.lts]
    if name in ("", "*"):
        return lts
    if re.fullmatch(r"-\d{1,9}", name, re.ASCII):
        majors = sorted({sort_key(release.version).major for release in lts}, reverse=True)
        back = int(name[1:])
        if back >= len(majors):
            raise NotFoundError(f"no Node.js {word} here", todo=f"there are {len(majors)} LTS lines")
        return [release for release in lts if sort_key(release.version).major == majors[back]]
    found = [release for release in lts if (release.lts or "").lower() == name]
    if not found:
        names = {sort_key(release.version).major: str(release.lts).lower() for release in lts}
        known = ", ".join(names[major] for major in sorted(names))
        raise NotFoundError(f"no LTS line {name!r} here", todo=f"there is {known}" if known else "")
    return found


def _in_range(word: str, stable: Sequence[Release]) -> list[Release]:
    import nodesemver  # noqa: PLC0415 - most specs are no range, and it takes long to load

    text = " ".join(word.split())
    if not text or not text.isascii() or _BAD_WILDCARD.search(text) or _HUGE_NUMBER.search(text):
        raise _no_spec(word)
    try:
        wanted = nodesemver.make_range(text, loose=False)
    except ValueError as error:
        raise _no_spec(word) from error
    return [
        release for release in stable if wanted.test(nodesemver.make_semver(release.version, loose=False))
    ]


def _no_spec(word: str) -> InvalidInputError:
    return InvalidInputError(f"{word!r} does not say which Node.js", todo=f"use for instance {SPECS}")


def _first_line(path: Path) -> str:
    for line in _text(path).splitlines():
        spec = line.partition("#")[0].strip()
        if spec:
            return spec
    raise InvalidInputError("the file names no version", where=str(path), todo=f"write one: {SPECS}")


def _engines(path: Path) -> str | None:
    try:
        package = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("not JSON", where=str(path), todo="mend it, or name the version") from error
    engines = package.get("engines") if isinstance(package, dict) else None
    spec = engines.get("node") if isinstance(engines, dict) else None
    return spec.strip() or None if isinstance(spec, str) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("the file cannot be read", where=str(path)) from error
