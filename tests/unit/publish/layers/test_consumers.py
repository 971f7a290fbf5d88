"""What consumers read, compared with the manifest over HTTP from a local server."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from catalog_fixtures import layer
from msgspec.structs import replace

from nodelayer.catalog import site
from nodelayer.catalog.site import SiteOptions
from nodelayer.errors import InvalidInputError, UnreachableError
from nodelayer.manifest.model import Manifest, Withdrawal
from nodelayer.publish.layers import consumers
from nodelayer.publish.layers.report import RunReport
from nodelayer.util.console import Reporter

FIRST = replace(layer(), code_sha256="a+/b" * 10 + "+/A=")
SECOND = layer("24.1.0")


@pytest.fixture
def served(tmp_path):
    """Return a folder and the address of a server for it."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def compare(known, manifest_url="", catalog_url=""):
    report = RunReport(Reporter(quiet=True), "verify")
    found = consumers.compare(known, manifest_url, catalog_url, report)
    return [(each.arn, each.kind) for each in found], [failure.error for failure in report.failures]


def test_current_copies_are_no_problem(served):
    folder, url = served
    known = Manifest.of([FIRST, SECOND])
    site.write(known, folder / "site", SiteOptions())
    assert compare(known, f"{url}site/layers.json", f"{url}site/") == ([], [])
    assert compare(known, "", f"{url}site/index.html") == ([], [])
    assert compare(known, "", f"{url}site") == ([], [])
    assert compare(known) == ([], [])


def test_old_copies_are_a_problem_each(served):
    folder, url = served
    site.write(Manifest.of([SECOND]), folder, SiteOptions())
    (folder / "old.json").write_text(Manifest.of([SECOND]).json_text())
    problems, failures = compare(Manifest.of([FIRST, SECOND]), f"{url}old.json", url)
    differs = "1 layers differ from --manifest, for example nodejs-12-16-1-x86_64 of nodelayer 1.1.0"
    assert problems == [
        (f"{url}old.json", differs),
        (f"{url}layers.json", differs),
        (url, "1 layers are missing, for example nodejs-12-16-1-x86_64 of nodelayer 1.1.0"),
    ]
    assert failures == []


def test_catalogue_that_still_offers_a_withdrawn_layer_is_a_problem(served):
    folder, url = served
    site.write(Manifest.of([FIRST, SECOND]), folder, SiteOptions())
    mark = Withdrawal(time="2026-11-27T00:00:00Z", reason="answers are cut")
    regions = {name: replace(each, withdrawn=mark) for name, each in FIRST.regions.items()}
    problems, _ = compare(Manifest.of([replace(FIRST, regions=regions), SECOND]), "", url)
    assert [kind.partition(",")[0] for _, kind in problems] == [
        "1 layers differ from --manifest",
        "1 layers are still offered",
    ]


def test_missing_copy_is_a_problem_and_an_unreachable_one_a_failure(served):
    _, url = served
    unreachable = "http://127.0.0.1:9/layers.json"
    problems, failures = compare(Manifest(), unreachable, f"{url}catalog.html")
    assert problems == [
        (f"{url}layers.json", "does not exist"),
        (f"{url}catalog.html", "does not exist"),
    ]
    assert [type(error) for error in failures] == [UnreachableError]


def test_an_address_that_is_not_http_is_refused():
    with pytest.raises(InvalidInputError, match=r"'ftp://x' is not a web address \[--catalog-url\]"):
        consumers.check_url("ftp://x", "--catalog-url")
