"""A layer proved inside the image of its target, by Docker's classic builder through its Python client.

The engine gets files that are verified already, adds what the target's own packages have to supply, runs the
binary, answers one invocation through AWS's Runtime Interface Emulator, and hands the files back.
The API: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild
"""

import hashlib
import io
import json
import re
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.images import Image

from nodelayer.architecture import ARM64, Architecture
from nodelayer.errors import (
    IncompatibleError,
    MachineError,
    NodelayerError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import BuilderRecord, LayerProof
from nodelayer.util.console import Reporter

_TERMINAL = re.compile(r"\x1b\[[0-9;]*m")
_BOOKKEEPING = ("--->", "Removing intermediate container")
_UNANSWERED = re.compile(r"no such host|dial tcp|i/o timeout|TLS handshake timeout|network is unreachable")
_SIGNS_OF_NO_DAEMON = {"FileNotFoundError": "it has no socket", "ConnectionRefusedError": "nothing listens"}
_PATIENCE = 40
_PAUSE_S = 0.5
_LOOKS_AFTER_A_CUT = 3
_OUT = "/nodelayer/out"
_LABEL = "io.nodelayer.build"
_ID_OF_AMAZON_LINUX = "amzn"


@dataclass(frozen=True)
class DockerContext:
    """What a build needs beside the layer: the folders docker/ and function/, an event, the emulator."""

    dockerfiles: Path
    function: Path
    event: bytes
    emulator: Path


@dataclass(frozen=True)
class ProofRequest:
    """What to prove, in which image. `libraries` are the sonames to take from the image's packages."""

    node_version: str
    architecture: Architecture
    base: str
    libraries: Sequence[str] = ()


class Engine:
    """A Docker daemon that answered. Make one with `connect`."""

    def __init__(self, client: docker.DockerClient, reporter: Reporter) -> None:
        self._client = client
        self._reporter = reporter

    def base_image(self, reference: str, architecture: Architecture) -> Image:
        """The image of that name for that architecture, pulled where it is not here.

        Raises UnreachableError when it cannot be had, IncompatibleError when it is of another architecture.
        """
        try:
            image = self._client.images.get(reference)
            if image.attrs.get("Architecture") == architecture.debian:
                return image
        except ImageNotFound:
            image = None
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, reference) from error
        try:
            self._reporter.say(f"Pulling {short(reference)} for {architecture.docker}")
            with self._reporter.work(f"pulling {reference}"):
                image = self._client.images.pull(reference, platform=architecture.docker)
        except (DockerException, requests.RequestException) as error:
            if image is not None:
                raise _wrong_architecture(image, reference, architecture) from error
            raise UnreachableError(
                f"the base image cannot be had: {_reason(error)}",
                where=reference,
                todo="name one that is here in NODELAYER_BASE_IMAGE, or use --builder local",
            ) from error
        if image.attrs.get("Architecture") != architecture.debian:
            raise _wrong_architecture(image, reference, architecture)
        return image

    def prove(
        self, entries: Sequence[Entry], request: ProofRequest, docker_context: DockerContext
    ) -> LayerProof:
        """Run the stages of docker/Dockerfile on these files.

        Raises UnreachableError, IncompatibleError (it does not run there), MachineError (no room) or
        NotVerifiedError (files came back changed). However it ends, no container and no image of the build
        is left.
        """
        base_id = self.base_image(request.base, request.architecture).id or ""
        build = uuid.uuid4().hex
        image = ""
        looks = _LOOKS_AFTER_A_CUT
        try:
            with _context(entries, docker_context) as context:
                image = self._build(context, build, request)
            exported = self._export(image)
            looks = 1
        finally:
            self._clean(build, image, looks)
        return _proof(exported, entries, request, base_id)

    def _build(self, context: IO[bytes], build: str, request: ProofRequest) -> str:
        lines: list[str] = []
        image = ""
        try:
            stream = self._client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile="docker/Dockerfile",
                target="export",
                platform=request.architecture.docker,
                buildargs={
                    "BASE_IMAGE": request.base,
                    "NODE_VERSION": request.node_version,
                    "LIBRARIES": " ".join(request.libraries),
                    "BUILD_ID": build,
                },
                rm=True,
                forcerm=True,
                decode=True,
            )
            for message in stream:
                if "error" in message:
                    raise _failed(str(message["error"]), lines, request)
                for line in _TERMINAL.sub("", str(message.get("stream", ""))).splitlines():
                    lines.append(line.rstrip())
                    if line.strip() and not line.lstrip().startswith(_BOOKKEEPING):
                        self._reporter.say(f"  docker: {line.rstrip()}")
                image = message.get("aux", {}).get("ID", image)
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, request.base) from error
        if not image:
            raise UnreachableError(
                "the Docker daemon ended the build without an image", where=request.base, todo="try again"
            )
        return image

    def _export(self, image: str) -> tarfile.TarFile:
        try:
            container = self._client.containers.create(image, command=["none"])
            try:
                chunks, _ = container.get_archive(f"{_OUT}/.")
                spool = tempfile.SpooledTemporaryFile(max_size=512 * 1024 * 1024)  # noqa: SIM115 - handed on
                for chunk in chunks:
                    spool.write(chunk)
            finally:
                container.remove(force=True)
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, image) from error
        spool.seek(0)
        return tarfile.open(fileobj=spool)

    def _clean(self, build: str, image: str, looks: int) -> None:
        """Remove what the build left. A daemon that no longer answers must not hide why the build failed.

        The daemon winds up a build that was cut off in its own time, and may still make a container or image
        meanwhile: so this goes on until nothing was there so many times in a row.
        """
        own: dict[str, str | list[str] | bool] = {"label": f"{_LABEL}={build}"}
        quiet = 0
        for _ in range(_PATIENCE):
            with suppress(DockerException, requests.RequestException):
                containers = self._client.containers.list(all=True, filters=own, ignore_removed=True)
                for container in containers:
                    container.remove(force=True)
                if image:
                    with suppress(ImageNotFound):
                        self._client.images.remove(image, force=True)
                self._client.images.prune(filters={**own, "dangling": True})
                left = containers or self._client.images.list(all=True, filters=own)
                quiet = 0 if left else quiet + 1
                if quiet >= looks:
                    return
            time.sleep(_PAUSE_S)


