"""code-cache: what it writes, and functions that start with it in /var/task as another user, as on Lambda."""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from runtime.runtime_api import Event, RuntimeApi

from nodelayer.architecture import X86_64
from nodelayer.emulation import code_cache
from nodelayer.errors import FunctionError
from nodelayer.layer import docker_builder
from nodelayer.util import confined
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.network

VERSIONS = [
    "24.21.0",
    *(pytest.param(version, marks=pytest.mark.full) for version in ("22.23.3", "26.10.0")),
    pytest.param("22.8.0", marks=pytest.mark.long),
]
FILES = {
    "index.js": "exports.handler = async (event) => (await import('./module.mjs')).triple(event.n);",
    "module.mjs": "import { double } from './lib/double.js'; export const triple = (n) => n + double(n);",
    "lib/double.js": "const factor = 2; exports.double = (n) => n * factor;",
    "old.js": "const lib = require('./lib/double.js'); exports.handler = async ({ n }) => n + lib.double(n);",
    "seen.js": """exports.handler = async () => ({
  main: require.main === process.mainModule, resolved: require.resolve('./lib/double.js'),
  paths: require.resolve.paths('some'), cached: require.cache[__filename] === module, self: this === exports,
  frame: new Error().stack.split('\\n')[1], folder: __dirname,
});""",
    "broken.js": "throw new Error('no TABLE_NAME');",
    "throws.js": "exports.handler = async () => { throw new TypeError('no such item'); };",
    "syntax.js": "exports.handler = (;",
}
CODE = {"index.js", "module.mjs", "lib/double.js"}
EVENT, ANSWER = {"n": 14}, 42
SANDBOX_USER = "993"
MOUNT = """set -e
mount -t tmpfs test "$1"; mkdir "$1/task"
mount --bind "$2" "$1/task"; mount --bind "$3" /opt; mount --rbind "$1" /var
mount -t tmpfs -o mode=1777 test /tmp
cd /var/task; exec setpriv --reuid "$4" --clear-groups /opt/bootstrap
"""


@pytest.fixture
def function(tmp_path):
    folder = tmp_path / "function"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def write(invoke, layer, function, tmp_path):
    """Run code-cache, with an event unless flags name files, and return its outcome."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps(EVENT))

    def run(version, *flags, **changes):
        out = layer(version).zip.parent
        flags = flags or ("--handler=index.handler", f"--event={event}")
        named = (f"--function={function}", f"--node={version}", f"--out={out}")
        return invoke("code-cache", *named, *flags, **changes)

    return run


@pytest.fixture
def call(layer, function, tmp_path_factory):
    """Invoke the function in /var/task on a layer, as Lambda's user; return its answer and its output."""
    if os.geteuid() != 0:
        pytest.skip("not root: mounts and another user need it")

    def run(version, memory="512", handler="index.handler"):
        opt, root = tmp_path_factory.mktemp("opt"), tmp_path_factory.mktemp("root")
        layer(version).unpacked(opt).chmod(0o755)
        with RuntimeApi([Event(json.dumps(EVENT).encode())]) as api:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", MOUNT, "sh", root, function, opt, SANDBOX_USER],
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_LAMBDA_RUNTIME_API": api.address,
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory,
                    "LAMBDA_TASK_ROOT": "/var/task",
                    "_HANDLER": handler,
                    "NODE_DEBUG_NATIVE": "COMPILE_CACHE",
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                assert api.wait_until_done(20), process.communicate(timeout=5)
            finally:
                process.kill()
            (answer,) = [each for each in api.received if each.path.endswith("/response")]
            return json.loads(answer.body), process.communicate()[0]

    return run


def accepted(log):
    return set(re.findall(r"cache for (?:\w+ )?(?:file://)?/var/task/(\S+) was accepted", log))


def compiled(log):
    return set(re.findall(r"cache for (?:\w+ )?(?:file://)?/var/task/(\S+) was (?:not init|rejected)", log))


def contents(function):
    folder = function / ".nodelayer" / "code-cache"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.mark.parametrize("version", VERSIONS)
