"""Publishing survives SIGKILL: the next run completes the work and publishes nothing twice."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from publish.publish_fixtures import THREE

pytestmark = pytest.mark.network

SEEDS = 200
PARALLEL_HARNESSES = 2
NOTHING, PUBLISHED, RECORDED = "nothing published", "published, not recorded", "recorded"
STAGES = {
    "before PublishLayerVersion": {NOTHING},
    "after PublishLayerVersion": {PUBLISHED},
    "before AddLayerVersionPermission": {PUBLISHED},
    "after AddLayerVersionPermission": {PUBLISHED, RECORDED},  # another region may be ahead
    "before layers.json": {PUBLISHED},
    "after layers.json": {RECORDED},
    "canary after CreateFunction": {RECORDED},
    "canary before DeleteFunction": {RECORDED},
}


def stage(outcome):
    if outcome["recorded_then"]:
        return RECORDED
    return PUBLISHED if outcome["left"] else NOTHING


@pytest.fixture
def killed(ministack, tmp_path):
    """Return a function that kills a publisher at each moment and returns the outcomes."""
    ministack.reset()
    harness = Path(__file__).with_name("kill_harness.py")

    def run(number, moments):
        folder, temporary = tmp_path / str(number), tmp_path / f"temporary-{number}"
        folder.mkdir()
        temporary.mkdir()
        done = subprocess.run(
            [sys.executable, harness, ministack.endpoint, folder, *moments],
            env=ministack.environ(TMPDIR=temporary),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def at(moments):
        shares = [moments[number::PARALLEL_HARNESSES] for number in range(PARALLEL_HARNESSES)]
        with ThreadPoolExecutor(PARALLEL_HARNESSES) as pool:
            return [each for share in pool.map(run, range(PARALLEL_HARNESSES), shares) for each in share]

    at.each_event = lambda: run("events", [])
    return at


def assert_recovered(outcome):
    """One public version is in every region and in the manifest; a third run changes nothing.

    No function of a canary is left, and nothing was public before the canary.
    """
    assert outcome["versions"] == {region: [[outcome["sha256"], "public"]] for region in THREE}, outcome
    assert (set(outcome["recorded"]), outcome["valid"]) == (set(THREE), True), outcome
    files = ["dist", "layers.json", "layers.json.lock", "layers.schema.json", "layers.txt"]
    assert (outcome["files"], outcome["temporary"]) == (files, []), outcome
    assert (outcome["again"], outcome["third"], outcome["still"]) == (0, 0, True), outcome
    if outcome["moment"].startswith("canary "):
        assert (outcome["functions"], outcome["started"]) == (0, True), outcome
        assert outcome["public_then"] <= outcome["started_then"], outcome  # no access before the canary


def test_next_run_recovers_from_a_kill_at_each_stage(killed):
    outcomes = {outcome["moment"]: outcome for outcome in killed(list(STAGES))}
    assert outcomes.keys() == STAGES.keys()
    for moment, stages in STAGES.items():
        assert outcomes[moment]["killed"], moment
        assert stage(outcomes[moment]) in stages, outcomes[moment]
        assert outcomes[moment]["functions_then"] == moment.startswith("canary "), outcomes[moment]
        assert_recovered(outcomes[moment])


@pytest.mark.long
def test_next_run_recovers_from_a_kill_at_each_request_response_and_file(killed):
    outcomes = killed.each_event()
    assert len(outcomes) > 2 * 2 * len(THREE)  # at least two requests and responses for each region
    assert all(outcome["killed"] for outcome in outcomes)
    for outcome in outcomes:
        assert_recovered(outcome)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["seed", "canary seed"])
def test_next_run_recovers_from_a_kill_at_a_random_time(killed, kind):
    outcomes = killed([f"{kind} {seed}" for seed in range(SEEDS)])
    assert len(outcomes) == SEEDS
    for outcome in outcomes:
        assert_recovered(outcome)
    if kind == "canary seed":
        during = [outcome for outcome in outcomes if outcome["functions_then"]]
        assert len(during) > SEEDS / 20  # killed while a function of the canary existed
