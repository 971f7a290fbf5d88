"""Publishers that are killed at a moment of chance, each followed by one that is left to finish.

    python tests/publish/kill_harness.py ENDPOINT FOLDER FIRST COUNT

Prints a line of JSON for each seed. A program of its own with no thread in it, so that a publisher can be
forked without the seconds that its imports take. Each seed has an account of its own; nothing is shared but
the emulator.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

from publish.conftest import make_layer  # noqa: E402 - found where the line above points
from publish.emulators import Endpoint  # noqa: E402
from publish.publish_fixtures import LAYER, PUBLIC, THREE, Workspace  # noqa: E402

ALIGN_EVERY = 5
THIRD_EVERY = 4


def run(workspace, options):
    """A publisher in a process of its own; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ.update(
            {
                name: value
                for name, value in workspace.endpoint.environ(workspace.account).items()
                if name.startswith("AWS_")
            }
        )
        code = 0 if not workspace.publish(**options).failures else 3
    finally:
        os._exit(code)


def seed_of(endpoint, folder, seed, whole):
    """What one seed left: how far the killed run came, and what there is after the next."""
    chance = random.Random(seed)
    workspace = Workspace(folder / str(seed), endpoint, account=f"{700_000_000_000 + seed}")
    make_layer(workspace.dist, seed=seed)
    options = {"access": PUBLIC, "align": seed % ALIGN_EVERY == 0}
    child = run(workspace, options)
    time.sleep(chance.uniform(0, whole))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    left = {region: len(workspace.versions(region)) for region in THREE}
    recorded = len(workspace.recorded())
    _, again = os.waitpid(run(workspace, options), 0)
    before = workspace.path.read_bytes()
    third = 0
    if seed % THIRD_EVERY == 0:
        _, third = os.waitpid(run(workspace, options), 0)
    return {
        "seed": seed,
        "killed": os.WIFSIGNALED(status),
        "left": left,
        "recorded_then": recorded,
        "again": os.waitstatus_to_exitcode(again),
        "third": os.waitstatus_to_exitcode(third),
        "versions": {region: list(workspace.versions(region).values()) for region in THREE},
        "sha256": workspace.artifacts()[0].code_sha256,
        "recorded": workspace.recorded(),
        "valid": workspace.manifest().layers[0].layer_name == LAYER,
        "still": workspace.path.read_bytes() == before,
        "files": sorted(workspace.files()),
    }


def main():
    endpoint, folder, first, count = sys.argv[1:]
    endpoint, folder = Endpoint(endpoint), Path(folder)
    times = []
    for number in range(3):  # how long a run takes that is left alone
        workspace = Workspace(
            folder / f"whole-{first}-{number}", endpoint, account=f"{600_000_000_000 + int(first) + number}"
        )
        make_layer(workspace.dist)
        began = time.monotonic()
        os.waitpid(run(workspace, {"access": PUBLIC}), 0)
        times.append(time.monotonic() - began)
    for seed in range(int(first), int(first) + int(count)):
        sys.stdout.write(json.dumps(seed_of(endpoint, folder, seed, sorted(times)[1])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
