"""Write V8's code cache of a function, with which its code starts faster on a layer.

The function runs on the layer as on Lambda, in /var/task, because Node.js finds code by its absolute path:
https://nodejs.org/api/module.html#module-compile-cache. code-cache.js does that, confined on
this machine or in a Docker container. runtime/aws/code-cache.js uses the result.
"""

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import IO

from nodelayer.architecture import Architecture
from nodelayer.emulation.rie import LAMBDA_VARIABLES
from nodelayer.errors import FunctionError, InvalidInputError, MachineError, machine_error
from nodelayer.layer import archive
from nodelayer.layer.build import BuildContext, BuildOptions, built_or_build
from nodelayer.layer.contents import NODE
from nodelayer.layer.docker_builder import Engine, base_reference
from nodelayer.layer.record import LayerTarget
from nodelayer.util import confined
from nodelayer.util.console import Reporter, megabytes
from nodelayer.util.json_text import loads
from nodelayer.util.temporary import temporary_folder

FOLDER = ".nodelayer/code-cache"
_WORTHWHILE = 100_000  # bytes; with a smaller code cache, a function starts later
_TIMEOUT_S = 300.0
_WORK = "/var/work"  # in a container
_WRAPPER = """#!/bin/sh
# V8 saves the hashes of strings, which depend on a random number, so this number is fixed.
node=$1
shift
driver=${0%/*}/code-cache.js
exec "$node" --hash-seed=1 --expose-internals ${NODELAYER_SAVE_CODE_TO:+--require="$driver"} "$@"
"""
_VARIABLES = LAMBDA_VARIABLES | {"LD_LIBRARY_PATH": "/opt/lib"}
_SUBFOLDER = re.compile(r"(?P<name>v[\d.]+-(?P<arch>\w+)-[0-9a-f]{8})-\d+")

Sandbox = Callable[[Path, Path, Path, Sequence[str]], str]
"""Run code-cache.js with a function in /var/task, a layer in /opt, and its own folder; return its stdout.

Its folder gets the subfolder `cache`.
"""


@dataclass(frozen=True)
class CodeCacheRequest:
    """A function's folder and handler, and an event as JSON; or files to compile without running them."""

    function: Path
    handler: str
    event: bytes | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class CodeCache:
    """The folder of a written code cache, the number of its files and their size in bytes."""

    folder: Path
    files: int
    size: int


def check(request: CodeCacheRequest) -> None:
    """Check what can be checked before a layer is built.

    Raises:
        InvalidInputError: The folder, or a file in it, does not exist.
    """
    if not request.function.is_dir():
        raise InvalidInputError(
            "the folder of the function does not exist", where=str(request.function), todo="name a folder"
        )
    for file in request.files:
        path = request.function / file
        if Path(file).is_absolute() or not path.is_file():
            raise InvalidInputError(
                "the file does not exist", where=str(path), todo="name files relative to --function"
            )


def write_on_layer(
    target: LayerTarget, request: CodeCacheRequest, options: BuildOptions, context: BuildContext
) -> CodeCache:
    """Write the code cache of a function as `write` does, on a layer that is built if it is missing."""
    check(request)
    record = built_or_build(target, options, context)

    def in_docker() -> Sandbox:
        return _docker_sandbox(context.engine(), target.architecture, options.base_image)

    written = write(options.out / record.zip, request, in_docker)
    context.reporter.say(
        f"Code cache for Node.js {target.version} on {target.architecture}: {written.files} files, "
        f"{megabytes(written.size)}"
    )
    if written.size < _WORTHWHILE:
        context.reporter.warn(
            f"The function is so small that it starts later with a code cache: delete {written.folder.parent}"
        )
    return written


def write(zipped: Path, request: CodeCacheRequest, docker_sandbox: Callable[[], Sandbox]) -> CodeCache:
    """Write the code cache of a function on a layer; replace an older one for the same architecture.

    Docker is used if this machine has no user namespaces, or cannot run the layer's Node.js.

    Raises:
        FunctionError: The handler cannot be loaded, or fails.
        MachineError: The folder of the function is not writable.
    """
    with temporary_folder("nodelayer-code-cache-") as scratch:
        layer, work = scratch / "layer", scratch / "home"
        archive.unpack(archive.read(zipped), layer)
        (work / "cache").mkdir(parents=True)
        shutil.copy(str(resources("nodelayer.emulation") / "code-cache.js"), work)
        (work / "wrapper").write_text(_WRAPPER, encoding="utf-8")
        (work / "wrapper").chmod(0o755)
        if request.event is not None:
            (work / "event.json").write_bytes(request.event)
        sandbox = _run_confined if _runs_confined(layer) else docker_sandbox()
        arguments = (request.handler, *request.files)
        _check_outcome(sandbox(request.function.resolve(), layer, work, arguments), request)
        written = list((work / "cache").iterdir())
        if len(written) != 1:
            raise FunctionError(
                "Node.js saved no code", todo="do not call module.enableCompileCache() in the function"
            )
        return _put_in_place(written[0], request.function)


