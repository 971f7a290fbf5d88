"""Publishing survives SIGKILL at any moment: the next run finishes, and nothing is there twice."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from publish.publish_fixtures import THREE

pytestmark = pytest.mark.network

SEEDS = 200
AT_ONCE = 2


@pytest.fixture(scope="module")
def outcomes(ministack, tmp_path_factory):
    """What each of the seeds left, by two programs at once."""
    ministack.reset()
    folder = tmp_path_factory.mktemp("killed")

    def some(number):
        share = SEEDS // AT_ONCE
        harness = Path(__file__).with_name("kill_harness.py")
        done = subprocess.run(
            [sys.executable, harness, ministack.endpoint, folder, str(number * share), str(share)],
            env=ministack.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [each for share in pool.map(some, range(AT_ONCE)) for each in share]


def test_every_region_ends_with_one_version_that_all_may_use(outcomes):
    assert len(outcomes) == SEEDS
    for each in outcomes:
        assert each["versions"] == {region: [[each["sha256"], "public"]] for region in THREE}, each


def test_the_manifest_ends_complete_and_valid_with_nothing_left_beside_it(outcomes):
    for each in outcomes:
        assert (set(each["recorded"]), each["valid"]) == (set(THREE), True), each
        assert each["files"] == [
            "dist",
            "layers.json",
            "layers.json.lock",
            "layers.schema.json",
            "layers.txt",
        ], each


def test_the_run_after_it_ends_well_and_the_third_changes_nothing(outcomes):
    assert {(each["again"], each["third"], each["still"]) for each in outcomes} == {(0, 0, True)}


def test_the_kills_met_runs_at_every_stage(outcomes):
    stages = {(sum(each["left"].values()), each["recorded_then"]) for each in outcomes if each["killed"]}
    assert (0, 0) in stages
    assert any(published > recorded for published, recorded in stages), stages
    assert any(recorded > 0 for _, recorded in stages), stages
