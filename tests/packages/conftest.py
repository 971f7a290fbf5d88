"""Functions with real packages from npm, on our client and on AWS's."""

import json
import shutil
from pathlib import Path

import pytest
from packages.receiver import Receiver
from runtime.cases import RIC3, RIC4
from runtime.clients import Run
from runtime.conftest import Runtimes
from runtime.runtime_api import Event
from tools import Tools

from nodelayer.util.cache import DownloadCache
from runtime import clients

FOLDER = Path(__file__).parent
LIMIT_S = 40.0
AWS_CLIENTS = {"18.20.8": RIC3, "22.23.3": RIC3, "24.21.0": RIC4, "26.10.0": RIC4}
"""AWS's client on each Node.js version. It does not support older ones."""


class Functions:
    """Function folders, created on first use: our code, and the packages of a package.json."""

    def __init__(self, tools, scratch):
        self._tools = tools
        self._scratch = scratch

    def folder(self, packages, code=None):
        """Return a folder with the code of one folder here, and the packages of the same or another one.

        An empty name means no packages. The path of a folder elsewhere works too.
        """
        source = FOLDER / (code or packages)
        made = self._scratch / f"{Path(packages).name}-{source.name}" / "function"
        if not made.exists():
            shutil.copytree(source, made)
            if packages:
                (made / "node_modules").symlink_to(self.node_modules(packages))
        return made

    def node_modules(self, packages):
        """Return the node_modules that has the packages of a folder's package.json."""
        wanted = json.loads((FOLDER / packages / "package.json").read_bytes())["dependencies"]
        pinned = [f"{name}@{version}" for name, version in wanted.items()]
        return self._tools.npm(*pinned, scripts=False) / "node_modules"


@pytest.fixture(scope="session")
def runtimes(cache_folder, tmp_path_factory):
    return Runtimes(DownloadCache(cache_folder), tmp_path_factory.mktemp("runtimes"))


@pytest.fixture(scope="session")
def functions(cache_folder, tmp_path_factory):
    return Functions(Tools(DownloadCache(cache_folder)), tmp_path_factory.mktemp("packages"))


@pytest.fixture
def receiver():
    with Receiver() as started:
        yield started


@pytest.fixture
def invoke(runtimes, node, client):
    """Return a function that runs a handler of a function folder and returns its clients.RunResult."""
    name = "nodelayer" if client == "nodelayer" else AWS_CLIENTS[node]
    if why_not := runtimes.why_not(name, node):
        pytest.skip(why_not)

    def invoked(function, handler, events, variables=None, headers=None):
        events = tuple(Event(json.dumps(event).encode(), headers or {}) for event in events)
        variables = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024", **(variables or {})}
        what = Run(handler, events, variables=variables, limit_s=LIMIT_S)
        raw = clients.run(runtimes.client(name, node), what, function)
        if client == "aws" and not raw.done and raw.code is None:  # it hung once in 20 starts with Sentry
            raw = clients.run(runtimes.client(name, node), what, function)
        assert raw.done, f"exit status {raw.code}\n{raw.out}\n{raw.err}"
        return raw

    return invoked


def pytest_generate_tests(metafunc):
    """Run a test on the Node.js versions of its marker `on`, with our client and with AWS's.

    The keyword `aws` says on which versions AWS's client fails, and why.
    """
    marker = metafunc.definition.get_closest_marker("on")
    if marker is not None:
        metafunc.parametrize(("node", "client"), list(_pairs(marker.args, **marker.kwargs)))


def _pairs(nodes, *, aws=None):
    for node in nodes:
        yield pytest.param(node, "nodelayer")
        if node in AWS_CLIENTS:
            why = (aws or {}).get(AWS_CLIENTS[node])
            yield pytest.param(node, "aws", marks=[pytest.mark.xfail(reason=why)] if why else [])
