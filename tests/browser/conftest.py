"""Catalogues, served from this machine, and Chromium to look at them."""

import functools
import threading
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import catalog_fixtures
import chromium
import pytest
from playwright.sync_api import sync_playwright

from nodelayer.catalog import site
from nodelayer.manifest.model import Canary, Manifest

TODAY = "2026-11-24T12:00:00Z"
NAMES = {"eu-west-1": "Europe (Ireland)", "us-east-1": "US East (N. Virginia)"}
EVERYWHERE = ("ap-south-1", "cn-north-1", "eu-west-1", "us-east-1")

CANARY = Canary(
    date="2026-11-26",
    region="eu-west-1",
    memory_mb=512,
    init_ms=118.2,
    aws_runtime="nodejs24.x",
    aws_init_ms=130.6,
)


def layer(node, arch="x86_64", regions=EVERYWHERE, **more):
    return catalog_fixtures.layer(node, arch, regions, **more)


VARIED = Manifest.of(
    [
        layer("12.0.0"),
        layer("12.16.1", version=5),
        layer("12.16.1", build="1.0.0", version=1),
        layer("12.16.1", "arm64", ("eu-west-1",), version=8, public=False, organizations=["o-a1b2c3d4e5"]),
        layer("12.22.12", regions=("us-east-1",)),
        layer("13.14.0", public=False),
        layer("24.20.0", canary=CANARY),
        layer("24.21.0", regions=("eu-west-1", "us-east-1")),
        layer("24.21.0", "arm64", ("eu-west-1", "us-east-1")),
        layer("25.0.0"),
        layer("26.0.0-rc.1"),
    ]
)
BOTH = Manifest.of(
    VARIED.layers,
    {
        **catalog_fixtures.runtimes("12.16.1", EVERYWHERE, build="1.0.0"),
        **catalog_fixtures.runtimes("12.16.1", EVERYWHERE, accounts=["210987654321"]),
        **catalog_fixtures.runtimes("12.22.12", ("us-east-1",), architectures=("x86_64",)),
        **catalog_fixtures.runtimes("24.21.0", EVERYWHERE[2:], organizations=["o-a1b2c3d4e5"]),
        **catalog_fixtures.runtimes("24.22.0", ("eu-west-1",), deleted=TODAY),
        **catalog_fixtures.runtimes("27.0.0-alpha.0.0.0", ("eu-west-1",)),
    },
)


@dataclass(frozen=True)
class Place:
    """Where a catalogue is: its folder, and its address without a fragment."""

    folder: Path
    address: str


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.PATH, args=list(chromium.FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def publish(tmp_path_factory):
    """Write a catalogue and serve it."""
    root = tmp_path_factory.mktemp("sites")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=root))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    count = iter(range(1000))

    def make(known, **options):
        folder = root / str(next(count))
        site.write(known, folder, site.SiteOptions(region_names=NAMES, **options))
        return Place(folder, f"http://127.0.0.1:{server.server_port}/{folder.name}/index.html")

    yield make
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def varied(publish):
    return publish(VARIED)


@pytest.fixture(scope="session")
def both(publish):
    return publish(BOTH)


@pytest.fixture
def look(browser):
    """Open a page in a window of its own; what the page complains of, or asks others for, is a failure."""
    contexts = []
    complaints = []

    def open_page(address, *, today=TODAY, **options):
        options = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: _own(request.url, address, complaints))
        page.clock.set_fixed_time(today)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _own(url, address, complaints):
    if not url.startswith(("data:", address.partition("/index.html")[0])):
        complaints.append(f"asked for {url}")
