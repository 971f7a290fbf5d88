"""Debian's Chromium as tests start it: headless, and asking nobody but the page's own server for anything."""

import shutil

PATH = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",  # CI is root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
