"""What each `provided.*` runtime's C and C++ libraries offer, and which of the runtimes a layer runs on.

The policies are data (policies/*.json, one for each runtime and architecture);
nodelayer/project/pins/abi_policies.py derives one from a real image.
The check decides as glibc's loader does before a program's first instruction: every
library found, and in it every version node that is not weak (elf/dl-version.c).
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
"""The folder of a layer that the loader searches, ahead of the system's own."""
_LIBC = "libc.so.6"
_FEW = 3


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a policy came to be, and the command that makes it again from the runtime's own image."""

    method: str
    sources: tuple[str, ...]
    checked_on_image: bool
    notes: tuple[str, ...] = ()
    refresh: str


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The libraries of a runtime by the name a program asks for, each with its public version nodes."""

    runtime: str
    architecture: str
    provenance: Provenance
    libraries: Annotated[Mapping[str, frozenset[str]], msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Problem:
    """Why a file of the layer does not start on a runtime.

    `version` is None where the whole library is missing; `library` is a path where that is the program's
    interpreter. `symbols` are the imports behind it, sorted.
    """

    runtime: str
    file: str
    library: str
    version: str | None
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """The runtimes a layer starts on, oldest first, and what stands in the way on the others."""

    compatible: tuple[str, ...]
    problems: tuple[Problem, ...]

    def missing_libraries(self, runtime: str) -> tuple[str, ...]:
        """What the layer would have to carry to start on `runtime`, sorted; an interpreter is past that."""
        here = (each for each in self.problems if each.runtime == runtime)
        lacking = {each.library for each in here if each.version is None}
        return tuple(sorted(name for name in lacking if "/" not in name))


@dataclass(frozen=True)
class RuntimeTarget:
    """The newest runtime a build is for, the libraries its layer has to carry, the policies behind both."""

    name: str
    libraries: tuple[str, ...]
    policies: Sequence[Policy]


def load_policies() -> tuple[Policy, ...]:
    """The policies that come with nodelayer: oldest runtime first, x86_64 before arm64."""
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
    """A policy as the JSON that load_policies() reads, sorted."""
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

    `files` by their path in the layer (`nodejs/bin/node`, `lib/libatomic.so.1`): what lies in lib/ serves the
    others, with its own version nodes. `runtimes` narrows what is looked at; None means all of the
    architecture. Raises IncompatibleError for a file of another architecture.
    """
    for path, elf in files.items():
        if elf.machine != architecture.elf:
            raise IncompatibleError(
                f"{path} is made for {elf.machine}, not for {architecture}",
                todo=f"take the file for {architecture}",
            )
    known = {each.runtime: each for each in policies if each.architecture == architecture.name}
    chosen = [known[name] for name in RUNTIMES if name in known and name in (runtimes or RUNTIMES)]
    carried = {
        PurePosixPath(path).name: elf.provides
        for path, elf in files.items()
        if PurePosixPath(path).parent == _LAYER_LIBRARIES
    }
    problems = tuple(
        problem
        for policy in chosen
        for path, elf in sorted(files.items())
        for problem in _problems(path, elf, policy, {**policy.libraries, **carried})
    )
    troubled = {problem.runtime for problem in problems}
    return Verdict(tuple(each.runtime for each in chosen if each.runtime not in troubled), problems)


def choose_runtime(files: Mapping[str, Elf], architecture: Architecture) -> RuntimeTarget:
    """Choose the newest runtime that a layer of these files can start on, carried libraries included.

    Raises IncompatibleError if there is none.
    """
    policies = load_policies()
    verdict = check(files, architecture, policies=policies)
    outdated = {problem.runtime for problem in verdict.problems if problem.version is not None}
    lacking = {problem.runtime for problem in verdict.problems} - outdated
    reachable = [name for name in RUNTIMES if name in lacking or name in verdict.compatible]
    if not reachable:
        raise refuse(verdict)
    libraries = sorted({name for runtime in lacking for name in verdict.missing_libraries(runtime)})
    return RuntimeTarget(reachable[-1], tuple(libraries), policies)


def _problems(
    path: str, elf: Elf, policy: Policy, offered: Mapping[str, frozenset[str]]
) -> Iterator[Problem]:
    if elf.interpreter is not None and PurePosixPath(elf.interpreter).name not in policy.libraries:
        yield Problem(policy.runtime, path, elf.interpreter, None, ())
    needed = dict.fromkeys((*elf.libraries, *(each.library for each in elf.requires)))
    for library in sorted(needed):
        if library not in offered:
            imports = (each.symbols for each in elf.requires if each.library == library)
            symbols = tuple(sorted(symbol for some in imports for symbol in some))
            yield Problem(policy.runtime, path, library, None, symbols)
    for each in sorted(elf.requires, key=lambda need: (need.library, _natural(need.version))):
        versions = offered.get(each.library)
        # a library without any version node takes every import; the loader only warns
        if versions and not each.weak and each.version not in versions:
            yield Problem(policy.runtime, path, each.library, each.version, each.symbols)


def explain(verdict: Verdict, runtime: str) -> str:
    """What stands in the way on one runtime: libc's newest node first. Empty where nothing does."""
    here = [each for each in verdict.problems if each.runtime == runtime]
    newest = {(each.file, each.library): each for each in here}  # of one library the last, the newest, wins
    ranked = sorted(newest.values(), key=lambda each: (each.version is None, each.library != _LIBC))
    sentences = "; ".join(_sentence(each) for each in ranked[:_FEW])
    return f"{sentences}; and {len(ranked) - _FEW} more" if len(ranked) > _FEW else sentences


def _sentence(problem: Problem) -> str:
    symbols = ", ".join(problem.symbols[:_FEW]) + (", …" if len(problem.symbols) > _FEW else "")
    named = f" ({symbols})" if symbols else ""
    if problem.version is None:
        return f"{problem.file} needs {problem.library}{named}, which is not there"
    return f"{problem.file} needs {problem.version}{named} of {problem.library}"


def refuse(verdict: Verdict) -> IncompatibleError:
    """The error for a layer that starts on none of the runtimes looked at: told of the newest of them."""
    troubled = [name for name in RUNTIMES if any(each.runtime == name for each in verdict.problems)]
    newest = troubled[-1]
    others = f", nor on {' or '.join(reversed(troubled[:-1]))}" if len(troubled) > 1 else ""
    lacking = verdict.missing_libraries(newest)
    only_lacking = all(each.version is None for each in verdict.problems if each.runtime == newest)
    todo = (
        f"put {', '.join(lacking)} of that system into the layer's lib/"
        if lacking and only_lacking
        else "choose another Node.js version"
    )
    return IncompatibleError(
        f"the layer does not start on {newest}{others}: {explain(verdict, newest)}", todo=todo
    )


def _natural(version: str) -> tuple[tuple[int, int | str], ...]:
    """A key that puts GLIBC_2.9 before GLIBC_2.28."""
    parts = re.split(r"(\d+)", version)
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)
