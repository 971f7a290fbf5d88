"""ABI policies of Lambda's runtimes, derived from the libraries in AWS's image of each runtime.

Docker exports the file system of each image. No program of it runs, so any host can derive the policy of any
architecture.
"""

import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

import docker
import msgspec
from docker.models.images import Image

from nodelayer import architecture
from nodelayer.architecture import Architecture
from nodelayer.errors import NodelayerError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.layer import abi, elf
from nodelayer.project.pins.pin import Changes, Pin

FOLDER = "nodelayer/layer/policies"
IMAGES = {
    "provided": "public.ecr.aws/lambda/provided:alami",
    "provided.al2": "public.ecr.aws/lambda/provided:al2",
    "provided.al2023": "public.ecr.aws/lambda/provided:al2023",
}
ONLY_X86_64 = ("provided",)
"""Amazon Linux 1 exists for x86_64 only."""

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
"""The C and C++ libraries, which a Node.js binary or a library in its layer may need."""
_FOLDERS = ("lib64", "usr/lib64", "lib/{triplet}", "usr/lib/{triplet}", "lib", "usr/lib")
"""Default folders of the loader (ld.so(8)), on Amazon Linux and on Debian."""
_PRIVATE = "GLIBC_PRIVATE"  # glibc's internal symbols, which differ between its releases
_MOST_LINKS = 40  # Linux's limit: path_resolution(7)


def refresh(root: Path, *, images: Mapping[str, str] = IMAGES) -> Changes:
    """Compare each bundled policy with the image of its runtime; a failure does not stop the others."""
    lines: list[str] = []
    files: dict[str, str] = {}
    failures: list[NodelayerError] = []
    for runtime, image in images.items():
        for of in architecture.ALL[:1] if runtime in ONLY_X86_64 else architecture.ALL:
            path = f"{FOLDER}/{runtime}-{of}.json"
            try:
                with open_image(image, of) as (tree, source):
                    derived = policy(tree, source, runtime, of)
            except NodelayerError as error:
                failures.append(error)
                continue
            found = _differences(root / path, derived)
            if found:
                lines += [f"{runtime}-{of} {line}" for line in found]
                files[path] = abi.dump(derived)
    return Changes(lines, files, failures)


PIN = Pin("abi", "ABI policies of the runtimes", refresh, needs_docker=True)


def policy(tree: "Tree", source: str, runtime: str, of: Architecture) -> abi.Policy:
    """Derive the policy of a runtime from a root file system. Raises NotVerifiedError or NotFoundError."""
    system = os_release(tree)
    if system.get("ID") != "amzn":
        raise NotVerifiedError("the image is not Amazon Linux", where=source, todo="pull the image again")
    return abi.Policy(
        runtime=runtime,
        architecture=of.name,
        provenance=abi.Provenance(
            method="read from the libraries of a root file system (nodelayer/project/pins/abi_policies.py)",
            sources=(source, system.get("PRETTY_NAME", "a system without a name")),
            checked_on_image=True,
            refresh="invoke project.refresh --only abi",
        ),
        libraries=libraries(tree, of),
    )


def libraries(tree: "Tree", of: Architecture) -> dict[str, frozenset[str]]:
    """Return the C and C++ libraries of a root file system, each with its public version nodes.

    Raises NotFoundError if it has no C library.
    """
    folders = [each.format(triplet=_TRIPLETS[of.name]) for each in _FOLDERS]
    found = {}
    for name in (*_LIBRARIES, _LOADERS[of.name]):
        for folder in folders:
            data = tree.find(f"{folder}/{name}")
            if data is not None and (versions := _versions(data, name, of)) is not None:
                found[name] = versions
                break
    if "libc.so.6" not in found:
        raise NotFoundError(
            f"the image has no C library for {of}", where=", ".join(folders), todo="check the image"
        )
    return found


