"""The commands: each reads flags, calls nodelayer, and turns an error into one line and an exit code."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, ParamSpec

from invoke import Context, Exit, task

from nodelayer import architecture, build, docker, emulator, run
from nodelayer import source as sources
from nodelayer.cache import DownloadCache
from nodelayer.errors import NodelayerError
from nodelayer.progress import Reporter, megabytes

ROOT = Path(__file__).resolve().parent
HOUSE = build.House(
    runtime=ROOT / "runtime",
    function=ROOT / "function",
    dockerfiles=ROOT / "docker",
    event=ROOT / "function" / "events" / "hello.json",
)

P = ParamSpec("P")

_SPEC = "version: 12.16.1, 12, '^12.16 || >=24', lts, lts/erbium, latest, file (.nvmrc, engines)"
_ARCH = "x86_64 (default), arm64 or all"
_SOURCE = "where Node.js comes from: nodejs.org, npm, or auto (default): nodejs.org, then npm"
_SIGNATURE = "--no-signature leaves the release team's OpenPGP signature unchecked; the build record says so"
_COMPRESSION = "best (default: smallest) or fast (for trying out)"


def command(body: Callable[P, None]) -> Callable[P, None]:
    """What commands share: one line and an exit code for what went wrong, an orderly end when stopped."""

    @functools.wraps(body)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        try:
            body(*args, **kwargs)
        except NodelayerError as error:
            raise Exit(f"nodelayer: {error}", code=error.code) from error
        except KeyboardInterrupt:
            raise Exit("nodelayer: stopped; nothing half-done is left", code=130) from None

    return wrapped


@task(
    help={
        "node": _SPEC,
        "arch": _ARCH,
        "builder": "docker (inside Amazon Linux), local (on this host), auto (default): docker where it can",
        "out": "folder for the zip, its build record and SBOM (default: dist)",
        "runtime": "aim at these only: provided, provided.al2, provided.al2023, with commas between",
        "base-image": "image to prove it in instead of Amazon Linux; {arch} becomes amd64 or arm64",
        "library-folder": "where the local builder looks first for a library the target lacks",
        "compression": _COMPRESSION,
        "source": _SOURCE,
        "signature": _SIGNATURE,
    }
)
@command
def build_layer(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    builder: str = "auto",
    out: str = "dist",
    runtime: str = "",
    base_image: str = "",
    library_folder: str = "",
    compression: str = "best",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002 - invoke makes --no-signature of it
) -> None:
    """Build a layer zip of any Node.js version, proved to run, with its build record and SBOM."""
    order = build.Order(
        out=Path(out),
        builder=builder,
        compression=compression,
        runtimes=tuple(runtime.replace(" ", "").split(",")) if runtime else None,
        base_image=base_image or os.environ.get("NODELAYER_BASE_IMAGE") or None,
        library_folders=(Path(library_folder),) if library_folder else (),
    )
    bench = _bench(source, signature=signature)
    failures: list[NodelayerError] = []
    wanted = architecture.parse(arch)
    for each in wanted:
        try:
            others = [other for other in wanted if other != each]
            version = sources.resolve_spec(node, each, bench.source, start=Path.cwd(), others=others)
            record = build.build(build.Job(version, each), order, bench)
        except NodelayerError as error:
            failures.append(error)
            bench.reporter.fail(f"nodelayer: {error}")
        else:
            print(order.out / record.zip)
    if failures:
        raise Exit(code=failures[0].code)


@task(
    name="run",
    help={
        "node": _SPEC + "; left out: the newest layer in --out",
        "event": "JSON file, or - for standard input",
        "out": "folder with built layers; what is missing is built into it",
        "function": "folder of the function",
        "handler": "file.export",
        "timeout": "seconds the function may take",
        "compression": _COMPRESSION,
        "builder": "as for build-layer",
        "source": _SOURCE,
        "signature": _SIGNATURE,
    },
)
@command
def run_function(  # noqa: PLR0913, PLR0917 - each is a flag
    _ctx: Context,
    node: str = "",
    event: str = "",
    out: str = "dist",
    function: str = "",
    handler: str = "function.handler",
    timeout: int = 30,
    compression: str = "best",
    builder: str = "auto",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002
) -> None:
    """Run the sample function on a built layer through AWS's Runtime Interface Emulator; no Docker needed."""
    given = run.read_event(event or str(HOUSE.event), sys.stdin.buffer.read() if event == "-" else None)
    bench = _bench(source, signature=signature)
    order = build.Order(out=Path(out), builder=builder, compression=compression)
    host = run.host_architecture()
    if node:
        job = build.Job(sources.resolve_spec(node, host, bench.source, start=Path.cwd()), host)
    else:
        job = build.newest(order.out, host)
    record = build.existing(job, order, HOUSE) or build.build(job, order, bench)
    trial = run.Trial(Path(function or HOUSE.function), given, handler, timeout)
    answer = run.run(record, order.out, trial, bench.emulator(host))
    run.show(answer, record, bench.reporter)
    print(answer.payload.decode(errors="replace"))
    if answer.failed:
        raise Exit(code=8)


