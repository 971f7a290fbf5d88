"""The documentation site builds strictly, covers every command and loads nothing from other hosts."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support import ROOT, command, contexts

LOADING = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src", "object": "data"}
"""The attribute with the URL that a browser loads, by element."""
NOT_LOADED = {"canonical", "prev", "next"}
"""Values of a link's `rel` that load nothing."""


class Addresses(HTMLParser):
    """The URLs that a page loads and the targets of its links."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        address = given.get(LOADING.get(tag, ""))
        if address and given.get("rel") not in NOT_LOADED:
            self.loaded.append(address)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def build(folder, out):
    line = command("project.docs", "--out", str(out))
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def pages(site):
    return {path: Addresses(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_page_of_docs_is_in_the_navigation(site):
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f": {path.name}\n" not in listed] == []
    assert len(pages(site)) > len(list((ROOT / "docs").glob("*.md")))


def test_reference_lists_every_command_with_its_flags(site):
    text = (site / "commands.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r'<h3 id="[^"]+">([\w.-]+)<(.*?</table>)', text, re.DOTALL))
    assert sorted(sections) == sorted(each.name for each in contexts())
    missing = [
        f"{each.name} {flag}"
        for each in contexts()
        for flag in each.flags
        if not re.search(rf"<code>--(\[no-\])?{flag.removeprefix('--')}[=<]", sections[each.name])
    ]
    assert missing == []


def test_pages_load_nothing_from_other_hosts(site):
    loaded = {address for page in pages(site).values() for address in page.loaded}
    loaded |= {
        address
        for path in site.rglob("*.css")
        for address in re.findall(r"url\([\"']?([^\"')]+)", path.read_text(encoding="utf-8"))
    }
    assert loaded
    assert sorted(each for each in loaded if urlsplit(each).netloc) == []


def test_each_link_and_image_leads_to_an_existing_file(site):
    dead = []
    for path, page in pages(site).items():
        for address in {*page.links, *page.loaded}:
            parts = urlsplit(address)
            if path.name == "404.html" or parts.scheme or not parts.path:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            if not target.exists():
                dead.append(f"{path.name}: {address}")
    assert dead == []


@pytest.mark.parametrize("link", ["[x](missing.md)", "[x](security.md#missing)"])
def test_a_broken_link_fails_the_build(link, tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    page = tmp_path / "docs" / "commands.md"
    page.write_text(f"# Commands\n\n{link}\n", encoding="utf-8")
    zensical = [Path(sys.executable).parent / "zensical", "build", "--strict"]
    done = subprocess.run(zensical, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "commands.md" in done.stdout + done.stderr
