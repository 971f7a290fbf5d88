"""A canary that fails leaves every layer version private. One that succeeds is in integration/test_sam.py."""

import json
import re
import time
from functools import partial

import pytest
from publish.conftest import make_layer
from publish.faults import Rule, access_denied, answer, hang, status, throttle
from publish.publish_fixtures import LAYER, PUBLIC, THREE, sample_answer

from nodelayer.aws import account, functions
from nodelayer.aws.regions import Partition
from nodelayer.cli.command import PATHS
from nodelayer.cli.program import NodelayerProgram, checkout
from nodelayer.publish import canary
from nodelayer.publish.canary import CanaryOptions
from nodelayer.publish.layers import canary as layer_canary
from nodelayer.publish.layers.publisher import outputs

pytestmark = pytest.mark.network

ONE = ("eu-west-1",)
ROLE = "arn:aws:iam::123456789012:role/nodelayer-canary"
PENDING = {"FunctionName": "x", "State": "Pending", "StateReason": "The function is being created."}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(account, "_PUBLISH_S", 1)
    monkeypatch.setattr(canary, "READY_S", 0.5)
    monkeypatch.setattr(functions, "_POLL_S", 0.2)


def options(starts=1):
    return CanaryOptions(ONE, ROLE, starts, PATHS.function)


class AsOnLambda:
    """Answers invocations as Lambda does: by the function's runtime, architecture and handler."""

    def __init__(self, client):
        self._client = client
        self.invoked = []
        self.wrong_streams = False

    def answer(self, _functions, name, event, *, streaming):
        found = self._client.get_function_configuration(FunctionName=name)
        (arch,) = found["Architectures"]
        layers = [each["Arn"] for each in found.get("Layers", ())]
        self.invoked.append((found["Runtime"], arch, found["Handler"], len(layers)))
        node = layers[0].split(":")[6].removesuffix(f"-{arch}")[7:].replace("-", ".") if layers else "12.0.0"
        machine = {"x86_64": "x64", "arm64": "arm64"}[arch]
        # The first start on AWS's runtime is the slowest.
        init = 118.2 if layers else {1: 260}.get(self.count(found["Runtime"]), 160)
        streamed = streaming and not self.wrong_streams
        return sample_answer(event, streamed=streamed, node=node, arch=machine, init=init)

    def count(self, runtime):
        return [each[0] for each in self.invoked].count(runtime)


@pytest.fixture
def on_lambda(workspace, monkeypatch):
    monkeypatch.setattr(canary, "READY_S", 60)
    found = AsOnLambda(workspace.lambda_("eu-west-1"))
    for name in ("invoke", "invoke_streaming"):
        patched = partial(found.answer, streaming=name == "invoke_streaming")
        monkeypatch.setattr(functions.Functions, name, lambda *given, patched=patched: patched(*given))
    return found


@pytest.mark.parametrize(
    ("operation", "fault", "words"),
    [
        (
            "GetFunctionConfiguration",
            answer(PENDING),
            "the function is Pending after N s (The function is being created)",
        ),
        (
            "GetFunctionConfiguration",
            answer({"State": "Failed", "StateReason": "The KMS key is disabled."}),
            "the function is Failed after N s (The KMS key is disabled)",
        ),
        ("CreateFunction", access_denied, "the canary cannot run: not allowed: lambda:CreateFunction"),
        ("Invoke", answer({"node": "v0"}), 'gave a wrong answer to the sample event: \'{"node": "v0"}\''),
        ("Invoke", hang, "the canary cannot run: the connection broke during lambda:InvokeFunction"),
    ],
)
def test_canary_that_fails_leaves_everything_private(workspace, proxy, operation, fault, words):
    proxy.rule(Rule(fault, operation=operation))
    result = workspace.publish(access=PUBLIC, canary=options(), parameters=True)
    (failure,) = result.failures
    assert (failure.error.code, failure.layer, failure.retry) == (8, LAYER, THREE)
    assert words in re.sub(r"\d+ s ", "N s ", failure.error.what)
    assert outputs(result, 1, ()) == {"layer-arns": "{}", "layer-arn": "", "canary": "failed"}
    for region in THREE:
        assert [access for _, access in workspace.versions(region).values()] == ["private"]
    assert workspace.lambda_("eu-west-1").list_functions()["Functions"] == []
    ssm = workspace.seen.client("ssm", "eu-west-1")
    assert ssm.get_parameters_by_path(Path="/nodelayer", Recursive=True)["Parameters"] == []


