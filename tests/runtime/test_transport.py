"""Whatever becomes of the connection: never a wrong answer, never one to another request id."""

import base64
import json
import os
import random
import socket

import pytest
from runtime.runtime_api import Event, Wire, request_id

from runtime import clients

pytestmark = pytest.mark.network

OLDEST_AND_NEWEST = ["12.16.1", "26.10.0"]
SEEDS = [int(os.environ["NODELAYER_SEED"])] if "NODELAYER_SEED" in os.environ else [1, 2, 3]
"""A failing test names its seed: NODELAYER_SEED=<it> runs that one."""
CHANCES = [
    (node, seed)
    for node in clients.EVERY_MAJOR
    for seed in (SEEDS if node in OLDEST_AND_NEWEST else SEEDS[:1])
]
TEXT = 'aZ09 "\\/\n\t\u0000\u007fé\u2028😀'
LARGE = 300_000
REFUSALS = [413, 400, 403, 500]


@pytest.fixture
def run(runtimes):
    """Run a handler of ours on events, and give back all that came of it."""

    def started(node, handler, events, **more):
        if why_not := runtimes.why_not("nodelayer", node):
            pytest.skip(why_not)
        what = clients.Run(handler, tuple(events), limit_s=40, **more)
        return clients.run(runtimes.client("nodelayer", node), what, runtimes.function)

    return started


def wire(chance, *, may_drop):
    """A reply that goes out in some odd way."""
    dropped = chance.choice([0, 0.3, 0.7, 0.99, 1]) if may_drop and chance.random() < 0.15 else None
    return Wire(
        cuts=tuple(chance.random() for _ in range(chance.choice([0, 0, 1, 2, 8]))),
        chunked=chance.choice([0, 0, 1 if chance.random() < 0.1 else 7, 1000, 70_000]),
        late_s=chance.choice([0, 0, 0, 0.002, 0.01]),
        dropped_at=dropped,
        names=chance.choice(["title", "lower", "upper"]),
        closing=chance.random() < 0.1,
    )


def headers(chance, number):
    """Headers that a runtime may not know, and those whose values are told in the answer."""
    more = {f"X-Other-{index}": "v" * chance.randrange(300) for index in range(chance.choice([0, 0, 1, 20]))}
    if chance.random() < 0.5:
        more["Lambda-Runtime-Trace-Id"] = f"Root=1-{number};Sampled={chance.randrange(2)}"
    if chance.random() < 0.1:
        more["Lambda-Runtime-Client-Context"] = json.dumps({"custom": {"k": "v" * chance.randrange(5000)}})
    return more


