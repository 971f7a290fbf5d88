"""Compare a layer zip of unknown origin with what a build would contain. Nothing of the zip is executed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodelayer.layer import abi, archive, build, contents
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import LayerTarget, file_sha256
from nodelayer.node.sources.base import NodeFiles


@dataclass(frozen=True)
class Inspection:
    """What a layer zip contains. `libraries` are the entries in lib/ that a layer of this version needs.

    `wrong` names every file that is not as a build with this nodelayer makes it. `node_equal` and
    `client_equal` say the same of the two parts that run.
    """

    entries: Sequence[Entry]
    libraries: Sequence[Entry]
    wrong: Sequence[str]
    node_equal: bool
    client_equal: bool


def inspect(zipped: Path, files: NodeFiles, runtime: Path) -> Inspection:
    """Compare each file of a layer zip, except the libraries, with a verified release and a runtime client.

    Raises:
        NotVerifiedError: The zip is damaged, or nodelayer did not write it.
    """
    archive.check_layout(zipped)
    entries = list(archive.read(zipped))
    expected = contents.assemble(runtime, files)
    wanted = abi.choose_runtime(contents.elf_files(expected), files.architecture).libraries
    names = {f"lib/{name}" for name in wanted}
    libraries = [entry for entry in entries if entry.path in names]
    wrong = [
        *differences([entry for entry in entries if entry.path not in names], expected),
        *(f"{name} is missing" for name in sorted(names - {entry.path for entry in libraries})),
        *(f"{entry.path} has mode {entry.mode:04o}" for entry in libraries if entry.mode != archive.PLAIN),
    ]
    return Inspection(
        entries=entries,
        libraries=libraries,
        wrong=wrong,
        node_equal=[e for e in entries if e.path == contents.NODE]
        == [e for e in expected if e.path == contents.NODE],
        client_equal=contents.client_digest(entries) == contents.client_digest(expected),
    )


def differences(found: Sequence[Entry], expected: Sequence[Entry]) -> list[str]:
    """Name every file that is unexpected, missing or different."""
    ours, theirs = ({entry.path: entry for entry in each} for each in (expected, found))
    lines = []
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in ours:
            lines.append(f"{path} is unexpected")
        elif path not in theirs:
            lines.append(f"{path} is missing")
        elif ours[path].data != theirs[path].data:
            lines.append(f"{path} is different")
        elif ours[path].mode != theirs[path].mode:
            lines.append(f"{path} has mode {theirs[path].mode:04o}")
    return lines


def compare_with_build(
    inspection: Inspection,
    code_sha256: str,
    target: LayerTarget,
    options: build.BuildOptions,
    context: build.BuildContext,
) -> tuple[str, list[str]]:
    """Build the same version; return its compression and what differs, which is empty if the zips are equal.

    The zip is tried with each compression, because a layer does not state its own.
    """
    zipped = options.out / build.build(target, options, context).zip
    built = list(archive.read(zipped))
    others = [name for name in archive.LEVELS if name != options.compression]
    for compression in (options.compression, *others):
        if compression != options.compression:
            with (
                context.reporter.work(f"compressing {zipped.name} ({compression})"),
                zipped.open("wb") as stream,
            ):
                archive.write(built, stream, compression)
        if file_sha256(zipped) == code_sha256:
            return compression, []
    wrong = differences(inspection.entries, built)
    return "", wrong or ["the files are equal, but the zip is not"]


def sha256(entry: Entry) -> str:
    """Return the sha256 of a file in hex."""
    return hashlib.sha256(entry.data).hexdigest()