def test_function_that_cannot_be_deleted_is_deleted_by_the_next_canary(workspace, proxy, monkeypatch, capsys):
    proxy.rule(Rule(answer({}), operation="Invoke"))
    armed = proxy.rule(Rule(access_denied, operation="DeleteFunction", times=1))
    workspace.publish(access=PUBLIC, canary=options())
    left = workspace.lambda_("eu-west-1").list_functions()["Functions"]
    assert (armed.hits, [each["FunctionName"].startswith(canary.PREFIX) for each in left]) == (1, [True])
    assert "lambda:DeleteFunction" in capsys.readouterr().err
    monkeypatch.setattr(canary, "_LEFT_S", 0)
    time.sleep(1)
    workspace.publish(access=PUBLIC, canary=options())
    assert workspace.lambda_("eu-west-1").list_functions()["Functions"] == []


def test_failed_canary_is_repeated_by_the_next_run_that_has_nothing_to_publish(workspace, proxy, request):
    armed = proxy.rule(Rule(answer({"node": "v0"}), operation="Invoke"))
    for count in (1, 2):
        (failure,) = workspace.publish(canary=options()).failures
        assert (failure.error.code, armed.hits) == (8, count)
    assert workspace.manifest().layers[0].canary is None
    request.getfixturevalue("on_lambda")
    for creates in (True, False):
        proxy.clear()
        assert workspace.publish(ONE, canary=options()).failures == ()
        assert ("CreateFunction" in {call.operation for call in proxy.calls}) == creates
        assert workspace.manifest().layers[0].canary.init_ms == 118.2
    assert [each for each, _ in workspace.versions("eu-west-1").items()] == [1]


def test_update_that_fails_is_named_with_the_reason_of_aws(workspace, proxy):
    proxy.rule(Rule(answer(json.loads(sample_answer(b'{"hello": "world"}').payload)), operation="Invoke"))
    failed = {"State": "Active", "LastUpdateStatus": "Failed", "LastUpdateStatusReason": "No capacity."}
    proxy.rule(Rule(answer({"State": "Active"}), operation="GetFunctionConfiguration", times=1))
    proxy.rule(Rule(answer(failed), operation="GetFunctionConfiguration"))
    (failure,) = workspace.publish(ONE, canary=options(2)).failures
    what = re.sub(r"\d+ s ", "N s ", failure.error.what)
    assert what == "the update of the function is Failed after N s (No capacity)"


@pytest.mark.parametrize(
    ("aws_region", "expected"), [("us-east-1", "us-east-1"), ("me-south-1", "ap-south-1")]
)
def test_canary_in_any_region_runs_in_that_of_the_credentials_or_in_the_first(aws_region, expected):
    partition = Partition("aws", THREE, frozenset(THREE))
    here = account.Account(None, "123456789012", partition, THREE[0])
    found = canary.in_account(CanaryOptions((), "", 1, PATHS.function), here, THREE, aws_region)
    assert (found.regions, found.role) == ((expected,), ROLE)


def test_stream_that_is_not_streamed_fails_the_canary(workspace, on_lambda):
    on_lambda.wrong_streams = True
    (failure,) = workspace.publish(ONE, canary=options()).failures
    assert "gave a wrong answer to the sample event with response streaming" in failure.error.what
    assert on_lambda.invoked[-1][2] == "streaming.handler"


