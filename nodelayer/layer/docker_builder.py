"""Test a layer in the image of its target, with Docker's classic builder through its Python client.

The engine gets verified files, adds libraries from the image's packages, runs the binary, answers one
invocation through AWS's Runtime Interface Emulator, and returns the files.
The API: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild
"""

import hashlib
import io
import re
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import docker
import msgspec
import requests
import stamina
import stamina.instrumentation
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
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
from nodelayer.util.json_text import loads
from nodelayer.util.temporary import temporary_folder

_TERMINAL = re.compile(r"\x1b\[[0-9;]*m")
_BUILDER_LINES = ("--->", "Removing intermediate container")
_UNREACHABLE = re.compile(r"no such host|dial tcp|i/o timeout|TLS handshake timeout|network is unreachable")
_BUSY = re.compile(r"toomanyrequests|rate exceeded|too many requests", re.IGNORECASE)
_PULL_TRIES = 8
_FIRST_WAIT_S = 1.0
_MOST_WAIT_S = 30.0
_NO_DAEMON = {"FileNotFoundError": "no socket", "ConnectionRefusedError": "connection refused"}
_CLEANUP_ROUNDS = 40
_CLEANUP_PAUSE_S = 0.5
_EMPTY_ROUNDS_AFTER_INTERRUPTION = 3
_PROOF = "nodelayer-proof: "
_PROOF_S = 300  # an emulated architecture is slow
_MOST_OUTPUT = 1_000_000  # bytes
_MOST_LOG = 8 * 1024 * 1024  # bytes
_CONFINED: dict[str, Any] = {
    "network_mode": "none",
    "user": "65534:65534",
    "read_only": True,
    "tmpfs": {"/tmp": "size=64m"},  # noqa: S108 - in the container
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "2g",
    "memswap_limit": "2g",
    "pids_limit": 256,
}
"""What keeps the downloaded binary from everything except computing."""
_LABEL = "io.nodelayer.build"
_ID_OF_AMAZON_LINUX = "amzn"


@dataclass(frozen=True)
class DockerContext:
    """What a build needs besides the layer: the folders docker/ and function/, an event, the emulator."""

    dockerfiles: Path
    function: Path
    event: bytes
    emulator: Path


@dataclass(frozen=True)
class ProofRequest:
    """What to test, and in which image. `libraries` are the sonames to copy from the image's packages."""

    node_version: str
    architecture: Architecture
    base: str
    libraries: Sequence[str] = ()


class _Report(msgspec.Struct):
    versions: dict[str, str]
    system: dict[str, str]


