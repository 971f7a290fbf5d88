"""Derive an ABI policy from a real root file system: a folder, a tar of one, or an image.

    IMAGE=public.ecr.aws/lambda/provided:al2023
    python -m nodelayer.project.pins.abi_policies --image $IMAGE --runtime provided.al2023 --write
    docker export $(docker create $IMAGE) | gzip > root.tar.gz
    python -m nodelayer.project.pins.abi_policies root.tar.gz --runtime provided.al2023 --arch arm64 --compare
    python -m nodelayer.project.pins.abi_policies --all --write     every bundled policy, from its image

Nothing of the root file system is executed, so any host derives the policy of any architecture.
"""

import argparse
import shlex
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import docker
from docker.models.images import Image

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.layer import abi, elf

BUNDLED = Path(__file__).resolve().parents[3] / "nodelayer" / "layer" / "policies"

_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
_TRIPLETS = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_LIBRARIES = (
    "libatomic.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
)
"""What a Node.js binary, or what it brings along, may ask the system for: the C and C++ libraries."""
_FOLDERS = ("lib64", "usr/lib64", "lib/{triplet}", "usr/lib/{triplet}", "lib", "usr/lib")
"""Where the loader looks without being told (ld.so(8)), on Amazon Linux and on Debian."""
_PRIVATE = "GLIBC_PRIVATE"  # glibc's own, for itself: the same name means something else in each release
_MOST_LINKS = 40  # as Linux: path_resolution(7)


class Tree(Protocol):
    """A root file system: what is at a path that goes through no link, without a leading slash."""

    def link(self, path: PurePosixPath) -> str | None:
        """Where the symbolic link at `path` points, or None where there is none."""

    def read(self, path: PurePosixPath) -> bytes | None:
        """The bytes of the file at `path`, or None where there is none."""


@dataclass(frozen=True)
class FolderTree:
    root: Path

    def link(self, path: PurePosixPath) -> str | None:
        there = self.root / path
        return str(there.readlink()) if there.is_symlink() else None

    def read(self, path: PurePosixPath) -> bytes | None:
        there = self.root / path
        return there.read_bytes() if there.is_file() else None


class TarTree:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        # a later member of the same name replaces an earlier one, as it does when a tar is unpacked
        self._members = {self._path(each.name): each for each in archive.getmembers()}

    def link(self, path: PurePosixPath) -> str | None:
        member = self._members.get(path)
        return member.linkname if member is not None and member.issym() else None

    def read(self, path: PurePosixPath) -> bytes | None:
        member = self._members.get(path)
        if member is not None and member.islnk():
            return self.read(self._path(member.linkname))
        stream = self._archive.extractfile(member) if member is not None and member.isfile() else None
        return stream.read() if stream is not None else None

    @staticmethod
    def _path(name: str) -> PurePosixPath:
        return PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in {"/", "."}))


def find(tree: Tree, path: str) -> bytes | None:
    """The file a path means inside the tree, every link on the way followed and none out of the tree."""
    ahead = list(reversed(PurePosixPath(path).parts))
    here = PurePosixPath()
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "/":
            here = PurePosixPath()
        elif part == "..":
            here = here.parent
        elif (target := tree.link(here / part)) is not None:
            links += 1
            if links > _MOST_LINKS:
                return None
            ahead.extend(reversed(PurePosixPath(target).parts))
        else:
            here /= part
    return tree.read(here)


def libraries(tree: Tree, of: Architecture) -> dict[str, frozenset[str]]:
    """The C and C++ libraries a root file system has for an architecture, each with its public nodes.

    Raises NotFoundError where there is not even a C library.
    """
    folders = [each.format(triplet=_TRIPLETS[of.name]) for each in _FOLDERS]
    found = {}
    for name in (*_LIBRARIES, _LOADERS[of.name]):
        for folder in folders:
            data = find(tree, f"{folder}/{name}")
            if data is not None and (versions := _versions(data, name, of)) is not None:
                found[name] = versions
                break
    if "libc.so.6" not in found:
        raise NotFoundError(
            f"no C library for {of} in it",
            where=", ".join(folders),
            todo="name a whole root file system of that architecture",
        )
    return found


