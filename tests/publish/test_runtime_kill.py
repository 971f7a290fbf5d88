"""publish-runtime survives SIGKILL: the next run completes the work and creates nothing twice."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from publish.lambda_core import LambdaCore
from publish.runtime_fixtures import TWO

pytestmark = pytest.mark.network

SEEDS = 200
PARALLEL_HARNESSES = 2
OLD, NEW = "12.16.1_0.0.1", "12.22.12_0.0.1"
HARNESS = Path(__file__).with_name("runtime_kill_harness.py")


@pytest.fixture
def killed(ministack, tmp_path):
    """Return a function that kills a publisher at each moment and returns the outcomes."""
    ministack.reset()

    def run(core, number, moments):
        folder, temporary = tmp_path / str(number), tmp_path / f"temporary-{number}"
        folder.mkdir()
        temporary.mkdir()
        done = subprocess.run(
            [sys.executable, HARNESS, core.endpoint, ministack.endpoint, folder, *moments],
            env=ministack.environ(TMPDIR=temporary),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def at(moments):
        with LambdaCore() as core, ThreadPoolExecutor(PARALLEL_HARNESSES) as pool:
            core.settings.creating_s = core.settings.updating_s = 0.1
            if not moments:
                return run(core, "events", [])
            shares = [moments[number::PARALLEL_HARNESSES] for number in range(PARALLEL_HARNESSES)]
            outcomes = pool.map(run, [core] * PARALLEL_HARNESSES, range(PARALLEL_HARNESSES), shares)
            return [each for share in outcomes for each in share]

    return at


def assert_recovered(outcome):
    """Each region has both versions once, the right aliases and no leftovers; a third run changes nothing."""
    assert outcome["versions"] == {key: {OLD: "ACTIVE", NEW: "ACTIVE"} for key in TWO}, outcome
    aliases = {"12.16.1": OLD, "12.22.12": NEW, "latest": NEW, "previous": OLD}
    started = {TWO[0]: {**aliases, "canary": NEW}} if outcome["canary"] else {}
    assert outcome["aliases"] == dict.fromkeys(TWO, aliases) | started, outcome
    assert outcome["images"] == {key: [[], [], [], [], [OLD], [NEW]] for key in TWO}, outcome
    assert outcome["recorded"] == [[region, version] for region in TWO for version in (OLD, NEW)], outcome
    files = ["dist", "layers.json", "layers.json.lock", "layers.schema.json", "layers.txt"]
    assert outcome["functions"] == 0, outcome
    assert (outcome["files"], outcome["temporary"]) == (files, []), outcome
    assert (outcome["again"], outcome["third"], outcome["still"]) == (0, 0, True), outcome


@pytest.mark.parametrize(
    "seeds", [pytest.param(20, marks=pytest.mark.full), pytest.param(SEEDS, marks=pytest.mark.long)]
)
@pytest.mark.timeout(1800)
def test_next_run_recovers_from_a_kill_at_a_random_time(killed, seeds):
    outcomes = killed([f"seed {seed}" for seed in range(seeds)])
    assert len(outcomes) == seeds
    assert sum(outcome["killed"] for outcome in outcomes) > 0.8 * seeds
    for outcome in outcomes:
        assert_recovered(outcome)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_next_run_recovers_from_a_kill_at_each_request_response_and_file(killed):
    outcomes = killed([])
    assert len(outcomes) > 100
    assert all(outcome["killed"] for outcome in outcomes)
    for outcome in outcomes:
        assert_recovered(outcome)
