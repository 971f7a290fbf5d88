"""Every event gets its own response, whatever happens to the connection."""

import base64
import json
import os
import random
import socket

import pytest
from runtime.clients import NEW, OLD
from runtime.runtime_api import Event, Wire, request_id

from runtime import clients

pytestmark = pytest.mark.network

SOME = [OLD, NEW, "26.10.0"]
SEEDS = [int(os.environ["NODELAYER_SEED"])] if "NODELAYER_SEED" in os.environ else [1, 2, 3]
"""A failing test prints its seed; NODELAYER_SEED=SEED runs only that one."""
LONG_SEEDS = range(4, 34)
NODES_AND_SEEDS = [
    pytest.param(node, seed, marks=[pytest.mark.long] * (seed > SEEDS[0]))
    for node in clients.EVERY_MAJOR
    for seed in (SEEDS if node in SOME else SEEDS[:1])
] + [pytest.param(node, seed, marks=pytest.mark.long) for node in (OLD, NEW) for seed in LONG_SEEDS]
TEXT = 'aZ09 "\\/\n\t\u0000\u007fé\u2028😀'
LARGE = 300_000
REFUSALS = [413, 400, 403, 500]


@pytest.fixture
def run(runtimes):
    """Return a function that runs a handler on events and returns its clients.RunResult."""

    def started(node, handler, events, **more):
        if why_not := runtimes.why_not("nodelayer", node):
            pytest.skip(why_not)
        what = clients.Run(handler, tuple(events), limit_s=40, **more)
        return clients.run(runtimes.client("nodelayer", node), what, runtimes.function)

    return started


def wire(rng, *, may_drop):
    """Return a random way to send a reply."""
    dropped = rng.choice([0, 0.3, 0.7, 0.99, 1]) if may_drop and rng.random() < 0.15 else None
    return Wire(
        cuts=tuple(rng.random() for _ in range(rng.choice([0, 0, 1, 2, 8]))),
        chunked=rng.choice([0, 0, 1 if rng.random() < 0.1 else 7, 1000, 70_000]),
        late_s=rng.choice([0, 0, 0, 0.002, 0.01]),
        dropped_at=dropped,
        names=rng.choice(["title", "lower", "upper"]),
        closing=rng.random() < 0.1,
    )


def headers(rng, number):
    """Return random headers, known and unknown to the runtime client."""
    more = {f"X-Other-{index}": "v" * rng.randrange(300) for index in range(rng.choice([0, 0, 1, 20]))}
    if rng.random() < 0.5:
        more["Lambda-Runtime-Trace-Id"] = f"Root=1-{number};Sampled={rng.randrange(2)}"
    if rng.random() < 0.1:
        more["Lambda-Runtime-Client-Context"] = json.dumps({"custom": {"k": "v" * rng.randrange(5000)}})
    return more


