"""The files of a layer: bootstrap and runtime client, the stripped node binary, its LICENSE."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from nodelayer.errors import NotVerifiedError
from nodelayer.layer import elf
from nodelayer.layer.archive import EXECUTABLE, Entry
from nodelayer.node.sources.base import NodeFiles
from nodelayer.node.versions import sort_key

NODE = "nodejs/bin/node"
LICENSE = "nodejs/LICENSE"
_SCRIPTS = ("bin/node", "bootstrap")
_MAJOR = "aws/major"
_HEAP = "aws/heap"
_HEAP_PERCENT = b"90\n"  # of the function's memory, as in AWS's runtimes; bootstrap reads it
_HEAP_FROM = 18  # with the flag, older majors discard V8's compiled code: docs/runtime.md


def assemble(runtime: Path, files: NodeFiles) -> list[Entry]:
    """Return the files of a layer, without the libraries that the target lacks. The binary is stripped."""
    return [
        *client(runtime),
        *settings(files.version),
        Entry(NODE, elf.strip(files.node, name=NODE), EXECUTABLE),
        Entry(LICENSE, files.license),
    ]


def client(runtime: Path) -> list[Entry]:
    """Return the files of the runtime folder: bootstrap and bin/node (0755), aws/*.js and *.json (0644).

    Raises:
        NotVerifiedError: A file has Windows line endings, with which it would not start on Lambda.

    """
    files = sorted(each for each in (runtime / "aws").iterdir() if each.suffix in {".js", ".json"})
    entries = [
        *(Entry(each, (runtime / each).read_bytes(), EXECUTABLE) for each in _SCRIPTS),
        *(Entry(f"aws/{file.name}", file.read_bytes()) for file in files),
    ]
    for entry in entries:
        if b"\r" in entry.data:
            raise NotVerifiedError(
                f"runtime/{entry.path} has Windows line endings",
                where=str(runtime),
                todo="restore the file: git config core.autocrlf input, then git checkout -f HEAD",
            )
    return entries


def settings(version: str) -> list[Entry]:
    """Return the files with the major of Node.js and the percentage of memory for the JavaScript heap."""
    major = sort_key(version).major
    heap = [Entry(_HEAP, _HEAP_PERCENT)] if major >= _HEAP_FROM else []
    return [Entry(_MAJOR, f"{major}\n".encode()), *heap]


def client_digest(entries: Iterable[Entry]) -> str:
    """Return the digest of the runtime client in the entries of a layer."""
    settings = (_MAJOR, _HEAP)
    return digest(
        [e for e in entries if e.path in _SCRIPTS or (e.path.startswith("aws/") and e.path not in settings)]
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
