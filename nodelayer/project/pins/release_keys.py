"""Keys of the Node.js release team, from github.com/nodejs/release-keys.

Its README.md lists the active and the retired keys between comments. keys.list lists all keys, or the active
ones. A new key is downloaded, and must have the fingerprint that README.md lists.
"""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from nodelayer.errors import NotFoundError, NotVerifiedError
from nodelayer.node import openpgp
from nodelayer.node.openpgp import ReleaseKeys
from nodelayer.node.sources.nodejs_org import KEYS
from nodelayer.project.pins.pin import Changes, Pin, differences, resource, today
from nodelayer.util.http import Web

FILE = "nodelayer/node/release_keys.json"
PROVENANCE = (
    "Primary fingerprints of the Node.js release team, from README.md of github.com/nodejs/release-keys: "
    "active keys, and retired keys with the first date on which it listed them as retired (2019-09-12: then "
    "or before). The keys are in that repository, as keys/<fingerprint>.asc. "
    "Refreshed by nodelayer/project/pins/release_keys.py."
)

_MOST_BYTES = 1_000_000
_FINGERPRINT = re.compile(r"`([0-9A-F]{40})`")
_SECTIONS = {
    "active": ("<!-- Active releasers keys -->", "<!-- /Active releasers keys -->"),
    "retired": ("<!-- Retired keys -->", "<!-- /Retired keys -->"),
}


def refresh(root: Path, *, repository: str = KEYS) -> Changes:
    """Compare the bundled keys with the repository at this base address."""
    bundled = msgspec.json.decode((root / FILE).read_bytes(), type=ReleaseKeys)
    known = {key.fingerprint: _state(key.retired) for key in bundled.keys}
    retired = {key.fingerprint: key.retired for key in bundled.keys if key.retired}
    with Web(todo="check the network") as web:

        def read(path: str) -> bytes:
            answer = web.get(f"{repository.rstrip('/')}/{path}", most=_MOST_BYTES)
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise NotFoundError(
                    f"the host answers {answer.status} for {path}", where=repository, todo="try again later"
                )
            return answer.data

        dates = {
            fingerprint: retired.get(fingerprint, today().isoformat()) if status == "retired" else None
            for fingerprint, status in _listed(read).items()
        }
        found = {fingerprint: _state(date) for fingerprint, date in dates.items()}
        for fingerprint in set(found) - set(known):
            openpgp.load_key(read(f"keys/{fingerprint}.asc"), fingerprint)
    lines = differences(known, found)
    keys = [
        {"fingerprint": fingerprint, **({"retired": date} if date else {})}
        for fingerprint, date in dates.items()
    ]
    return Changes(lines, {FILE: resource(PROVENANCE, "keys", keys)} if lines else {})


PIN = Pin("release-keys", "keys of the Node.js release team", refresh)


def _state(retired: str | None) -> str:
    return f"retired by {retired}" if retired else "active"


def _listed(read: Callable[[str], bytes]) -> dict[str, str]:
    """Return the status of each key in README.md by fingerprint, active keys first. Raises NodelayerError."""
    readme = read("README.md").decode("utf-8", "replace")
    found: dict[str, str] = {}
    for status, (start, end) in _SECTIONS.items():
        _, opened, rest = readme.partition(start)
        section, closed, _ = rest.partition(end)
        fingerprints = _FINGERPRINT.findall(section)
        if not (opened and closed and fingerprints):
            raise NotFoundError(
                f"README.md has no section of {status} keys",
                where="nodejs/release-keys",
                todo="check how the repository lists them now",
            )
        for fingerprint in fingerprints:
            found.setdefault(fingerprint, status)
    others = set(read("keys.list").decode("utf-8", "replace").split()) - set(found)
    if others:
        raise NotVerifiedError(
            f"{min(others)} is in keys.list, but not in README.md", todo="check which file is right"
        )
    return found
