"""The table of docs/abi.md: what real binaries need, where they start, and how large their layers are.

    python scripts/abi_table.py                     the usual versions, to stdout
    python scripts/abi_table.py --write             into docs/abi.md
    python scripts/abi_table.py --node 22 --library-folder /usr/aarch64-linux-gnu/lib

Each row is a layer that was built by the local builder from npm, best compression, and checked. What cannot
be had for an architecture is left out, and said on stderr.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from nodelayer import architecture
from nodelayer.layer import elf
from nodelayer.util.console import megabytes

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "abi.md"
BEGIN, END = "<!-- made by scripts/abi_table.py -->", "<!-- end of what was made -->"
VERSIONS = ("12.16.1", "14", "16", "18", "20", "22", "24", "26")
FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI", "GCC")
HEAD = (
    "| Node.js | architecture | glibc | libstdc++ | libgcc | other libraries | compatible runtimes"
    " | binary, stripped | zip |\n|---|---|---|---|---|---|---|---|---|\n"
)
_NONE = "none"
_USUAL = re.compile(r"(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|ld-linux-[\w-]+)\.so\.\d+")


def newest(needs: Sequence[elf.SymbolVersion], family: str) -> str:
    """The newest node of a family that a binary cannot start without, or `none`."""
    numbers = [
        tuple(int(part) for part in each.version.removeprefix(f"{family}_").split("."))
        for each in needs
        if not each.weak and re.fullmatch(rf"{family}_[\d.]+", each.version)
    ]
    return ".".join(map(str, max(numbers))) if numbers else _NONE


def row(packed: Path) -> str:
    """One line of the table, of a finished layer."""
    record = json.loads(packed.with_suffix(".json").read_bytes())
    with zipfile.ZipFile(packed) as opened:
        node = opened.read("nodejs/bin/node")
    seen = elf.read(node, name="nodejs/bin/node")
    glibc, glibcxx, cxxabi, gcc = (newest(seen.requires, family) for family in FAMILIES)
    others = ", ".join(f"`{name}`" for name in seen.libraries if not _USUAL.fullmatch(name)) or _NONE
    runtimes = ", ".join(f"`{name}`" for name in record["compatible_runtimes"])
    cells = [record["node_version"], record["architecture"], glibc, f"{glibcxx} (C++ ABI {cxxabi})", gcc]
    cells += [others, runtimes, megabytes(len(node)), megabytes(record["size"])]
    return f"| {' | '.join(cells)} |\n"


def build(version: str, arch: str, out: Path, library_folder: str) -> Path | None:
    """The layer of a version, or None where it cannot be had; why is on stderr then."""
    command = [str(Path(sys.executable).parent / "invoke"), "build-layer", f"--node={version}"]
    command += [f"--arch={arch}", f"--out={out}", "--builder=local", "--source=npm"]
    command += [f"--library-folder={library_folder}"] if library_folder else []
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def main() -> int:
    """0 when every row asked for is there, else 1."""
    parser = argparse.ArgumentParser(
        description="the table of docs/abi.md, from layers that are built for it"
    )
    parser.add_argument("--node", action="append", help="a version, once or more")
    parser.add_argument("--arch", default="all", help="x86_64, arm64 or all (default)")
    parser.add_argument(
        "--library-folder", default="", help="as for build-layer: libatomic of another machine"
    )
    parser.add_argument("--write", action="store_true", help="replace the table in docs/abi.md")
    options = parser.parse_args()
    rows, missing = [], 0
    with tempfile.TemporaryDirectory(prefix="nodelayer-table-") as folder:
        for arch in architecture.parse(options.arch):
            for version in options.node or VERSIONS:
                packed = build(version, arch.name, Path(folder), options.library_folder)
                if packed is None:
                    missing += 1
                else:
                    rows.append(row(packed))
    made = f"{BEGIN}\n{HEAD}{''.join(rows)}{END}"
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        around = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", flags=re.DOTALL)
        PAGE.write_text(around.sub(lambda _: made, page), encoding="utf-8")
    else:
        print(made)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
