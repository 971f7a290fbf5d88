"""A canary that fails leaves every layer version private. One that succeeds is in integration/test_sam.py."""

import time

import pytest
from publish.faults import Rule, access_denied, answer, hang
from publish.publish_fixtures import LAYER, PUBLIC, THREE, sample_answer

from nodelayer.aws import account, functions
from nodelayer.cli.command import PATHS
from nodelayer.publish.layers import canary
from nodelayer.publish.layers.canary import CanaryOptions

pytestmark = pytest.mark.network

ROLE = "arn:aws:iam::123456789012:role/nodelayer-canary"
PENDING = {"FunctionName": "x", "State": "Pending", "StateReason": "The function is being created."}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(account, "_PUBLISH_S", 1)
    monkeypatch.setattr(canary, "READY_S", 0.5)
    monkeypatch.setattr(functions, "_POLL_S", 0.2)


@pytest.mark.parametrize(
    ("operation", "fault", "words"),
    [
        (
            "GetFunctionConfiguration",
            answer(PENDING),
            "the function is Pending after 0 s The function is being",
        ),
        ("CreateFunction", access_denied, "the canary cannot run: not allowed: lambda:CreateFunction"),
        ("Invoke", answer({"node": "v0"}), 'gave a wrong answer to the sample event: \'{"node": "v0"}\''),
        ("Invoke", hang, "the canary cannot run: the connection broke during lambda:InvokeFunction"),
    ],
)
def test_canary_that_fails_leaves_everything_private(workspace, proxy, operation, fault, words):
    proxy.rule(Rule(fault, operation=operation))
    options = CanaryOptions(("eu-west-1",), ROLE, 1, PATHS.function)
    result = workspace.publish(access=PUBLIC, canary=options, parameters=True)
    (failure,) = result.failures
    assert (failure.error.code, failure.layer, failure.retry) == (8, LAYER, THREE)
    assert words in failure.error.what
    for region in THREE:
        assert [access for _, access in workspace.versions(region).values()] == ["private"]
    assert workspace.lambda_("eu-west-1").list_functions()["Functions"] == []
    ssm = workspace.seen.client("ssm", "eu-west-1")
    assert ssm.get_parameters_by_path(Path="/nodelayer", Recursive=True)["Parameters"] == []


def test_function_that_cannot_be_deleted_is_deleted_by_the_next_canary(workspace, proxy, monkeypatch, capsys):
    proxy.rule(Rule(answer({}), operation="Invoke"))
    armed = proxy.rule(Rule(access_denied, operation="DeleteFunction", times=1))
    options = CanaryOptions(("eu-west-1",), ROLE, 1, PATHS.function)
    workspace.publish(access=PUBLIC, canary=options)
    left = workspace.lambda_("eu-west-1").list_functions()["Functions"]
    assert (armed.hits, [each["FunctionName"].startswith(canary.PREFIX) for each in left]) == (1, [True])
    assert "lambda:DeleteFunction" in capsys.readouterr().err
    monkeypatch.setattr(canary, "_LEFT_S", 0)
    time.sleep(1)
    workspace.publish(access=PUBLIC, canary=options)
    assert workspace.lambda_("eu-west-1").list_functions()["Functions"] == []


def test_failed_canary_is_repeated_by_the_next_run_that_has_nothing_to_publish(workspace, proxy, monkeypatch):
    armed = proxy.rule(Rule(answer({"node": "v0"}), operation="Invoke"))
    options = CanaryOptions(("eu-west-1",), ROLE, 1, PATHS.function)
    for count in (1, 2):
        (failure,) = workspace.publish(canary=options).failures
        assert (failure.error.code, armed.hits) == (8, count)
    assert workspace.manifest().layers[0].canary is None
    for name in ("invoke", "invoke_streaming"):
        monkeypatch.setattr(functions.Functions, name, lambda _functions, _name, event: sample_answer(event))
    for creates in (True, False):
        proxy.clear()
        assert workspace.publish(canary=options).failures == ()
        assert ("CreateFunction" in {call.operation for call in proxy.calls}) == creates
        assert workspace.manifest().layers[0].canary.init_ms == 118.2
    assert [each for each, _ in workspace.versions("eu-west-1").items()] == [1]


def test_canary_needs_a_region_that_is_published_to(workspace):
    words = ("publish", "--node", "12", "--regions", "eu-west-1", "--canary", "us-east-1")
    outcome = workspace.command(*words)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "the canary region us-east-1 is not published to [--canary]: add it to --regions" in outcome.err
