"""The catalogue as files: what is written and how, the feed, and nothing smuggled in."""

import errno
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from nodelayer.aws import runtimes
from nodelayer.catalog import page as catalog
from nodelayer.catalog import snippets
from nodelayer.catalog.page import Site
from nodelayer.errors import InvalidInputError, MachineError
from nodelayer.layer import abi
from nodelayer.manifest import store
from nodelayer.manifest.model import Layer, Manifest, Published

ATOM = "{http://www.w3.org/2005/Atom}"
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<!--"


def layer(node="12.16.1", arch="x86_64", regions=("eu-west-1",), *, build="1.0.0", content="A", **more):
    name = f"nodejs-{node.replace('.', '-')}-{arch}"
    when = more.pop("when", "2026-01-02T03:04:05Z")
    wanted = {
        "size": 13_700_000,
        "compatible_runtimes": ["provided.al2023"],
        "regions": {
            region: Published(
                version=1,
                arn=f"arn:aws:lambda:{region}:123456789012:layer:{name}:1",
                published=when,
                **more.pop(region.replace("-", "_"), {}),
            )
            for region in regions
        },
    }
    return Layer(
        node_version=node,
        architecture=arch,
        nodelayer_version=build,
        layer_name=name,
        code_sha256=content * 43 + "=",
        **{**wanted, **more},
    )


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


# ---- what is written


def test_the_page_the_feed_and_the_manifest_s_files_are_written(tmp_path):
    known = Manifest.of([layer(regions=("eu-west-1", "us-east-1"))])
    written = catalog.write(known, tmp_path / "new" / "site", Site())
    names = {path.name for path in written.page.parent.iterdir()}
    assert names == {"index.html", "feed.atom", "layers.json", "layers.txt", "layers.schema.json"}
    assert (written.layers, written.layer_versions) == (1, 2)
    assert store.read(written.page.with_name("layers.json")) == known
    assert len(written.page.with_name("layers.txt").read_text().splitlines()) == 2


def test_the_same_manifest_gives_the_same_bytes(tmp_path):
    known = Manifest.of([layer(), layer("24.1.0")])
    for folder in ("a", "b"):
        catalog.write(known, tmp_path / folder, Site())
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_what_else_is_in_the_folder_stays(tmp_path):
    (tmp_path / "CNAME").write_text("layers.example.org")
    catalog.write(Manifest(), tmp_path, Site())
    assert (tmp_path / "CNAME").read_text() == "layers.example.org"


def test_a_manifest_in_the_folder_itself_is_not_written_over(tmp_path):
    source = tmp_path / "layers.json"
    source.write_text("what a publisher has just written")
    catalog.write(Manifest.of([layer()]), tmp_path, Site(), source=source)
    assert source.read_text() == "what a publisher has just written"
    assert (tmp_path / "index.html").exists()


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch):
    catalog.write(Manifest(), tmp_path, Site())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def full(_descriptor):
        calls.append(1)
        if len(calls) == len(before):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"free some space.*--out"):
        catalog.write(Manifest.of([layer()]), tmp_path, Site())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "site").touch()
    with pytest.raises(MachineError, match="--out"):
        catalog.write(Manifest(), tmp_path / "site", Site())


# ---- the page


def test_an_empty_manifest_makes_a_page_that_says_so():
    page = catalog.page(Manifest(), Site())
    assert "Nothing is published yet." in page
    assert data_of(page)["columns"]["node"] == []


def test_no_token_of_the_template_is_left():
    page = catalog.page(Manifest.of([layer()]), Site())
    assert "<!--" not in page


def test_the_page_names_no_other_host_and_loads_nothing():
    tags = Tags(catalog.page(Manifest.of([layer()]), Site())).tags
    loaded = [
        attrs.get("src") or attrs.get("href") for tag, attrs in tags if tag in {"script", "link", "img"}
    ]
    assert [each for each in loaded if each and not each.startswith("data:")] == ["feed.atom"]


def test_what_is_deleted_everywhere_is_not_on_the_page():
    gone = layer("14.1.0", eu_west_1={"deleted": "2026-02-01T00:00:00Z"})
    data = data_of(catalog.page(Manifest.of([layer(), gone]), Site()))
    assert data["nodes"] == ["12.16.1"]


def test_without_javascript_the_newest_of_each_line_is_there_with_its_arns():
    known = Manifest.of([layer("12.16.1"), layer("12.22.0"), layer("24.1.0"), layer("24.2.0-rc.1")])
    page = catalog.page(known, Site())
    static = page[page.index('<div id="static">') :]
    assert "<pre>arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-22-0-x86_64:1" in static
    assert "nodejs-24-1-0-x86_64:1" in static
    assert "12-16-1" not in static
    assert "24.2.0-rc.1" not in static
    assert 'href="layers.txt"' in static
    assert '<td>Erbium</td><td><time datetime="2022-04-30">2022-04-30</time></td>' in static


def test_markup_in_a_manifest_stays_text():
    known = Manifest.of(
        [layer(compatible_runtimes=[EVIL, "provided.al2023"], eu_west_1={"organizations": [EVIL]})]
    )
    page = catalog.page(known, Site(region_names={"eu-west-1": EVIL}))
    tags = [tag for tag, _ in Tags(page).tags]
    clean = [tag for tag, _ in Tags(catalog.page(Manifest.of([layer()]), Site())).tags]
    assert tags == clean
    assert data_of(page)["regions"] == [["eu-west-1", EVIL]]