def payload(rng, number):
    size = rng.choice([0, 10, 1000, 20_000, LARGE if rng.random() < 0.3 else 100])
    text = "".join(rng.choice(TEXT) for _ in range(min(size, 500))) * (size // 500 or 1)
    value = {"n": number, "text": text}
    if rng.random() < 0.2:
        value["fail"] = True
    if rng.random() < 0.2:
        value["wait"] = rng.randrange(1, 8)
    return value


def some_events(rng, count, *, may_drop):
    values = [payload(rng, number) for number in range(count)]
    events = [
        Event(
            json.dumps(value, ensure_ascii=rng.random() < 0.5).encode(),
            headers(rng, number),
            asked=(wire(rng, may_drop=may_drop), Wire()),
            answered=(wire(rng, may_drop=may_drop), Wire()),
        )
        for number, value in enumerate(values)
    ]
    return values, events


def accepted(raw, number):
    """Return the only request for an event that the API has accepted."""
    named = f"/invocation/{request_id(number + 1)}/"
    found = [each for each in raw.api.received if named in each.path and each.whole and each.status == 202]
    assert len(found) == 1, f"event {number} got {len(found)} responses"
    return found[0]


def trace_id(raw, number):
    usual = f"Root=1-00000000-{number + 1:024d};Parent=0000000000000000;Sampled=0"
    return raw.api.events[number].headers.get("Lambda-Runtime-Trace-Id", usual)


def expected(raw, number, value):
    return {"event": value, "id": request_id(number + 1), "trace": trace_id(raw, number)}


@pytest.mark.parametrize("handler", ["buffered", "calledBack"])
@pytest.mark.parametrize(("node", "seed"), NODES_AND_SEEDS)
def test_each_event_gets_its_own_response_however_replies_are_split(run, node, handler, seed):
    values, events = some_events(random.Random(seed), 120, may_drop=True)
    raw = run(node, f"transport.{handler}", events)
    assert raw.done, f"seed {seed}: {raw.code} {raw.out[-2000:]} {raw.err}"
    assert raw.api.problems == [], f"seed {seed}"
    for number, value in enumerate(values):
        answer = accepted(raw, number)
        result = json.loads(bytes(answer.body))
        if value.get("fail"):
            assert answer.path.endswith("/error"), f"seed {seed}, event {number}"
            assert result["errorMessage"] == f"{number} {request_id(number + 1)}", (
                f"seed {seed}, event {number}"
            )
        else:
            assert result == expected(raw, number, value), f"seed {seed}, event {number}"


@pytest.mark.parametrize(("node", "seed"), NODES_AND_SEEDS)
def test_each_stream_belongs_to_its_event_however_replies_are_split(run, node, seed):
    values, events = some_events(random.Random(seed), 60, may_drop=False)
    raw = run(node, "transport.streamed", events)
    assert raw.done, f"seed {seed}: {raw.code} {raw.out[-2000:]} {raw.err}"
    assert raw.api.problems == [], f"seed {seed}"
    assert not any(request.early for request in raw.api.received), f"seed {seed}"
    for number, value in enumerate(values):
        answer = accepted(raw, number)
        assert answer.header("Lambda-Runtime-Function-Response-Mode") == "streaming"
        assert json.loads(bytes(answer.body)) == expected(raw, number, value), f"seed {seed}, event {number}"
        error = answer.trailer("Lambda-Runtime-Function-Error-Body")
        assert (error is not None) == bool(value.get("fail")), f"seed {seed}, event {number}"
        if error is not None:
            assert json.loads(base64.b64decode(error))["errorMessage"] == request_id(number + 1)


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("node", SOME)
def test_a_refused_response_becomes_an_error_of_the_same_invocation(run, node, status, size):
    events = [
        Event(json.dumps({"n": 1, "text": "x" * size}).encode(), refusals=(status,)),
        Event(b'{"n": 2}'),
    ]
    raw = run(node, "transport.buffered", events, after_refusal="open")
    assert raw.done, raw.out + raw.err
    error = accepted(raw, 0)
    assert error.path.endswith("/error")
    assert json.loads(bytes(error.body))["errorType"] == "Runtime.ResponseRefused"
    assert str(status) in json.loads(bytes(error.body))["errorMessage"]
    assert json.loads(bytes(accepted(raw, 1).body))["event"] == {"n": 2}


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("node", SOME)
def test_response_is_not_reported_as_refused_if_only_its_reply_is_lost(run, node, size):
    lost = Wire(dropped_at=0.5)  # the API has accepted it, so it refuses the retry
    events = [Event(json.dumps({"text": "x" * size}).encode(), answered=(lost, Wire())), Event(b'{"n": 2}')]
    raw = run(node, "transport.buffered", events)
    assert accepted(raw, 0).path.endswith("/response")
    assert accepted(raw, 1).path.endswith("/response")
    assert [each.path for each in raw.api.received if each.path.endswith("/error")] == []
    assert "refused" not in raw.out


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_event_of_six_megabytes_is_received_and_returned(run, node):
    text = "é" * 3_000_000
    cut = Wire(cuts=(0.1, 0.5, 0.99))
    events = [
        Event(json.dumps({"text": text}, ensure_ascii=False).encode(), asked=(cut,)),
        Event(b'{"n": 2}'),
    ]
    raw = run(node, "transport.buffered", events)
    assert json.loads(bytes(accepted(raw, 0).body))["event"]["text"] == text
    assert json.loads(bytes(accepted(raw, 1).body))["event"] == {"n": 2}


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_process_ends_if_the_runtime_api_stops_answering(run, node):
    lost = Wire(dropped_at=0.5)
    raw = run(node, "transport.buffered", [Event(b'{"n": 1}'), Event(b'{"n": 2}', asked=(lost,))])
    assert json.loads(bytes(accepted(raw, 0).body))["event"] == {"n": 1}
    assert (raw.done, raw.code) == (False, 1)
    assert "does not answer" in raw.out


@pytest.mark.parametrize("node", SOME)
def test_process_ends_if_the_runtime_api_is_unreachable(run, node):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        unused = f"127.0.0.1:{listener.getsockname()[1]}"
    raw = run(node, "transport.buffered", [Event()], variables={"AWS_LAMBDA_RUNTIME_API": unused})
    assert raw.code == 1
    assert unused in raw.out
