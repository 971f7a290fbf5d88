"""Make the bundled ABI policies from published records, for as long as no Amazon Linux image can be had.

    pip download --no-deps ziglang==0.17.1 && unzip -j ziglang-*.whl '*/libc/glibc/abilists'
    python scripts/abi_policies_from_records.py abilists

`abilists` holds glibc's own lists of symbols and versions for every release and architecture, packed (format:
the README of ziglang/libc-abi-tools). The nodes of GCC's libraries are those its manual gives for a release
(libstdc++ manual, "ABI Policy and Guidelines"; libgcc's version scripts). A policy made here is replaced by
one of nodelayer/project/pins/abi_policies.py as soon as the image can be read.
"""

import argparse
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodelayer.layer import abi

Release = tuple[int, int, int]


@dataclass(frozen=True)
class System:
    """What an Amazon Linux is made of, and where that is said."""

    runtime: str
    architectures: tuple[str, ...]
    glibc: Release
    gcc: int
    sources: tuple[str, ...]
    image: str
    notes: tuple[str, ...] = ()


_TOOLCHAIN = 'Amazon Linux 2023 user guide, "Improved toolchain: gcc, binutils, and glibc"'
_MEASURED = "cross-checked with the nodes that mayeut/pep600_compliance read from {} (cache/*/{}.json)"

SYSTEMS = (
    System(
        runtime="provided",
        architectures=("x86_64",),
        glibc=(2, 17, 0),
        gcc=4,
        sources=(
            "the provided runtime is Amazon Linux 1, which was made for x86_64 only",
            _MEASURED.format("amazonlinux:1", "amazonlinux-1"),
        ),
        image="public.ecr.aws/lambda/provided:alami",
        notes=(
            (
                "libstdc++ and libgcc as of GCC 4.8, the oldest that Amazon Linux 1 had: the newer ones "
                "measured there (GLIBCXX_3.4.24) may have come with a package that the runtime has not got"
            ),
        ),
    ),
    System(
        runtime="provided.al2",
        architectures=("x86_64", "arm64"),
        glibc=(2, 26, 0),
        gcc=7,
        sources=(_TOOLCHAIN, _MEASURED.format("amazonlinux:2", "amazonlinux-2")),
        image="public.ecr.aws/lambda/provided:al2",
    ),
    System(
        runtime="provided.al2023",
        architectures=("x86_64", "arm64"),
        glibc=(2, 34, 0),
        gcc=11,
        sources=(_TOOLCHAIN, _MEASURED.format("amazonlinux:2023", "amazonlinux-2023")),
        image="public.ecr.aws/lambda/provided:al2023",
        notes=(
            (
                "the same measurements, taken later on arm64, show libstdc++ and libgcc of GCC 14; an image "
                "from before that update has GCC 11's, so the policy stays with these"
            ),
        ),
    ),
)

