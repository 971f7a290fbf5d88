"""LTS lines, from an index and a schedule on a local server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nodelayer.errors import NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.node import versions
from nodelayer.project.pins import lts_lines

INDEX = [
    {"version": "v14.15.1", "lts": "Fermium"},
    {"version": "v14.15.10", "lts": "Fermium"},
    {"version": "v14.15.0", "lts": "Fermium"},
    {"version": "v14.14.0", "lts": False},
    {"version": "v12.13.0", "lts": "Erbium"},
    {"version": "v12.9.0", "lts": False},
]
SCHEDULE = {
    "v0.12": {"start": "2015-02-06", "end": "2016-12-31"},
    "v12": {"start": "2019-04-23", "lts": "2019-10-21", "end": "2022-04-30", "codename": "Erbium"},
    "v13": {"start": "2019-10-22", "end": "2020-06-01"},
    "v14": {"start": "2020-04-21", "lts": "2020-10-27", "end": "2023-04-30", "codename": "Fermium"},
    "v98": {"start": "2098-04-01", "lts": "2098-10-01", "end": "2101-04-30", "codename": ""},
}
ERBIUM = {"codename": "Erbium", "first": "12.13.0", "since": "2019-10-21", "end_of_life": "2022-04-30"}


class Handler(BaseHTTPRequestHandler):
    """Serve the published files by path."""

    def do_GET(self):
        published = self.server.published.get(self.path)
        data = published if isinstance(published, bytes) else json.dumps(published).encode()
        self.send_response(404 if published is None else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def published(monkeypatch):
    """Return the files of the server by path; `address` is its base address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.published = {"/index.json": INDEX, "/schedule.json": SCHEDULE}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.published["address"] = f"http://127.0.0.1:{server.server_port}"
        yield server.published
        server.shutdown()
        thread.join()


@pytest.fixture
def bundle(tmp_path):
    """Write the bundled lines."""
    file = tmp_path / lts_lines.FILE
    file.parent.mkdir(parents=True)

    def write(lines):
        file.write_text(json.dumps({"provenance": "p", "as_of": "2020-01-01", "lines": lines}))
        return tmp_path

    return write


def refresh(root, published):
    address = published["address"]
    return lts_lines.refresh(root, index=f"{address}/index.json", schedule=f"{address}/schedule.json")


def lines_of(changes):
    return json.loads(changes.files[lts_lines.FILE])["lines"]


def test_a_new_line_gets_its_codename_dates_and_lowest_lts_release(bundle, published):
    changes = refresh(bundle({"12": ERBIUM}), published)
    assert changes.lines == [
        "+ 14 codename Fermium",
        "+ 14 first 14.15.0",
        "+ 14 since 2020-10-27",
        "+ 14 end_of_life 2023-04-30",
    ]
    assert list(lines_of(changes)) == ["12", "14"]
    assert json.loads(changes.files[lts_lines.FILE])["provenance"] == "p"


def test_refresh_changes_nothing_after_the_lines_are_written(bundle, published):
    root = bundle({"12": ERBIUM})
    (root / lts_lines.FILE).write_text(refresh(root, published).files[lts_lines.FILE])
    changes = refresh(root, published)
    assert (changes.lines, changes.files) == ([], {})


def test_nodelayer_reads_the_written_lines(bundle, published, monkeypatch):
    lines = lines_of(refresh(bundle({}), published))
    read = {
        int(major): versions.LtsLine(
            int(major), line["codename"], line["first"], line["since"], line["end_of_life"]
        )
        for major, line in lines.items()
    }
    monkeypatch.setattr(versions, "lts_lines", lambda: read)
    assert versions.lts_codename("14.15.0") == "Fermium"
    assert versions.lts_codename("14.14.0") is None


def test_line_missing_in_the_sources_is_kept(bundle, published):
    published["/index.json"] = []
    published["/schedule.json"] = {"v14": {"lts": "2020-10-27", "end": "2023-04-30", "codename": "Fermium"}}
    found = lines_of(refresh(bundle({"12": ERBIUM}), published))
    assert found["12"] == ERBIUM
    assert found["14"]["first"] is None


def test_new_first_release_and_changed_date_are_listed(bundle, published):
    changes = refresh(bundle({"12": {**ERBIUM, "first": None, "end_of_life": "2022-04-01"}}), published)
    assert "~ 12 first None -> 12.13.0" in changes.lines
    assert "~ 12 end_of_life 2022-04-01 -> 2022-04-30" in changes.lines


def test_line_whose_schedule_has_no_lts_date_is_lts_from_its_first_lts_release(bundle, published):
    plan = {"start": "2020-04-22", "end": "2023-04-30", "codename": "Neon"}  # as planned from Node.js 27 on
    published["/schedule.json"] = SCHEDULE | {"v27": plan}
    published["/index.json"] = [*INDEX, {"version": "v27.0.0", "date": "2020-04-22", "lts": False}]
    assert "27" not in lines_of(refresh(bundle({}), published))
    published["/index.json"] = [*INDEX, {"version": "v27.6.0", "date": "2020-10-27", "lts": "Neon"}]
    assert lines_of(refresh(bundle({}), published))["27"] == {
        "codename": "Neon",
        "first": "27.6.0",
        "since": "2020-10-27",
        "end_of_life": "2023-04-30",
    }


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        ("/schedule.json", {}, "the schedule lacks Node.js 12"),
        ("/schedule.json", {"v16": {"lts": "2021-10-26", "end": "2023-09-11"}}, "the codename of v16"),
        *(
            ("/schedule.json", text, "unexpected format")
            for text in (b"", [], {"v12": 1}, {"v12": {"lts": "2019", "end": "x"}})
        ),
        *(("/index.json", text, "unexpected format") for text in (b"{", [1], [{"version": "x", "lts": "A"}])),
    ],
)
def test_invalid_source_is_refused_in_one_line(bundle, published, path, content, why):
    published[path] = content
    with pytest.raises(NotVerifiedError, match=why) as caught:
        refresh(bundle({}), published)
    assert "\n" not in str(caught.value)


def test_missing_file_or_unreachable_host_is_an_error(bundle, published):
    published["/index.json"] = None
    with pytest.raises(NotFoundError, match="the host answers 404"):
        refresh(bundle({}), published)
    with pytest.raises(UnreachableError, match="check the network"):
        lts_lines.refresh(bundle({}), index="http://127.0.0.1:9/index.json")
