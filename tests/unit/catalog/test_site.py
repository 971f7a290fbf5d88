"""The files of the catalogue."""

import errno
import os
import re

import pytest
from catalog_fixtures import layer

from nodelayer.catalog import site
from nodelayer.catalog.site import SiteOptions
from nodelayer.errors import InvalidInputError, MachineError
from nodelayer.manifest import store
from nodelayer.manifest.model import Manifest


def test_write_creates_the_page_the_feed_and_the_manifest_files(tmp_path):
    known = Manifest.of([layer(regions=("eu-west-1", "us-east-1"))])
    written = site.write(known, tmp_path / "new" / "site", SiteOptions())
    names = {path.name for path in written.page.parent.iterdir()}
    assert names == {"index.html", "feed.atom", "layers.json", "layers.txt", "layers.schema.json"}
    assert (written.layers, written.layer_versions) == (1, 2)
    assert store.read(written.page.with_name("layers.json")) == known
    assert len(written.page.with_name("layers.txt").read_text().splitlines()) == 2


def test_write_gives_the_same_bytes_again_and_keeps_other_files(tmp_path):
    known = Manifest.of([layer(), layer("24.1.0")])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "CNAME").write_text("layers.example.org")
    for folder in ("a", "b"):
        site.write(known, tmp_path / folder, SiteOptions())
    assert (tmp_path / "a" / "CNAME").read_text() == "layers.example.org"
    for path in (tmp_path / "b").iterdir():
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()


def test_a_manifest_in_the_output_folder_is_not_overwritten(tmp_path):
    source = tmp_path / "layers.json"
    source.write_text("what a publisher has just written")
    site.write(Manifest.of([layer()]), tmp_path, SiteOptions(), source=source)
    assert source.read_text() == "what a publisher has just written"
    assert (tmp_path / "index.html").exists()


def test_a_full_disk_leaves_every_file_as_it_was(tmp_path, monkeypatch):
    site.write(Manifest(), tmp_path, SiteOptions())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def full(_descriptor):
        calls.append(1)
        if len(calls) == len(before):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"free some space.*--out"):
        site.write(Manifest.of([layer()]), tmp_path, SiteOptions())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("javascript:alert(1)//{file}", "not a web address"),
        ("//example.org/{file}", "not a web address"),
        ('https://a/"{file}', "not a web address"),
        ("https://example.org/files", "{file} is missing"),
        ("https://example.org/{tag}/{file}", "unknown placeholder {tag}"),
    ],
)
def test_an_unusable_assets_url_is_refused(address, message):
    with pytest.raises(InvalidInputError, match=re.escape(message)) as caught:
        SiteOptions(assets_url=address)
    assert caught.value.where == "--assets-url"
