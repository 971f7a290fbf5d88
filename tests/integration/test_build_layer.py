"""build-layer with the local builder and the real Node.js from npm."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support import ROOT, command, environment, find_program, start
from unit.github.test_step_outputs import read

from nodelayer import architecture
from nodelayer.errors import FunctionError, IncompatibleError, UnreachableError
from nodelayer.layer import build, docker_builder, system_library
from nodelayer.layer.record import LayerTarget
from nodelayer.node.sources.auto import open_source
from nodelayer.node.sources.base import SourceContext
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.network

OLD, NEW = "12.16.1", "26.10.0"
QUICK = ("--builder=local", "--source=npm", "--compression=fast")
CLIENT = {f"aws/{path.name}" for path in (ROOT / "runtime" / "aws").iterdir()}
ALWAYS = {"bootstrap", "bin/node", "nodejs/bin/node", "nodejs/LICENSE", "aws/major"} | CLIENT


def test_a_layer_contains_only_the_client_the_binary_and_its_licence(layer):
    assert set(layer(OLD).names()) == ALWAYS


def test_layer_contains_a_library_only_if_the_target_lacks_it(layer):
    assert set(layer(NEW).names()) == ALWAYS | {"aws/heap", "lib/libatomic.so.1"}


def test_only_bootstrap_and_node_are_executable(layer):
    with zipfile.ZipFile(layer(NEW).zip) as opened:
        modes = {info.filename: info.external_attr >> 16 & 0o7777 for info in opened.infolist()}
    executable = {"bin/node", "bootstrap", "nodejs/bin/node"}
    assert modes == {name: 0o755 if name in executable else 0o644 for name in modes}


def test_the_build_record_has_the_values_that_lambda_reports_for_the_zip(layer):
    built = layer(OLD)
    data = built.zip.read_bytes()
    digest = hashlib.sha256(data)
    record = built.record
    assert (record["sha256"], record["size"]) == (digest.hexdigest(), len(data))
    assert record["code_sha256"] == base64.b64encode(digest.digest()).decode()
    with zipfile.ZipFile(built.zip) as opened:
        assert record["unzipped_size"] == sum(info.file_size for info in opened.infolist())
        contents = {info.filename: opened.read(info) for info in opened.infolist()}
    assert {file["path"]: file["sha256"] for file in record["files"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    assert record["layer_name"] == "nodejs-12-16-1-x86_64"
    assert record["compatible_architectures"] == ["x86_64"]


def test_the_build_record_says_what_was_tested_and_what_was_not(layer):
    builder = layer(OLD).record["builder"]
    assert (builder["name"], builder["executed"]) == ("local", True)
    assert (builder["invoked"], builder["amazon_linux"], builder["base_image"]) == (True, False, None)


def test_compatible_runtimes_follow_from_the_binary(layer):
    assert layer(OLD).record["compatible_runtimes"] == ["provided", "provided.al2", "provided.al2023"]
    assert layer(NEW).record["compatible_runtimes"] == ["provided.al2023"]


def test_sbom_is_valid_and_lists_the_components(layer):
    text = layer(NEW).zip.with_suffix(".cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    names = {component["name"] for component in json.loads(text)["components"]}
    assert {"node", "nodelayer", "libatomic", "v8", "openssl", "uv"} <= names


def test_the_bytes_depend_only_on_the_input(layer, tmp_path):
    """Build with another user, umask, locale, time zone and folder, and at a later time."""
    checkout = tmp_path / "checkout"
    for part in ("runtime", "function", "docker", "nodelayer"):
        shutil.copytree(ROOT / part, checkout / part, copy_function=shutil.copy)
    for name in ("tasks.py", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    blob = subprocess.run(
        command("download", f"--node={OLD}", "--source=npm"), capture_output=True, check=True
    )
    assert blob.stdout
    out = tmp_path / "out"
    flags = (*QUICK, f"--node={OLD}", f"--out={out}")
    environ = environment(TZ="Pacific/Kiritimati", LC_ALL="tr_TR.UTF-8", PYTHONHASHSEED="1", USER="nobody")
    line = [*command("build-layer", *flags)]
    line[1] = f"--search-root={checkout}"
    done = subprocess.run(
        line, cwd="/", env=environ, umask=0o077, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (out / f"nodejs-{OLD}-x86_64.zip").read_bytes() == layer(OLD).zip.read_bytes()


def test_a_second_build_needs_no_network(invoke, layer, tmp_path):
    layer(OLD)
    unreachable = "http://127.0.0.1:9"
    outcome = invoke(
        "build-layer",
        f"--node={OLD}",
        "--builder=local",
        "--compression=fast",
        f"--out={tmp_path}",
        "--json",
        npm_config_registry=unreachable,
        NVM_NODEJS_ORG_MIRROR=unreachable,
    )
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == [json.loads((tmp_path / f"nodejs-{OLD}-x86_64.json").read_bytes())]
    assert (tmp_path / f"nodejs-{OLD}-x86_64.zip").read_bytes() == layer(OLD).zip.read_bytes()


def test_a_first_build_without_a_network_fails_with_one_line(invoke, tmp_path):
    unreachable = "http://127.0.0.1:9"
    outcome = invoke(
        "build-layer",
        f"--node={OLD}",
        f"--out={tmp_path / 'out'}",
        NODELAYER_CACHE_DIR=tmp_path / "cache",
        npm_config_registry=unreachable,
        npm_config_fetch_retries="0",
        NVM_NODEJS_ORG_MIRROR=unreachable,
    )
    assert outcome.code == 4
    assert outcome.lines[-1].startswith("nodelayer: ")
    assert "Traceback" not in outcome.err
    assert finished(tmp_path / "out") == []


def test_version_that_is_too_old_is_refused_before_the_download(invoke, tmp_path):
    for words in (("build-layer", f"--out={tmp_path / 'out'}"), ("download",)):
        outcome = invoke(*words, "--node=0.10.48", NODELAYER_CACHE_DIR=tmp_path / "cache")
        assert (outcome.code, len(outcome.lines)) == (6, 1), outcome.err
        assert "Node.js 0.10.48 is too old" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_full_download_cache_is_reported_as_disk_space(invoke, tmp_path, mounted):
    cache = mounted(tmp_path / "cache", "-t", "tmpfs", "-o", "size=9m", "tmpfs")
    outcome = invoke("download", f"--node={OLD}", NODELAYER_CACHE_DIR=cache)
    assert outcome.code == 7, outcome.err
    assert "no disk space left" in outcome.lines[-1]
    assert "NODELAYER_CACHE_DIR" in outcome.lines[-1]
    assert "network" not in outcome.lines[-1]


def test_build_on_a_full_disk_fails_in_one_line_and_leaves_no_files(invoke, tmp_path, mounted):
    out = mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=5m", "tmpfs")
    outcome = invoke("build-layer", f"--node={OLD}", *QUICK, f"--out={out}")
    assert outcome.code == 7
    assert "no space left on device" in outcome.lines[-1]
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("when", [signal.SIGINT, signal.SIGTERM], ids=lambda it: it.name)
def test_stopped_build_leaves_no_files(layer, tmp_path, when):
    layer(OLD)
    flags = ("--builder=local", "--source=npm", f"--node={OLD}", f"--out={tmp_path}")
    with start(
        command("build-layer", *flags), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:  # the step after this line packs the zip, which takes seconds
            if line.startswith("Runs on"):
                break
        time.sleep(0.5)
        sent = time.monotonic()
        process.send_signal(when)
        _, rest = process.communicate(timeout=60)
    assert time.monotonic() - sent < 15  # about a second on a quiet machine
    assert process.returncode == 130
    assert rest.strip() == "nodelayer: stopped; no incomplete files are left"
    assert list(tmp_path.iterdir()) == []


def test_several_versions_are_built_once_each_and_a_failure_does_not_stop_the_others(invoke, layer, tmp_path):
    layer(OLD)  # to fill the cache
    outputs = tmp_path / "outputs"
    flags = (f"--out={tmp_path}", f"--outputs={outputs}", *QUICK)
    outcome = invoke("build-layer", f"--node={OLD}, 99.0.0,v{OLD}", *flags)
    assert (outcome.code, outcome.out) == (3, f"{tmp_path}/nodejs-{OLD}-x86_64.zip\n")
    assert outcome.err.count(f"Node.js {OLD} for x86_64 from npm") == 1
    assert "npm has no Node.js 99.0.0 for x86_64" in outcome.err
    record = json.loads((tmp_path / f"nodejs-{OLD}-x86_64.json").read_bytes())
    stem = f"{tmp_path}/nodejs-{OLD}-x86_64"
    assert read(outputs.read_text()) == {
        "zip": f"{stem}.zip",
        "record": f"{stem}.json",
        "sbom": f"{stem}.cdx.json",
        "layer-name": record["layer_name"],
        "node-version": record["node_version"],
        "sha256": record["sha256"],
        "code-sha256": record["code_sha256"],
    }


def test_clean_removes_only_layers(invoke, layer, tmp_path):
    out = tmp_path / "dist"
    shutil.copytree(layer(OLD).zip.parent, out)
    (out / "notes.txt").write_text("mine")
    assert invoke("clean", f"--out={out}").code == 0
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_download_prints_what_it_downloaded(invoke, layer):
    layer(OLD)
    outcome = invoke("download", f"--node=v{OLD}", "--source=npm")
    assert outcome.code == 0
    assert outcome.out.startswith(f"{OLD} x86_64 npm sha256:")


def finished(out):
    return sorted(path.name for path in Path(out).glob("*.zip")) if Path(out).exists() else []


class RecordingReporter(Reporter):
    """Records the warnings."""

    def __init__(self):
        super().__init__(quiet=True)
        self.warnings = []

    def warn(self, line):
        self.warnings.append(line)


@pytest.fixture
def build_here(cache_folder):
    """Build in this process, so that a test can lower a limit below the size of a real layer."""

    def no_emulator(*_):
        raise UnreachableError("no emulator here")

    def run(out, version=OLD, invoke=no_emulator):
        reporter = RecordingReporter()
        context = build.BuildContext(
            paths=build.ProjectPaths(ROOT / "runtime", ROOT / "function", ROOT / "docker", ROOT / "none"),
            source=open_source("npm", SourceContext(DownloadCache(cache_folder), reporter, os.environ)),
            reporter=reporter,
            emulator=lambda _arch: Path("none"),
            invoke=invoke,
            engine=lambda: docker_builder.connect(reporter),
        )
        options = build.BuildOptions(out, builder="local", compression="fast")
        build.build(LayerTarget(version, architecture.X86_64), options, context)
        return reporter.warnings

    return run


def test_a_zip_too_large_for_a_direct_upload_gets_a_warning(build_here, tmp_path, monkeypatch):
    assert build_here(tmp_path) == []
    monkeypatch.setattr(build, "DIRECT_UPLOAD", 14_000_000)
    (warning,) = build_here(tmp_path)
    assert "Lambda accepts it only through S3" in warning


def test_a_layer_too_large_for_lambda_is_refused(build_here, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "UNZIPPED", 38_000_000)
    with pytest.raises(IncompatibleError, match="Lambda allows 250 MB"):
        build_here(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_library_missing_on_this_host_is_an_error_with_advice(build_here, tmp_path, monkeypatch):
    monkeypatch.setattr(system_library, "find", lambda *_: None)
    remedies = r"libatomic\.so\.1.*this machine lack.*libatomic1 on Debian.*--builder docker"
    with pytest.raises(IncompatibleError, match=remedies):
        build_here(tmp_path, NEW)
    assert list(tmp_path.iterdir()) == []


def test_a_library_too_new_for_the_target_is_an_error_with_advice(build_here, tmp_path, monkeypatch):
    """The library calls a function of glibc 2.36, like a library of a newer host."""
    find_program("gcc", "gcc libc6-dev")
    source, library = tmp_path / "new.c", tmp_path / "libatomic.so.1"
    source.write_text("#include <stdlib.h>\nunsigned int f(void) { return arc4random(); }\n")
    line = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libatomic.so.1", "-o", library, source]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("glibc is older than 2.36: use Debian 12 or newer")
    monkeypatch.setattr(system_library, "find", lambda *_: library)
    with pytest.raises(IncompatibleError) as caught:
        build_here(tmp_path / "out", NEW)
    for part in (
        "libatomic.so.1 of this machine does not load on provided.al2023",
        "GLIBC_2.36",
        "--builder docker",
    ):
        assert part in str(caught.value)
    assert finished(tmp_path / "out") == []


def test_build_fails_if_the_runtime_client_does_not_work(build_here, tmp_path):
    def fails(*_):
        raise FunctionError("the sample function failed")

    with pytest.raises(IncompatibleError, match=f"the runtime client does not work on Node.js {OLD}"):
        build_here(tmp_path, invoke=fails)
    assert finished(tmp_path) == []


def test_without_an_emulator_the_build_record_says_not_invoked(build_here, tmp_path):
    build_here(tmp_path)
    builder = json.loads((tmp_path / f"nodejs-{OLD}-x86_64.json").read_bytes())["builder"]
    assert (builder["executed"], builder["invoked"]) == (True, False)