class Engine:
    """A running Docker daemon. Use `connect` to create one."""

    def __init__(self, client: docker.DockerClient, reporter: Reporter) -> None:
        self._client = client
        self._reporter = reporter

    def base_image(self, reference: str, architecture: Architecture) -> Image:
        """Return an image for an architecture, pulled if necessary.

        Raises:
            UnreachableError: The image cannot be pulled.
            IncompatibleError: The image is for another architecture.
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
                image = self._pull(reference, architecture)
        except (DockerException, requests.RequestException) as error:
            if image is not None:
                raise _wrong_architecture(image, reference, architecture) from error
            raise UnreachableError(
                f"the base image cannot be pulled: {_reason(error)}",
                where=reference,
                todo="set NODELAYER_BASE_IMAGE to a local image, or use --builder local",
            ) from error
        if image.attrs.get("Architecture") != architecture.debian:
            raise _wrong_architecture(image, reference, architecture)
        return image

    def _pull(self, reference: str, architecture: Architecture) -> Image:
        """Pull an image; retry if its registry limits the requests (ECR Public: one pull a second)."""
        stamina.instrumentation.set_on_retry_hooks([])  # the reporter prints each retry
        for attempt in stamina.retry_context(
            on=_is_busy,
            attempts=_PULL_TRIES,
            timeout=None,
            wait_initial=_FIRST_WAIT_S,
            wait_max=_MOST_WAIT_S,
            wait_jitter=_FIRST_WAIT_S,  # so that jobs that start at once do not retry at once
        ):
            with attempt:
                if attempt.num > 1:
                    self._reporter.say("The registry limits the requests, pulling again")
                return self._client.images.pull(reference, platform=architecture.docker)
        raise AssertionError("the last attempt returns or raises")

    def prove(
        self, entries: Sequence[Entry], request: ProofRequest, docker_context: DockerContext
    ) -> LayerProof:
        """Build docker/Dockerfile with these files and test them in a container; remove both afterwards.

        Raises:
            UnreachableError: The daemon or the image's registry does not answer.
            IncompatibleError: The layer does not work in the image.
            MachineError: The disk is full, or this machine cannot run the architecture.
            NotVerifiedError: The build changed a file.
        """
        self.base_image(request.base, request.architecture)
        build = uuid.uuid4().hex
        image = ""
        empty_rounds = _EMPTY_ROUNDS_AFTER_INTERRUPTION
        try:
            with _context(entries, docker_context) as context:
                image = self._build(context, build, request)
            found, report = self._test(image, request)
            empty_rounds = 1
        finally:
            self._clean(build, image, empty_rounds)
        return _proof(found, report, entries, request)

    def _build(self, context: IO[bytes], build: str, request: ProofRequest) -> str:
        lines: list[str] = []
        image = ""
        try:
            stream = self._client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile="docker/Dockerfile",
                target="proof",
                platform=request.architecture.docker,
                buildargs={
                    "BASE_IMAGE": request.base,
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
                    if line.strip() and not line.lstrip().startswith(_BUILDER_LINES):
                        self._reporter.say(f"  docker: {line.rstrip()}")
                image = message.get("aux", {}).get("ID", image)
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, request.base) from error
        if not image:
            raise UnreachableError(
                "the Docker daemon ended the build without an image", where=request.base, todo="try again"
            )
        return image

    def run(  # noqa: PLR0913, PLR0917 - every input of a container
        self,
        base: str,
        architecture: Architecture,
        files: bytes,
        command: Sequence[str],
        environ: Mapping[str, str],
        result: str,
    ) -> tuple[str, IO[bytes]]:
        """Run a command in a container with added files; return its stdout, and the path `result`.

        Files and result are tar archives.

        Raises:
            UnreachableError: The daemon or the image's registry does not answer.
        """
        self.base_image(base, architecture)
        try:
            container = self._client.containers.create(
                base,
                list(command),
                entrypoint=[],
                environment=dict(environ),
                platform=architecture.docker,
                **{**_CONFINED, "read_only": False, "user": ""},  # it gets files and leaves one
            )
            try:
                container.put_archive("/", files)
                output = "\n".join(_run(container, stderr=False))
                return output, _archive(container, result)
            finally:
                container.remove(force=True)
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, base) from error

    def load(self, tag: str, image_id: str, write: Callable[[Path], None]) -> None:
        """Load an image from the archive that `write` writes, unless its tag names it already.

        Raises:
            UnreachableError: The daemon does not answer.
        """
        try:
            with suppress(ImageNotFound):
                if self._client.images.get(tag).id == image_id:
                    return
            with temporary_folder("nodelayer-image-") as scratch:
                write(scratch / "image.tar")
                with self._reporter.work(f"loading {tag}"), (scratch / "image.tar").open("rb") as stream:
                    self._client.images.load(stream)
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, tag) from error

    @contextmanager
    def serving(  # noqa: PLR0913, PLR0917 - every input of a container
        self,
        image: str,
        architecture: Architecture,
        files: bytes,
        command: Sequence[str],
        environ: Mapping[str, str],
        port: int,
    ) -> Iterator["Server"]:
        """Run a server in a container with added files (a tar archive), and remove the container afterwards.

        Raises:
            UnreachableError: The daemon does not answer.
        """
        rights = {**_CONFINED, "network_mode": "bridge", "read_only": False, "user": ""}
        try:
            container = self._client.containers.create(
                image,
                list(command[1:]),
                entrypoint=list(command[:1]),
                environment=dict(environ),
                platform=architecture.docker,
                ports={f"{port}/tcp": ("127.0.0.1", 0)},
                **rights,
            )
            try:
                container.put_archive("/", files)
                container.start()
                container.reload()
                (published,) = container.ports[f"{port}/tcp"] or []
                yield Server(container, int(published["HostPort"]))
            finally:
                container.remove(force=True)
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, image) from error

    def _test(self, image: str, request: ProofRequest) -> tuple[IO[bytes], bytes]:
        """Test the layer in a container; return the files of /opt and the report as JSON."""
        lines: list[str] = []
        report = b""
        try:
            container = self._client.containers.create(
                image, ["sh", "/nodelayer/prove.sh", request.node_version], **_CONFINED
            )
            try:
                for line in _run(container):
                    if line.startswith(_PROOF):
                        report = line.removeprefix(_PROOF).encode()
                    elif line:
                        lines.append(line)
                        self._reporter.say(f"  docker: {line}")
                code = container.wait()["StatusCode"]
                if code or not report:
                    raise _failed(f"the test ended with exit code {code}", lines, request)
                return _archive(container, "/opt/."), report
            finally:
                container.remove(force=True)
        except (DockerException, requests.RequestException) as error:
            raise _explained(error, image) from error

    def _clean(self, build: str, image: str, empty_rounds: int) -> None:
        """Remove the containers and images of a build, until `empty_rounds` rounds in a row find none.

        After an interruption the daemon may still create a container or an image. Errors are ignored, because
        they must not hide the reason why the build failed.
        """
        own: dict[str, str | list[str] | bool] = {"label": f"{_LABEL}={build}"}
        empty = 0
        for _ in range(_CLEANUP_ROUNDS):
            with suppress(DockerException, requests.RequestException):
                containers = self._client.containers.list(all=True, filters=own, ignore_removed=True)
                for container in containers:
                    container.remove(force=True)
                if image:
                    with suppress(ImageNotFound):
                        self._client.images.remove(image, force=True)
                self._client.images.prune(filters={**own, "dangling": True})
                remaining = containers or self._client.images.list(all=True, filters=own)
                empty = 0 if remaining else empty + 1
                if empty >= empty_rounds:
                    return
            time.sleep(_CLEANUP_PAUSE_S)


@dataclass(frozen=True)
class Server:
    """A server in a container, and its port on this machine."""

    _container: Container
    port: int

    def has_ended(self) -> bool:
        """Tell whether the server has ended."""
        self._container.reload()
        return bool(self._container.status != "running")

    def output(self, stream: str) -> str:
        """Return what it wrote so far to `stdout` or `stderr`, at most 8 MB."""
        logs = self._container.logs(
            stdout=stream == "stdout", stderr=stream == "stderr", stream=True, follow=False
        )
        written = bytearray()
        for chunk in logs:
            written += chunk
            if len(written) > _MOST_LOG:
                break
        return written[:_MOST_LOG].decode(errors="replace")


def _run(container: Container, *, stderr: bool = True) -> Iterator[str]:
    """Start a container, and yield its lines until it ends, or takes too long, or has printed too much."""
    container.start()
    timer = threading.Timer(_PROOF_S, lambda: _kill(container))
    timer.start()
    try:
        yield from _lines(container.logs(stdout=True, stderr=stderr, stream=True, follow=True))
    finally:
        timer.cancel()
        _kill(container)


def _kill(container: Container) -> None:
    with suppress(DockerException, requests.RequestException):  # it has ended
        container.kill()


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a container's output, until it ends or has printed too much."""
    size, rest = 0, b""
    for chunk in chunks:
        size += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip() for line in whole)
        if size > _MOST_OUTPUT:
            return
    yield rest.decode(errors="replace").rstrip()


