"""What is decided about a stack, without SAM and without AWS; and SAM's program, found and run."""

import io
import itertools
import os
import signal
import sys
import time
import zipfile

import pytest

from nodelayer.aws.arn import LayerVersionArn
from nodelayer.aws.stacks import Stack
from nodelayer.errors import InvalidInputError, MachineError, NotFoundError, RefusedError, UnreachableError
from nodelayer.sam import stack as sam
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:1"
LAYER = LayerVersionArn.parse(ARN)
PLACE = sam.StackTarget("nodelayer-sample", "eu-west-1")
QUIET = Reporter(quiet=True)
OURS = {"nodelayer": "sample-function"}


def stack(status="CREATE_COMPLETE", tags=OURS, **outputs):
    return Stack(PLACE.stack, status, tags, outputs)


# the stack's place


@pytest.mark.parametrize("name", ["", "1stack", "a_b", "a b", "a" * 129, "stack;rm", "--region"])
def test_a_name_that_cloudformation_would_refuse_is_refused_at_once(name):
    with pytest.raises(InvalidInputError, match="is no name of a stack"):
        sam.StackTarget(name, "eu-west-1")


def test_flags_lead_to_the_same_place_again_and_say_nothing_that_is_usual():
    assert PLACE.again() == "--region eu-west-1"
    other = sam.StackTarget("other", "us-east-1", "my profile")
    assert other.again() == "--region us-east-1 --stack-name other --profile 'my profile'"


@pytest.mark.parametrize(
    ("named", "configured", "layer", "region"),
    [
        ("eu-west-1", "us-east-1", None, "eu-west-1"),
        ("", "us-east-1", None, "us-east-1"),
        ("", None, LAYER, "eu-west-1"),
        ("eu-west-1", "us-east-1", LAYER, "eu-west-1"),
    ],
)
def test_the_region_is_the_one_named_then_the_one_configured_then_the_layers(
    named, configured, layer, region
):
    assert sam.region_of(named, configured, layer) == region


@pytest.mark.parametrize(("named", "configured"), [("us-east-1", None), ("", "us-east-1")])
def test_a_region_that_is_not_the_layers_is_refused_with_both_ways_out(named, configured):
    with pytest.raises(InvalidInputError) as caught:
        sam.region_of(named, configured, LAYER)
    assert "--region eu-west-1" in caught.value.todo
    assert "the layer in us-east-1" in caught.value.todo


def test_where_no_region_is_to_be_had_one_is_asked_for():
    with pytest.raises(InvalidInputError, match="no region"):
        sam.region_of("", None, None)


# what SAM is told


@pytest.mark.parametrize("value", ["a b", 'a"b', "a'b", "a\\b", "a,b", "$(x)", "a\nb", "a=b", "é"])
def test_a_value_that_sam_could_read_otherwise_is_not_passed(value):
    with pytest.raises(InvalidInputError, match="cannot be a value of Name"):
        sam.overrides({"Name": value})


def test_every_parameter_is_named_each_time_since_sam_keeps_what_is_left_out():
    assert sam.overrides(sam.StackOptions().parameters) == [
        "--parameter-overrides",
        'LayerArn=""',
        'Architecture="x86_64"',
        'Http="none"',
        'Access="iam"',
    ]


@pytest.mark.parametrize(("field", "flag"), [("http", "--http"), ("access", "--access")])
def test_an_unknown_way_in_is_refused_by_the_name_of_its_flag(field, flag):
    with pytest.raises(InvalidInputError) as caught:
        sam.StackOptions(**{field: "open"})
    assert caught.value.where == flag


def test_the_layer_is_built_only_where_it_is_not_published(tmp_path):
    project = sam.Project(tmp_path)
    assert sam.build_line(project, sam.StackOptions(ARN))[:2] == ["build", "Function"]
    assert sam.build_line(project, sam.StackOptions())[:2] == [
        "build",
        f"--template-file={tmp_path}/template.yaml",
    ]


