"""boto3 clients of one region that stay within Lambda's request quota."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from nodelayer.aws.errors import read, translate_errors
from nodelayer.aws.quotas import REQUESTS_A_SECOND

TRIES = 4
"""Attempts of a call that is safe to repeat."""
_TOO_MANY = 429
_THROTTLED = (_TOO_MANY, 503)
_LONGEST_WAIT_S = 30.0
_T = TypeVar("_T")


class OpenClient(Protocol):
    """A function that creates the boto3 client of a service in a region."""

    def __call__(self, service: str, region: str, *, once: bool = False) -> Any:  # noqa: ANN401 - any service's
        """Create the client; with `once`, one that never retries a call."""


class RegionClients:
    """The boto3 clients of one account in one region. Threads may share it."""

    def __init__(self, region: str, account_id: str, open_client: OpenClient) -> None:
        self.region = region
        self.account_id = account_id
        self._open_client = open_client
        self._pace = Pace(REQUESTS_A_SECOND)

    def client(self, service: str, *, once: bool = False) -> Any:  # noqa: ANN401 - any service's
        """Return a boto3 client of this region; requests to Lambda stay within its quota."""
        client = self._open_client(service, self.region, once=once)
        if not once:
            client.meta.events.register_first(f"needs-retry.{service}", wait_as_told)
        if service in {"lambda", "lambda-core"}:
            client.meta.events.register(f"request-created.{service}", self._pace.wait)
        return client

    def translate_errors(self, action: str, what: str) -> AbstractContextManager[None]:
        """Translate the errors of a call in this region, see `nodelayer.aws.errors`."""
        return translate_errors(action, what, self.region)

    def read(self, action: str, what: str, ask: Callable[[], _T]) -> _T:
        """Call `ask`, which is safe to repeat, see `nodelayer.aws.errors.read`."""
        return read(action, what, self.region, ask)


def wait_as_told(response: tuple[Any, object] | None, attempts: int, **_event: object) -> float | None:
    """Return the seconds of the header Retry-After of a throttled response; None if botocore decides."""
    if response is None or attempts >= TRIES or response[0].status_code not in _THROTTLED:
        return None
    seconds = response[0].headers.get("Retry-After", "")
    return min(float(seconds), _LONGEST_WAIT_S) if seconds.isdecimal() else None


def wait_if_throttled(response: tuple[Any, object] | None, attempts: int, **event: object) -> float | None:
    """Return the seconds before a throttled request is repeated: Lambda has not carried it out."""
    if response is None or response[0].status_code != _TOO_MANY or attempts >= TRIES:
        return None
    return wait_as_told(response, attempts, **event) or 2.0 ** (attempts - 1)


class Pace:
    """A limit of requests per second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, **_event: object) -> None:
        """Block until the next request may be sent. The arguments of the botocore event are ignored."""
        with self._lock:
            now = time.monotonic()
            # Bursts take half a second's quota at most: more could exceed the quota of the next second.
            self._next = max(self._next, now - 0.5) + 1 / self._rate
            pause = self._next - now
        if pause > 0:
            time.sleep(pause)
