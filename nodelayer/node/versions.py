"""Find the Node.js release that a spec means: `12.16.1`, `12`, `^12.16 || >=24`, `lts`, `latest`, `file`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from semver import Version

from nodelayer.errors import IncompatibleError, InvalidInputError, NotFoundError
from nodelayer.util.json_text import loads

OLDEST = "12.0.0"
"""The oldest Node.js version that can be built: the runtime client is tested on 12 and later."""

SPECS = "12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest or file"
"""An example of each kind of spec, for messages and help."""

_NEWEST = frozenset({"latest", "current", "node", "stable"})
_NUMBERS = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")
# A number after a wildcard (`12.x.1`) has no meaning: newer versions of semver reject it, older ones drop it.
# Characters next to a star (`12*`, `*12`, `**`) are rejected too, because semver would silently drop them.
_BAD_WILDCARD = re.compile(r"(?<![\w-])v*(?:\d+\.)?[xX*]\.\d|\*[v=<>~^]*[\w*]|[0-9A-Za-uw-z]\*")
_MOST_TEXT = 1_000_000
_MOST_SPEC = 256
_HUGE_NUMBER = re.compile(r"\d{10}")  # node-semver rejects it


@dataclass(frozen=True)
class Release:
    """A release: `version` as in `12.16.1`, `lts` is the codename of an LTS release, `date` is ISO 8601."""

    version: str
    lts: str | None = None
    date: str | None = None


@dataclass(frozen=True)
class Spec:
    """A spec of --node; `file` is the path that it was read from, if the user passed `file`."""

    text: str
    file: str = ""


@dataclass(frozen=True)
class LtsLine:
    """A major version that is or was LTS. `first` is its first LTS release, or None if unknown."""

    major: int
    codename: str
    first: str | None
    since: str
    end_of_life: str

    def holds(self, version: str, published: str | None) -> bool:
        """Check whether a release of this major is an LTS release: by its date if `first` is unknown."""
        if self.first is not None:
            return sort_key(version) >= sort_key(self.first)
        return published is not None and published[:10] >= self.since


@cache
def lts_lines() -> dict[int, LtsLine]:
    """Return the LTS lines of lts_lines.json by major version."""
    text = Path(__file__).with_name("lts_lines.json").read_text(encoding="utf-8")
    return {
        int(major): LtsLine(int(major), line["codename"], line["first"], line["since"], line["end_of_life"])
        for major, line in loads(text)["lines"].items()
    }


@cache
def release_dates() -> dict[str, str]:
    """Return the ISO 8601 date of each release in release_dates.json."""
    text = Path(__file__).with_name("release_dates.json").read_text(encoding="utf-8")
    dates: dict[str, str] = loads(text)["releases"]
    return dates


def lts_codename(version: str, published: str | None = None) -> str | None:
    """Return the codename of an LTS release, for sources that do not provide it; `published` is ISO 8601."""
    line = lts_lines().get(sort_key(version).major)
    return line.codename if line is not None and line.holds(version, published) else None


def outdated(version: str, others: Iterable[str] = (), today: date | None = None) -> str:
    """Return why a release should be replaced: its line has ended, or `others` has a newer one; else ''."""
    major = sort_key(version).major
    line = lts_lines().get(major)
    if line is not None and date.fromisoformat(line.end_of_life) < (today or date.today()):  # noqa: DTZ011
        return (
            f"Node.js {major} reached its end of life on {line.end_of_life}: it gets no more security fixes"
        )
    same_line = [each for each in others if is_stable(each) and sort_key(each).major == major]
    newest = max(same_line, key=sort_key, default=version)
    return f"Node.js {newest} is newer than {version}" if sort_key(newest) > sort_key(version) else ""


def sort_key(version: str) -> Version:
    """Parse an exact version to a value that sorts by semver precedence.

    A leading `v` is dropped. Build metadata is rejected, because Node.js publishes none.

    Raises:
        ValueError: It is not an exact version.
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
    """Check that an exact version is not a prerelease."""
    return sort_key(version).prerelease is None


def exact(spec: str) -> str | None:
    """Return the version of an exact spec, without `v`; None if the spec needs a list of releases."""
    text = spec.strip().removeprefix("=").strip()
    return text.removeprefix("v") if is_version(text) else None


def check_supported(version: str) -> None:
    """Check that the runtime client supports a version.

    Raises:
        IncompatibleError: The version is too old.
    """
    if sort_key(version) < sort_key(OLDEST):
        raise IncompatibleError(
            f"Node.js {version} is too old for the runtime client", todo=f"use {OLDEST} or later"
        )


def resolve(spec: str, releases: Iterable[Release]) -> Release:
    """Return the newest release that matches a spec. Prereleases match only exact versions.

    Raises:
        InvalidInputError: It is not a spec.
        NotFoundError: No release matches; the error names the nearest ones.
    """
    if len(spec) > _MOST_SPEC:
        raise _invalid_spec(f"{spec[:40]}…")
    every = sorted(releases, key=lambda release: sort_key(release.version))
    stable = [release for release in every if is_stable(release.version)]
    text = spec.strip()
    version = exact(text)
    if version is not None:
        found = [release for release in every if release.version == version]
    elif text.lower() in _NEWEST:
        found = stable
    elif text.lower() == "lts" or text.lower().startswith("lts/"):
        found = _of_lts(text, stable)
    else:
        found = _in_range(text, stable)
    if not found:
        raise NotFoundError(f"no Node.js release matches {text}", todo=nearest(text, stable))
    return found[-1]


def check_spec(spec: str, *, where: str = "") -> None:
    """Check the syntax of a spec.

    Raises:
        InvalidInputError: It is not a spec.
    """
    try:
        resolve(spec, ())
    except NotFoundError:
        return
    except InvalidInputError as error:
        raise InvalidInputError(error.what, where=where, todo=error.todo) from error


