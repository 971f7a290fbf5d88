"""The runtime client in AWS's Runtime Interface Emulator."""

import json

import pytest
from runtime.clients import NEW, OLD

from nodelayer import architecture
from nodelayer.emulation import rie as emulator
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.network


@pytest.fixture(scope="session")
def rie(cache_folder):
    cache = DownloadCache(cache_folder)
    return emulator.rie(architecture.of_host(), cache=cache, reporter=Reporter(quiet=True))


@pytest.fixture(params=[OLD, NEW])
def started(request, runtimes, rie):
    """Return a function that starts the emulator with a handler, on an old or a new Node.js."""
    if why_not := runtimes.why_not("nodelayer", request.param):
        pytest.skip(why_not)
    client = runtimes.client("nodelayer", request.param)

    def running(handler, timeout_s=10):
        sandbox = emulator.Sandbox(client.folder, runtimes.function, handler, timeout_s)
        return emulator.running(sandbox, rie=rie)

    return running


def test_one_process_serves_several_events(started):
    with started("state.counts") as running:
        assert [running.invoke(b"{}") for _ in range(3)] == [(b"1", 200), (b"2", 200), (b"3", 200)]


def test_next_event_is_served_after_an_error(started):
    with started("errors.sometimes") as running:
        failed, _ = running.invoke(b'{"fail": 1}')
        assert json.loads(failed)["errorMessage"] == "number 1"
        assert running.invoke(b"{}") == (b'"fine"', 200)


def test_next_event_gets_a_new_process_after_a_timeout(started):
    with started("state.slowOnce", timeout_s=2) as running:
        late, _ = running.invoke(b'{"wait": 60000}')
        assert b"Task timed out after 2.00 seconds" in late
        assert running.invoke(b"{}") == (b"1", 200)


def test_next_event_gets_a_new_process_after_a_crash(started):
    with started("state.crashes") as running:
        crashed, _ = running.invoke(b'{"crash": true}')
        assert json.loads(crashed)["errorMessage"] == "as asked"
        assert running.invoke(b"{}") == (b"1", 200)


def test_response_of_five_megabytes_arrives_complete(started):
    with started("values.huge") as running:
        answer, _ = running.invoke(b'{"size": 5000000}')
        assert json.loads(answer) == "x" * 5_000_000


def test_next_event_is_served_after_a_response_that_is_too_large(started):
    with started("values.huge") as running:
        answer, _ = running.invoke(b'{"size": 7000000}')
        assert b"413" in answer or b"TooLarge" in answer or b"exceeded" in answer
        assert running.invoke(b'{"size": 2}') == (b'"xx"', 200)


def test_stream_arrives_in_order(started):
    with started("streams.writes") as running:
        assert running.invoke(b"{}") == (b"one two three", 200)
        assert running.invoke(b"{}") == (b"one two three", 200)


def test_stream_that_fails_before_its_first_byte_is_an_error(started):
    with started("streams.throwsFirst") as running:
        answer, _ = running.invoke(b"{}")
        assert json.loads(answer)["errorType"] == "RangeError"


def test_next_event_is_served_after_a_stream_that_fails_midway(started):
    with started("streams.counted") as running:
        assert running.invoke(b'{"fail": 1}')[0].startswith(b"number 1")
        assert running.invoke(b"{}") == (b"number 2", 200)