@task(help={"node": _SPEC, "arch": _ARCH, "source": _SOURCE, "signature": _SIGNATURE})
@command
def download(
    _ctx: Context,
    node: str,
    arch: str = "x86_64",
    source: str = "auto",
    signature: bool = True,  # noqa: FBT001, FBT002
) -> None:
    """Fetch and verify Node.js into the download cache, so that a later build needs no network."""
    bench = _bench(source, signature=signature)
    failures: list[NodelayerError] = []
    wanted = architecture.parse(arch)
    for each in wanted:
        try:
            others = [other for other in wanted if other != each]
            files = sources.obtain(node, each, bench.source, start=Path.cwd(), others=others)
        except NodelayerError as error:
            failures.append(error)
            bench.reporter.fail(f"nodelayer: {error}")
        else:
            print(f"{files.version} {each} {files.record.name} sha256:{files.record.sha256}")
    if failures:
        raise Exit(code=failures[0].code)


@task(help={"out": "folder with built layers", "downloads": "empty the download cache as well"})
@command
def clean(_ctx: Context, out: str = "dist", downloads: bool = False) -> None:  # noqa: FBT001, FBT002
    """Remove built layers, and the download cache if asked."""
    reporter = Reporter()
    gone = build.clean(Path(out))
    reporter.say(f"{len(gone)} files removed from {out}" if gone else f"nothing to remove in {out}")
    if downloads:
        freed = DownloadCache(_cache_folder()).clear()
        reporter.say(f"{megabytes(freed)} of downloads removed")


@task(
    name="test",
    help={"only": "folder or file of tests, for instance tests/unit", "keyword": "as pytest's -k"},
)
def run_tests(_ctx: Context, only: str = "", keyword: str = "") -> None:
    """Run the tests; what needs a Docker daemon is skipped with a reason where there is none."""
    _tool("pytest", *([only] if only else []), *(["-k", keyword] if keyword else []))


@task
def lint(_ctx: Context) -> None:
    """Check style, types, the import contract and the Dockerfile."""
    _tool("ruff", "check", ".")
    _tool("ruff", "format", "--check", ".")
    _tool("mypy")
    _tool("lint-imports")
    _tool("hadolint", "docker/Dockerfile")


@task(name="bench", help={"only": "sizes or runtime (default: both)"})
def benchmark(_ctx: Context, only: str = "") -> None:
    """Measure sizes against Everynode's way of zipping, and the runtime client against AWS's."""
    scripts = {"sizes": "benchmarks/sizes.py", "runtime": "benchmarks/runtime/speed.py"}
    if only and only not in scripts:
        raise Exit(f"nodelayer: no benchmark {only!r} (--only): use {' or '.join(scripts)}", code=2)
    for script in [scripts[only]] if only else scripts.values():
        _tool("python", script)


def _bench(source: str, *, signature: bool) -> build.Workbench:
    reporter = Reporter()
    cache = DownloadCache(_cache_folder())
    return build.Workbench(
        house=HOUSE,
        source=sources.open_source(
            source, cache=cache, reporter=reporter, verify_signature=signature, environ=os.environ
        ),
        reporter=reporter,
        emulator=lambda arch: emulator.rie(arch, cache=cache, reporter=reporter),
        engine=functools.cache(lambda: docker.connect(reporter)),
    )


def _cache_folder() -> Path | None:
    named = os.environ.get("NODELAYER_CACHE_DIR")
    return Path(named) if named else None


def _tool(name: str, *arguments: str) -> None:
    """Run a program of this environment in the repository's folder; its exit code becomes ours."""
    done = subprocess.run([Path(sys.executable).parent / name, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        raise Exit(code=done.returncode)