def test_nobody_is_asked_by_sam(tmp_path):
    project = sam.Project(tmp_path)
    assert "--no-confirm-changeset" in sam.deploy_line(project, sam.StackOptions(ARN), PLACE, tmp_path)
    assert "--no-prompts" in sam.delete_line(project, PLACE)


def test_every_line_to_aws_names_stack_region_and_profile(tmp_path):
    project = sam.Project(tmp_path)
    place = sam.StackTarget("other", "us-east-1", "mine")
    lines = (
        sam.deploy_line(project, sam.StackOptions(ARN), place, tmp_path),
        sam.delete_line(project, place),
        sam.logs_line(project, place, tail=True),
    )
    for line in lines:
        assert {"--stack-name=other", "--region=us-east-1", "--profile=mine"} <= set(line)


# what a stack allows


@pytest.mark.parametrize(
    "found", [None, stack(), stack("UPDATE_ROLLBACK_COMPLETE"), stack("REVIEW_IN_PROGRESS", {})]
)
def test_a_stack_that_is_new_or_at_rest_can_be_deployed_to(found):
    sam.check_free(PLACE, found)


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"])
def test_a_stack_that_can_only_be_deleted_is_told_with_the_command_for_it(status):
    with pytest.raises(RefusedError) as caught:
        sam.check_free(PLACE, stack(status))
    assert status in caught.value.what
    assert "invoke destroy --region eu-west-1" in caught.value.todo


def test_a_stack_that_something_is_at_work_on_is_waited_for():
    with pytest.raises(RefusedError, match="something is at work on it"):
        sam.check_free(PLACE, stack("UPDATE_IN_PROGRESS"))


@pytest.mark.parametrize("tags", [{}, {"nodelayer": "other"}])
def test_a_stack_without_our_tag_is_left_alone(tags):
    for check in (sam.check_free, sam.check_own, sam.function_of):
        with pytest.raises(RefusedError, match="left alone"):
            check(PLACE, stack(tags=tags))


def test_the_function_is_the_one_that_the_stack_puts_out():
    assert sam.function_of(PLACE, stack(FunctionName="f")) == "f"
    with pytest.raises(NotFoundError, match="in ROLLBACK_COMPLETE"):
        sam.function_of(PLACE, stack("ROLLBACK_COMPLETE"))
    with pytest.raises(NotFoundError, match="no such stack"):
        sam.function_of(PLACE, None)


# what SAM says


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            "Error: User: arn:aws:iam::1:user/x is not authorized to perform: lambda:GetLayerVersion on …",
            "the layer cannot be read from this account",
        ),
        (
            "Error: Stack:arn:… is in ROLLBACK_COMPLETE state and can not be updated.",
            "it can only be deleted",
        ),
        ("Error: Unable to locate credentials", "no AWS credentials"),
        ("An error occurred (ExpiredToken) when calling", "have expired"),
        (
            "x\nError: Make Failed: no zip of Node.js 12\n",
            "sam deploy failed (Make Failed: no zip of Node.js 12)",
        ),
        ("", "sam deploy failed (exit code 3)"),
    ],
)
def test_a_failure_is_told_by_what_sam_printed(printed, told):
    error = sam.explain("deploy", printed, 3, PLACE)
    assert told in str(error)
    assert error.where == "eu-west-1 nodelayer-sample"


def test_the_reason_is_cloudformations_own_where_it_was_cloudformation_that_failed():
    printed = "Error: Failed to create/update the stack: nodelayer-sample, Waiter StackCreateComplete failed"
    failed = sam.explain("deploy", printed, 1, PLACE)
    assert sam.with_reason(failed, lambda: "Function: no such role").what == (
        "the deployment failed: Function: no such role"
    )
    other = sam.explain("deploy", "Error: no such bucket", 1, PLACE)
    assert sam.with_reason(other, pytest.fail) is other


