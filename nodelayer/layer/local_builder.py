"""Test a layer on this machine: run the binary, and invoke the sample function on the unpacked layer."""

import errno
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from nodelayer.architecture import ARM64, Architecture, of_host
from nodelayer.errors import (
    FunctionError,
    IncompatibleError,
    MachineError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.layer import abi, archive, elf, system_library
from nodelayer.layer.archive import Entry
from nodelayer.layer.contents import NODE
from nodelayer.layer.record import BuilderRecord, LayerProof, LayerTarget
from nodelayer.util import confined
from nodelayer.util.console import Reporter
from nodelayer.util.temporary import temporary_folder

Invoke = Callable[[Path, str, Architecture], str]
"""Invokes the sample function on an unpacked layer of a Node.js version, and returns a line of progress."""

_PACKAGES = {"libatomic.so.1": "libatomic1 on Debian and Ubuntu, libatomic on Amazon Linux and Fedora"}
"""The packages of Linux distributions that contain a library."""
_TODO = "use another --source, or --builder docker"


def prove(
    entries: Sequence[Entry],
    target: LayerTarget,
    runtime: abi.RuntimeTarget,
    *,
    invoke: Invoke,
    reporter: Reporter,
) -> LayerProof:
    """Add the libraries that the runtime lacks, run the binary, and invoke the sample function once.

    The proof records whether this machine could run the binary and the Runtime Interface Emulator.

    Raises:
        IncompatibleError: The layer does not work, or a library is missing.
        NotVerifiedError: The binary is another version, or does not run.
    """
    libraries = {name: _host_library(name, target, runtime) for name in runtime.libraries}
    for name in libraries:
        reporter.say(
            f"Adding {name} from this machine, because {runtime.name} lacks it; it passes the ABI check"
        )
    carried = [Entry(f"lib/{name}", data) for name, data in libraries.items()]
    with temporary_folder("nodelayer-") as layer:
        archive.unpack([*entries, *carried], layer)
        versions = _versions(layer, target, reporter)
        invoked = bool(versions) and _invoked(layer, target, invoke, reporter)
    return LayerProof(
        builder=BuilderRecord(
            name="local",
            executed=bool(versions),
            invoked=invoked,
            libraries=dict.fromkeys(libraries, "the building host"),
        ),
        libraries=libraries,
        versions=versions,
    )


def _host_library(soname: str, target: LayerTarget, runtime: abi.RuntimeTarget) -> bytes:
    path = system_library.find(soname, target.architecture)
    if path is None:
        package = f"install it ({_PACKAGES[soname]}), or " if soname in _PACKAGES else ""
        raise IncompatibleError(
            f"Node.js {target.version} needs {soname}, which {runtime.name} and this machine lack",
            where=str(target.architecture),
            todo=f"{package}use --builder docker",
        )
    data = path.read_bytes()
    files = {f"lib/{soname}": elf.read(data, name=str(path))}
    verdict = abi.check(files, target.architecture, policies=runtime.policies, runtimes=(runtime.name,))
    if not verdict.compatible:
        raise IncompatibleError(
            f"{soname} of this machine does not load on {runtime.name}: {abi.explain(verdict, runtime.name)}",
            where=str(path),
            todo="use --builder docker",
        )
    return data


def _versions(layer: Path, target: LayerTarget, reporter: Reporter) -> dict[str, str]:
    """Return `process.versions` of the binary in an unpacked layer; empty if this machine cannot run it."""
    command = [str(layer.resolve() / NODE), "-p", "JSON.stringify(process.versions)"]
    environ = {"LD_LIBRARY_PATH": str(layer.resolve() / "lib"), "PATH": os.defpath}
    try:
        with temporary_folder("nodelayer-") as scratch:
            if why := confined.available():
                reporter.say(
                    f"The binary runs with network and with your files, because of this machine: {why}"
                )
            else:
                command = confined.command(command, scratch=scratch, read_only=(layer,))
            done = confined.run(command, env=environ, cwd=layer, timeout=120)
    except OSError as error:
        if error.errno in {errno.ENOEXEC, errno.ENOENT, errno.EACCES}:
            reporter.say(f"Not executed: this machine cannot run it ({os.strerror(error.errno)})")
            return {}
        raise
    except subprocess.TimeoutExpired as error:
        raise NotVerifiedError(f"Node.js {target.version} does not end within 120 s", todo=_TODO) from error
    if done.code != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.code}"])[-1]
        foreign = target.architecture != of_host()
        if (
            foreign
            or done.code == confined.NOT_STARTED
            or "GLIBC" in why
            or "cannot open shared object" in why
        ):
            reporter.say(f"Not executed: this machine cannot run it ({why})")
            return {}
        raise NotVerifiedError(f"the binary of Node.js {target.version} does not run: {why}", todo=_TODO)
    try:
        versions = msgspec.json.decode(done.stdout, type=dict[str, str])
    except ValueError as error:
        raise NotVerifiedError(f"the binary is not Node.js {target.version}", todo=_TODO) from error
    found = versions.get("node")
    if found != target.version:
        raise NotVerifiedError(f"the binary is Node.js {found}, not {target.version}", todo=_TODO)
    emulated = " (emulated)" if target.architecture == ARM64 != of_host() else ""
    reporter.say(f"Executed on this machine{emulated}")
    return versions


def _invoked(layer: Path, target: LayerTarget, invoke: Invoke, reporter: Reporter) -> bool:
    try:
        reporter.say(invoke(layer, target.version, target.architecture))
    except (UnreachableError, MachineError) as error:  # no emulator here; the layer may be fine
        reporter.say(f"Not invoked: {error.what}")
        return False
    except FunctionError as error:
        raise IncompatibleError(
            f"the runtime client does not work on Node.js {target.version}: {error.what}", todo=error.todo
        ) from error
    return True
