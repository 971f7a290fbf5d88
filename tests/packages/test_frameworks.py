"""Web frameworks and middleware: the same requests get the same responses as on AWS's client."""

import json

import pytest
from packages.receiver import answers
from runtime.cases import RIC4

pytestmark = [pytest.mark.network, pytest.mark.long]

NEW = ("22.23.3", "24.21.0", "26.10.0")


def request(path, body=None, **query):
    """Return an event of API Gateway's REST APIs."""
    return {
        "resource": "/{proxy+}",
        "httpMethod": "GET" if body is None else "POST",
        "path": path,
        "headers": {"content-type": "application/json", "host": "example.com"},
        "multiValueHeaders": {"content-type": ["application/json"], "host": ["example.com"]},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "requestContext": {"stage": "prod", "path": path, "identity": {"sourceIp": "127.0.0.1"}},
        "body": body and json.dumps(body),
        "isBase64Encoded": False,
    }


REQUESTS = [request("/items/7", size="4"), request("/items", {"name": "ü"}), request("/fails")]
RESPONSES = [(200, {"id": "7", "size": "4"}), (201, {"name": "ü"}), (500, {"error": "no such route"})]


def check(raw):
    found = answers(raw)
    assert [(each["statusCode"], json.loads(each["body"])) for each in found] == RESPONSES
    created = found[1].get("headers") or found[1]["multiValueHeaders"]
    assert created["x-items"] in ("1", ["1"])


@pytest.mark.on("12.16.1", "18.20.8", *NEW, aws={RIC4: "it has no callbacks, and no context.succeed"})
@pytest.mark.parametrize("handler", ["old.succeeds", "old.calls"])
def test_aws_serverless_express_answers_by_context_and_callback(invoke, functions, handler):
    check(invoke(functions.folder("aws-serverless-express", "express"), handler, REQUESTS))


@pytest.mark.on("12.16.1", "18.20.8", *NEW)
def test_aws_serverless_express_answers_by_promise(invoke, functions):
    check(invoke(functions.folder("aws-serverless-express", "express"), "old.promises", REQUESTS))


@pytest.mark.on("18.20.8", *NEW, aws={RIC4: "it refuses a handler with three parameters"})
def test_vendia_serverless_express_answers(invoke, functions):
    check(invoke(functions.folder("vendia", "express"), "vendia.handler", REQUESTS))


@pytest.mark.on("24.21.0", "26.10.0")
def test_codegenie_serverless_express_answers(invoke, functions):
    check(invoke(functions.folder("codegenie", "express"), "codegenie.handler", REQUESTS))


@pytest.mark.on("18.20.8", *NEW)
def test_hono_answers(invoke, functions):
    check(invoke(functions.folder("hono"), "index.handler", REQUESTS))


@pytest.mark.on("18.20.8", *NEW)
def test_hono_streams(invoke, functions):
    raw = invoke(functions.folder("hono"), "index.streaming", [request("/streams")])
    (response,) = [each for each in raw.api.received if each.path.endswith("/response")]
    assert response.header("Lambda-Runtime-Function-Response-Mode") == "streaming"
    head, _, body = bytes(response.body).partition(b"\0" * 8)
    assert json.loads(head)["statusCode"] == 200
    assert body == b"one two three"


@pytest.mark.on("12.16.1", *NEW)
def test_middy_runs_its_middleware(invoke, functions, node):
    function = functions.folder("middy-1" if node == "12.16.1" else "middy")
    broken = {**request("/items"), "httpMethod": "POST", "body": "{"}
    created, refused = answers(invoke(function, "index.handler", [REQUESTS[1], broken]))
    assert (created["statusCode"], json.loads(created["body"])) == (201, {"name": "ü"})
    assert refused["statusCode"] == 422


@pytest.mark.on(*NEW)
def test_powertools_write_logs_metrics_and_segments(invoke, functions, receiver):
    trace = "Root=1-00000000-000000000000000000000001;Parent=0000000000000001;Sampled=1"
    raw = invoke(
        functions.folder("powertools"),
        "index.handler",
        [{"quantity": 6}, {"quantity": 1, "fail": True}],
        {
            "POWERTOOLS_SERVICE_NAME": "orders",
            "AWS_XRAY_DAEMON_ADDRESS": receiver.udp,
            "AWS_SAM_LOCAL": None,
            "POWERTOOLS_TRACE_ENABLED": "true",
        },
        {"Lambda-Runtime-Trace-Id": trace},
    )
    assert answers(raw) == [{"total": 6}, "RangeError"]
    lines = [json.loads(line) for line in raw.out.splitlines() if line.startswith("{")]
    logged = [line for line in lines if line.get("message") == "order"]
    assert [line["function_request_id"][:8] for line in logged] == ["00000001", "00000002"]
    assert [line["ordered"] for line in lines if "_aws" in line] == [6, 1]
    segments = [each for each in receiver.segments if each["name"] == "## index.handler"]
    assert [each.get("fault", False) or "cause" in each for each in segments] == [False, True]
    assert {each["trace_id"] for each in segments} == {"1-00000000-000000000000000000000001"}