def _versions(data: bytes, name: str, of: Architecture) -> frozenset[str] | None:
    try:
        library = elf.read(data, name=name)
    except NotVerifiedError:
        return None  # a linker script, or a 32-bit library: the loader skips it too
    return library.provides - {_PRIVATE} if library.machine == of.elf else None


def _differences(path: Path, derived: abi.Policy) -> list[str]:
    """Return what the libraries add (+) to the bundled policy or lack (-), one line for each library."""
    if not path.exists():
        return ["+ a new policy"]
    bundled = msgspec.json.decode(path.read_bytes(), type=abi.Policy)
    lines = []
    for name in sorted({*bundled.libraries, *derived.libraries}):
        old, new = bundled.libraries.get(name), derived.libraries.get(name)
        if old is None or new is None:
            lines.append(f"{'+' if old is None else '-'} {name}: the whole library")
            continue
        lines += [
            f"{sign} {name}: {', '.join(sorted(versions))}"
            for sign, versions in (("-", old - new), ("+", new - old))
            if versions
        ]
    return lines if bundled.provenance.checked_on_image else [*lines, "~ checked on the image"]


class Tree:
    """A root file system in a tar."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        # as in unpacking, a later member replaces an earlier one of the same name
        self._members = {_plain(each.name): each for each in archive.getmembers()}

    def find(self, path: str) -> bytes | None:
        """Return the content of a file, following links inside the tree; None if it does not exist."""
        ahead = list(reversed(PurePosixPath(path).parts))
        here = PurePosixPath()
        links = 0
        while ahead:
            part = ahead.pop()
            member = self._members.get(here / part)
            if part == "/":
                here = PurePosixPath()
            elif part == "..":
                here = here.parent
            elif member is not None and member.issym():
                links += 1
                if links > _MOST_LINKS:
                    return None
                ahead.extend(reversed(PurePosixPath(member.linkname).parts))
            else:
                here /= part
        return self._read(here)

    def _read(self, path: PurePosixPath) -> bytes | None:
        member = self._members.get(path)
        if member is not None and member.islnk():
            return self._read(_plain(member.linkname))
        stream = self._archive.extractfile(member) if member is not None and member.isfile() else None
        return stream.read() if stream is not None else None


def _plain(name: str) -> PurePosixPath:
    return PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in {"/", "."}))


def os_release(tree: Tree) -> dict[str, str]:
    """Return the fields of etc/os-release (os-release(5)), an empty dict if the file is missing."""
    text = (tree.find("etc/os-release") or b"").decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


@contextmanager
def open_image(reference: str, of: Architecture) -> Iterator[tuple[Tree, str]]:
    """Yield the file system of an image and its digest, from a container that never runs."""
    with ExitStack() as stack:
        try:
            client = docker.from_env()
            stack.callback(client.close)
            image = _image(client, reference, of)
            container = client.containers.create(image, command=["none"])
            stack.callback(container.remove, force=True)
            spool = stack.enter_context(tempfile.TemporaryFile())
            for chunk in container.export():
                spool.write(bytes(chunk))  # type: ignore[arg-type]  # the stubs say str
        except docker.errors.DockerException as error:
            raise UnreachableError(
                f"the image cannot be read ({error})",
                where=reference,
                todo="check its name and its registry",
            ) from error
        spool.seek(0)
        archive = stack.enter_context(tarfile.open(fileobj=spool))
        digests = image.attrs.get("RepoDigests") or [image.id]
        yield Tree(archive), f"{reference} ({digests[0]})"


def _image(client: docker.DockerClient, reference: str, of: Architecture) -> Image:
    """Return the local image if it has the architecture, else pull it."""
    try:
        here = client.images.get(reference)
    except docker.errors.ImageNotFound:
        return client.images.pull(reference, platform=of.docker)
    if f"linux/{here.attrs['Architecture']}" == of.docker:
        return here
    return client.images.pull(reference, platform=of.docker)
