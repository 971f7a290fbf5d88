"""Agents of observability services: they see the invocation, and their data arrives before it ends."""

import base64
import gzip
import json

import pytest
from packages.receiver import PRICE, answers
from runtime.cases import RIC3, RIC4

pytestmark = [pytest.mark.network, pytest.mark.long]

NEW = ("22.23.3", "24.21.0", "26.10.0")
OLDER = {
    ("datadog", "12.16.1"): "datadog-2",
    ("datadog", "18.20.8"): "datadog-5",
    ("elastic", "12.16.1"): "elastic-3",
    ("newrelic", "12.16.1"): "newrelic-8",
    ("newrelic", "18.20.8"): "newrelic-12",
    ("opentelemetry", "18.20.8"): "opentelemetry-0.81",
}
"""The folders with the last versions of an agent that support an older Node.js."""


@pytest.fixture
def function(functions, node):
    """Return a function that returns the folder of the orders with an agent for this version of Node.js."""
    return lambda agent: functions.folder(OLDER.get((agent, node), agent), "orders")


def orders(receiver):
    """Return the events of an order, and of one that fails."""
    order = {"prices": receiver.url, "quantity": 6}
    return [order, {**order, "fail": True}]


EXPECTED = [{"total": 6 * PRICE}, "RangeError"]


def check_sentry(receiver, spans=2):
    """Check that Sentry got the error, a transaction of each invocation, and so many spans of requests."""
    items = [line for request in receiver.sent("/api/1/envelope/") for line in request.lines()]
    errors = [each["exception"]["values"][0] for each in items if "exception" in each]
    assert [(each["type"], each["value"]) for each in errors] == [("RangeError", "out of stock")]
    transactions = [each for each in items if each.get("type") == "transaction" and "contexts" in each]
    # Sentry ends the transaction when a handler with a callback returns, so its request is a second one.
    assert [each["transaction"] for each in transactions].count("function") == 2
    seen = [each["contexts"]["trace"]["op"] for each in transactions]
    seen += [span["op"] for each in transactions for span in each["spans"]]
    assert seen.count("http.client") == spans


def sentry(receiver):
    return {
        "NODE_OPTIONS": "--import @sentry/aws-serverless/awslambda-auto",
        "SENTRY_DSN": f"http://key@{receiver.address}/1",
        "SENTRY_TRACES_SAMPLE_RATE": "1.0",
    }


@pytest.mark.on(
    "18.20.8", *NEW, aws={RIC3: "it takes the handler from its command line, and Sentry replaces _HANDLER"}
)
@pytest.mark.parametrize("handler", ["orders.handler", "orders.called", "ordersEsm.handler"])
def test_sentry_reports_errors_and_transactions(invoke, function, receiver, handler):
    raw = invoke(function("sentry"), handler, orders(receiver), sentry(receiver))
    assert answers(raw) == EXPECTED, raw.out + raw.err
    check_sentry(receiver)


@pytest.mark.on("18.20.8", *NEW, aws=dict.fromkeys([RIC3, RIC4], "--import does not find packages of layers"))
def test_sentry_in_a_layer_is_preloaded(invoke, functions, receiver):
    layer = {"NODE_PATH": str(functions.node_modules("sentry"))}
    raw = invoke(functions.folder("", "orders"), "orders.handler", orders(receiver), sentry(receiver) | layer)
    assert answers(raw) == EXPECTED, raw.out + raw.err
    check_sentry(receiver)


@pytest.mark.on("12.16.1")
@pytest.mark.parametrize("handler", ["orders.handler", "orders.called"])
def test_sentry_7_reports_errors_and_transactions(invoke, functions, receiver, handler):
    preload = {"NODE_OPTIONS": "--require @sentry/serverless/cjs/awslambda-auto"}
    raw = invoke(
        functions.folder("sentry-7", "orders"), handler, orders(receiver), sentry(receiver) | preload
    )
    assert answers(raw) == EXPECTED, raw.out + raw.err
    check_sentry(receiver, spans=0)  # it follows requests only if the function configures it to


def check_datadog(invoke, function, receiver, handler):
    """Check that Datadog writes its metrics and traces to the log."""
    raw = invoke(
        function("datadog"),
        "node_modules/datadog-lambda-js/dist/handler.handler",
        orders(receiver),
        {"DD_LAMBDA_HANDLER": handler, "DD_FLUSH_TO_LOG": "true", "DD_TRACE_ENABLED": "true"},
    )
    assert answers(raw) == EXPECTED, raw.out + raw.err
    lines = [json.loads(line) for line in raw.out.splitlines() if line.startswith("{")]
    metrics = [line["m"] for line in lines if "m" in line]
    assert metrics.count("aws.lambda.enhanced.invocations") == 2
    assert metrics.count("aws.lambda.enhanced.errors") == 1
    spans = [span for line in lines for trace in line.get("traces", []) for span in trace]
    invocations = [span for span in spans if span["name"] == "aws.lambda"]
    assert [span["error"] for span in invocations] == [0, 1]
    assert len([span for span in spans if span["name"] == "http.request"]) == 2


@pytest.mark.on("12.16.1", "18.20.8", *NEW)
@pytest.mark.parametrize("handler", ["orders.handler", "orders.called"])
def test_datadog_writes_metrics_and_traces(invoke, function, receiver, handler):
    check_datadog(invoke, function, receiver, handler)