def connect(reporter: Reporter) -> Engine:
    """The Docker daemon that DOCKER_HOST or the default socket names. Raises UnreachableError."""
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise _explained(error, "DOCKER_HOST or the default socket") from error
    return Engine(client, reporter)


def base_reference(runtime: str, override: str | None, architecture: Architecture) -> str:
    """The name of the base image for a runtime; `{arch}` in an override becomes amd64 or arm64."""
    if override:
        return override.replace("{arch}", architecture.debian)
    pinned = json.loads((files("nodelayer.layer") / "base_images.json").read_text())
    return str(pinned["images"][runtime])


def _wrong_architecture(image: Image, reference: str, architecture: Architecture) -> IncompatibleError:
    return IncompatibleError(
        f"the base image is of {image.attrs.get('Architecture')}, not of {architecture.debian}",
        where=reference,
        todo="name one in NODELAYER_BASE_IMAGE; {arch} in the name becomes amd64 or arm64",
    )


def short(reference: str) -> str:
    """An image's name without its digest, for a line that a person reads."""
    return reference.partition("@")[0]


def _context(entries: Iterable[Entry], docker_context: DockerContext) -> IO[bytes]:
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - handed on
    sums = []
    with tarfile.open(fileobj=spool, mode="w") as tar:

        def add(path: str, data: bytes, mode: int = 0o644) -> None:
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))

        for entry in entries:
            add(f"layer/{entry.path}", entry.data, entry.mode)
            sums.append(f"{hashlib.sha256(entry.data).hexdigest()}  {entry.path}\n")
        add("SHA256SUMS", "".join(sums).encode())
        for file in sorted(docker_context.dockerfiles.iterdir()):
            add(f"docker/{file.name}", file.read_bytes())
        for file in sorted(docker_context.function.glob("*.js*")):
            add(f"function/{file.name}", file.read_bytes())
        add("function/event.json", docker_context.event)
        add("function/rie", docker_context.emulator.read_bytes(), 0o755)
    spool.seek(0)
    return spool


