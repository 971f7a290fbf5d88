"""SAM's program: where it comes from, and what happens when it runs, fails or is interrupted."""

import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile

import pytest
import yaml
from support import ROOT

from nodelayer.errors import MachineError, UnreachableError
from nodelayer.sam.application import SamApplication, StoppedError
from nodelayer.sam.function import Function
from nodelayer.sam.program import SamProgram, find
from nodelayer.sam.stack import StackOptions, StackTarget
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

QUIET = Reporter(quiet=True)


class IgnoreTags(yaml.SafeLoader):
    """Leaves out CloudFormation's functions in their short form, such as !Ref."""


IgnoreTags.add_multi_constructor("!", lambda *_: None)
VERSION = "1.170.0"


@pytest.fixture
def fake_sam(tmp_path):
    """Make a `sam` of Python text."""

    def make(text):
        path = tmp_path / "bin" / "sam"
        path.parent.mkdir()
        path.write_text(f"#!{sys.executable}\n{text}\n")
        path.chmod(0o755)
        return SamProgram(path, {"SAM_CLI_TELEMETRY": "1"})

    return make


def test_output_goes_to_stderr_and_telemetry_is_off(fake_sam, capfd):
    sam = fake_sam("import os; print(os.environ['SAM_CLI_TELEMETRY'])")
    sam.run(["build"])
    assert capfd.readouterr() == ("", "0\n")
    sam.run(["logs"], to_stdout=True)
    assert capfd.readouterr() == ("0\n", "")


def test_a_failure_is_an_error_that_points_to_the_output_of_sam(fake_sam):
    with pytest.raises(MachineError, match=r"sam build failed with exit code 3.*see the messages of SAM"):
        fake_sam("raise SystemExit(3)").run(["build"])


@pytest.fixture
def interrupted():
    """Control-C after a moment."""

    def stop(_signal, _frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interrupted")
def test_stopping_a_deletion_reports_that_cloudformation_continues(fake_sam, tmp_path):
    sam = fake_sam("import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(StoppedError, match="CloudFormation continues") as caught:
        SamApplication(tmp_path, lambda: sam).delete(StackTarget("nodelayer-sample", "eu-west-1"), None)
    assert time.monotonic() - began < 30
    assert caught.value.code == 130


@pytest.mark.parametrize("arn", ["", "arn:aws:lambda:eu-west-1:123456789012:layer:n:1"])
def test_build_puts_the_chosen_zip_into_the_template(fake_sam, tmp_path, capfd, arn):
    sam = fake_sam("import sys; print(*sys.argv[1:]); print(open(sys.argv[2].partition('=')[2]).read())")
    zipped = tmp_path / "my dist (é)" / "nodejs-12.16.1-x86_64.zip"
    function = Function(ROOT / "function", "function.handler", "12.16.1")
    SamApplication(ROOT, lambda: sam).build(function, StackOptions(arn), None if arn else zipped, tmp_path)
    line, template = capfd.readouterr().err.split("\n", 1)
    assert line.startswith("build --template-file=")
    assert f'LayerArn="{arn}"' in line
    layer = yaml.load(template, Loader=IgnoreTags)["Resources"]["Layer"]  # noqa: S506 - a SafeLoader
    assert layer["Properties"]["ContentUri"] == str(ROOT / "function" if arn else zipped)


def test_sam_on_path_is_used(fake_sam, tmp_path):
    folder = fake_sam("").path.parent
    sam = find(DownloadCache(tmp_path / "cache"), QUIET, {"PATH": str(folder)})
    assert (sam.path, sam.command) == (folder / "sam", "sam")
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The only folder from which pip installs."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return folder


def write_wheel(folder):
    """Write a package of the SAM CLI's name whose program prints its arguments."""
    info = f"aws_sam_cli-{VERSION}.dist-info"
    files = {
        "sam_stub.py": "import sys\ndef main():\n    print(*sys.argv[1:])\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: aws-sam-cli\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nsam = sam_stub:main\n",
    }
    with zipfile.ZipFile(folder / f"aws_sam_cli-{VERSION}-py3-none-any.whl", "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
        packed.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in files))


def test_without_sam_on_path_the_pinned_version_is_installed_once(index, tmp_path):
    write_wheel(index)
    cache = DownloadCache(tmp_path / "the cache")
    sam = find(cache, QUIET, {"PATH": ""})
    assert sam.path.is_relative_to(cache.root)
    next(index.iterdir()).unlink()  # pip would not find it again
    assert find(cache, QUIET, {"PATH": ""}) == sam

    suggested = SamApplication(tmp_path, lambda: sam).local_invoke(
        tmp_path / "build", tmp_path / "event.json"
    )
    done = subprocess.run(
        ["sh", "-c", suggested], env={"PATH": os.defpath}, capture_output=True, text=True, check=True
    )
    assert shlex.split(suggested)[1:4] == done.stdout.split()[:3] == ["local", "invoke", "Function"]
    assert cache.clear() > 0
    assert not sam.path.exists()


@pytest.mark.usefixtures("index")
def test_failed_installation_is_one_error_and_leaves_no_complete_installation(tmp_path):
    cache = DownloadCache(tmp_path / "cache")
    with pytest.raises(UnreachableError) as caught:
        find(cache, QUIET, {"PATH": ""})
    assert str(caught.value).startswith("SAM cannot be installed: pip cannot install a package")
    assert "install the SAM CLI yourself" in caught.value.todo
    assert list(cache.root.rglob(".whole")) == []
