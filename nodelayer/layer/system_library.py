"""Find a shared library of an architecture on this machine."""

from pathlib import Path

from nodelayer.architecture import ARM64, X86_64, Architecture
from nodelayer.errors import NotVerifiedError
from nodelayer.layer import elf

_TRIPLETS = {X86_64: "x86_64-linux-gnu", ARM64: "aarch64-linux-gnu"}
_FOLDERS = (
    "usr/lib/{triplet}",  # Debian's multiarch, and its foreign packages
    "lib/{triplet}",
    "usr/{triplet}/lib",  # Debian's cross compilers
    "usr/lib64",  # Fedora, Amazon Linux
    "lib64",
    "usr/lib",  # Arch
    "lib",
    "usr/{triplet}/sys-root/usr/lib64",  # Fedora's cross compilers
)


def find(soname: str, architecture: Architecture, *, root: Path = Path("/")) -> Path | None:
    """Return the real path of a library of this name and architecture below `root`, or None.

    Other files with that name are skipped: a linker script, a library of another architecture.
    """
    triplet = _TRIPLETS[architecture]
    for folder in _FOLDERS:
        path = root / folder.format(triplet=triplet) / soname
        if path.is_file() and _machine(path) == architecture.elf:
            return path.resolve()
    return None


def _machine(path: Path) -> str | None:
    try:
        return elf.read(path.read_bytes(), name=str(path)).machine
    except (NotVerifiedError, OSError):
        return None
