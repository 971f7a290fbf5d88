"""The catalogue's weight, and how soon it can be read and filtered, with 500 versions in 34 regions, twice.

    python benchmarks/catalog.py [--rounds 9]

Chromium, headless, from a server on this machine that compresses nothing; a new window for each round. Writes
benchmarks/results/catalog.json and catalog.md. Times are medians, in milliseconds.
"""

import argparse
import functools
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from nodelayer import __version__
from nodelayer.aws import regions
from nodelayer.catalog import page as catalog
from nodelayer.manifest import store

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FLAGS = ("--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update")
# The frame after the one in which the ARN came is the first that is known to have been painted with it.
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
  const only = document.getElementById('only-region');
  await frame();
  const began = performance.now();
  words.value = text;
  only.value = region;
  words.dispatchEvent(new Event('input', { bubbles: true }));
  const computed = performance.now() - began;
  await frame();
  return [computed, performance.now() - began, document.getElementById('count').textContent];
}"""
FILTERS = {
    "a version": ("12.16", ""),
    "a word": ("krypton", ""),
    "a region": ("", "eu-west-1"),
    "nothing (all layers)": ("", ""),
}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("benchmarks/catalog.py: there is no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = folder / "layers.json"
        subprocess.run([sys.executable, ROOT / "scripts" / "sample_manifest.py", source], check=True)
        known = store.read(source)
        began = time.perf_counter()
        site = folder / "site"
        written = catalog.write(known, site, catalog.Site(region_names=regions.names()))
        took = time.perf_counter() - began
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            measured = measure(browser, f"http://127.0.0.1:{server.server_port}/index.html", rounds)
            version = browser.version
            browser.close()
        server.shutdown()
        page = written.page.read_bytes()
        result = {
            "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "chromium": version,
            "nodelayer": __version__,
            "layers": written.layers,
            "layer_versions": written.layer_versions,
            "rounds": rounds,
            "page_bytes": len(page),
            "page_gzip_bytes": len(gzip.compress(page, 9)),
            "manifest_bytes": source.stat().st_size,
            "write_s": round(took, 2),
            **measured,
        }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "catalog.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "catalog.md").write_text(table(result), encoding="utf-8")
    print((RESULTS / "catalog.md").read_text(encoding="utf-8"), end="")


def measure(browser: Browser, address: str, rounds: int) -> dict[str, object]:
    """First paint with an ARN since the navigation began; each filter to its rows and to their paint."""
    seen: list[float] = []
    filters: dict[str, list[tuple[float, float]]] = {name: [] for name in FILTERS}
    for _ in range(rounds + 1):  # the first warms the disk and the browser up
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.add_init_script(SEEN)
        page.goto(address)
        page.wait_for_function("window.seen")
        seen.append(page.evaluate("window.seen"))
        for name, words in FILTERS.items():
            computed, painted, _count = page.evaluate(FILTER, list(words))
            filters[name].append((computed, painted))
        context.close()
    return {
        "first_arn_ms": round(statistics.median(seen[1:]), 1),
        "filter_ms": {
            name: {
                "computed": round(statistics.median(each for each, _ in times[1:]), 1),
                "painted": round(statistics.median(each for _, each in times[1:]), 1),
            }
            for name, times in filters.items()
        },
    }


def table(result: dict[str, object]) -> str:
    """The result as Markdown."""

    def kilobytes(name: str) -> str:
        return f"{int(str(result[name])) / 1e3:.0f} kB"

    filters = result["filter_ms"]
    said = (
        f"Measured {result['measured']} on {result['machine']}, {result['cores']} cores, Chromium "
        f"{result['chromium']}; nodelayer {result['nodelayer']}. {result['layers']} layers (500 versions of "
        f"Node.js, x86_64 and arm64), {result['layer_versions']} layer versions in 34 regions. "
        f"Median of {result['rounds']}."
    )
    rows = {
        "page, all data in it": kilobytes("page_bytes"),
        "the same, gzip": kilobytes("page_gzip_bytes"),
        "layers.json, to compare": kilobytes("manifest_bytes"),
        "writing it all": f"{result['write_s']} s",
        "start of navigation to the paint of an ARN": f"{result['first_arn_ms']} ms",
    }
    if isinstance(filters, dict):
        for name, each in filters.items():
            rows[f"filter by {name}: rows made, painted"] = f"{each['computed']} ms, {each['painted']} ms"
    lines = [said, "", "| what | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
