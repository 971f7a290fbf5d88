"""Compare a layer zip of unknown origin with what a build would contain. Nothing of the zip is executed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nodelayer.errors import NotVerifiedError
from nodelayer.layer import abi, archive, build, contents
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import LayerTarget, file_sha256
from nodelayer.node.sources.base import NodeFiles
from nodelayer.util.console import Reporter
from nodelayer.version import __version__


@dataclass(frozen=True)
class Inspection:
    """The comparison of a layer zip with what a build with this nodelayer contains.

    `lines` say what was verified, and name each library. `wrong` names each file that differs. `libraries`
    are the files in lib/ that a layer of this version needs; their content is not compared.
    """

    lines: Sequence[str]
    wrong: Sequence[str]
    libraries: Sequence[Entry]
    node_equal: bool


def read(zipped: Path, arn: str) -> list[Entry]:
    """Return the files of a layer version.

    Raises:
        NotVerifiedError: The zip is damaged, or nodelayer did not write it.
    """
    try:
        archive.check_layout(zipped)
        return list(archive.read(zipped))
    except NotVerifiedError as error:
        raise NotVerifiedError(error.what, where=arn, todo="do not use it") from error


def inspect(entries: Sequence[Entry], files: NodeFiles, runtime: Path) -> Inspection:
    """Compare each file, except the libraries, with a verified release and a runtime client."""
    expected = contents.assemble(runtime, files)
    wanted = abi.choose_runtime(contents.elf_files(expected), files.architecture).libraries
    names = {f"lib/{name}" for name in wanted}
    libraries = [entry for entry in entries if entry.path in names]
    node = [[entry for entry in each if entry.path == contents.NODE] for each in (entries, expected)]
    node_equal = node[0] == node[1]
    lines = []
    if node_equal:
        release = f"Node.js {files.version} for {files.architecture}"
        lines.append(f"{release}: the official binary ({files.record.name}, {files.record.checks})")
    digest = contents.client_digest(entries)
    if digest == contents.client_digest(expected):
        lines.append(f"Runtime client: that of nodelayer {__version__}, sha256 {digest}")
    lines += [
        f"Library: {entry.path}, sha256 {hashlib.sha256(entry.data).hexdigest()}" for entry in libraries
    ]
    wrong = [
        *differences([entry for entry in entries if entry.path not in names], expected),
        *(f"{name} is missing" for name in sorted(names - {entry.path for entry in libraries})),
        *(f"{entry.path} has mode {entry.mode:04o}" for entry in libraries if entry.mode != archive.PLAIN),
    ]
    return Inspection(lines, wrong, libraries, node_equal)


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


def rebuild(
    entries: Sequence[Entry],
    code_sha256: str,
    target: LayerTarget,
    options: build.BuildOptions,
    context: build.BuildContext,
) -> tuple[str, list[str]]:
    """Build the same layer; return its compression and what differs, which is empty if the zips are equal.

    The zip is compared with each compression, because a layer does not state its own.
    """
    with context.reporter.work("building the same layer"):
        # Without progress: the sha256 of the first compression would look like a result.
        record = build.build(target, options, replace(context, reporter=Reporter(quiet=True)))
    zipped = options.out / record.zip
    if file_sha256(zipped) == code_sha256:
        return options.compression, []
    built = list(archive.read(zipped))
    if wrong := differences(entries, built):
        return "", wrong
    for compression in archive.LEVELS.keys() - {options.compression}:
        with context.reporter.work(f"compressing {zipped.name} ({compression})"), zipped.open("wb") as stream:
            archive.write(built, stream, compression)
        if file_sha256(zipped) == code_sha256:
            return compression, []
    return "", ["the files are equal, but the zip is not"]