def _archive(container: Container, path: str) -> IO[bytes]:
    chunks, _ = container.get_archive(path)
    spool = tempfile.SpooledTemporaryFile(max_size=512 * 1024 * 1024)  # noqa: SIM115 - returned
    for chunk in chunks:
        spool.write(chunk)
    spool.seek(0)
    return spool


def connect(reporter: Reporter) -> Engine:
    """Connect to the Docker daemon of DOCKER_HOST or the default socket.

    Raises:
        UnreachableError: No daemon answers, or this user has no permission.
    """
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise _explained(error, "DOCKER_HOST or the default socket") from error
    return Engine(client, reporter)


def base_reference(runtime: str, override: str | None, architecture: Architecture) -> str:
    """Return the base image for a runtime; `{arch}` in an override becomes amd64 or arm64."""
    if override:
        return override.replace("{arch}", architecture.debian)
    pinned = loads((files("nodelayer.layer") / "base_images.json").read_text())
    return str(pinned["images"][runtime])


def _wrong_architecture(image: Image, reference: str, architecture: Architecture) -> IncompatibleError:
    return IncompatibleError(
        f"the base image is for {image.attrs.get('Architecture')}, not for {architecture.debian}",
        where=reference,
        todo="set NODELAYER_BASE_IMAGE to another image; {arch} in the name becomes amd64 or arm64",
    )


