"""Workflows run by act on this machine: real jobs and commands, doubles of other people's actions.

    stage = Stage(folder, act=..., gh=..., cache=...)
    stage.tag("v1.2.3")
    run = stage.push_tag("v1.2.3")
    assert run.jobs["build 12.16.1-x86_64"] == "success"

Differs from GitHub: jobs run on this machine as they are (self-hosted), no token for OIDC is given out, no
environment waits for approval, permissions and concurrency are not enforced.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from github_api import REPOSITORY
from support import ROOT

from nodelayer.util import venv
from nodelayer.util.console import Reporter

HERE = Path(__file__).resolve().parent
DOUBLES = HERE / "doubles"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/nodelayer-publisher"

_RUNNERS = ("ubuntu-24.04", "ubuntu-24.04-arm")
_A_RUN_S = 900
_CALLED = ".github/workflows"
_UNKNOWN_TO_ACT = {
    "uses: $/": "uses: ./",
    "job.workflow_repository": "'nodelayer/nodelayer'",
    "job.workflow_sha": "'main'",
    "job.check_run_id": "format('{0}-{1}', github.job, inputs.id || inputs.regions)",
}
"""What GitHub has and act does not, with what act takes in its place."""
_USES = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "DOCKER_HOST")
_OF_CLIENTS = ("PIP_", "NPM_", "npm_", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True)
class Run:
    """How a workflow ended: each job's result by its name, and what it printed."""

    code: int
    jobs: dict[str, str]
    log: dict[str, str]
    text: str = field(repr=False)


def uses_in(*files):
    """Every action of somebody else that workflows and composite actions use: (name, sha)."""
    found = set()
    for file in files:
        for step in _steps(yaml.safe_load(file.read_text())):
            if match := _USES.fullmatch(step.get("uses", "")):
                found.add(match.groups())
    return found


def _steps(document):
    for job in (document.get("jobs") or {}).values():
        yield from job.get("steps") or ()
    yield from (document.get("runs") or {}).get("steps") or ()


def fit_to_act(folder):
    """Replace what act does not know in the workflows of a checkout."""
    for file in (folder / _CALLED).glob("*.yml"):
        text = file.read_text()
        for unknown, known in _UNKNOWN_TO_ACT.items():
            text = text.replace(unknown, known)
        file.write_text(re.sub(r"(?m)^ +queue: max.*\n", "", text))