def test_function_starts_with_its_code_cache_as_another_user(write, call, function, version):
    outcome = write(version)
    assert outcome.code == 0, outcome.err
    (folder,) = (function / ".nodelayer" / "code-cache").iterdir()
    assert outcome.out.strip() == str(folder)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}
    for memory in ("512", "3008"):
        answer, log = call(version, memory=memory)
        assert answer == ANSWER
        assert (accepted(log), compiled(log)) == (CODE, set()), log


OLD_VERSIONS = [
    "12.16.1",
    pytest.param("18.20.8", marks=pytest.mark.full),
    *(pytest.param(version, marks=pytest.mark.long) for version in ("16.20.2", "20.20.2")),
]


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_code_cache_of_node_without_one_is_used_and_changes_nothing(write, call, function, version):
    file = function / "lib" / "double.js"
    source, other = FILES["lib/double.js"], FILES["lib/double.js"].replace("= 2", "= 3")
    saved = []
    for each in (other, source):
        file.write_text(each)
        assert write(version, "--files=old.js,seen.js,lib/double.js").code == 0
        (folder,) = (function / ".nodelayer" / "code-cache").iterdir()
        saved.append({path.name: path.read_bytes() for path in folder.iterdir()})
    (of_other,), (of_source,) = saved[0].keys() - saved[1].keys(), saved[1].keys() - saved[0].keys()
    assert call(version, handler="old.handler")[0] == ANSWER
    with_cache = call(version, handler="seen.handler")
    (folder / of_source).write_bytes(saved[0][of_other])
    assert call(version, handler="old.handler")[0] == EVENT["n"] * 4  # the code of the other source ran
    for place in (100, -40, -1):
        damaged = bytearray(saved[0][of_other])
        damaged[place] ^= 1
        (folder / of_source).write_bytes(damaged)
        assert call(version, handler="old.handler")[0] == ANSWER
    (folder / of_source).write_bytes(saved[0][of_other])
    file.write_text(source + " ")
    assert call(version, handler="old.handler")[0] == ANSWER
    shutil.rmtree(function / ".nodelayer")
    assert call(version, handler="seen.handler") == with_cache


@pytest.mark.full
def test_second_code_cache_is_the_same_and_a_failure_keeps_it(write, function):
    assert write("24.21.0").code == 0
    before = contents(function)
    assert write("24.21.0").code == 0
    assert contents(function) == before != {}
    for flags, code, words in (
        (["--handler=broken.handler"], 8, "Error: no TABLE_NAME"),
        (["--files=syntax.js"], 2, "a file cannot be compiled [--files]: syntax.js: SyntaxError"),
        (["--files=none.js"], 2, "the file does not exist"),
    ):
        outcome = write("24.21.0", *flags)
        assert (outcome.code, outcome.out) == (code, ""), outcome.err
        assert words in outcome.lines[-1]
    assert contents(function) == before


@pytest.mark.full
def test_stale_or_damaged_code_cache_does_not_break_the_start(write, call, function):
    write("24.21.0")
    (folder,) = (function / ".nodelayer" / "code-cache").iterdir()
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-20])
    answer, log = call("24.21.0")
    assert (answer, compiled(log)) == (ANSWER, CODE)
    folder = folder.rename(folder.with_name("v24.21.0-x64-00000000"))
    answer, log = call("24.21.0")
    assert answer == ANSWER
    unused = "DEBUG\tnodelayer: the code cache in /var/task/.nodelayer/code-cache is not used: "
    assert f"{unused}it is for other flags of V8" in log
    folder.rename(folder.with_name("v24.0.0-x64-00000000"))
    answer, log = call("24.21.0")
    assert answer == ANSWER
    assert f"{unused}it is not for Node.js v24.21.0 on x64" in log


def test_files_are_compiled_without_running_them(write, call):
    outcome = write("24.21.0", "--files=broken.js,lib/double.js,index.js,module.mjs")
    assert outcome.code == 0, outcome.err
    answer, log = call("24.21.0")
    assert (answer, accepted(log)) == (ANSWER, CODE)