def test_the_data_block_cannot_be_ended_by_what_is_in_it():
    known = Manifest.of([layer(eu_west_1={"organizations": [EVIL]})])
    page = catalog.page(known, Site())
    assert data_of(page)["access"] == [[False, [EVIL]]]
    assert page.count("<script") == 2


def test_a_runtime_that_would_be_a_command_in_a_snippet_is_refused():
    known = Manifest.of([layer(compatible_runtimes=["provided; rm -rf ~"])])
    with pytest.raises(InvalidInputError, match="not plain text"):
        catalog.page(known, Site())


def test_a_layer_that_names_no_runtime_does_not_stop_the_page():
    assert data_of(catalog.page(Manifest.of([layer(compatible_runtimes=[])]), Site()))["runtimeSets"] == [[]]


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)//{file}", "//example.org/{file}", "example.org/{file}", 'https://a/"{file}'],
)
def test_an_address_of_files_that_is_none_is_refused(address):
    with pytest.raises(InvalidInputError, match="--assets-url"):
        Site(assets_url=address)


@pytest.mark.parametrize(
    ("address", "said"),
    [("https://example.org/files", "{file}"), ("https://example.org/{tag}/{file}", "no {tag}")],
)
def test_an_address_of_files_says_where_the_file_goes(address, said):
    with pytest.raises(InvalidInputError, match=re.escape(said)):
        Site(assets_url=address)


# ---- the feed


def entries(text):
    return fromstring(text).findall(f"{ATOM}entry")


def words(element, name):
    return [each.text for each in element.findall(f"{ATOM}{name}")]


@pytest.mark.parametrize("known", [Manifest(), Manifest.of([layer(), layer(arch="arm64", content="B")])])
def test_the_feed_has_what_atom_requires(known):
    feed = fromstring(catalog.feed(known, Site()))
    assert feed.tag == f"{ATOM}feed"
    assert words(feed.find(f"{ATOM}author"), "name") == ["nodelayer"]
    for each in (feed, *feed.findall(f"{ATOM}entry")):
        (identity,), (title,), (updated,) = (words(each, name) for name in ("id", "title", "updated"))
        assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", identity)
        assert title
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", updated)
        assert [link.get("rel") for link in each.findall(f"{ATOM}link")].count("alternate") == 1


def test_an_entry_keeps_its_id_when_it_reaches_another_region():
    (before,) = entries(catalog.feed(Manifest.of([layer()]), Site()))
    there = layer(regions=("eu-west-1", "us-east-1"), when="2026-03-01T00:00:00Z")
    (after,) = entries(catalog.feed(Manifest.of([layer(), there]), Site()))
    assert words(before, "id") == words(after, "id")
    assert words(after, "published") == ["2026-01-02T03:04:05Z"]
    assert words(after, "updated") == ["2026-03-01T00:00:00Z"]


def test_every_layer_has_an_id_of_its_own():
    known = [layer(), layer(arch="arm64"), layer("24.1.0"), layer(build="1.1.0"), layer(content="B")]
    ids = [words(each, "id")[0] for each in entries(catalog.feed(Manifest.of(known), Site()))]
    assert len(set(ids)) == len(known)


def test_the_newest_comes_first():
    known = [layer("12.16.1", when="2026-02-01T00:00:00Z"), layer("24.1.0", when="2026-01-01T00:00:00Z")]
    titles = [words(each, "title")[0] for each in entries(catalog.feed(Manifest.of(known), Site()))]
    assert titles == ["Node.js 12.16.1 for x86_64", "Node.js 24.1.0 for x86_64"]


def test_with_its_address_the_feed_links_into_the_page():
    site = Site(url="https://layers.example.org/nodejs/")
    feed = fromstring(catalog.feed(Manifest.of([layer()]), site))
    links = {link.get("rel"): link.get("href") for link in feed.findall(f"{ATOM}link")}
    assert links == {"alternate": site.url, "self": "https://layers.example.org/nodejs/feed.atom"}
    assert words(feed, "id") == [site.url]
    link = feed.find(f"{ATOM}entry/{ATOM}link").get("href")
    assert link == "https://layers.example.org/nodejs/#node=12.16.1&arch=x86_64"


def test_markup_in_a_manifest_stays_text_in_the_feed():
    feed = fromstring(catalog.feed(Manifest.of([layer(compatible_runtimes=[EVIL])]), Site()))
    assert EVIL in feed.find(f"{ATOM}entry/{ATOM}summary").text
    assert [each.tag for each in feed.find(f"{ATOM}entry/{ATOM}summary")] == []


# ---- what it rests on


def test_every_runtime_that_a_layer_is_proved_on_has_its_date():
    assert set(abi.RUNTIMES) <= set(runtimes.known())
    for each in runtimes.known().values():
        dates = [date for date in (each.deprecated, each.create_block, each.update_block) if date]
        assert dates == sorted(dates)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)


def test_every_format_has_a_title():
    titles = [title for _, title, _ in data_of(catalog.page(Manifest(), Site()))["snippets"]]
    assert len(set(titles)) == len(snippets.FORMATS)


def test_every_place_in_a_template_has_its_word():
    sample = snippets.Layer("arn", "eu-west-1", "12.16.1", "arm64", "provided.al2023", {})
    places = {name for text in snippets.TEMPLATES.values() for name in re.findall(r"<(\w+)>", text)}
    assert places == set(snippets.words(sample))


def test_the_page_s_sources_are_in_the_package():
    folder = Path(catalog.__file__).parent / "assets"
    assert {path.name for path in folder.iterdir()} == {"page.html", "page.js", "style.css"}
