"""Agents of observability services: they see the invocation, and their data arrives before it ends."""

import json

import pytest

from runtime.packages.receiver import PRICE

pytestmark = [pytest.mark.network, pytest.mark.long]

NEW = ("22.23.3", "24.21.0", "26.10.0")


def answers(raw):
    """Return what the callers got: responses, or names of errors."""
    result = []
    for each in raw.api.received:
        if each.path.endswith("/response"):
            result.append(json.loads(bytes(each.body)))
        elif each.path.endswith("/error"):
            result.append(json.loads(bytes(each.body))["errorType"])
    return result


def orders(receiver):
    """Return the events of an order, and of one that fails."""
    order = {"prices": receiver.url, "quantity": 6}
    return [order, {**order, "fail": True}]


EXPECTED = [{"total": 6 * PRICE}, "RangeError"]


@pytest.mark.on("18.20.8", *NEW)
@pytest.mark.parametrize("handler", ["orders.handler", "orders.called", "ordersEsm.handler"])
def test_sentry_reports_the_error_and_a_transaction_for_each_invocation(invoke, functions, receiver, handler):
    raw = invoke(
        functions.folder("sentry", "orders"),
        handler,
        orders(receiver),
        {
            "NODE_OPTIONS": "--import @sentry/aws-serverless/awslambda-auto",
            "SENTRY_DSN": f"http://key@{receiver.address}/1",
            "SENTRY_TRACES_SAMPLE_RATE": "1.0",
        },
    )
    assert answers(raw) == EXPECTED, raw.out + raw.err
    items = [line for request in receiver.sent("/api/1/envelope/") for line in request.lines()]
    errors = [each["exception"]["values"][0] for each in items if "exception" in each]
    assert [(each["type"], each["value"]) for each in errors] == [("RangeError", "out of stock")]
    transactions = [each for each in items if each.get("type") == "transaction" and "contexts" in each]
    assert [each["transaction"] for each in transactions] == ["function"] * 2
    assert all("http.client" in {span["op"] for span in each["spans"]} for each in transactions)
