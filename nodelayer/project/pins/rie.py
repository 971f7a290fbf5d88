"""Pin the Runtime Interface Emulator of the newest aws-sam-cli, or of the version named.

    python nodelayer/project/pins/rie.py --compare      1 where nodelayer/emulation/rie.json is behind
    python nodelayer/project/pins/rie.py --write

pip fetches the wheel from the index it is configured for; the hashes are of what came.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodelayer import architecture
from nodelayer.errors import NodelayerError, NotFoundError
from nodelayer.node.tarball import check_binary
from nodelayer.util import venv

PINS = Path(__file__).resolve().parents[3] / "nodelayer" / "emulation" / "rie.json"


def pins(wheel: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """rie.json for a wheel: the paths of `known` looked up in it, each an ELF program of its architecture.

    Raises NotFoundError or NotVerifiedError.
    """
    found = {**known, "version": wheel.name.split("-")[1]}
    found["wheel_sha256"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    found["files"] = {}
    with zipfile.ZipFile(wheel) as opened:
        for each in architecture.ALL:
            path = known["files"][each.name]["path"]
            if path not in opened.namelist():
                raise NotFoundError(f"{path} is not in it", where=wheel.name, todo="look where it went")
            program = opened.read(path)
            check_binary(program, each, where=path)
            found["files"][each.name] = {"path": path, "sha256": hashlib.sha256(program).hexdigest()}
    return found


def main() -> int:
    """0 when done, 1 when --compare finds a difference, otherwise the code of the error told on stderr."""
    parser = argparse.ArgumentParser(description="pin AWS's Runtime Interface Emulator")
    parser.add_argument("--version", help="of aws-sam-cli (default: the newest)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="say whether another is to be had")
    what.add_argument("--write", action="store_true", help="replace what is pinned")
    options = parser.parse_args()
    known = json.loads(PINS.read_bytes())
    wanted = f"{known['package']}=={options.version}" if options.version else known["package"]
    try:
        with tempfile.TemporaryDirectory(prefix="nodelayer-rie-") as folder:
            found = pins(venv.wheel(wanted, Path(folder)), known)
    except NodelayerError as error:
        print(error, file=sys.stderr)
        return error.code
    if found == known:
        print(f"{known['package']} {known['version']} is pinned")
        return 0
    print(f"{known['package']} {known['version']} is pinned, {found['version']} is to be had")
    if options.write:
        PINS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if options.compare else 0


if __name__ == "__main__":
    sys.exit(main())