def _versions(data: bytes, name: str, of: Architecture) -> frozenset[str] | None:
    try:
        library = elf.read(data, name=name)
    except NotVerifiedError:
        return None  # a linker script, or another width: the loader passes it over too
    return library.provides - {_PRIVATE} if library.machine == of.elf else None


def differences(bundled: Mapping[str, frozenset[str]], real: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """What the real libraries have more (+) or less (-) than a policy says, a line for each library."""
    for name in sorted({*bundled, *real}):
        if name not in real:
            yield f"- {name}: the whole library"
        elif name not in bundled:
            yield f"+ {name}: the whole library"
        else:
            less, more = sorted(bundled[name] - real[name]), sorted(real[name] - bundled[name])
            if less:
                yield f"- {name}: {', '.join(less)}"
            if more:
                yield f"+ {name}: {', '.join(more)}"


@contextmanager
def open_tree(path: Path) -> Iterator[tuple[Tree, str]]:
    """A folder or a tar, compressed or not. Raises InvalidInputError for what is neither."""
    if path.is_dir():
        yield FolderTree(path), path.name
        return
    try:
        archive = tarfile.open(path)  # noqa: SIM115 - closed below, where reading it ends
    except tarfile.TarError as error:
        raise InvalidInputError(
            "neither a folder nor a tar", where=str(path), todo="name a root file system"
        ) from error
    with archive:
        yield TarTree(archive), path.name


@contextmanager
def open_image(reference: str, of: Architecture) -> Iterator[tuple[Tree, str]]:
    """The file system of an image and the image's digest, by a container that never runs."""
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        raise UnreachableError(
            "no Docker daemon answers", where=reference, todo="start one, or give a tar of the image"
        ) from error
    with ExitStack() as stack:
        stack.callback(client.close)
        try:
            image = _image(client, reference, of)
            container = client.containers.create(image, command=["none"])
            stack.callback(container.remove, force=True)
            spool = stack.enter_context(tempfile.TemporaryFile())
            for chunk in container.export():
                spool.write(bytes(chunk))  # type: ignore[arg-type]  # the stubs say str
        except docker.errors.DockerException as error:
            raise UnreachableError(
                f"the image cannot be had ({error})", where=reference, todo="check its name, and the registry"
            ) from error
        spool.seek(0)
        archive = stack.enter_context(tarfile.open(fileobj=spool))
        digests = image.attrs.get("RepoDigests") or [image.id]
        yield TarTree(archive), f"{reference} ({digests[0]})"


def _image(client: docker.DockerClient, reference: str, of: Architecture) -> Image:
    """The image for that architecture: the one that is here, else pulled."""
    try:
        here = client.images.get(reference)
    except docker.errors.ImageNotFound:
        return client.images.pull(reference, platform=of.docker)
    if f"linux/{here.attrs['Architecture']}" == of.docker:
        return here
    return client.images.pull(reference, platform=of.docker)


def system(tree: Tree) -> dict[str, str]:
    """What etc/os-release says (os-release(5)), or nothing where there is none."""
    text = (find(tree, "etc/os-release") or b"").decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def policy(tree: Tree, named: str, runtime: str, of: Architecture, image: str = "IMAGE") -> abi.Policy:
    """The policy of a runtime as a root file system shows it; of Amazon Linux only where that says so.

    `image` is what the policy names as the one to refresh it from.
    """
    says = system(tree)
    return abi.Policy(
        runtime=runtime,
        architecture=of.name,
        provenance=abi.Provenance(
            method="read from the libraries of a root file system (nodelayer/project/pins/abi_policies.py)",
            sources=(named, says.get("PRETTY_NAME", "a system without a name")),
            checked_on_image=says.get("ID") == "amzn",
            refresh=f"python -m nodelayer.project.pins.abi_policies --image {image} "
            f"--runtime {runtime} --arch {of} --write",
        ),
        libraries=libraries(tree, of),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when done, 1 when --compare finds a difference, otherwise the code of the error told on stderr."""
    parser = argparse.ArgumentParser(
        description="derive the ABI policy of a Lambda runtime from its real root file system",
        epilog="Without --compare, --write or --out, the policy goes to stdout.",
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("root", nargs="?", type=Path, help="a root file system: a folder, or a tar of one")
    place.add_argument("--image", help="an image instead, by the Docker daemon: created and read, never run")
    place.add_argument(
        "--all", action="store_true", help="every bundled policy, from the image that it names"
    )
    parser.add_argument("--runtime", choices=abi.RUNTIMES, help="the runtime it is; not with --all")
    parser.add_argument("--arch", choices=[each.name for each in architecture.ALL], help="not with --all")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--compare", action="store_true", help="print what differs from the bundled policy")
    what.add_argument("--write", action="store_true", help="replace the bundled policy")
    what.add_argument("--out", type=Path, metavar="FILE", help="write it to FILE")
    options = parser.parse_args(arguments)
    if options.all:
        if options.runtime or options.arch or not (options.compare or options.write):
            parser.error("--all goes with --compare or --write alone")
        return _every(write=options.write)
    if not (options.runtime and options.arch):
        parser.error("--runtime and --arch are needed")
    (of,) = architecture.parse(options.arch)
    try:
        opened = open_image(options.image, of) if options.image else open_tree(options.root)
        with opened as (tree, named):
            derived = policy(tree, named, options.runtime, of, options.image or "IMAGE")
        return _deliver(derived, options)
    except NodelayerError as error:
        print(error, file=sys.stderr)
        return error.code
    except OSError as error:
        failure = MachineError(str(error.strerror or error).lower(), where=str(error.filename or ""))
        print(failure, file=sys.stderr)
        return failure.code


def _every(*, write: bool) -> int:
    """Hold every bundled policy against its image; one that cannot be had stops no other."""
    code, differs = 0, False
    for path in sorted(BUNDLED.glob("*.json")):
        try:
            lines = _one(path, write=write)
        except (NodelayerError, OSError) as error:
            print(error, file=sys.stderr)
            code = code or (error.code if isinstance(error, NodelayerError) else MachineError.code)
        else:
            differs = differs or bool(lines)
            print("\n".join(f"{path.stem} {line}" for line in lines or ["says what is there"]))
    return code or int(differs and not write)


def _one(path: Path, *, write: bool) -> list[str]:
    """What differs of a policy; written where anything does, or where it never was held against the image.

    Raises NodelayerError, or OSError where it cannot be written.
    """
    bundled = abi.Policy.model_validate_json(path.read_bytes())
    words = shlex.split(bundled.provenance.refresh)
    image = words[words.index("--image") + 1]
    (of,) = architecture.parse(bundled.architecture)
    with open_image(image, of) as (tree, named):
        derived = policy(tree, named, bundled.runtime, of, image)
    if not derived.provenance.checked_on_image:
        raise NotVerifiedError("that is no Amazon Linux", where=named, todo=f"docker rmi {image}, and again")
    lines = list(differences(bundled.libraries, derived.libraries))
    if not bundled.provenance.checked_on_image:
        lines.append("~ checked on the image")
    if write and lines:
        abi.save(derived, path)
    return lines


def _deliver(derived: abi.Policy, options: argparse.Namespace) -> int:
    bundled = BUNDLED / f"{derived.runtime}-{derived.architecture}.json"
    if options.compare:
        known = [each for each in abi.load_policies() if _same(each, derived)]
        lines = list(differences(known[0].libraries if known else {}, derived.libraries))
        print("\n".join(lines) if lines else f"{bundled.name} says what is there")
        return 1 if lines else 0
    target = bundled if options.write else options.out
    if target is None:
        print(abi.dump(derived), end="")
    else:
        abi.save(derived, target)
        print(target)
    return 0


def _same(one: abi.Policy, other: abi.Policy) -> bool:
    return (one.runtime, one.architecture) == (other.runtime, other.architecture)


if __name__ == "__main__":
    sys.exit(main())