_TARGETS = {"x86_64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
_SONAMES = {
    "c": "libc.so.6",
    "dl": "libdl.so.2",
    "m": "libm.so.6",
    "pthread": "libpthread.so.0",
    "resolv": "libresolv.so.2",
    "rt": "librt.so.1",
    "util": "libutil.so.1",
}

# The newest GLIBCXX_3.4.x and CXXABI_1.3.x of a GCC release; every earlier one is in it too.
_LIBSTDCXX = {4: (19, 7), 7: (24, 11), 11: (29, 13)}
_GCC = {4: "4.8", 7: "7", 11: "11"}
_CXXABI_FLOAT128_SINCE = 5  # x86 only

# The nodes of libgcc_s by the GCC that brought them: 4 stands for every release up to 4.8.
_LIBGCC = {
    "x86_64": {
        4: "3.0 3.3 3.3.1 3.4 3.4.2 3.4.4 4.0.0 4.2.0 4.3.0 4.7.0 4.8.0",
        7: "7.0.0",
    },
    "arm64": {
        4: "3.0 3.3 3.3.1 3.4 3.4.2 3.4.4 4.0.0 4.2.0 4.3.0 4.5.0 4.7.0",
        7: "7.0.0",
        11: "11.0",
    },
}
_LIBGCC_GLIBC = {"x86_64": (), "arm64": ("GLIBC_2.0",)}  # unwinding entries once glibc's own


class Abilists:
    """The packed lists: for a target, which releases' nodes each library has."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._libraries = [self._text() for _ in range(self._byte())]
        self._releases = [(self._byte(), self._byte(), self._byte()) for _ in range(self._byte())]
        self._targets = [self._text() for _ in range(self._byte())]
        kinds = {"functions": False, "objects": True, "thread-local objects": True}
        self._all = [each for sized in kinds.values() for each in self._inclusions(sized=sized)]
        if self._at != len(data):
            raise SystemExit(f"abilists: {len(data) - self._at} bytes are left over; its format has changed")

    def nodes(self, target: str, newest: Release) -> Mapping[str, set[Release]]:
        """The nodes that some symbol of a library has in release `newest`, by the library's short name."""
        bit = 1 << self._targets.index(target)
        found: defaultdict[str, set[Release]] = defaultdict(set)
        for targets, library, releases in self._all:
            if targets & bit:
                found[library].update(each for each in releases if each <= newest)
        return found

    def _inclusions(self, *, sized: bool) -> Iterator[tuple[int, str, list[Release]]]:
        (count,) = struct.unpack_from("<H", self._data, self._at)
        self._at += 2
        named = False
        for _ in range(count):
            if not named:
                self._text()
            targets = self._number()
            if sized:
                self._number()
            library = self._byte()
            releases = []
            last = False
            while not last:
                release = self._byte()
                last = bool(release & 0x80)
                releases.append(self._releases[release & 0x7F])
            named = not library & 0x80
            yield targets, self._libraries[library & 0x7F], releases

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _text(self) -> str:
        end = self._data.index(b"\0", self._at)
        text = self._data[self._at : end].decode()
        self._at = end + 1
        return text

    def _number(self) -> int:
        """An unsigned LEB128."""
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 - the bit that says another byte follows
                return number


def libraries(system: System, architecture: str, records: Abilists) -> dict[str, frozenset[str]]:
    """The public version nodes of every C and C++ library of a system."""
    sonames = {**_SONAMES, "ld": _LOADERS[architecture]}
    found = {
        sonames[name]: frozenset(f"GLIBC_{_written(each)}" for each in releases)
        for name, releases in records.nodes(_TARGETS[architecture], system.glibc).items()
    }
    glibcxx, cxxabi = _LIBSTDCXX[system.gcc]
    found["libstdc++.so.6"] = frozenset(
        (
            *_upto("GLIBCXX_3.4", glibcxx),
            *_upto("CXXABI_1.3", cxxabi),
            "CXXABI_TM_1",
            *(
                ["CXXABI_FLOAT128"]
                if architecture == "x86_64" and system.gcc >= _CXXABI_FLOAT128_SINCE
                else []
            ),
        )
    )
    brought = " ".join(nodes for since, nodes in _LIBGCC[architecture].items() if since <= system.gcc)
    found["libgcc_s.so.1"] = frozenset(
        (*_LIBGCC_GLIBC[architecture], *(f"GCC_{each}" for each in brought.split()))
    )
    return found


def _upto(base: str, newest: int) -> list[str]:
    return [base, *(f"{base}.{number}" for number in range(1, newest + 1))]


def _written(release: Release) -> str:
    major, minor, patch = release
    return f"{major}.{minor}.{patch}" if patch else f"{major}.{minor}"


def policy(system: System, architecture: str, records: Abilists) -> abi.Policy:
    """A policy with all that is known of how true it is."""
    return abi.Policy(
        runtime=system.runtime,
        architecture=architecture,
        provenance=abi.Provenance(
            method=f"published records of glibc {_written(system.glibc)} and GCC {_GCC[system.gcc]} "
            "(scripts/abi_policies_from_records.py)",
            sources=(
                f"glibc's lists of symbols up to {_written(system.glibc)}, as packed in ziglang 0.17.1",
                'libstdc++ manual, "ABI Policy and Guidelines"; libgcc\'s version scripts',
                *system.sources,
            ),
            checked_on_image=False,
            notes=(
                (
                    "only nodes that a program can be linked against: the image may define a few more that "
                    "carry no linkable symbol"
                ),
                *system.notes,
            ),
            refresh=f"nodelayer/project/pins/abi_policies.py --image {system.image} "
            f"--runtime {system.runtime} --arch {architecture} --write",
        ),
        libraries=libraries(system, architecture, records),
    )


def main() -> None:
    """Write every bundled policy, or only those named."""
    parser = argparse.ArgumentParser(description="make the bundled ABI policies from published records")
    parser.add_argument("abilists", type=Path, help="glibc's packed lists, from the PyPI package ziglang")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent.parent / "nodelayer" / "layer" / "policies"
    )
    arguments = parser.parse_args()
    records = Abilists(arguments.abilists.read_bytes())
    for system in SYSTEMS:
        for architecture in system.architectures:
            path = arguments.out / f"{system.runtime}-{architecture}.json"
            abi.save(policy(system, architecture, records), path)
            print(path)


if __name__ == "__main__":
    main()