@pytest.mark.on("18.20.8", *NEW)
def test_datadog_writes_metrics_and_traces_of_an_es_module(invoke, function, receiver):
    check_datadog(invoke, function, receiver, "ordersEsm.handler")


def invoke_with_opentelemetry(invoke, function, receiver, handler):
    """Return the answers, and the names and statuses of the exported spans (0: unset, 2: error)."""
    hook = " --experimental-loader=@opentelemetry/instrumentation/hook.mjs" if "Esm" in handler else ""
    raw = invoke(
        function("opentelemetry"),
        handler,
        orders(receiver),
        {
            "NODE_OPTIONS": f"--require ./opentelemetry.cjs{hook}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        },
    )
    spans = [
        span
        for request in receiver.sent("/v1/traces")
        for resource in json.loads(request.body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    return answers(raw), [(span["name"], span["status"]["code"]) for span in spans]


@pytest.mark.on(
    "18.20.8", *NEW, aws={RIC4: "it imports the handler, so OpenTelemetry's hook for require does not see it"}
)
def test_opentelemetry_exports_a_span_of_each_invocation(invoke, function, receiver):
    answered, spans = invoke_with_opentelemetry(invoke, function, receiver, "orders.handler")
    assert answered == EXPECTED
    assert [span for span in spans if span[0] == "function"] == [("function", 0), ("function", 2)]
    assert spans.count(("GET", 0)) == 2


@pytest.mark.on(*NEW)
def test_opentelemetry_exports_a_span_of_each_invocation_of_an_es_module(invoke, function, receiver):
    answered, spans = invoke_with_opentelemetry(invoke, function, receiver, "ordersEsm.handler")
    assert answered == EXPECTED
    assert [span for span in spans if span[0] == "function"] == [("function", 0), ("function", 2)]
    assert spans.count(("GET", 0)) == 2


@pytest.mark.on("18.20.8", "22.23.3")  # on 24 and later OpenTelemetry calls the handler without a callback
def test_opentelemetry_exports_a_span_of_each_invocation_of_a_callback_handler(invoke, function, receiver):
    answered, spans = invoke_with_opentelemetry(invoke, function, receiver, "orders.called")
    assert answered == EXPECTED
    assert spans.count(("function", 0)) == 2  # it ends the span when the handler returns


def invoke_with_newrelic(invoke, function, receiver, handler):
    """Return the answers, and the payloads that the agent writes to stdout when no extension is there."""
    raw = invoke(
        function("newrelic"),
        handler,
        orders(receiver),
        {
            "NEW_RELIC_ACCOUNT_ID": "1",
            "NEW_RELIC_TRUSTED_ACCOUNT_KEY": "1",
            "NEW_RELIC_APP_NAME": "orders",
            "NEW_RELIC_LOG_ENABLED": "false",
            "NEWRELIC_PIPE_PATH": "/nowhere/newrelic-telemetry",
        },
    )
    payloads = [json.loads(line) for line in raw.out.splitlines() if "NR_LAMBDA_MONITORING" in line]
    return answers(raw), [json.loads(gzip.decompress(base64.b64decode(payload[-1]))) for payload in payloads]


def check_newrelic_payloads(payloads):
    names = [[metric["name"] for metric, _ in payload["data"]["metric_data"][-1]] for payload in payloads]
    assert ["OtherTransaction/Function/function" in each for each in names] == [True, True]
    assert ["External/allOther" in each for each in names] == [True, True]
    assert ["out of stock" in json.dumps(payload) for payload in payloads] == [False, True]


@pytest.mark.on("12.16.1", "18.20.8", *NEW)
def test_newrelic_writes_a_payload_for_each_invocation(invoke, function, receiver):
    answered, payloads = invoke_with_newrelic(invoke, function, receiver, "observed.handler")
    assert answered == EXPECTED
    check_newrelic_payloads(payloads)


@pytest.mark.on("12.16.1", "18.20.8", *NEW, aws={RIC4: "it has no callbacks"})
def test_newrelic_writes_a_payload_for_each_invocation_of_a_callback_handler(invoke, function, receiver):
    answered, payloads = invoke_with_newrelic(invoke, function, receiver, "observed.called")
    assert answered == EXPECTED
    check_newrelic_payloads(payloads)


@pytest.mark.on(
    "12.16.1", "18.20.8", *NEW, aws={RIC4: "the agent's wrapper has a callback parameter, which it refuses"}
)
@pytest.mark.parametrize("handler", ["orders.handler", "orders.called"])
def test_elastic_sends_transactions_spans_and_errors(invoke, function, receiver, handler):
    raw = invoke(
        function("elastic"),
        handler,
        orders(receiver),
        {"NODE_OPTIONS": "--require elastic-apm-node/start", "ELASTIC_APM_SERVER_URL": receiver.url},
    )
    assert answers(raw) == EXPECTED, raw.out + raw.err
    items = [line for request in receiver.sent("/intake/v2/events") for line in request.lines()]
    transactions = [each["transaction"] for each in items if "transaction" in each]
    assert [each["outcome"] for each in transactions] == ["success", "failure"]
    assert [each["error"]["exception"]["message"] for each in items if "error" in each] == ["out of stock"]
    assert len([each for each in items if "span" in each]) == 2
