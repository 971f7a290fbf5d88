"""AWS's Runtime Interface Emulator: the version and hashes of the newest aws-sam-cli, which contains it.

pip downloads the wheel from its configured index.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodelayer import architecture
from nodelayer.errors import NotFoundError
from nodelayer.node.tarball import check_binary
from nodelayer.project.pins.pin import Changes, Pin, differences
from nodelayer.util import venv
from nodelayer.util.json_text import loads

FILE = "nodelayer/emulation/rie.json"


def refresh(root: Path) -> Changes:
    """Compare the pinned emulator with the newest aws-sam-cli."""
    known = loads((root / FILE).read_bytes())
    with tempfile.TemporaryDirectory(prefix="nodelayer-rie-") as folder:
        found = _pinned(venv.wheel(known["package"], Path(folder)), known)
    lines = differences(*({key: each[key] for key in ("version", "wheel_sha256")} for each in (known, found)))
    return Changes(lines, {FILE: json.dumps(found, indent=2) + "\n"} if lines else {})


PIN = Pin("rie", "AWS's Runtime Interface Emulator, and SAM", refresh)


def _pinned(wheel: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return rie.json for a wheel; each path of `known` must be a program of its architecture.

    Raises NotFoundError or NotVerifiedError.
    """
    found = {**known, "version": wheel.name.split("-")[1]}
    found["wheel_sha256"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    found["files"] = {}
    with zipfile.ZipFile(wheel) as opened:
        for each in architecture.ALL:
            path = known["files"][each.name]["path"]
            if path not in opened.namelist():
                raise NotFoundError(
                    f"the wheel lacks {path}", where=wheel.name, todo="check where the program is now"
                )
            program = opened.read(path)
            check_binary(program, each, where=path)
            found["files"][each.name] = {"path": path, "sha256": hashlib.sha256(program).hexdigest()}
    return found