def _check_outcome(output: str, request: CodeCacheRequest) -> None:
    try:
        failure = str(loads(output.splitlines()[-1]).get("error", ""))
    except (ValueError, IndexError, AttributeError):
        failure = "it ended without a result"
    if not failure:
        return
    if request.files:
        raise InvalidInputError("a file cannot be compiled", where="--files", todo=failure)
    try:
        report = loads(failure)
        failure = f"{report['errorType']}: {report['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        pass
    raise FunctionError(
        f"{request.handler} failed, without the variables and permissions that it has on Lambda: {failure}",
        todo="correct it, or compile its files without running them: --files index.js,lib/other.js",
    )


def _put_in_place(written: Path, function: Path) -> CodeCache:
    match = _SUBFOLDER.fullmatch(written.name)
    if match is None:
        raise MachineError(f"Node.js wrote the code cache to a folder of an unknown form: {written.name}")
    folder = function / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as staging:
            new = Path(staging, match["name"])
            shutil.copytree(written, new, copy_function=shutil.copyfile)
            for file in new.iterdir():
                file.chmod(0o644)  # Lambda's user reads them
            new.chmod(0o755)
            for old in folder.glob(f"v*-{match['arch']}-*"):
                shutil.rmtree(old)
            new.replace(folder / match["name"])
    except OSError as error:
        raise machine_error(error, folder, "--function") from error
    sizes = [file.stat().st_size for file in (folder / match["name"]).iterdir()]
    return CodeCache(folder / match["name"], len(sizes), sum(sizes))


def _command(work: str, arguments: Sequence[str]) -> list[str]:
    return [f"{work}/wrapper", f"/opt/{NODE}", f"{work}/code-cache.js", *arguments]


def _runs_confined(layer: Path) -> bool:
    """Check that this machine has namespaces, and can run the layer's Node.js in them."""
    if confined.available():
        return False
    with temporary_folder("nodelayer-") as scratch:
        command = confined.command(
            [f"/opt/{NODE}", "--version"], scratch=scratch, bind_mounts={"/opt": layer}
        )
        try:
            return confined.run(command, env=_VARIABLES, timeout=_TIMEOUT_S).code == 0
        except subprocess.TimeoutExpired:
            return False


def _run_confined(function: Path, layer: Path, work: Path, arguments: Sequence[str]) -> str:
    command = confined.command(
        _command(str(work.resolve()), arguments),
        scratch=work.parent,
        bind_mounts={"/opt": layer, "/var/task": function},
        output="cache",
    )
    try:
        done = confined.run(command, env=_VARIABLES, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise FunctionError(
            f"the function was not loaded within {_TIMEOUT_S:.0f} s",
            todo="correct it, or compile its files without running them: --files index.js,lib/other.js",
        ) from error
    for line in done.stderr.splitlines():
        Reporter().say(f"  {line}")
    return done.stdout


def _docker_sandbox(engine: Engine, architecture: Architecture, base_image: str | None) -> Sandbox:
    """Return a sandbox in a container of the target's image."""
    base = base_reference("provided.al2023", base_image, architecture)

    def run(function: Path, layer: Path, work: Path, arguments: Sequence[str]) -> str:
        packed = packed_folders({"opt": layer, "var/task": function, _WORK.lstrip("/"): work})
        command = _command(_WORK, arguments)
        output, exported = engine.run(base, architecture, packed, command, _VARIABLES, f"{_WORK}/cache")
        _extract(exported, work)
        return output

    return run


def packed_folders(folders: Mapping[str, Path]) -> bytes:
    """Return a tar archive of files and folders, by their paths in it, that every user can read."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, folder in folders.items():
            tar.add(folder, name, filter=_for_everybody)
    return packed.getvalue()


def _extract(exported: IO[bytes], work: Path) -> None:
    """Extract the regular files of a container. A link could make nodelayer copy another file.

    Raises:
        FunctionError: The function left files that cannot be extracted.
    """
    try:
        with exported, tarfile.open(fileobj=exported) as tar:
            files = (each for each in tar if each.isfile() or each.isdir())
            tar.extractall(work, files, filter="data")
    except (tarfile.TarError, ValueError, FileNotFoundError, FileExistsError) as error:
        raise FunctionError(
            f"the files of the container cannot be read ({error})", todo="do not change them in the function"
        ) from error


def _for_everybody(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let the container's user read a file, because it has not the rights of the file's owner."""
    info.uid = info.gid = 0
    info.mode |= 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
