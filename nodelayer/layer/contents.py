"""The files of a layer: bootstrap and runtime client, the stripped node binary, its LICENSE."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from nodelayer.layer import elf
from nodelayer.layer.archive import EXECUTABLE, Entry
from nodelayer.node.sources.base import NodeFiles
from nodelayer.node.versions import sort_key

NODE = "nodejs/bin/node"
_LICENSE = "nodejs/LICENSE"
_HEAP = "aws/heap"
_HEAP_PERCENT = b"90\n"  # of the function's memory, as in AWS's runtimes; bootstrap reads it
_HEAP_FROM = 18  # with the flag, older majors discard V8's compiled code: docs/runtime.md


def assemble(runtime: Path, files: NodeFiles) -> list[Entry]:
    """Return the files of a layer, without the libraries that the target lacks. The binary is stripped."""
    return [
        *client(runtime),
        *heap(files.version),
        Entry(NODE, elf.strip(files.node, name=NODE), EXECUTABLE),
        Entry(_LICENSE, files.license),
    ]


def client(runtime: Path) -> list[Entry]:
    """Return the files of the runtime folder: bootstrap (0755) and aws/*.js (0644)."""
    scripts = sorted((runtime / "aws").rglob("*.js"))
    return [
        Entry("bootstrap", (runtime / "bootstrap").read_bytes(), EXECUTABLE),
        *(Entry(script.relative_to(runtime).as_posix(), script.read_bytes()) for script in scripts),
    ]


def heap(version: str) -> list[Entry]:
    """Return the file with the percentage of memory for the JavaScript heap; empty for old versions."""
    return [Entry(_HEAP, _HEAP_PERCENT)] if sort_key(version).major >= _HEAP_FROM else []


def client_digest(entries: Iterable[Entry]) -> str:
    """Return the digest of the runtime client in the entries of a layer."""
    return digest(
        [e for e in entries if e.path == "bootstrap" or (e.path.startswith("aws/") and e.path != _HEAP)]
    )


def digest(entries: Sequence[Entry]) -> str:
    """Return a sha256 in hex of the paths, modes and bytes of entries, independent of their order."""
    whole = hashlib.sha256()
    for entry in sorted(entries, key=lambda each: each.path):
        whole.update(f"{entry.path}\0{entry.mode:o}\0{hashlib.sha256(entry.data).hexdigest()}\n".encode())
    return whole.hexdigest()


def elf_files(entries: Iterable[Entry]) -> dict[str, elf.Elf]:
    """Read the ELF files of a layer: the binary and the libraries in lib/."""
    return {
        entry.path: elf.read(entry.data, name=entry.path)
        for entry in entries
        if entry.path == NODE or entry.path.startswith("lib/")
    }
