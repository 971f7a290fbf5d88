"""Write the manifest while regions finish."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from nodelayer.errors import NodelayerError
from nodelayer.manifest import store
from nodelayer.manifest.model import Layer, Manifest


class Recorder:
    """Writes entries to the manifest as they arrive, less often if a write takes long."""

    _MOST = 0.2  # of the time that passes
    _ENTRY_BYTES = 1024  # of a layer version in the manifest and in its text, at most

    def __init__(self, path: Path, entries: int) -> None:
        self._path = path
        self._reserve = store.Reserve(path, entries * self._ENTRY_BYTES)
        self._waiting: list[Layer] = []
        self._next = 0.0

    @property
    def unwritten(self) -> tuple[str, ...]:
        """The regions whose entries are not in the manifest yet."""
        return tuple(sorted({region for layer in self._waiting for region in layer.regions}))

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
        if time.monotonic() >= self._next:
            with suppress(NodelayerError):
                self.flush()

    def flush(self) -> None:
        """Write the waiting entries.

        Raises:
            NodelayerError: The manifest cannot be written.
        """
        if not self._waiting:
            return
        began = time.monotonic()
        new = Manifest.of(self._waiting)
        try:
            store.update(self._path, lambda known: known.merge(new), self._reserve)
            self._waiting = []
        finally:
            ended = time.monotonic()
            self._next = ended + max(1 - (ended - began), (ended - began) / self._MOST)
