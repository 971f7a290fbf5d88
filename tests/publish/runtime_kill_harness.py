"""Kill publish-runtime, and run the next one to its end after each, as kill_harness.py does for publish.

    python tests/publish/runtime_kill_harness.py LAMBDA ECR FOLDER MOMENT...

A moment is the number of a request, response or file ("event 7"), or a time after a random one ("seed 7").
Each publishes two versions of Node.js, so that `latest` moves; those with an odd number do so with a canary.
"""

import json
import os
import random
import signal
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

import botocore.httpsession  # noqa: E402
import requests  # noqa: E402
from publish.emulators import Endpoint  # noqa: E402
from publish.kill_harness import Events, account_of, share_models, temporary_files  # noqa: E402 - found where the line above points
from publish.runtime_fixtures import TWO, RuntimeWorkspace, make_image  # noqa: E402

from nodelayer.aws import functions, managed_runtimes  # noqa: E402
from nodelayer.cli.command import PATHS  # noqa: E402
from nodelayer.publish import canary  # noqa: E402

CANARY = canary.CanaryOptions(TWO[:1], "arn:aws:iam::123456789012:role/nodelayer-canary", 1, PATHS.function)
AFTER_S = 0.02
NODES = ("12.16.1", "12.22.12")


class Requests(Events):
    """Counts the requests, the responses and the file replacements of this process; may end it at one."""

    def watch(self):
        send, replace = botocore.httpsession.URLLib3Session.send, os.replace
        push = requests.Session.request
        botocore.httpsession.URLLib3Session.send = lambda session, request: self._around(
            "a request to AWS", send, session, request
        )
        requests.Session.request = lambda session, *given, **named: self._around(
            "a request to the registry", lambda: push(session, *given, **named)
        )
        os.replace = lambda source, target: self._around(Path(target).name, replace, source, target)

    def kill_after(self, event, seconds):
        """End this process some time after an event."""
        self._after = (event, seconds)

    def _event(self, name):
        super()._event(name)
        if self._after and self._after[0] == self.count:
            threading.Timer(self._after[1], os.kill, [os.getpid(), signal.SIGKILL]).start()

    _after = None


def workspace_of(lambda_, ecr, folder, account, seed=""):
    """Return a workspace with images of both versions, and with clients that its publishers inherit."""
    workspace = RuntimeWorkspace(folder, lambda_, ecr, account)
    os.environ.update({name: each for name, each in workspace.environ().items() if name.startswith("AWS_")})
    for node in NODES:
        make_image(workspace.dist, node, seed=seed)
    workspace.open(TWO)
    return workspace


def run(workspace, starts, moment="", events_there=0):
    """Start a publisher in its own process and return the process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        events = Requests(moment)
        events.watch()
        if moment.startswith("seed "):
            chance = random.Random(moment)
            events.kill_after(chance.randint(1, events_there), chance.uniform(0, AFTER_S))
        code = workspace.run(TWO, canary=CANARY if starts else None).code
        workspace.folder.with_suffix(".events").write_text(str(events.count))
    finally:
        os._exit(code)


def outcome(lambda_, ecr, folder, moment, events):
    """Return what a killed publisher left, and what the next publisher made of it."""
    number = moment.rpartition(" ")[2]
    workspace = workspace_of(lambda_, ecr, folder / moment.replace(" ", "-"), account_of(moment), number)
    starts = int(number) % 2 == 1
    child = run(workspace, starts, moment, events[starts])
    _, status = os.waitpid(child, 0)
    left = sum(len(workspace.versions(region)) for region in TWO)
    _, again = os.waitpid(run(workspace, starts), 0)
    before = workspace.path.read_bytes()
    third = 0
    if int(number) % 8 < 2:
        _, third = os.waitpid(run(workspace, starts), 0)
    return {
        "moment": moment,
        "killed": os.WIFSIGNALED(status),
        "left": left,
        "canary": starts,
        "functions": len(lambda_.client("lambda", TWO[0], workspace.account).list_functions()["Functions"]),
        "again": os.waitstatus_to_exitcode(again),
        "third": os.waitstatus_to_exitcode(third),
        "still": workspace.path.read_bytes() == before,
        "versions": {region: workspace.versions(region) for region in TWO},
        "aliases": {region: workspace.aliases(region) for region in TWO},
        "images": {region: sorted(workspace.images(region).values()) for region in TWO},
        "recorded": sorted(workspace.recorded()),
        "files": sorted(workspace.files()),
        "temporary": temporary_files(),
    }


def whole(lambda_, ecr, folder, *, starts):
    """Return how many events a publisher has that nobody kills."""
    workspace = workspace_of(lambda_, ecr, folder / f"whole-{starts}", account_of(f"{folder}{starts}"))
    os.waitpid(run(workspace, starts), 0)
    return int(workspace.folder.with_suffix(".events").read_text())


def main():
    lambda_, ecr, folder, *moments = sys.argv[1:]
    lambda_, ecr, folder = Endpoint(lambda_), Endpoint(ecr), Path(folder)
    share_models()
    functions._POLL_S = 0.1
    managed_runtimes._POLLS_S = (0.05,)
    canary._LEFT_S = -1  # so that the next canary deletes a function at once
    events = [whole(lambda_, ecr, folder, starts=starts) for starts in (False, True)]
    for moment in moments or [f"event {number}" for number in range(1, events[0] + 1)]:
        line = json.dumps(outcome(lambda_, ecr, folder, moment, events))
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
