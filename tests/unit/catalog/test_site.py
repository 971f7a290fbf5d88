"""The files of the catalogue."""

import copy
import errno
import json
import os
import re
import subprocess
from xml.etree import ElementTree as ET

import msgspec
import pytest
from catalog_fixtures import layer, runtimes
from support import command

from nodelayer.catalog import site
from nodelayer.catalog.site import SiteOptions
from nodelayer.errors import InvalidInputError, MachineError, NotVerifiedError
from nodelayer.manifest import schema, store
from nodelayer.manifest.model import Canary, Manifest, Withdrawal


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


# ---- hostile manifests


def full_manifest():
    """Return a manifest as JSON values, with each optional field that holds text."""
    withdrawn = Withdrawal(time="2026-11-20T00:00:00Z", reason="answers are cut")
    canary = Canary(
        date="2026-11-20", region="eu-west-1", memory_mb=512, init_ms=118.2, aws_runtime="nodejs24.x"
    )
    known = Manifest.of(
        [msgspec.structs.replace(layer(withdrawn=withdrawn), canary=canary)], runtimes("24.1.0")
    )
    return json.loads(known.json_text())


def texts(value, path=()):
    """Yield the path of each text in JSON values; that of a key of `runtimes` ends with None."""
    if isinstance(value, str):
        yield path
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield from texts(inner, (*path, name))
        if path == ("runtimes",):
            yield (*path, name, None)
    for number, inner in enumerate(value if isinstance(value, list) else ()):
        yield from texts(inner, (*path, number))


def changed(raw, path, text):
    """Return a copy with another text at a path."""
    result = copy.deepcopy(raw)
    *folders, last = path if path[-1] is not None else path[:-1]
    holder = result
    for each in folders:
        holder = holder[each]
    if path[-1] is None:
        holder[text] = holder.pop(last)
    else:
        holder[last] = text
    return json.dumps(result).encode()


@pytest.mark.parametrize(
    "text", ["a\x00", "\x1b[31m", "a\n", "a\x0bb", "\x9b", "\ufffe", "\ud800"], ids=ascii
)
def test_no_text_of_a_manifest_may_hold_what_xml_or_a_terminal_cannot(text):
    raw = full_manifest()
    assert schema.parse(changed(raw, ("$schema",), "other.json"), "layers.json").layers
    accepted = []
    for path in texts(raw):
        try:
            schema.parse(changed(raw, path, text), "layers.json")
        except NotVerifiedError:
            continue
        accepted.append(path)
    assert accepted == []


@pytest.mark.parametrize(
    ("path", "text", "where"),
    [
        (("layers", 0, "regions", "eu-west-1", "withdrawn", "reason"), "a\x0bb", "withdrawn.reason"),
        (("layers", 0, "compatible_runtimes", 0), "constructor", "$.layers[0].compatible_runtimes[0]"),
        (("layers", 0, "compatible_runtimes", 0), "__proto__", "$.layers[0].compatible_runtimes[0]"),
        (("layers", 0, "source", "name"), "\ud800", "the manifest is not JSON"),
    ],
    ids=["control-character", "constructor", "prototype", "surrogate"],
)
def test_catalog_refuses_a_hostile_manifest_and_writes_nothing(tmp_path, path, text, where):
    (tmp_path / "layers.json").write_bytes(changed(full_manifest(), path, text))
    done = subprocess.run(command("catalog"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert where in line
    assert not (tmp_path / "site").exists()


def test_feed_of_a_manifest_with_every_field_is_xml(tmp_path):
    known = schema.parse(json.dumps(full_manifest()).encode(), "layers.json")
    site.write(known, tmp_path, SiteOptions())
    assert "answers are cut" in "".join(ET.parse(tmp_path / "feed.atom").getroot().itertext())
