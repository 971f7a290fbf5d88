"""Size of the catalogue, and time until it can be read and filtered, with 500 versions in every region.

Headless Chromium loads the page from a server on this machine, without compression, in a new window for each
round.
"""

import argparse
import functools
import gzip
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import measure
import msgspec
from measure import Rounds, Table
from playwright.sync_api import Page, sync_playwright
from sample_manifest import sample

from nodelayer.aws import regions
from nodelayer.catalog import site as catalog
from nodelayer.errors import NotFoundError
from nodelayer.manifest import store
from nodelayer.manifest.model import Manifest

FLAGS = ("--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update")
# The ARN is certainly painted when the next animation frame starts.
SEEN = """
const look = () => {
  const arn = document.getElementById('arn');
  if (!arn || !arn.textContent) return requestAnimationFrame(look);
  requestAnimationFrame(() => { window.seen = performance.now(); });
};
requestAnimationFrame(look);
"""
FILTER = """async ([text, region]) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const words = document.getElementById('words');
  await frame();
  const began = performance.now();
  words.value = text;
  document.getElementById('only-region').value = region;
  words.dispatchEvent(new Event('input', { bubbles: true }));
  await frame();
  return performance.now() - began;
}"""
FILTERS = {
    "filter by a version": ("12.16", ""),
    "filter by a word": ("krypton", ""),
    "filter by a region": ("", "eu-west-1"),
    "no filter (all layers)": ("", ""),
}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder, and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def one_round(page: Page, address: str) -> dict[str, float]:
    """Return the milliseconds until an ARN is painted, and until the result of each filter is painted."""
    page.add_init_script(SEEN)
    page.goto(address)
    page.wait_for_function("window.seen")
    found = {"navigation start until an ARN is painted": float(page.evaluate("window.seen"))}
    return found | {name: float(page.evaluate(FILTER, list(words))) for name, words in FILTERS.items()}


def of_manifest(path: Path, known: Manifest, rounds: int) -> Rounds:
    """Return the milliseconds to read the manifest, and to record one layer."""

    def read() -> float:
        began = time.perf_counter()
        store.read(path)
        return (time.perf_counter() - began) * 1000

    def record() -> float:
        news = Manifest.of([msgspec.structs.replace(known.layers[0], nodelayer_version="1.3.0")])
        began = time.perf_counter()
        store.update(path, lambda before: before.merge(news))
        return (time.perf_counter() - began) * 1000

    return measure.interleave({"read": read, "record one layer": record}, rounds)


def open_catalog(options: argparse.Namespace) -> list[Table]:
    """Write the catalogue, then open and filter it in each round."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise NotFoundError("chromium is not installed", where="PATH", todo="run apt-get install chromium")
    known = sample(options.versions)
    times: dict[str, Rounds] = {}
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as name:
        folder = Path(name)
        written = catalog.write(known, folder / "site", catalog.SiteOptions(region_names=regions.names()))
        with served(folder / "site") as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            for turn in range(options.rounds + 1):  # the first round fills the caches
                with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
                    for what, took in one_round(context.new_page(), address).items():
                        times.setdefault(what, {}).setdefault("ms", []).extend([took] if turn else [])
            version = browser.version
            browser.close()
        page = written.page.read_bytes()
        path = folder / "layers.json"
        store.update(path, lambda _none: known)
        sizes = {"page": len(page), "page, gzip": len(gzip.compress(page)), "manifest": path.stat().st_size}
        of_json = of_manifest(path, known, options.rounds)
    return [
        Table(
            "Size, kB",
            {what: {"kB": [size / 1000]} for what, size in sizes.items()},
            note=f"{written.layers:,} layers, {written.layer_versions:,} layer versions.",
        ),
        Table(f"Chromium {version}, ms", times),
        Table("Manifest, ms", {"layers.json": of_json}),
    ]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=9)
    parser.add_argument("--versions", type=int, default=500, help="number of Node.js versions (default: 500)")
    sys.exit(measure.main(parser, open_catalog))
