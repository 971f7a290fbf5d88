"""Invoke a function on an image in a Docker container, with AWS's Runtime Interface Emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nodelayer.architecture import Architecture
from nodelayer.emulation import rie as emulator
from nodelayer.emulation.code_cache import packed_folders
from nodelayer.emulation.invoke import InvokeRequest
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.image.artifact import Image
from nodelayer.image.record import tag_of
from nodelayer.image.tar import write_docker_archive
from nodelayer.layer.docker_builder import Engine

_RIE = "/usr/local/bin/nodelayer-rie"
_PORT = 8080
_START_S = 60.0  # an emulated architecture is slow


@dataclass(frozen=True)
class LoadedImage:
    """An image in Docker, by its tag."""

    tag: str
    architecture: Architecture
    engine: Engine


def load(image: Image, architecture: Architecture, engine: Engine) -> LoadedImage:
    """Load an image into Docker.

    Raises:
        NotFoundError: The image does not support the architecture.
    """
    found = [each for each in image.platforms if each.architecture == architecture.name]
    if not found:
        raise NotFoundError(
            f"the image does not support {architecture}", where=image.stem, todo="build it with --arch all"
        )
    tag = tag_of(image.node_version, architecture.name)
    loaded = (tag, found[0].config, found[0].layers)
    engine.load(tag, found[0].config.digest, lambda path: write_docker_archive(path, [loaded]))
    return LoadedImage(tag, architecture, engine)


def invoke_once(
    loaded: LoadedImage, request: InvokeRequest, rie: Path, layers: Mapping[str, Path] | None = None
) -> emulator.Answer:
    """Start the bootstrap of an image under the emulator, invoke the function once, and end both.

    `layers` are more files and folders, by their paths in the container.

    Raises:
        InvalidInputError: The function's folder does not exist.
        FunctionError: The function did not answer.
    """
    if not request.function.is_dir():
        raise InvalidInputError(
            "the folder of the function does not exist", where=str(request.function), todo="name a folder"
        )
    files = packed_folders({"var/task": request.function, _RIE.lstrip("/"): rie, **(layers or {})})
    environ = {
        **emulator.LAMBDA_VARIABLES,
        **request.environ,
        "_HANDLER": request.handler,
        "LAMBDA_TASK_ROOT": "/var/task",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(request.timeout_s),
    }
    command = [_RIE, "/var/runtime/bootstrap"]
    serving = loaded.engine.serving(loaded.tag, loaded.architecture, files, command, environ, _PORT)
    with serving as server:
        running = emulator.Emulator(server.has_ended, server.output, server.port, request.timeout_s)
        running.wait_until_ready(_START_S)
        return running.answer(request.event)
