"""The Atom feed of new layers."""

import re
from xml.etree.ElementTree import fromstring

import pytest
from catalog_fixtures import EVIL, layer

from nodelayer.catalog import feed, page
from nodelayer.manifest.model import Manifest, Withdrawal

ATOM = "{http://www.w3.org/2005/Atom}"


def parsed(*layers, url=""):
    return fromstring(feed.render(Manifest.of(layers), url, "index.html").encode())


def entries(*layers):
    return parsed(*layers).findall(f"{ATOM}entry")


def words(element, name):
    return [each.text for each in element.findall(f"{ATOM}{name}")]


def links(element):
    return {link.get("rel"): link.get("href") for link in element.findall(f"{ATOM}link")}


def test_withdrawn_layer_leads_to_its_successor_in_feed_and_page():
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:1"
    withdrawn = Withdrawal(time="2026-11-27T09:00:00Z", reason=f"answers are cut {EVIL}", successor=arn)
    bad = layer(node="12.22.12", content="B", withdrawn=withdrawn)
    first, second = entries(layer(), bad)
    assert words(first, "title") == ["Withdrawn: Node.js 12.22.12 for x86_64"]
    assert words(first, "summary") == [f"answers are cut {EVIL}. Use {arn}. nodelayer 1.1.0."]
    assert words(first, "updated") == ["2026-11-27T09:00:00Z"]
    assert words(second, "title") == ["Node.js 12.16.1 for x86_64"]
    text = page.render(Manifest.of([layer(), bad]), {})
    assert "<h2>Withdrawn layers</h2>" in text
    assert EVIL not in text
    assert page.page_data(Manifest.of([layer(), bad]), {})["nodes"] == ["12.16.1"]


@pytest.mark.parametrize("layers", [(), (layer(), layer(arch="arm64", content="B"))])
def test_feed_has_the_elements_that_atom_requires(layers):
    found = parsed(*layers)
    assert found.tag == f"{ATOM}feed"
    assert words(found.find(f"{ATOM}author"), "name") == ["nodelayer"]
    for each in (found, *found.findall(f"{ATOM}entry")):
        (identity,), (title,), (updated,) = (words(each, name) for name in ("id", "title", "updated"))
        assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", identity)
        assert title
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", updated)
        assert "alternate" in links(each)


def test_an_entry_keeps_its_id_and_is_updated_when_another_region_has_the_layer():
    (before,) = entries(layer())
    (after,) = entries(layer(), layer(regions=("eu-west-1", "us-east-1"), when="2026-12-01T00:00:00Z"))
    assert words(before, "id") == words(after, "id")
    assert words(after, "published") == ["2026-11-02T20:15:00Z"]
    assert words(after, "updated") == ["2026-12-01T00:00:00Z"]


def test_every_layer_has_a_unique_id():
    known = [layer(), layer(arch="arm64"), layer("24.1.0"), layer(build="1.2.0"), layer(content="B")]
    assert len({words(each, "id")[0] for each in entries(*known)}) == len(known)


def test_feed_lists_the_newest_layer_first():
    found = entries(
        layer("12.16.1", when="2026-02-01T00:00:00Z"), layer("24.1.0", when="2026-01-01T00:00:00Z")
    )
    titles = [words(each, "title")[0] for each in found]
    assert titles == ["Node.js 12.16.1 for x86_64", "Node.js 24.1.0 for x86_64"]


def test_feed_with_a_site_url_links_to_the_page():
    url = "https://layers.example.org/nodejs/"
    found = parsed(layer(), url=url)
    assert links(found) == {"alternate": url, "self": f"{url}feed.atom"}
    assert words(found, "id") == [url]
    assert links(found.find(f"{ATOM}entry"))["alternate"] == f"{url}#node=12.16.1&arch=x86_64"


def test_markup_in_a_manifest_is_escaped_in_the_feed():
    (entry,) = entries(layer(runtimes=[EVIL]))
    assert EVIL in entry.find(f"{ATOM}summary").text
