"""Make docs/images anew: `.venv/bin/python tests/pictures.py`. Needs npm and Chromium.

The recording is of a real build with an empty download cache; it plays once, in five seconds, and its last
frame is what a viewer without animations shows. The catalogue is that of benchmarks/sample_manifest.py.
"""

import argparse
import itertools
import os
import shlex
import sys
import tempfile
import time
from html import escape
from pathlib import Path

import chromium
import terminal
from playwright.sync_api import sync_playwright
from support import ROOT

IMAGES = ROOT / "docs" / "images"
COMMAND = ("nodelayer", "build-layer", "--node", "12.16.1", "--source", "npm")
COLUMNS, LINES, SECONDS = 126, 30, 5
PACE = 0.1
"""Seconds of playing that a screen lasts at least."""
CELL, LINE, MARGIN = 8.4, 20, 20
STYLE = """
  .page { fill: #f6f8fa; stroke: #d1d9e0 } text { fill: #1f2328; white-space: pre }
  .soft { fill: #59636e } .green { fill: #1a7f37 } .red { fill: #b42318 } .accent { fill: #0a6b7c }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc }
    .soft { fill: #9198a1 } .green { fill: #3fb950 } .red { fill: #ff7b72 } .accent { fill: #39c5cf }
  }"""
CLASSES = {"default": "", "green": "green", "red": "red", "brown": "accent", "3a3a3a": "soft"}
CATALOG = {
    "catalog-light": ("light", (1180, 800), 2, "#node=12.16.1&region=eu-west-1&arch=arm64"),
    "catalog-dark": ("dark", (1180, 800), 2, "#node=24&region=eu-west-1&arch=x86_64"),
    "catalog-phone": ("light", (390, 844), 1, "#node=12.16.1&region=eu-west-1&arch=arm64"),
}


# ---- the recording


def record():
    """Run the command in an empty folder. Return its screens, each with the second when it appeared."""
    frames = [(0.0, [])]
    began = time.monotonic()

    def watch(screen):
        rows = [runs(screen.buffer[row]) for row in range(LINES)]
        while rows and not rows[-1]:
            rows.pop()
        if rows != frames[-1][1]:
            frames.append((time.monotonic() - began, rows))

    program = Path(sys.executable).with_name(COMMAND[0])
    with tempfile.TemporaryDirectory(prefix="nodelayer-picture-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NODELAYER")}
        environ = {"TERM": "xterm-256color", "DOCKER_HOST": "unix:///var/run/no-docker.sock"}
        session = terminal.run(
            [program, *COMMAND[1:]],
            columns=COLUMNS,
            lines=LINES,
            watch=watch,
            cwd=folder,
            env=kept | environ | {"NODELAYER_CACHE_DIR": f"{folder}/cache"},
        )
    if session.code:
        sys.exit("\n".join(session.last))
    return frames


def runs(cells):
    """Split a line of the screen into (column, text, class) by colour, without the blanks at its end."""
    found, column = [], 0
    line = [cells[at] for at in range(COLUMNS)]
    for color, group in itertools.groupby(line, key=lambda cell: cell.fg):
        text = "".join(cell.data for cell in group)
        if text.strip():
            found.append((column, text.rstrip(), CLASSES.get(color, "accent")))
        column += len(text)
    return found


def played(frames):
    """Return the screens as they are played: of those too short to be seen, the one that lasted longest."""
    speed = SECONDS / max(frames[-1][0], SECONDS)
    ends = [*(at for at, _ in frames[1:]), float("inf")]
    kept = {}
    for (start, rows), end in zip(frames, ends, strict=True):
        slot = int(start * speed / PACE)
        if slot not in kept or end - start > kept[slot][0]:
            kept[slot] = (end - start, rows)
    return [(slot * PACE, rows) for slot, (_, rows) in kept.items()]


def drawing(frames):
    """Draw each line once, and return the lines with the rules that show and hide them."""
    ends = [*(at for at, _ in frames[1:]), None]
    shown = {}  # by row and content, the spans of time in which it is on the screen
    for (start, rows), end in zip(frames, ends, strict=True):
        for row, content in enumerate(rows):
            spans = shown.setdefault((row, tuple(content)), [])
            if spans and spans[-1][1] == start:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
    texts, rules = [], []
    for number, ((row, content), spans) in enumerate(shown.items()):
        steps = "".join(
            f" {at / SECONDS:.0%} {{ visibility: {word} }}"
            for times in spans
            for at, word in zip(times, ("visible", "hidden"), strict=True)
            if at is not None
        )
        rules.append(f"@keyframes f{number} {{ 0% {{ visibility: hidden }}{steps} }}")
        rules.append(f"#f{number} {{ animation: f{number} {SECONDS}s step-end both }}")
        hidden = "" if spans[-1][1] is None else ' visibility="hidden"'
        parts = "".join(span(row + 1, *part) for part in content)
        texts.append(f'<g id="f{number}"{hidden}>{parts}</g>')
    return texts, rules


def span(row, column, text, kind):
    """Write one piece of a line, as wide as its cells whatever the font."""
    x, y = MARGIN + column * CELL, MARGIN + 14 + row * LINE
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y}" textLength="{len(text) * CELL:g}"{named}>{escape(text)}</text>'


def first_build():
    """Write the recording of the first command."""
    frames = played(record())
    texts, rules = drawing(frames)
    command = shlex.join(COMMAND)
    width = 2 * MARGIN + COLUMNS * CELL
    height = 2 * MARGIN + (1 + max(len(rows) for _, rows in frames)) * LINE
    last = " ".join("".join(text for _, text, _ in row) for row in frames[-1][1])
    movement = "\n    ".join(rules)
    body = "\n  ".join([span(0, 0, "$", "soft"), span(0, 2, command, ""), *texts])
    (IMAGES / "first-build.svg").write_text(
        f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" role="img"\
 aria-labelledby="title description" font-size="14"\
 font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace">
  <title id="title">{escape(command)}</title>
  <desc id="description">{escape(last)}</desc>
  <style>{STYLE}
  @media (prefers-reduced-motion: no-preference) {{
    {movement}
  }}
  </style>
  <rect class="page" x=".5" y=".5" width="{width - 1:g}" height="{height - 1}" rx="8"/>
  {body}
</svg>
""",
        encoding="utf-8",
    )


# ---- the catalogue


def catalog():
    """Write the pictures of the catalogue, down to the end of the facts or of a phone's screen."""
    sys.path.append(str(ROOT / "benchmarks"))
    from sample_manifest import sample  # noqa: PLC0415 - the benchmarks are no package

    from nodelayer.aws import regions  # noqa: PLC0415
    from nodelayer.catalog import site  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="nodelayer-picture-") as folder, sync_playwright() as playwright:
        site.write(
            sample(500),
            Path(folder),
            site.SiteOptions(region_names=regions.names(), assets_url="https://example.org/{file}"),
        )
        browser = playwright.chromium.launch(executable_path=chromium.PATH, args=list(chromium.FLAGS))
        for name, (scheme, (width, height), scale, choice) in CATALOG.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=scale)
            page.goto(f"{Path(folder, 'index.html').as_uri()}{choice}")
            end = page.locator("#use").bounding_box()["y"]
            clip = {"x": 0, "y": 0, "width": width, "height": min(end, height)}
            page.screenshot(path=IMAGES / f"{name}.png", clip=clip)
        browser.close()


PICTURES = {"first-build": first_build, "catalog": catalog}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", choices=PICTURES, help="only this one")
    named = parser.parse_args().picture
    for name in [named] if named else PICTURES:
        PICTURES[name]()
