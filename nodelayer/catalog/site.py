"""The catalogue as a folder of static files: the page, the feed, and the manifest."""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from nodelayer.catalog import feed, page
from nodelayer.errors import InvalidInputError, machine_error
from nodelayer.manifest.model import MANIFEST_FILE, SCHEMA_FILE, Manifest
from nodelayer.manifest.schema import schema_text

PAGE_FILE = "index.html"

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PLACEHOLDERS = ("file", "node_version", "architecture", "nodelayer_version", "layer_name")


@dataclass(frozen=True)
class SiteOptions:
    """Values that the manifest does not contain.

    `assets_url` is the address of the files of a build, where `{file}` becomes
    `nodejs-12.16.1-x86_64.cdx.json`. `url` is the address of the page, for the links in the feed.
    `region_names` are AWS's names, such as Europe (Ireland).

    Raises:
        InvalidInputError: An address is not valid.
    """

    assets_url: str = ""
    url: str = ""
    region_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.url:
            _check_url(self.url, "--site-url")
        if self.assets_url:
            _check_url(_PLACEHOLDER.sub("x", self.assets_url), "--assets-url")
            used = _PLACEHOLDER.findall(self.assets_url)
            unknown = [name for name in used if name not in _PLACEHOLDERS]
            if unknown or "file" not in used:
                raise InvalidInputError(
                    f"unknown placeholder {{{unknown[0]}}}" if unknown else "{file} is missing",
                    where="--assets-url",
                    todo=f"include {{file}}; known: {', '.join(f'{{{each}}}' for each in _PLACEHOLDERS)}",
                )


@dataclass(frozen=True)
class WrittenSite:
    """The page that was written, how many layers it shows, and its size in bytes."""

    page: Path
    layers: int
    layer_versions: int
    size: int


def write(manifest: Manifest, out: Path, options: SiteOptions, *, source: Path | None = None) -> WrittenSite:
    """Write the page, the feed and the manifest to `out`; each file is replaced as a whole, the page last.

    `source` is the file of the manifest. If it is in `out`, it is not overwritten.

    Raises:
        NodelayerError: A file cannot be written, or the manifest names a runtime that is not plain text.
    """
    text = page.render(manifest, options.region_names, options.assets_url)
    files = {
        MANIFEST_FILE: manifest.json_text(),
        f"{Path(MANIFEST_FILE).stem}.txt": manifest.text(),
        SCHEMA_FILE: schema_text(),
    }
    if source is not None and source.resolve() == (out / MANIFEST_FILE).resolve():
        files = {}  # a running publisher may write them
    _replace_all(out, {**files, feed.FILE: feed.render(manifest, options.url, PAGE_FILE), PAGE_FILE: text})
    live = [sum(1 for _ in layer.offered()) for layer in manifest.layers]
    return WrittenSite(out / PAGE_FILE, sum(map(bool, live)), sum(live), len(text.encode()))


def _check_url(text: str, flag: str) -> None:
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"https", "http"} and parts.hostname and not re.search(r"[\s\"<>#]", text)
    except ValueError:
        good = False
    if not good:
        raise InvalidInputError(
            f"{text!r} is not a web address",
            where=flag,
            todo="write it with https://, for example https://example.org/",
        )


def _replace_all(out: Path, files: Mapping[str, str]) -> None:
    """Replace the files. All texts are written to the disk before the first file is replaced."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".catalog-") as folder:
            for name, text in files.items():
                with (Path(folder) / name).open("wb") as stream:
                    stream.write(text.encode())
                    stream.flush()
                    os.fsync(stream.fileno())
            for name in files:
                (Path(folder) / name).replace(out / name)
    except OSError as error:
        raise machine_error(error, out, "--out") from error