@pytest.mark.full
def test_event_that_fails_is_named(write, tmp_path):
    outcome = write("24.21.0", "--handler=throws.handler", f"--event={tmp_path / 'event.json'}")
    assert (outcome.code, outcome.out) == (8, "")
    assert "throws.handler failed, without the variables" in outcome.lines[-1]
    assert "TypeError: no such item" in outcome.lines[-1]


def test_several_versions_are_rejected(invoke, function):
    outcome = invoke("code-cache", f"--function={function}", "--node=24,22")
    assert (outcome.code, outcome.out) == (2, "")
    assert "this command takes one version [--node]: name one" in outcome.err


@pytest.mark.docker
@pytest.mark.full
def test_docker_writes_the_same_where_there_are_no_namespaces(write, layer, function, monkeypatch):
    assert write("24.21.0", "--handler=old.handler").code == 0
    of_namespaces = contents(function)
    for path in (function, *function.rglob("*")):
        os.chown(path, 1001, 1001)  # the container's root has no rights to files of others
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setattr(confined, "available", lambda: "forbidden here")

    def in_docker():
        engine = docker_builder.connect(Reporter(quiet=True))
        return code_cache._docker_sandbox(engine, X86_64, "nodelayer-standin:{arch}")

    def compiled_for(handler):
        request = code_cache.CodeCacheRequest(function, f"{handler}.handler")
        return code_cache.write(layer("24.21.0").zip, request, in_docker)

    assert compiled_for("old").files == len(of_namespaces)
    assert contents(function) == of_namespaces
    with pytest.raises(FunctionError, match="Error: no TABLE_NAME"):
        compiled_for("broken")


def test_nothing_but_regular_files_is_taken_from_a_sandbox(write, function, tmp_path):
    """A link to a secret would put its content into the function's folder, and so on Lambda."""
    (tmp_path / "secret").write_text("secret")
    (function / "leaves.js").write_text(
        f"""const fs = require('fs');
process.on('exit', () => {{
  const cache = process.env.NODE_COMPILE_CACHE;
  for (const folder of fs.readdirSync(cache)) {{
    fs.symlinkSync({json.dumps(str(tmp_path))}, `${{cache}}/${{folder}}/folder`);
    fs.symlinkSync({json.dumps(str(tmp_path / "secret"))}, `${{cache}}/${{folder}}/link`);
  }}
}});
exports.handler = async () => {{}};"""
    )
    outcome = write("24.21.0", "--handler=leaves.handler")
    assert outcome.code == 0, outcome.err
    assert len(contents(function)) == 1
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.FIFOTYPE, "pipe")):
            info = tarfile.TarInfo(f"cache/{name}")
            info.type, info.linkname = kind, "../../secret"
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo("cache/file"))
    archive.seek(0)
    code_cache._extract(archive, tmp_path / "work")
    assert [path.name for path in (tmp_path / "work" / "cache").iterdir()] == ["file"]


def test_function_that_never_loads_is_stopped_with_its_processes(layer, function, monkeypatch):
    (function / "never.js").write_text("require('child_process').spawn('sleep', ['4242']); for (;;);")
    monkeypatch.setattr(code_cache, "_TIMEOUT_S", 3)
    request = code_cache.CodeCacheRequest(function, "never.handler")
    with pytest.raises(FunctionError, match="the function was not loaded within 3 s"):
        code_cache.write(layer("24.21.0").zip, request, pytest.fail)
    assert subprocess.run(["pgrep", "-f", "sleep 4242"], check=False, capture_output=True).stdout == b""
    assert not (function / ".nodelayer").exists()


@pytest.mark.docker
@pytest.mark.arm64
@pytest.mark.long
def test_emulation_writes_code_for_arm64_beside_that_for_x86_64(write, function):
    assert write("24.21.0").code == 0
    base = {"NODELAYER_BASE_IMAGE": "nodelayer-standin:{arch}"}  # this machine lacks arm64's C library
    outcome = write("24.21.0", "--handler=index.handler", "--arch=arm64", **base)
    assert outcome.code == 0, outcome.err
    names = sorted(
        each.name.rpartition("-")[0] for each in (function / ".nodelayer" / "code-cache").iterdir()
    )
    assert names == ["v24.21.0-arm64", "v24.21.0-x64"]