def _proof(
    exported: tarfile.TarFile, sent: Sequence[Entry], request: ProofRequest, base_id: str
) -> LayerProof:
    with exported:
        found: dict[str, tuple[bytes, int]] = {}
        for member in exported:
            stream = exported.extractfile(member) if member.isfile() else None
            if stream is not None:
                found[member.name.lstrip("./")] = (stream.read(), member.mode & 0o777)
    expected = {f"opt/{entry.path}": (entry.data, entry.mode) for entry in sent}
    added = {f"opt/lib/{soname}" for soname in request.libraries}
    returned = {name for name in found if name.startswith("opt/")}
    changed = sorted(name for name in expected if found.get(name) != expected[name])
    if changed or returned - expected.keys() != added:
        odd = ", ".join(changed + sorted((returned - expected.keys()) ^ added))
        raise NotVerifiedError(
            f"what left the image is not what went in: {odd}", todo="is /opt of the base image empty?"
        )
    seen: dict[str, Any] = json.loads(found["proof.json"][0])
    system = seen["system"].get("PRETTY_NAME", "an unnamed system")
    return LayerProof(
        builder=BuilderRecord(
            name="docker",
            base_image=request.base,
            base_image_id=base_id,
            system=system,
            amazon_linux=seen["system"].get("ID") == _ID_OF_AMAZON_LINUX,
            executed=True,
            invoked=True,
            libraries=dict.fromkeys(request.libraries, f"packages of {system}"),
        ),
        libraries={soname: found[f"opt/lib/{soname}"][0] for soname in request.libraries},
        versions=seen["versions"],
    )


def _reason(error: Exception) -> str:
    text = str(error.explanation) if isinstance(error, APIError) and error.explanation else str(error)
    return "its registry does not answer" if _UNANSWERED.search(text) else text


def _explained(error: Exception, where: str) -> NodelayerError:
    text = _reason(error)
    if "Permission denied" in text or "PermissionError" in text:
        return UnreachableError(
            "the Docker daemon may not be used by this user",
            where=where,
            todo="join the docker group, or use --builder local",
        )
    if "no space left" in text.lower():
        return _full(where)
    if isinstance(error, NotFound):
        return UnreachableError(f"the Docker daemon does not have it ({text})", where=where, todo="try again")
    why = next((plain for sign, plain in _SIGNS_OF_NO_DAEMON.items() if sign in text), text)
    return UnreachableError(
        f"no Docker daemon answers ({why})", where=where, todo="start one, or use --builder local"
    )


def _full(where: str) -> MachineError:
    return MachineError(
        "the Docker daemon has no space left",
        where=where,
        todo="free some (docker system df, docker system prune)",
    )


def _failed(text: str, lines: Sequence[str], request: ProofRequest) -> NodelayerError:
    whole = "\n".join([text, *lines[-20:]])
    if "no space left" in whole.lower():
        return _full(request.base)
    if "exec format error" in whole:
        emulation = (
            "qemu-user-static and binfmt_misc" if request.architecture == ARM64 else "an emulator of x86_64"
        )
        return MachineError(
            f"this host cannot run {request.architecture} programs",
            where=request.base,
            todo=f"build on an {request.architecture} host, or set up {emulation}",
        )
    said = [
        line
        for line in lines
        if line.startswith("nodelayer: ") or "GLIBC" in line or "cannot open shared" in line
    ]
    why = said[-1] if said else text
    return IncompatibleError(
        f"the layer did not prove itself in the image: {why}",
        where=request.base,
        todo="see the docker lines above",
    )
