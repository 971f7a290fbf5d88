"""The page as text; tests/browser opens it in a browser."""

import json
import re
from html.parser import HTMLParser

import pytest
from catalog_fixtures import EVIL, layer

from nodelayer.aws import runtimes
from nodelayer.catalog import page, snippets
from nodelayer.errors import InvalidInputError
from nodelayer.layer import abi
from nodelayer.manifest.model import Canary, Manifest


def rendered(*layers, **region_names):
    return page.render(Manifest.of(layers), region_names)


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])


def tags_of(text):
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: found.append(tag)
    parser.feed(text)
    return found


def test_a_layer_that_is_deleted_everywhere_is_not_on_the_page():
    deleted = layer("14.1.0", deleted="2026-02-01T00:00:00Z")
    assert data_of(rendered(layer(), deleted))["nodes"] == ["12.16.1"]


def test_page_data_has_the_canary_of_each_layer():
    canary = Canary(date="2026-11-26", region="eu-west-1", memory_mb=512, init_ms=118.2)
    data = data_of(rendered(layer("12.16.1"), layer("14.1.0", canary=canary)))
    assert [data["canaries"][each] for each in data["columns"]["canary"]] == [
        None,
        {
            "date": "2026-11-26",
            "region": "eu-west-1",
            "memory_mb": 512,
            "init_ms": 118.2,
            "starts": 1,
            "aws_runtime": None,
            "aws_init_ms": None,
        },
    ]


def test_page_without_javascript_shows_the_newest_release_of_each_line():
    text = rendered(layer("12.16.1"), layer("12.22.0"), layer("24.1.0"), layer("24.2.0-rc.1"))
    static = text[text.index('<div id="static">') :]
    assert re.findall(r"<pre>(.*?)</pre>", static) == [
        "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-24-1-0-x86_64:1",
        "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-22-0-x86_64:1",
    ]
    assert '<td>Erbium</td><td><time datetime="2022-04-30">2022-04-30</time></td>' in static


def test_markup_in_a_manifest_is_escaped_on_the_page():
    text = rendered(
        layer(runtimes=[EVIL, "provided.al2023"], public=False, organizations=[EVIL]), **{"eu-west-1": EVIL}
    )
    assert tags_of(text) == tags_of(rendered(layer()))
    assert data_of(text)["regions"] == [["eu-west-1", EVIL]]
    assert data_of(text)["access"] == [[False, [EVIL], []]]


def test_runtime_with_a_shell_command_is_refused():
    with pytest.raises(InvalidInputError, match="not plain text"):
        rendered(layer(runtimes=["provided; rm -rf ~"]))


def test_the_page_offers_every_format_of_the_arn_command():
    offered = [(name, title) for name, title, *_ in data_of(rendered())["snippets"]]
    assert offered == [(name, each.title) for name, each in snippets.FORMATS.items()]
    assert len(dict(offered)) == len({title for _, title in offered})


def test_every_compatible_runtime_has_its_dates():
    assert set(abi.RUNTIMES) <= set(runtimes.known())
    for each in runtimes.known().values():
        dates = [date for date in (each.deprecated, each.create_block, each.update_block) if date]
        assert dates == sorted(dates)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)