def test_runtime_of_aws_is_measured_beside_the_newest_layer_of_each_major(workspace, on_lambda, monkeypatch):
    printed = []
    estimate = layer_canary.estimate
    monkeypatch.setattr(layer_canary, "estimate", lambda each: printed.append(estimate(each)) or printed[-1])
    for name in ("nodejs-12.15.0-x86_64", "nodejs-13.0.0-x86_64", "nodejs-12.16.1-arm64"):
        make_layer(workspace.dist, name, seed=len(name))
    workspace.architectures = ("x86_64",)
    assert workspace.publish(ONE, "12.16.1,12.15.0,13", canary=options(2)).failures == ()
    assert printed == [f"Canary: 7 functions, {len(on_lambda.invoked)} invocations, about 2 min"]
    measured = {each.node_version: each.canary for each in workspace.manifest().layers}
    assert (measured["12.16.1"].init_ms, measured["12.16.1"].starts) == (118.2, 4)  # two runtimes
    assert (measured["12.16.1"].aws_runtime, measured["12.16.1"].aws_init_ms) == ("nodejs12.x", 210)
    assert (measured["12.15.0"].starts, measured["12.15.0"].aws_runtime) == (2, None)  # it is not the newest
    assert (measured["13.0.0"].starts, measured["13.0.0"].aws_runtime) == (4, None)  # AWS never had one
    assert on_lambda.count("nodejs12.x") == 2
    assert workspace.lambda_("eu-west-1").list_functions()["Functions"] == []
    on_lambda.invoked.clear()
    workspace.architectures = ("arm64",)
    assert workspace.publish(ONE, canary=options()).failures == ()
    runs = ["function.handler"] * 3 + ["streaming.handler"]
    ours = [(f"provided.{system}", "arm64", each, 1) for system in ("al2", "al2023") for each in runs]
    assert on_lambda.invoked == [*ours, ("nodejs12.x", "arm64", "function.handler", 0)]


@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        (
            status(400, "InvalidParameterValueException", "The runtime parameter of nodejs12.x is no longer"),
            "",
        ),
        (
            access_denied(),
            "the start of AWS's nodejs12.x is not measured: not allowed: lambda:CreateFunction",
        ),
    ],
)
@pytest.mark.usefixtures("on_lambda")
def test_runtime_that_lambda_refuses_has_no_figure(workspace, proxy, capsys, fault, warning):
    armed = proxy.rule(Rule(fault, operation="CreateFunction", skip=2))
    assert workspace.publish(ONE, canary=options()).failures == ()
    found = workspace.manifest().layers[0].canary
    assert (armed.hits, found.init_ms, found.aws_runtime, found.aws_init_ms) == (1, 118.2, None, None)
    printed = capsys.readouterr().err
    assert ("warning" in printed, warning in printed) == (bool(warning), True)


def test_throttled_invocation_is_repeated(workspace, proxy):
    good = sample_answer(b'{"hello": "world"}').payload
    armed = proxy.rule(Rule(throttle, operation="Invoke", times=2))
    proxy.rule(Rule(answer(json.loads(good)), operation="Invoke"))
    (failure,) = workspace.publish(ONE, canary=options()).failures
    assert "gave a wrong answer to the HTTP event" in failure.error.what  # it got the answer to the first one
    assert armed.hits == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--canary=us-east-1",),
            "the canary region us-east-1 is not published to [--canary]: add it to --reg",
        ),
        (
            ("--canary=eu-west-1", "--canary-starts=0"),
            "at least one start is needed [--canary-starts]: use 1",
        ),
        (
            ("--canary=eu-west-1", "--canary-role=me"),
            "me is not the ARN of a role [--canary-role]: for example",
        ),
        (
            ("--canary-starts=2",),
            "--canary-starts has no effect without --canary: add --canary REGION, or leave",
        ),
        (
            ("--canary-role=me",),
            "--canary-role has no effect without --canary: add --canary REGION, or leave",
        ),
    ],
)
def test_flags_of_the_canary_are_checked_before_anything_else(monkeypatch, capsys, flags, words):
    monkeypatch.setattr(account, "open_account", None)
    line = ["invoke", "publish", "--node=12", "--regions=eu-west-1", "--out=nowhere", *flags]
    program = NodelayerProgram(name="invoke", namespace=checkout())
    with pytest.raises(SystemExit) as exited:
        program.run(line)
    printed = capsys.readouterr().err
    assert (exited.value.code, printed.count("\n")) == (2, 1)
    assert words in printed
