"""AWS's runtime clients and ours, ready to start, and the table of differences."""

import os
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from runtime.cases import AWS_NODE
from runtime.clients import NEW, OLD
from support import REPORT, ROOT
from tools import Tools

from nodelayer import architecture
from nodelayer.layer import contents, system_library
from nodelayer.node.sources.auto import open_source
from nodelayer.node.sources.base import SourceContext
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter
from runtime import clients

HANDLERS = Path(__file__).parent / "handlers"
BUILD_TOOLS = ("autoconf", "automake", "libtoolize", "cmake", "make", "g++", "npm")
BUILD_PACKAGES = "apt-get install autoconf automake libtool cmake make g++ npm"
PARALLEL_RUNS = 2 * (os.cpu_count() or 1)
NEEDS_LIBATOMIC = 25
TABLE = pytest.StashKey()


class Runtimes:
    """The runtime clients, created on first use. Safe to use from threads."""

    def __init__(self, cache, scratch):
        self._cache = cache
        self._scratch = scratch
        self._made = {}
        self._lock = threading.Lock()
        self.function = scratch / "function"
        shutil.copytree(HANDLERS, self.function)
        for kept, folder in (
            ("packages", "node_modules"),
            ("layer/nodejs/packages", "layer/nodejs/node_modules"),
        ):
            (self.function / kept).rename(self.function / folder)  # git ignores folders of the second name

    def client(self, name, node_version):
        """Return `nodelayer`, or a version of AWS's client, on a version of Node.js."""
        with self._lock:
            if (name, node_version) not in self._made:
                make = self._ours if name == "nodelayer" else self._aws
                self._made[name, node_version] = make(name, node_version)
            return self._made[name, node_version]

    def why_not(self, name, node_version):
        """Return why a client cannot run here, or an empty string."""
        if architecture.of_host() is None:
            return "Lambda has no architecture like this machine's"
        if int(node_version.partition(".")[0]) >= NEEDS_LIBATOMIC:
            machine = architecture.of_host()
            if system_library.find("libatomic.so.1", machine) is None:
                return "no libatomic.so.1: apt-get install libatomic1"
        missing = [tool for tool in BUILD_TOOLS if shutil.which(tool) is None] if name != "nodelayer" else []
        return "no build tools for AWS's runtime client: " + BUILD_PACKAGES if missing else ""

    def _node(self, version):
        program = self._scratch / f"node-{version}"
        if not program.exists():
            source = open_source("npm", SourceContext(self._cache, Reporter(quiet=True), os.environ))
            program.write_bytes(source.fetch(version, architecture.of_host()).node)
            program.chmod(0o755)
        return program

    def _ours(self, _, node_version):
        opt = self._scratch / f"opt-{node_version}"
        (opt / "nodejs" / "bin").mkdir(parents=True)
        shutil.copytree(ROOT / "runtime" / "aws", opt / "aws")
        shutil.copy(ROOT / "runtime" / "bootstrap", opt)
        for entry in contents.settings(node_version):
            (opt / entry.path).write_bytes(entry.data)
        (opt / "nodejs" / "bin" / "node").symlink_to(self._node(node_version))
        return clients.ours(node_version, opt)

    def _aws(self, version, node_version):
        package = f"aws-lambda-ric@{version}"
        folder = Tools(self._cache).npm(package, without="aws-lambda-ric/deps")  # 150 MB of sources
        return clients.aws(
            version, node_version, self._node(node_version), folder / "node_modules" / "aws-lambda-ric"
        )


@pytest.fixture(scope="session")
def runtimes(cache_folder, tmp_path_factory):
    return Runtimes(DownloadCache(cache_folder), tmp_path_factory.mktemp("runtimes"))


class Outcomes:
    """The outcomes of cases with clients, awaited if they are still running."""

    def __init__(self, runtimes, jobs):
        self.why_not = runtimes.why_not
        self._runtimes = runtimes
        self._jobs = jobs

    def __call__(self, case, name, version):
        return self._jobs[case.name, name, version].result()

    def rerun(self, case, name, version):
        """Run a case again, alone: a busy machine delays the timers that some cases use."""
        done = Future()
        done.set_result(_run(self._runtimes, case, name, version))
        self._jobs[case.name, name, version] = done


@pytest.fixture(scope="session")
def outcomes(request, runtimes):
    """Start the runs of the selected cases in parallel; return their outcomes."""
    chosen = [
        item.callspec.params for item in request.session.items if "case" in getattr(item, "fixturenames", ())
    ]
    jobs = {}
    with ThreadPoolExecutor(PARALLEL_RUNS) as pool:
        for parameters in chosen:
            case, name = parameters["case"], parameters.get("client", "nodelayer")
            version = parameters["node"] if name == "nodelayer" else AWS_NODE[name]
            if not runtimes.why_not(name, version):
                jobs[case.name, name, version] = pool.submit(_run, runtimes, case, name, version)

        yield Outcomes(runtimes, jobs)
        for job in jobs.values():
            job.cancel()


def _run(runtimes, case, name, version):
    client = runtimes.client(name, version)
    raw = clients.run(client, case.run, runtimes.function)
    outcome = clients.without_machine(clients.outcome(raw, runtimes.function), client)
    if name == "nodelayer":
        outcome["unnamed errors"] = clients.unnamed_errors(raw)
    return outcome


def pytest_configure(config):
    config.stash[TABLE] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave all versions of Node.js but an old and a new one to `invoke test-all`."""
    for item in items:
        parameters = getattr(item, "callspec", None) and item.callspec.params
        if parameters and parameters.get("node", OLD) not in (OLD, NEW):
            item.add_marker(pytest.mark.full)


@pytest.fixture
def table(request):
    """The rows of the table: (case, Node.js, AWS's client, kind, differences)."""
    return request.config.stash[TABLE]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Pass the table to tests/conftest.py, which prints it."""
    session.config.stash[REPORT] += _report(session.config.stash[TABLE])


def _report(rows):
    lines = []
    for client in sorted({row[2] for row in rows}):
        for node in dict.fromkeys(row[1] for row in rows):
            kinds = [row[3] for row in rows if row[1:3] == (node, client)]
            if kinds:
                counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds)))
                lines.append(f"Node.js {node} against {client} on {AWS_NODE[client]}: {counted}")
    by_case = {}
    for case, node, client, kind, found in rows:
        if kind == "different":
            by_case.setdefault((case, _shown(found)), []).append(f"{node} {client}")
    for (case, found), where in by_case.items():
        lines += [f"{case} ({'; '.join(where)})", *(f"    {line}" for line in found)]
    return lines


def _shown(found):
    return tuple(f"{at}: ours {_cut(here)} AWS {_cut(there)}" for at, here, there in found)


def _cut(value, length=300):
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."