def split(text: str) -> tuple[str, ...]:
    """Split the specs of a flag at its commas, without duplicates.

    Raises:
        InvalidInputError: A spec is empty.
    """
    specs = tuple(dict.fromkeys(spec.strip() for spec in text.split(",")))
    if "" in specs:
        raise InvalidInputError(
            "the list has an empty version", where=f"--node {text!r}", todo="separate versions with one comma"
        )
    return specs


def parse_specs(text: str, start: Path) -> tuple[Spec, ...]:
    """Parse --node; for `file`, search `start` and its parent folders.

    Raises:
        InvalidInputError: A spec is invalid.
        NotFoundError: No file contains a version.
    """
    specs = []
    for each in split(text):
        spec, path = spec_from_files(start) if each.lower() == "file" else (each, "")
        check_spec(spec, where=str(path))
        specs.append(Spec(spec, str(path)))
    return tuple(specs)


def nearest(spec: str, releases: Iterable[Release]) -> str:
    """Return advice: the releases nearest to the first number in a spec, and the newest release."""
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
    """Return the spec of a project, and the file that contains it.

    Searches `start` and its parent folders for .nvmrc, .node-version, .tool-versions (asdf, mise), and
    package.json with `engines.node` or a `devEngines.runtime`.

    Raises:
        NotFoundError: No such file exists.
        InvalidInputError: A file cannot be read.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        for name, read in (
            (".nvmrc", _first_line),
            (".node-version", _first_line),
            (".tool-versions", _tool_version),
            ("package.json", _engines),
        ):
            path = folder / name
            if path.is_file() and (spec := read(path)) is not None:
                return spec, path
    raise NotFoundError(
        "there is no .nvmrc, .node-version, .tool-versions or package.json that names a Node.js version",
        where=f"{start.resolve()} and its parent folders",
        todo=f"create one, or pass a version: {SPECS}",
    )


def _of_lts(text: str, stable: Sequence[Release]) -> list[Release]:
    """Match nvm's syntax: `lts` or `lts/*` (the newest line), `lts/-1` (the one before), `lts/erbium`."""
    name = text.lower().partition("/")[2]
    lts = [release for release in stable if release.lts]
    if name in ("", "*"):
        return lts
    if re.fullmatch(r"-\d{1,9}", name, re.ASCII):
        majors = sorted({sort_key(release.version).major for release in lts}, reverse=True)
        back = int(name[1:])
        if back >= len(majors):
            raise NotFoundError(f"no LTS line matches {text}", todo=f"there are {len(majors)} LTS lines")
        return [release for release in lts if sort_key(release.version).major == majors[back]]
    found = [release for release in lts if (release.lts or "").lower() == name]
    if not found:
        names = {sort_key(release.version).major: str(release.lts).lower() for release in lts}
        known = ", ".join(names[major] for major in sorted(names))
        raise NotFoundError(f"no LTS line is named {name!r}", todo=f"use one of {known}" if known else "")
    return found


def _in_range(spec: str, stable: Sequence[Release]) -> list[Release]:
    import nodesemver  # noqa: PLC0415 - slow to import, and most specs are not ranges

    text = " ".join(spec.split())
    if not text or not text.isascii() or _BAD_WILDCARD.search(text) or _HUGE_NUMBER.search(text):
        raise _invalid_spec(spec)
    try:
        wanted = nodesemver.make_range(text, loose=False)
    except ValueError as error:
        raise _invalid_spec(spec) from error
    return [
        release for release in stable if wanted.test(nodesemver.make_semver(release.version, loose=False))
    ]


def _invalid_spec(spec: str) -> InvalidInputError:
    return InvalidInputError(f"{spec!r} is not a Node.js version or range", todo=f"use for example {SPECS}")


def _first_line(path: Path) -> str:
    for line in _text(path).splitlines():
        spec = line.partition("#")[0].strip()
        if spec:
            return spec
    raise InvalidInputError("the file contains no version", where=str(path), todo=f"add one: {SPECS}")


def _tool_version(path: Path) -> str | None:
    """Return the first version on the line of Node.js; None if there is no such line."""
    for line in _text(path).splitlines():
        words = line.partition("#")[0].split()
        if words[:1] in (["nodejs"], ["node"]) and len(words) > 1:
            return words[1]
    return None


def _engines(path: Path) -> str | None:
    """Return `engines.node`, else the version of the runtime `node` in `devEngines`, else None.

    https://docs.npmjs.com/cli/configuring-npm/package-json#devengines
    """
    try:
        package = loads(_text(path))
    except ValueError as error:
        raise InvalidInputError(
            "the file is not JSON", where=str(path), todo="correct it, or use --node"
        ) from error
    if not isinstance(package, dict):
        return None
    engines, development = package.get("engines"), package.get("devEngines")
    runtimes = development.get("runtime") if isinstance(development, dict) else None
    specs = [engines.get("node")] if isinstance(engines, dict) else []
    specs += [
        runtime.get("version")
        for runtime in (runtimes if isinstance(runtimes, list) else [runtimes])
        if isinstance(runtime, dict) and runtime.get("name") == "node"
    ]
    return next((spec.strip() for spec in specs if isinstance(spec, str) and spec.strip()), None)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = stream.read(_MOST_TEXT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            "the file is not readable UTF-8 text", where=str(path), todo="save it as UTF-8"
        ) from error
    if len(text) > _MOST_TEXT:
        raise InvalidInputError(
            f"the file has more than {_MOST_TEXT} characters", where=str(path), todo="use --node"
        )
    return text
