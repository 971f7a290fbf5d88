"""Kill publishers, and run the next publisher to its end after each.

    python tests/publish/kill_harness.py ENDPOINT FOLDER MOMENT...

A moment is a stage ("after PublishLayerVersion"), the number of an event ("event 7") or a random time
("seed 7"). After "canary ", the publishers run a canary, whose invocations are answered without the emulator.
Prints one line of JSON for each. This program has no threads, so it can fork a publisher that has its modules
already. Each moment has its own account.
"""

import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

import boto3  # noqa: E402
import botocore.httpsession  # noqa: E402
import botocore.loaders  # noqa: E402
import botocore.session  # noqa: E402
from publish.conftest import make_layer  # noqa: E402 - found where the line above points
from publish.emulators import Endpoint  # noqa: E402
from publish.publish_fixtures import LAYER, PUBLIC, THREE, Workspace, sample_answer  # noqa: E402

from nodelayer.aws import functions  # noqa: E402
from nodelayer.cli.command import PATHS  # noqa: E402
from nodelayer.publish import canary  # noqa: E402
from nodelayer.publish.layers import lease  # noqa: E402

CANARY = canary.CanaryOptions(THREE[:1], "arn:aws:iam::123456789012:role/nodelayer-canary", 1, PATHS.function)
ALIGN_EVERY = 5
THIRD_EVERY = 4
_OPERATIONS = {
    r"POST .*/layers/[^/]+/versions": "PublishLayerVersion",
    r"POST .*/layers/[^/]+/versions/\d+/policy": "AddLayerVersionPermission",
    r"POST .*/functions": "CreateFunction",
    r"DELETE .*/functions/[^/]+": "DeleteFunction",
}


def share_models():
    """Let the publishers that are forked share the service models of botocore that this program reads."""
    loader = botocore.loaders.create_loader()
    botocore.session.create_loader = lambda *_: loader
    for service in ("account", "ecr", "lambda", "lambda-core", "sts"):
        for data in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model(service, data)
    loader.load_data("endpoints")
    loader.load_data("partitions")
    boto3.Session().get_available_regions("lambda")


class Events:
    """Counts the requests, the responses and the file replacements of this process; may end it at one."""

    def __init__(self, moment):
        self.count = 0
        self._moment = moment
        self._numbers = itertools.count(1)

    def watch(self):
        send, replace = botocore.httpsession.URLLib3Session.send, os.replace
        botocore.httpsession.URLLib3Session.send = lambda session, request: self._around(
            _operation(request), send, session, request
        )
        os.replace = lambda source, target: self._around(Path(target).name, replace, source, target)
        functions.Functions.invoke = lambda _, _name, event: self._around("Invoke", sample_answer, event)
        functions.Functions.invoke_streaming = lambda _, _name, event: self._around(
            "InvokeWithResponseStream", partial(sample_answer, streamed=True), event
        )

    def _around(self, name, call, *arguments):
        self._event(f"before {name}")
        result = call(*arguments)
        self._event(f"after {name}")
        return result

    def _event(self, name):
        self.count = next(self._numbers)
        if self._moment in (name, f"event {self.count}"):
            os.kill(os.getpid(), signal.SIGKILL)


def _operation(request):
    line = f"{request.method} {request.url.partition('?')[0]}"
    return next((name for shape, name in _OPERATIONS.items() if re.fullmatch(shape, line)), line)


def run(workspace, options, moment=""):
    """Start a publisher in its own process and return the process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        variables = workspace.endpoint.environ(workspace.account)
        os.environ.update({name: value for name, value in variables.items() if name.startswith("AWS_")})
        events = Events(moment)
        events.watch()
        code = 0 if not workspace.publish(**options).failures else 3
        (workspace.folder.with_suffix(".events")).write_text(str(events.count))
    finally:
        os._exit(code)


def outcome(endpoint, folder, moment, whole_s):
    """Return what a killed publisher left, and what the next publisher made of it."""
    starts, name = moment.startswith("canary "), moment
    moment = moment.removeprefix("canary ")
    kind, _, number = moment.rpartition(" ")
    number = int(number) if number.isdecimal() else 0
    workspace = Workspace(folder / name.replace(" ", "-"), endpoint, account=account_of(name))
    make_layer(workspace.dist, seed=number)
    options = {"access": PUBLIC, "align": kind == "seed" and number % ALIGN_EVERY == 0 and not starts}
    options["canary"] = CANARY if starts else None
    child = run(workspace, options, moment)
    if kind == "seed":
        time.sleep(random.Random(number).uniform(0, whole_s))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    left = {region: len(workspace.versions(region)) for region in THREE}
    recorded = len(workspace.recorded())
    functions_then = _functions(workspace)
    started_then = any(layer.canary for layer in workspace.manifest().layers)
    access_then = {access for region in THREE for _, access in workspace.versions(region).values()}
    _, again = os.waitpid(run(workspace, options), 0)
    before = workspace.path.read_bytes()
    third = 0
    if number % THIRD_EVERY == 0:
        _, third = os.waitpid(run(workspace, options), 0)
    return {
        "moment": name,
        "killed": os.WIFSIGNALED(status),
        "left": sum(left.values()),
        "recorded_then": recorded,
        "again": os.waitstatus_to_exitcode(again),
        "third": os.waitstatus_to_exitcode(third),
        "functions_then": functions_then,
        "public_then": "public" in access_then,
        "started_then": started_then,
        "functions": _functions(workspace),
        "started": workspace.manifest().layers[0].canary is not None,
        "versions": {region: list(workspace.versions(region).values()) for region in THREE},
        "sha256": workspace.artifacts()[0].code_sha256,
        "recorded": workspace.recorded(),
        "valid": workspace.manifest().layers[0].layer_name == LAYER,
        "still": workspace.path.read_bytes() == before,
        "files": sorted(workspace.files()),
        "temporary": temporary_files(),
    }


def temporary_files():
    """Return the temporary files, without empty folders: killed early, they stay for ten minutes."""
    folders = Path(tempfile.gettempdir()).iterdir()
    return [path.name for path in folders if not path.is_dir() or any(path.iterdir())]


def _functions(workspace):
    return len(workspace.lambda_(CANARY.regions[0]).list_functions()["Functions"])


def whole(endpoint, folder, *, starts):
    """Return how many seconds a publisher takes that nobody kills, and how many events it has."""
    workspace = Workspace(folder / f"whole-{starts}", endpoint, account=account_of(f"{folder}{starts}"))
    make_layer(workspace.dist)
    began = time.monotonic()
    os.waitpid(run(workspace, {"access": PUBLIC, "canary": CANARY if starts else None}), 0)
    return time.monotonic() - began, int(workspace.folder.with_suffix(".events").read_text())


def account_of(text):
    return f"{random.Random(text).randrange(10**11, 10**12)}"


def main():
    endpoint, folder, *moments = sys.argv[1:]
    endpoint, folder = Endpoint(endpoint), Path(folder)
    share_models()
    functions._POLL_S = 0.1
    canary._LEFT_S = -1  # so that the next canary deletes a function at once
    lease.LIFETIME_S = 3.0  # so that the next publisher does not wait long for a killed one
    whole_s, events = {}, 0
    for starts in {each.startswith("canary seed ") for each in moments or ["seed"] if "seed" in each}:
        whole_s[starts], events = whole(endpoint, folder, starts=starts)
    for moment in moments or [f"event {number}" for number in range(1, events + 1)]:
        seconds = whole_s.get(moment.startswith("canary "), 0)
        sys.stdout.write(json.dumps(outcome(endpoint, folder, moment, seconds)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
