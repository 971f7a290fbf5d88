"""Dates of releases, from an index on a local server or from npm."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import ROOT

from nodelayer.errors import NotVerifiedError
from nodelayer.node import openpgp, versions
from nodelayer.project.pins import release_dates
from nodelayer.project.pins.pin import resource

FILE = release_dates.FILE


@pytest.fixture
def refresh(tmp_path, monkeypatch):
    """Compare one bundled date with an index, or with npm's times if the index is None."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / FILE).parent.mkdir(parents=True)
    text = json.dumps({"provenance": "p", "as_of": "2020-01-01", "releases": {"12.0.0": "2019-04-23"}})
    (tmp_path / FILE).write_text(text)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(self.server.index).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def compare(index, times=None):
            server.index = index
            address = f"http://127.0.0.1:{server.server_port if index is not None else 9}/index.json"
            return release_dates.refresh(tmp_path, index=address, npm=lambda: times)

        yield compare
        server.shutdown()
        thread.join()


def listed(changes):
    return json.loads(changes.files[FILE])["releases"]


def test_the_index_adds_and_corrects_dates_of_releases_that_can_be_built(refresh):
    index = [
        {"version": "v12.10.0", "date": "2019-09-04"},
        {"version": "v12.2.0", "date": "2019-05-07"},
        {"version": "v12.0.0", "date": "2019-04-24"},
        {"version": "v11.15.0", "date": "2019-04-30"},
        {"version": "v27.0.0-alpha.0.0.0", "date": "2026-10-28"},
    ]
    changes = refresh(index)
    assert changes.lines == [
        "~ 12.0.0 2019-04-23 -> 2019-04-24",
        "+ 12.10.0 2019-09-04",
        "+ 12.2.0 2019-05-07",
    ]
    assert list(listed(changes)) == ["12.0.0", "12.2.0", "12.10.0"]


def test_npm_only_adds_dates_if_the_index_cannot_be_reached(refresh):
    times = {"created": "2012", "12.0.0": "2024-12-13T01:00:00Z", "12.1.0": "2024-12-12T01:00:00.5+00:00"}
    assert listed(refresh(None, times)) == {"12.0.0": "2019-04-23", "12.1.0": "2024-12-12"}


@pytest.mark.parametrize("index", [[{"version": "v12.1.0", "date": "soon"}], [1], {"a": 1}])
def test_an_index_of_another_format_is_refused(refresh, index):
    with pytest.raises(NotVerifiedError, match="unexpected format"):
        refresh(index)


def test_bundled_file_has_the_format_that_refresh_writes():
    text = (ROOT / FILE).read_text()
    bundled = json.loads(text)
    again = resource(bundled["provenance"], "releases", bundled["releases"])
    assert again.splitlines()[3:] == text.splitlines()[3:]


def test_bundled_dates_reach_the_retirement_of_every_key():
    newest = max(versions.release_dates().values())
    assert versions.release_dates()[versions.OLDEST] == "2019-04-23"
    assert all(key.retired < newest for key in openpgp.pinned_keys() if key.retired)
