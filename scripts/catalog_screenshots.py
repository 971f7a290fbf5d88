"""Take the catalogue's screenshots for docs/images: light, dark, on a phone.

    python scripts/catalog_screenshots.py

On a manifest of 500 versions, in Chromium; each PNG is compressed as well as it can be.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Literal

import deflate
from playwright.sync_api import sync_playwright

from nodelayer.aws import account as aws
from nodelayer.catalog import page as catalog
from nodelayer.manifest import model as manifest

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
ASSETS = "https://github.com/OWNER/REPOSITORY/releases/download/nodejs-{node_version}/{file}"
FLAGS = ("--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update")
TODAY = "2026-11-24T12:00:00Z"
SHOTS: tuple[tuple[str, Literal["light", "dark"], int, int, str], ...] = (
    ("catalog-light", "light", 1180, 1000, "node=12.16.1&region=eu-west-1&arch=arm64"),
    ("catalog-dark", "dark", 1180, 1000, "node=lts&region=us-east-1&arch=x86_64"),
    ("catalog-phone", "light", 360, 800, "node=12.16.1&region=eu-west-1&arch=arm64"),
)
MOST_BYTES = 150_000


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        source = Path(scratch) / "layers.json"
        subprocess.run([sys.executable, ROOT / "scripts" / "sample_manifest.py", source], check=True)
        site = catalog.Site(assets_url=ASSETS, region_names=aws.region_names())
        written = catalog.write(manifest.read(source), Path(scratch) / "site", site)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        IMAGES.mkdir(exist_ok=True)
        for name, scheme, width, height, choice in SHOTS:
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": height}, device_scale_factor=1
            )
            page = context.new_page()
            page.clock.set_fixed_time(TODAY)
            page.goto(f"{written.page.as_uri()}#{choice}")
            data = smaller(page.screenshot())
            if len(data) > MOST_BYTES:
                sys.exit(f"{name}.png has {len(data)} bytes, more than {MOST_BYTES}: show less of the page")
            (IMAGES / f"{name}.png").write_bytes(data)
            print(f"docs/images/{name}.png: {len(data)} bytes")
            context.close()
        browser.close()


def smaller(png: bytes) -> bytes:
    """The same picture with its data compressed anew, as small as zlib's format allows for."""
    kept, data, at = [], b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IDAT":
            data += body
        elif kind == b"IHDR":
            kept.append((kind, body))
    packed = bytes(deflate.zlib_compress(zlib.decompress(data), 12))
    kept += [(b"IDAT", packed), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in kept
    )
    return png[:8] + b"".join(chunks)


if __name__ == "__main__":
    main()
