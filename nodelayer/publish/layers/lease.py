"""A lease, so that one publisher at a time works with `--align` in an account.

Two of them would publish padding against each other. The lease is a private version of the layer
`nodejs-align-lease` in one region of the partition: Lambda numbers the versions of a layer in the order of
their publishing, and the lowest number has the lease. While a publisher runs, it renews its lease
with further versions; a publisher that was killed stops, so its lease expires.
"""

import secrets
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nodelayer.aws.account import Account
from nodelayer.aws.layers import Content, LayerMetadata, Layers, prepare
from nodelayer.errors import NodelayerError, UnreachableError
from nodelayer.util.parallel import Stop, StoppedError
from nodelayer.util.temporary import temporary_folder

LAYER = "nodejs-align-lease"
LIFETIME_S = 60.0
"""Seconds after which a lease expires that was not renewed."""
_POLL_S = 2.0
_PREFIX = "nodelayer align lease "


@dataclass(frozen=True)
class _Lease:
    """The lease of one publisher: its first number, its newest version, and all its numbers."""

    first: int
    renewed: datetime
    numbers: tuple[int, ...]


@contextmanager
def align_lease(
    account: Account, regions: Sequence[str], stop: Stop, say: Callable[[str], None]
) -> Iterator[bool]:
    """Hold the lease; yield whether another publisher had it before.

    The partition's main region is asked first, because two publishers may work in different regions. If it
    does not give a lease, those of the plan are asked; without any, the caller works without a lease, and its
    own calls in these regions fail for the same reason.

    Raises:
        StoppedError: The user stopped the run while another publisher had the lease.
    """
    with temporary_folder("nodelayer-lease-") as scratch:
        main = (account.main_region,) if account.main_region else ()
        for region in dict.fromkeys((*main, *sorted(regions))):
            holder = _Holder(account.open_region(region).layers, scratch)
            try:
                waited = holder.acquire(stop, say)
            except StoppedError:
                holder.release()
                raise
            except NodelayerError:
                holder.release()
                continue
            try:
                with holder.renewing():
                    yield waited
            finally:
                holder.release()
            return
        yield False


class _Holder:
    """Acquires, renews and releases one lease."""

    def __init__(self, layers: Layers, scratch: Path) -> None:
        self._layers = layers
        self._lock = threading.Lock()  # `layers` may be used by one thread at a time
        self._token = secrets.token_hex(8)
        self._first = 0
        self._body = scratch / f"{self._token}.zip"
        with zipfile.ZipFile(self._body, "w") as packed:
            packed.writestr("lease.txt", self._token)

    def acquire(self, stop: Stop, say: Callable[[str], None]) -> bool:
        """Wait for the lease, and return whether another publisher had it."""
        mine = self._publish()
        published, self._first = time.monotonic(), mine.version
        waited = False
        while self._is_held_by_another(_seconds(mine.created) + time.monotonic() - published):
            if not waited:
                say("waiting until another publish --align ends")
            waited = True
            stop.sleep(_POLL_S)
            if time.monotonic() - published > LIFETIME_S / 3:
                mine, published = self._publish(), time.monotonic()
        return waited

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew the lease in a thread."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(LIFETIME_S / 3):
                with suppress(NodelayerError):  # the next renewal is in time, too
                    self._publish()

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()  # a later renewal would outlive the lease

    def release(self) -> None:
        """Delete the lease. If that fails, it expires."""
        with self._lock, suppress(NodelayerError):
            for number in self._leases().get(self._token, _NONE).numbers:
                self._layers.delete(LAYER, number)

    def _publish(self) -> Content:
        """Publish a version of the lease. If the answer is lost, find it in the list."""
        description = f"{_PREFIX}{self._token} {self._first}"
        metadata = LayerMetadata(LAYER, description, "MIT", (), ())
        with self._lock:
            payload = prepare(metadata, self._body, self._body.with_suffix(".json"))
            try:
                return self._layers.publish(metadata, payload, lambda _: None)
            except UnreachableError:
                found = self._leases().get(self._token, _NONE).numbers
                content = self._layers.content(LAYER, max(found)) if found else None
                if content is None:
                    raise
                return content

    def _is_held_by_another(self, now: float) -> bool:
        """Tell whether a lease with a lower number has not expired; delete those that have.

        `now` is Lambda's time, in seconds since the epoch.
        """
        with self._lock:
            held = False
            for token, lease in self._leases().items():
                if token == self._token:
                    continue
                if now - lease.renewed.timestamp() <= LIFETIME_S:
                    held = held or lease.first < self._first
                    continue
                for number in lease.numbers:
                    self._layers.delete(LAYER, number)
            return held

    def _leases(self) -> dict[str, _Lease]:
        found: dict[str, _Lease] = {}
        for each in self._layers.versions(LAYER):
            token, _, first = each.description.removeprefix(_PREFIX).partition(" ")
            known = found.get(token, _NONE)
            number = int(first) if first.isdecimal() and int(first) else each.version
            found[token] = _Lease(
                min(known.first, number) if known.first else number,
                datetime.fromisoformat(each.created),
                (*known.numbers, each.version),
            )
        return found


_NONE = _Lease(0, datetime.min, ())  # noqa: DTZ901 - never compared


def _seconds(created: str) -> float:
    return datetime.fromisoformat(created).timestamp()
