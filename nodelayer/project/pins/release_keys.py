"""Refresh nodelayer/node/release_keys.json from github.com/nodejs/release-keys.

    python nodelayer/project/pins/release_keys.py --compare             exit 1 where what is bundled differs
    python nodelayer/project/pins/release_keys.py --write --from DIR    from a checkout instead of the network

README.md there has the active and the retired keys between comments of their own, which that repository's
workflows hold to nodejs/node's README; keys.list names every key, or the active ones, as the years went by.
A key that is new to us is loaded, and has to have the fingerprint it is listed under.
"""

import argparse
import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from nodelayer.errors import InvalidInputError, MachineError, NodelayerError, NotFoundError
from nodelayer.node import openpgp
from nodelayer.node.openpgp import ReleaseKey, ReleaseKeys
from nodelayer.node.sources.nodejs_org import KEYS
from nodelayer.util.http import Web

BUNDLED = Path(__file__).resolve().parents[3] / "nodelayer" / "node" / "release_keys.json"
PROVENANCE = (
    "Primary fingerprints of Node.js's release team: README.md of github.com/nodejs/release-keys, its "
    "sections of active and of retired keys. The keys themselves lie there as keys/<fingerprint>.asc. "
    "Refreshed by nodelayer/project/pins/release_keys.py."
)

_MOST_BYTES = 1_000_000
_FINGERPRINT = re.compile(r"`([0-9A-F]{40})`")
_SECTIONS = {
    "active": ("<!-- Active releasers keys -->", "<!-- /Active releasers keys -->"),
    "retired": ("<!-- Retired keys -->", "<!-- /Retired keys -->"),
}

Reader = Callable[[str], bytes]


def reader(place: str) -> Reader:
    """What reads a file of the repository by its path, from a base address or a folder."""
    if not place.startswith(("http://", "https://")):
        return lambda path: _from_folder(Path(place), path)
    return lambda path: _from_web(place.rstrip("/"), path)


def listed(read: Reader) -> tuple[ReleaseKey, ...]:
    """The keys README.md lists, active ones first. Raises NodelayerError."""
    readme = read("README.md").decode("utf-8", "replace")
    found: dict[str, ReleaseKey] = {}
    for status, (start, end) in _SECTIONS.items():
        _, opened, rest = readme.partition(start)
        section, closed, _ = rest.partition(end)
        fingerprints = _FINGERPRINT.findall(section)
        if not (opened and closed and fingerprints):
            raise NotFoundError(
                f"no section of {status} keys",
                where="README.md",
                todo="see how the repository lists them now",
            )
        for fingerprint in fingerprints:
            key = ReleaseKey.model_validate({"fingerprint": fingerprint, "status": status})
            found.setdefault(fingerprint, key)
    others = set(read("keys.list").decode("utf-8", "replace").split()) - set(found)
    if others:
        raise InvalidInputError(
            f"{min(others)} is in keys.list and not in README.md", todo="see which of the two is right"
        )
    return tuple(found.values())


def check_new(keys: Sequence[ReleaseKey], known: Mapping[str, str], read: Reader) -> None:
    """Load each key that is not known yet. Raises NotVerifiedError where it is not the one that is listed."""
    for key in keys:
        if key.fingerprint not in known:
            openpgp.load_key(read(f"keys/{key.fingerprint}.asc"), key.fingerprint)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """A line for each key that came, went, or changed its status, by fingerprint."""
    lines = []
    for fingerprint in sorted({*before, *after}):
        old, new = before.get(fingerprint), after.get(fingerprint)
        if old is None:
            lines.append(f"+ {fingerprint} {new}")
        elif new is None:
            lines.append(f"- {fingerprint} {old}")
        elif old != new:
            lines.append(f"~ {fingerprint} {old} -> {new}")
    return lines


def rendered(keys: Sequence[ReleaseKey], today: dt.date) -> str:
    """The resource as JSON, one key a line."""
    lines = ",\n".join(f"    {json.dumps(key.model_dump())}" for key in keys)
    head = f'  "provenance": {json.dumps(PROVENANCE)},\n  "as_of": "{today.isoformat()}",\n'
    return f'{{\n{head}  "keys": [\n{lines}\n  ]\n}}\n'


def bundled(path: Path) -> dict[str, str]:
    """Status by fingerprint, as the resource has it; none without a file. Raises InvalidInputError."""
    if not path.exists():
        return {}
    try:
        keys = ReleaseKeys.model_validate_json(path.read_bytes()).keys
    except ValidationError as error:
        raise InvalidInputError("not a list of release keys", where=path.name) from error
    return {key.fingerprint: key.status for key in keys}


def run(arguments: Sequence[str], *, resource: Path = BUNDLED) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Refresh the pinned keys of Node.js's release team.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument(
        "--write", action="store_true", help="write what the repository lists now, where it differs"
    )
    parser.add_argument("--from", dest="place", default=KEYS, help="base address, or folder of a checkout")
    options = parser.parse_args(arguments)

    read = reader(options.place)
    keys = listed(read)
    before = bundled(resource)
    check_new(keys, before, read)
    lines = differences(before, {key.fingerprint: key.status for key in keys})
    print("\n".join(lines) or "the pinned keys are those of nodejs/release-keys")
    if options.compare or not lines:
        return 1 if lines else 0
    try:
        resource.write_text(rendered(keys, dt.datetime.now(tz=dt.UTC).date()), encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=resource.name) from error
    return 0


def _from_folder(folder: Path, path: str) -> bytes:
    try:
        return (folder / path).read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"{path} cannot be read: {error.strerror}", where=str(folder), todo="name a checkout with --from"
        ) from error


def _from_web(base: str, path: str) -> bytes:
    with Web(todo="check the network, or name a checkout with --from") as web:
        answer = web.get(f"{base}/{path}", most=_MOST_BYTES)
    if not answer.data or answer.status != 200:  # noqa: PLR2004 - HTTP's OK
        raise NotFoundError(f"{path} is not there ({answer.status})", where=base, todo="name another --from")
    return answer.data


def main() -> int:
    """Run it, with a failure told as one line."""
    try:
        return run(sys.argv[1:])
    except NodelayerError as error:
        print(f"refresh_release_keys: {error}", file=sys.stderr)
        return error.code if error.code != 1 else 2


if __name__ == "__main__":
    sys.exit(main())
