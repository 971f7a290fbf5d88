"""Write the manifest while regions finish."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from nodelayer.aws.arn import RuntimeVersionArn
from nodelayer.errors import NodelayerError
from nodelayer.manifest import store
from nodelayer.manifest.model import Layer, Manifest, RuntimeVersion


class Recorder:
    """Writes entries to the manifest as they arrive, less often if a write takes long."""

    _MOST = 0.2  # of the time that passes
    _ENTRY_BYTES = 1024  # of an entry in the manifest and in its text, at most

    def __init__(self, path: Path, entries: int) -> None:
        self._path = path
        self._reserve = store.Reserve(path, entries * self._ENTRY_BYTES)
        self._waiting: list[Layer] = []
        self._runtimes: dict[str, RuntimeVersion] = {}
        self._next = 0.0

    @property
    def unwritten(self) -> tuple[str, ...]:
        """The regions whose entries are not in the manifest yet."""
        regions = {region for layer in self._waiting for region in layer.regions}
        return tuple(sorted(regions.union(RuntimeVersionArn.parse(arn).region for arn in self._runtimes)))

    def __enter__(self) -> Self:
        """Check that the manifest can be written, and reserve the disk space for its new entries.

        Raises:
            NodelayerError: The manifest cannot be written.
        """
        store.check_writable(self._path)
        self._reserve.take()
        return self

    def __exit__(self, *_: object) -> None:
        self._reserve.free()

    def add(self, layer: Layer) -> None:
        """Write an entry soon; if that fails, it is written with the next one or by `flush`."""
        self._waiting.append(layer)
        self._write()

    def add_runtime(self, arn: str, runtime: RuntimeVersion) -> None:
        """Write the entry of a runtime version, as `add` does."""
        self._runtimes[arn] = runtime
        self._write()

    def _write(self) -> None:
        if time.monotonic() >= self._next:
            with suppress(NodelayerError):
                self.flush()

    def flush(self) -> None:
        """Write the waiting entries.

        Raises:
            NodelayerError: The manifest cannot be written.
        """
        if not self._waiting and not self._runtimes:
            return
        began = time.monotonic()
        new = Manifest.of(self._waiting, self._runtimes)
        try:
            store.update(self._path, lambda known: store.accept(known, new), self._reserve)
            self._waiting, self._runtimes = [], {}
        finally:
            ended = time.monotonic()
            self._next = ended + max(1 - (ended - began), (ended - began) / self._MOST)
