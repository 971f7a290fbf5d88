"""The libraries of each `provided.*` runtime, and the check which runtimes a layer starts on.

The policies are data (policies/*.json, one for each runtime and architecture);
nodelayer/project/pins/abi_policies.py derives them from the runtimes' images. The check follows glibc's
loader, which before the program starts looks up every library, and in it every version node that is not weak
(elf/dl-version.c).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import PurePosixPath
from typing import Annotated, Any

import msgspec

from nodelayer.architecture import Architecture
from nodelayer.errors import IncompatibleError
from nodelayer.layer.elf import Elf

RUNTIMES = ("provided", "provided.al2", "provided.al2023")
"""Lambda's OS-only runtimes, oldest first (Lambda developer guide, "OS-only runtimes")."""

_LAYER_LIBRARIES = PurePosixPath("lib")
"""The folder of a layer that the loader searches before the system's folders."""
_LIBC = "libc.so.6"
_MOST_SHOWN = 3


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a policy was made, and the command that makes it again from the runtime's image."""

    method: str
    sources: tuple[str, ...]
    checked_on_image: bool
    notes: tuple[str, ...] = ()
    refresh: str


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The libraries of a runtime by soname, each with its public version nodes."""

    runtime: str
    architecture: str
    provenance: Provenance
    libraries: Annotated[Mapping[str, frozenset[str]], msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Problem:
    """The reason why a file of the layer does not start on a runtime.

    `version` is None if the whole library is missing. `library` is a path if it is the program's interpreter.
    `symbols` are the imports that need the version, sorted.
    """

    runtime: str
    file: str
    library: str
    version: str | None
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """The runtimes a layer starts on, oldest first, and the problems with the others."""

    compatible: tuple[str, ...]
    problems: tuple[Problem, ...]

    def missing_libraries(self, runtime: str) -> tuple[str, ...]:
        """Return the sonames that the layer would have to contain to start on `runtime`, sorted."""
        problems = (each for each in self.problems if each.runtime == runtime)
        missing = {each.library for each in problems if each.version is None}
        return tuple(sorted(name for name in missing if "/" not in name))  # a path is an interpreter


@dataclass(frozen=True)
class RuntimeTarget:
    """The newest runtime that a layer is built for, the libraries it has to contain, and the policies."""

    name: str
    libraries: tuple[str, ...]
    policies: Sequence[Policy]


def load_policies() -> tuple[Policy, ...]:
    """Return the bundled policies: oldest runtime first, x86_64 before arm64."""
    folder = resources("nodelayer.layer") / "policies"
    found = [
        msgspec.json.decode(each.read_bytes(), type=Policy)
        for each in folder.iterdir()
        if each.name.endswith(".json")
    ]
    return tuple(
        sorted(found, key=lambda each: (RUNTIMES.index(each.runtime), each.architecture != "x86_64"))
    )


def dump(policy: Policy) -> str:
    """Format a policy as sorted JSON, which load_policies() can read."""
    content: dict[str, Any] = msgspec.to_builtins(policy)
    content["libraries"] = {
        name: sorted(versions, key=_natural) for name, versions in sorted(policy.libraries.items())
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def check(
    files: Mapping[str, Elf],
    architecture: Architecture,
    *,
    policies: Iterable[Policy],
    runtimes: Sequence[str] | None = None,
) -> Verdict:
    """Decide which runtimes every ELF file of a layer starts on.

    `files` maps paths in the layer (`nodejs/bin/node`, `lib/libatomic.so.1`) to ELF files; libraries in lib/
    are available to all files. `runtimes` limits the check; None means every runtime of the architecture.

    Raises:
        IncompatibleError: A file is for another architecture.
    """
    for path, elf in files.items():
        if elf.machine != architecture.elf:
            raise IncompatibleError(
                f"{path} is for {elf.machine}, not for {architecture}",
                todo=f"use the file for {architecture}",
            )
    known = {each.runtime: each for each in policies if each.architecture == architecture.name}
    chosen = [known[name] for name in RUNTIMES if name in known and name in (runtimes or RUNTIMES)]
    included = {
        PurePosixPath(path).name: elf.provides
        for path, elf in files.items()
        if PurePosixPath(path).parent == _LAYER_LIBRARIES
    }
    problems = tuple(
        problem
        for policy in chosen
        for path, elf in sorted(files.items())
        for problem in _problems(path, elf, policy, {**policy.libraries, **included})
    )
    incompatible = {problem.runtime for problem in problems}
    return Verdict(tuple(each.runtime for each in chosen if each.runtime not in incompatible), problems)


def choose_runtime(files: Mapping[str, Elf], architecture: Architecture) -> RuntimeTarget:
    """Choose the newest runtime that a layer of these files can start on, if missing libraries are added.

    Raises:
        IncompatibleError: No runtime is new enough.
    """
    policies = load_policies()
    verdict = check(files, architecture, policies=policies)
    outdated = {problem.runtime for problem in verdict.problems if problem.version is not None}
    incomplete = {problem.runtime for problem in verdict.problems} - outdated
    possible = [name for name in RUNTIMES if name in incomplete or name in verdict.compatible]
    if not possible:
        raise refuse(verdict)
    libraries = sorted({name for runtime in incomplete for name in verdict.missing_libraries(runtime)})
    return RuntimeTarget(possible[-1], tuple(libraries), policies)


def _problems(
    path: str, elf: Elf, policy: Policy, available: Mapping[str, frozenset[str]]
) -> Iterator[Problem]:
    if elf.interpreter is not None and PurePosixPath(elf.interpreter).name not in policy.libraries:
        yield Problem(policy.runtime, path, elf.interpreter, None, ())
    needed = dict.fromkeys((*elf.libraries, *(each.library for each in elf.requires)))
    for library in sorted(needed):
        if library not in available:
            imports = (each.symbols for each in elf.requires if each.library == library)
            symbols = tuple(sorted(symbol for group in imports for symbol in group))
            yield Problem(policy.runtime, path, library, None, symbols)
    for each in sorted(elf.requires, key=lambda need: (need.library, _natural(need.version))):
        versions = available.get(each.library)
        # a library without version nodes satisfies every import; the loader only warns
        if versions and not each.weak and each.version not in versions:
            yield Problem(policy.runtime, path, each.library, each.version, each.symbols)


def explain(verdict: Verdict, runtime: str) -> str:
    """Return the problems with one runtime in a few words, those with libc first; empty if there are none."""
    problems = [each for each in verdict.problems if each.runtime == runtime]
    newest = {(each.file, each.library): each for each in problems}  # versions are sorted: the newest stays
    ranked = sorted(newest.values(), key=lambda each: (each.version is None, each.library != _LIBC))
    sentences = "; ".join(_sentence(each) for each in ranked[:_MOST_SHOWN])
    more = len(ranked) - _MOST_SHOWN
    return f"{sentences}; and {more} more" if more > 0 else sentences


def _sentence(problem: Problem) -> str:
    more = ", …" if len(problem.symbols) > _MOST_SHOWN else ""
    symbols = ", ".join(problem.symbols[:_MOST_SHOWN]) + more
    imports = f" ({symbols})" if symbols else ""
    if problem.version is None:
        return f"{problem.file} needs {problem.library}{imports}, which is missing"
    return f"{problem.file} needs {problem.version}{imports} of {problem.library}"


def refuse(verdict: Verdict) -> IncompatibleError:
    """Return the error for a layer that starts on no runtime; it describes the newest one."""
    incompatible = [name for name in RUNTIMES if any(each.runtime == name for each in verdict.problems)]
    newest = incompatible[-1]
    names = " or ".join(reversed(incompatible))
    missing = verdict.missing_libraries(newest)
    only_missing = all(each.version is None for each in verdict.problems if each.runtime == newest)
    todo = (
        f"put {', '.join(missing)} of that system into the layer's lib/"
        if missing and only_missing
        else "choose an older Node.js version"
    )
    return IncompatibleError(f"the layer does not start on {names}: {explain(verdict, newest)}", todo=todo)


def _natural(version: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key that puts GLIBC_2.9 before GLIBC_2.28."""
    parts = re.split(r"(\d+)", version)
    return tuple((1, int(part)) if part.isdecimal() else (0, part) for part in parts)