def payload(chance, number):
    size = chance.choice([0, 10, 1000, 20_000, LARGE if chance.random() < 0.3 else 100])
    text = "".join(chance.choice(TEXT) for _ in range(min(size, 500))) * (size // 500 or 1)
    value = {"n": number, "text": text}
    if chance.random() < 0.2:
        value["fail"] = True
    if chance.random() < 0.2:
        value["wait"] = chance.randrange(1, 8)
    return value


def some_events(chance, count, *, may_drop):
    values = [payload(chance, number) for number in range(count)]
    events = [
        Event(
            json.dumps(value, ensure_ascii=chance.random() < 0.5).encode(),
            headers(chance, number),
            asked=(wire(chance, may_drop=may_drop), Wire()),
            answered=(wire(chance, may_drop=may_drop), Wire()),
        )
        for number, value in enumerate(values)
    ]
    return values, events


def taken(raw, number):
    """The one answer to an event that the API has taken."""
    named = f"/invocation/{request_id(number + 1)}/"
    found = [each for each in raw.api.received if named in each.path and each.whole and each.status == 202]
    assert len(found) == 1, f"event {number} was answered {len(found)} times"
    return found[0]


def trace_id(raw, number):
    usual = f"Root=1-00000000-{number + 1:024d};Parent=0000000000000000;Sampled=0"
    return raw.api.events[number].headers.get("Lambda-Runtime-Trace-Id", usual)


def expected(raw, number, value):
    return {"event": value, "id": request_id(number + 1), "trace": trace_id(raw, number)}


@pytest.mark.parametrize("handler", ["buffered", "calledBack"])
@pytest.mark.parametrize(("node", "seed"), CHANCES)
def test_each_event_gets_its_own_answer_however_the_bytes_come(run, node, handler, seed):
    values, events = some_events(random.Random(seed), 120, may_drop=True)
    raw = run(node, f"transport.{handler}", events)
    assert raw.done, f"seed {seed}: {raw.code} {raw.out[-2000:]} {raw.err}"
    assert raw.api.problems == [], f"seed {seed}"
    for number, value in enumerate(values):
        answer = taken(raw, number)
        told = json.loads(bytes(answer.body))
        if value.get("fail"):
            assert answer.path.endswith("/error"), f"seed {seed}, event {number}"
            assert told["errorMessage"] == f"{number} {request_id(number + 1)}", (
                f"seed {seed}, event {number}"
            )
        else:
            assert told == expected(raw, number, value), f"seed {seed}, event {number}"


@pytest.mark.parametrize(("node", "seed"), CHANCES)
def test_each_stream_belongs_to_its_event_however_the_bytes_come(run, node, seed):
    values, events = some_events(random.Random(seed), 60, may_drop=False)
    raw = run(node, "transport.streamed", events)
    assert raw.done, f"seed {seed}: {raw.code} {raw.out[-2000:]} {raw.err}"
    assert raw.api.problems == [], f"seed {seed}"
    assert not any(request.early for request in raw.api.received), f"seed {seed}"
    for number, value in enumerate(values):
        answer = taken(raw, number)
        assert answer.header("Lambda-Runtime-Function-Response-Mode") == "streaming"
        assert json.loads(bytes(answer.body)) == expected(raw, number, value), f"seed {seed}, event {number}"
        error = answer.trailer("Lambda-Runtime-Function-Error-Body")
        assert (error is not None) == bool(value.get("fail")), f"seed {seed}, event {number}"
        if error is not None:
            assert json.loads(base64.b64decode(error))["errorMessage"] == request_id(number + 1)


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("node", OLDEST_AND_NEWEST)
def test_a_refused_response_becomes_an_error_of_the_same_invocation(run, node, status, size):
    events = [
        Event(json.dumps({"n": 1, "text": "x" * size}).encode(), refusals=(status,)),
        Event(b'{"n": 2}'),
    ]
    raw = run(node, "transport.buffered", events, after_refusal="open")
    assert raw.done, raw.out + raw.err
    error = taken(raw, 0)
    assert error.path.endswith("/error")
    assert json.loads(bytes(error.body))["errorType"] == "Runtime.ResponseRefused"
    assert str(status) in json.loads(bytes(error.body))["errorMessage"]
    assert json.loads(bytes(taken(raw, 1).body))["event"] == {"n": 2}


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("node", OLDEST_AND_NEWEST)
def test_an_answer_whose_receipt_was_lost_is_not_called_refused(run, node, size):
    lost = Wire(dropped_at=0.5)  # it was taken, so when it is sent again the API refuses it
    events = [Event(json.dumps({"text": "x" * size}).encode(), answered=(lost, Wire())), Event(b'{"n": 2}')]
    raw = run(node, "transport.buffered", events)
    assert taken(raw, 0).path.endswith("/response")
    assert taken(raw, 1).path.endswith("/response")
    assert [each.path for each in raw.api.received if each.path.endswith("/error")] == []
    assert "refused" not in raw.out


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_an_event_of_six_megabytes_comes_and_goes(run, node):
    text = "é" * 3_000_000
    cut = Wire(cuts=(0.1, 0.5, 0.99))
    events = [
        Event(json.dumps({"text": text}, ensure_ascii=False).encode(), asked=(cut,)),
        Event(b'{"n": 2}'),
    ]
    raw = run(node, "transport.buffered", events)
    assert json.loads(bytes(taken(raw, 0).body))["event"]["text"] == text
    assert json.loads(bytes(taken(raw, 1).body))["event"] == {"n": 2}


@pytest.mark.parametrize("node", clients.EVERY_MAJOR)
def test_the_process_ends_when_the_runtime_api_is_gone(run, node):
    lost = Wire(dropped_at=0.5)
    raw = run(node, "transport.buffered", [Event(b'{"n": 1}'), Event(b'{"n": 2}', asked=(lost,))])
    assert json.loads(bytes(taken(raw, 0).body))["event"] == {"n": 1}
    assert (raw.done, raw.code) == (False, 1)
    assert "does not answer" in raw.out


@pytest.mark.parametrize("node", OLDEST_AND_NEWEST)
def test_the_process_ends_when_there_is_no_runtime_api(run, node):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"127.0.0.1:{listener.getsockname()[1]}"
    raw = run(node, "transport.buffered", [Event()], variables={"AWS_LAMBDA_RUNTIME_API": nobody})
    assert raw.code == 1
    assert nobody in raw.out