def runner_venv(cache):
    """A folder with the .venv of `make venv EXTRAS=`, and of EXTRAS=docs too: it takes a minute to make."""
    facts = [(ROOT / name).read_bytes() for name in ("Makefile", "pyproject.toml", "requirements.txt")]

    def make(folder):
        (folder / "origin").write_text(str(ROOT))
        in_folder = f"VENV={folder / '.venv'}"
        with_docs = [str(folder / ".venv/bin/python"), "-m", "pip", "install", "-qq", "--editable", ".[docs]"]
        for command in (["make", "--always-make", "venv", "EXTRAS=", in_folder], with_docs):
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=_of_the_machine() | {"PIP_NO_COMPILE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    name = f"workflows-{hashlib.sha256(b''.join(facts)).hexdigest()[:16]}"
    return venv.kept(name, make, cache=cache, reporter=Reporter(quiet=True), folder="tests")[0]


def copy_checkout(source, folder):
    """What git knows of a checkout, and what it would take up, as it lies there."""
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(line, cwd=source, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)


class Stage:
    """A repository on a "GitHub" of files, and the runners' environment."""

    def __init__(self, folder, *, act, variables, repository=REPOSITORY, github=None):
        self.folder = folder
        self.home = folder / "github"
        self.work = folder / "work"
        self.repository = repository
        self._act = act
        self._variables = variables
        self._github = github  # is told how each run goes
        self._runs = 0
        self.settings = {"AWS_ROLE": ROLE, "AWS_ACCOUNT": ACCOUNT}
        self.actions = {}  # by owner/name@ref a folder that is taken for that repository

    @property
    def bare(self):
        return self.home / "repositories" / f"{self.repository}.git"

    def offer(self, name, source, files):
        """Another repository that workflows can check out: some files over those of a folder."""
        other = Stage(self.folder / name.replace("/", "-"), act=self._act, variables={}, repository=name)
        other.home = self.home
        other.begin(files, source=source)

    def begin(self, files, source=None):
        """Put files on the branch main, by name their text, over those of a checkout if one is given."""
        self.work.mkdir(parents=True)
        if source:
            copy_checkout(source, self.work)
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "A. Maintainer")
        self.git("config", "user.email", "maintainer@example.org")
        self.git("add", "--all")
        self.git("commit", "-q", "-m", "As it stands")
        self.bare.parent.mkdir(parents=True, exist_ok=True)
        self.git("clone", "-q", "--bare", str(self.work), str(self.bare))
        # a commit can be asked for by its name, as of GitHub
        self.git("config", "uploadpack.allowReachableSHA1InWant", "true", folder=self.bare)
        self.git("remote", "add", "origin", str(self.bare))
        self.git("fetch", "-q", "origin")

    def prepare(self, ready, job=""):
        """Let each job, or one, begin with a .venv: of this folder with .venv and `origin`, its checkout."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / f"runner{job and '-'}{job}").symlink_to(ready)

    def git(self, *arguments, folder=None):
        done = subprocess.run(
            ["git", *arguments], cwd=folder or self.work, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def push(self, *refs):
        self.git("push", "-q", "--atomic", "origin", *refs)

    def push_tag(self, tag):
        """What GitHub does when this tag arrives."""
        event = {"ref": f"refs/tags/{tag}", "ref_type": "tag", "ref_name": tag}
        return self.run("push", "release.yml", event, at=tag)

    def dispatch(self, workflow, *, ref, inputs=None):
        full = f"refs/tags/{ref}" if ref.startswith("v") else f"refs/heads/{ref}"
        event = {"ref": full, "inputs": inputs or {}}
        return self.run("workflow_dispatch", workflow, event, at=ref)

    def schedule(self, workflow):
        return self.run("schedule", workflow, {"ref": "refs/heads/main"}, at="main")

    def run(self, name, workflow, event, *, at):
        """Run a workflow as it is at a ref: a new run, which has no artifacts yet."""
        shutil.rmtree(self.home / "artifacts", ignore_errors=True)
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "steps.jsonl").write_text("")
        tree = self.folder / f"act-{time.monotonic_ns()}"
        self.git("clone", "-q", str(self.bare), str(tree), folder=self.folder)
        self.git("checkout", "-q", at, folder=tree)
        # act takes the repository's name from here; whoever fetches or pushes has another remote, its job's
        self.git("remote", "set-url", "origin", f"https://github.com/{self.repository}.git", folder=tree)
        fit_to_act(tree)
        event |= {"repository": {"full_name": self.repository, "default_branch": "main"}}
        event_file = self.folder / "event.json"
        event_file.write_text(json.dumps(event))
        line = [str(self._act), name, "--json", "--eventpath", str(event_file)]
        line += ["--workflows", str(tree / ".github" / "workflows" / workflow)]
        line += ["--no-skip-checkout", "--no-cache-server", "--action-cache-path", str(self.folder / "cache")]
        line += ["--secret", "GITHUB_TOKEN=a-token-of-this-run"]
        for runner in _RUNNERS:
            line += ["--platform", f"{runner}=-self-hosted"]
        used = [*(tree / ".github" / "workflows").glob("*.yml")]
        used += [file for where in self.actions.values() for file in where.glob(f"{_CALLED}/*.yml")]
        for action, sha in sorted(uses_in(*used)):
            if (double := DOUBLES / action.partition("/")[2]).is_dir():
                line += ["--local-repository", f"{action}@{sha}={double}"]
        for action, where in self.actions.items():
            line += ["--local-repository", f"{action}={where}"]
        for key, value in self.settings.items():
            line += ["--var", f"{key}={value}"]
        self._runs += 1
        tell = functools.partial(self._tell, self._runs, workflow, event["ref"])
        given = self._environment() | {"GITHUB_RUN_ID": str(self._runs)}
        for key, value in given.items():
            line += ["--env", f"{key}={value}"]
        run = _watched(line, tree, _of_the_machine() | {"PATH": given.get("PATH", os.environ["PATH"])}, tell)
        shutil.rmtree(tree)
        return run

    def _tell(self, number, workflow, ref, status):
        if self._github:
            self._github.tell(number, workflow, ref.split("/", 2)[2], status)

    def steps(self):
        """What the doubles were given in the last run."""
        return [json.loads(line) for line in (self.home / "steps.jsonl").read_text().splitlines()]

    def _environment(self):
        return {
            "DOUBLES": str(self.home),
            "DOUBLES_PYTHON": sys.executable,
            "DOUBLES_PROGRAM": str(HERE / "doubles.py"),
            **self._variables,
        }


def _of_the_machine():
    return {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_OF_CLIENTS)
    }


def _watched(line, folder, environ, tell):
    """How act ends; what GitHub's API says of the run follows it."""
    jobs, log, rest = {}, {}, []
    tell("in_progress")
    running = subprocess.Popen(
        line, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    too_long = threading.Timer(_A_RUN_S, running.kill)
    too_long.start()
    try:
        for printed in running.stdout:
            try:
                entry = json.loads(printed)
            except ValueError:
                rest.append(printed.rstrip())
                continue
            name = entry.get("job", "").rpartition("/")[2].strip()
            if entry.get("matrix"):
                name = re.sub(r"-\d+$", "", name)  # act numbers them
            if entry.get("raw_output"):
                log[name] = log.get(name, "") + entry["msg"]
            elif "jobResult" in entry:
                jobs[name] = entry["jobResult"]
            rest.append(f"[{name}] {entry.get('msg', '').rstrip()}")
        code = running.wait()
    finally:
        too_long.cancel()
        running.kill()
        running.stdout.close()
        running.wait()
    tell("completed")
    return Run(code, jobs, log, "\n".join(rest))