def program(folder, text):
    """A `sam` that does as the test says."""
    path = folder / "sam"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


class Screen:
    """Standard error as a test reads it."""

    def __init__(self):
        self.buffer = io.BytesIO()

    def flush(self):
        pass


def test_what_sam_prints_is_shown_and_telemetry_is_off(tmp_path):
    screen = Screen()
    there = program(tmp_path, "import os; print(os.environ['SAM_CLI_TELEMETRY'], os.environ['NODE'])")
    sam.Sam(there, {"SAM_CLI_TELEMETRY": "1"}, tmp_path, lambda: screen).run(
        ["build"], variables={"NODE": "12"}
    )
    assert screen.buffer.getvalue() == b"0 12\n"


def test_a_failing_sam_is_shown_and_told_in_one_line(tmp_path):
    screen = Screen()
    there = program(tmp_path, "import sys; print('Error: no', file=sys.stderr); sys.exit(1)")
    with pytest.raises(MachineError, match=r"sam build failed \(no\)"):
        sam.Sam(there, {}, tmp_path, lambda: screen).run(["build"])
    assert screen.buffer.getvalue() == b"Error: no\n"


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
def test_who_stops_a_deployment_is_told_that_aws_goes_on(tmp_path):
    there = program(tmp_path, "import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(sam.StoppedError) as caught:
        sam.Sam(there, os.environ, tmp_path, Screen).run(["deploy"], target=PLACE)
    assert time.monotonic() - began < 30
    assert caught.value.code == 130
    assert "what CloudFormation has begun goes on" in str(caught.value)


# where SAM comes from


def test_a_sam_on_path_is_taken(tmp_path):
    there = program(tmp_path, "")
    assert sam.find(DownloadCache(tmp_path / "cache"), QUIET, {"PATH": str(tmp_path)}) == there
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for the only index there is."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return folder


def wheel(folder, version):
    """A package of the SAM CLI's name whose program prints its version."""
    files = {
        "sam_stub.py": f"def main():\n    print('sam {version}')\n",
        "METADATA": f"Metadata-Version: 2.1\nName: aws-sam-cli\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "[console_scripts]\nsam = sam_stub:main\n",
    }
    info = f"aws_sam_cli-{version}.dist-info"
    paths = {name: name if name.endswith(".py") else f"{info}/{name}" for name in files}
    with zipfile.ZipFile(folder / f"aws_sam_cli-{version}-py3-none-any.whl", "w") as packed:
        for name, text in files.items():
            packed.writestr(paths[name], text)
        packed.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in itertools.chain(paths.values())))


def test_without_one_the_pinned_sam_is_installed_once_in_an_environment_of_its_own(index, tmp_path):
    wheel(index, "1.170.0")
    cache = DownloadCache(tmp_path / "cache")
    first = sam.find(cache, QUIET, {"PATH": ""})
    screen = Screen()
    sam.Sam(first, {}, tmp_path, lambda: screen).run(["--version"])
    assert screen.buffer.getvalue() == b"sam 1.170.0\n"
    assert first.is_relative_to(cache.root / "programs")
    next(index.iterdir()).unlink()  # it would not be found again
    assert sam.find(cache, QUIET, {"PATH": ""}) == first
    assert cache.clear() > 0
    assert not first.exists()


@pytest.mark.usefixtures("index")
def test_a_sam_that_cannot_be_installed_is_told_in_one_line_and_leaves_nothing_that_looks_finished(tmp_path):
    cache = DownloadCache(tmp_path / "cache")
    with pytest.raises(UnreachableError) as caught:
        sam.find(cache, QUIET, {"PATH": ""})
    assert str(caught.value).startswith("SAM cannot be installed: pip cannot install it")
    assert "install the SAM CLI yourself" in caught.value.todo
    assert list(cache.root.rglob(".whole")) == []