def short(reference: str) -> str:
    """Return an image's name without its digest, for messages."""
    return reference.partition("@")[0]


def _context(entries: Iterable[Entry], docker_context: DockerContext) -> IO[bytes]:
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - returned
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


def _proof(exported: IO[bytes], report: bytes, sent: Sequence[Entry], request: ProofRequest) -> LayerProof:
    with exported, tarfile.open(fileobj=exported) as tar:
        found: dict[str, tuple[bytes, int]] = {}
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is not None:
                found[member.name.lstrip("./")] = (stream.read(), member.mode & 0o777)
    expected = {entry.path: (entry.data, entry.mode) for entry in sent}
    added = {f"lib/{soname}" for soname in request.libraries}
    changed = sorted(name for name in expected if found.get(name) != expected[name])
    if changed or found.keys() - expected.keys() != added:
        unexpected = ", ".join(changed + sorted((found.keys() - expected.keys()) ^ added))
        raise NotVerifiedError(
            f"the Docker build changed files of the layer: {unexpected}",
            todo="use a base image whose /opt is empty",
        )
    try:
        told = msgspec.json.decode(report, type=_Report)
    except ValueError as error:
        raise NotVerifiedError(
            f"the report of the test is not valid ({error})", todo="use another --source"
        ) from error
    system = told.system.get("PRETTY_NAME", "an unnamed system")
    return LayerProof(
        builder=BuilderRecord(
            name="docker",
            base_image=request.base,
            system=system,
            amazon_linux=told.system.get("ID") == _ID_OF_AMAZON_LINUX,
            executed=True,
            invoked=True,
            libraries=dict.fromkeys(request.libraries, f"packages of {system}"),
        ),
        libraries={soname: found[f"lib/{soname}"][0] for soname in request.libraries},
        versions=told.versions,
    )


def _is_busy(error: Exception) -> bool:
    return isinstance(error, DockerException) and _BUSY.search(str(error)) is not None


def _reason(error: Exception) -> str:
    text = str(error.explanation) if isinstance(error, APIError) and error.explanation else str(error)
    return "its registry does not answer" if _UNREACHABLE.search(text) else text


def _explained(error: Exception, where: str) -> NodelayerError:
    text = _reason(error)
    if "Permission denied" in text or "PermissionError" in text:
        return UnreachableError(
            "this user has no permission to use Docker",
            where=where,
            todo="add the user to the docker group and sign in again, or use --builder local",
        )
    if "no space left" in text.lower():
        return _full(where)
    if isinstance(error, NotFound):
        return UnreachableError(f"Docker did not find it ({text})", where=where, todo="try again")
    why = next((reason for sign, reason in _NO_DAEMON.items() if sign in text), text)
    return UnreachableError(
        f"Docker does not answer ({why})", where=where, todo="start Docker, or use --builder local"
    )


def _full(where: str) -> MachineError:
    return MachineError(
        "Docker has no disk space left",
        where=where,
        todo="free some space: docker system df, docker system prune",
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
            f"this machine cannot run {request.architecture} programs",
            where=request.base,
            todo=f"build on an {request.architecture} machine, or install {emulation}",
        )
    reasons = [
        line
        for line in lines
        if line.startswith("nodelayer: ") or "GLIBC" in line or "cannot open shared" in line
    ]
    why = reasons[-1] if reasons else text
    return IncompatibleError(
        f"the layer does not work in the base image: {why}",
        where=request.base,
        todo="see the docker lines above",
    )
