"""From set, releases, manifest and day to the jobs of a matrix: nothing lost, nothing twice."""

import json
import random
from collections import Counter
from datetime import date

import pytest
from support import ROOT

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.github import matrix
from nodelayer.github.matrix import BATCH, MATRIX_JOBS, MatrixRequest, Pair, in_batches, in_jobs, lacking
from nodelayer.github.targets import Supported
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.node.versions import Release, sort_key
from nodelayer.version import __version__

TODAY = date(2026, 11, 25)
RUNNERS = {X86_64: "ubuntu-24.04", ARM64: "ubuntu-24.04-arm"}
SET = Supported(maintenance=True, versions=("12.16.1", "20.20.2"), runners=RUNNERS)
RELEASES = {
    X86_64: [
        Release(v)
        for v in ("10.24.1", "12.16.1", "20.20.2", "22.1.0", "22.2.0", "24.1.0", "25.9.0", "26.1.0")
    ],
    ARM64: [Release(v) for v in ("20.20.2", "22.1.0", "22.3.0", "24.1.0")],
}


def plan(wish=MatrixRequest(), supported=SET, releases=RELEASES):  # noqa: B008 - frozen
    return matrix.plan(supported, releases, wish, today=TODAY)


def built(found):
    return [(version, job.architecture.name) for job in found.jobs for version in job.versions]


# which layers


def test_the_set_is_the_newest_of_each_maintained_line_and_the_versions_named():
    found = plan()
    assert built(found) == [
        ("12.16.1", "x86_64"),
        ("20.20.2", "x86_64"),
        ("20.20.2", "arm64"),
        ("22.2.0", "x86_64"),
        ("22.3.0", "arm64"),
        ("24.1.0", "x86_64"),
        ("24.1.0", "arm64"),
        ("26.1.0", "x86_64"),
    ]
    assert found.failures == ()
    assert (found.count, found.batches) == (8, 1)


def test_what_an_architecture_has_not_got_is_left_out_and_told():
    assert plan().left_out == ("Left out for arm64, which has none: 26, 12.16.1",)


def test_without_maintenance_only_the_versions_named_are_built():
    found = plan(supported=Supported(maintenance=False, versions=("22",), runners=RUNNERS))
    assert built(found) == [("22.2.0", "x86_64"), ("22.3.0", "arm64")]


def test_specs_stand_in_place_of_the_set_and_mean_each_layer_once():
    found = plan(MatrixRequest(specs=("24", "24.1.0", "v24.1.0", "24.1")))
    assert built(found) == [("24.1.0", "x86_64"), ("24.1.0", "arm64")]


def test_a_spec_that_means_nothing_is_an_error_beside_the_others():
    found = plan(MatrixRequest(specs=("99", "24", "11.0.0")))
    assert built(found) == [("24.1.0", "x86_64"), ("24.1.0", "arm64")]
    assert [type(each) for each in found.failures] == [NotFoundError] * 2
    assert str(found.failures[0]) == "no Node.js 99 for x86_64 or arm64: nearest: 26.1.0"


def test_every_release_begins_with_the_oldest_that_the_client_is_for():
    releases = {
        X86_64: [Release("11.15.0"), Release("12.0.0"), Release("12.0.0-rc.1"), Release("13.0.0-rc.1")]
    }
    assert built(plan(MatrixRequest(specs=("every",)), releases=releases)) == [("12.0.0", "x86_64")]


def test_every_release_of_each_architecture_is_built_and_what_one_lacks_is_told():
    found = plan(MatrixRequest(specs=("every",)))
    expected = {
        (each.version, arch.name) for arch in RELEASES for each in RELEASES[arch] if each.version > "12"
    }
    assert (set(built(found)), len(built(found))) == (expected, 11)
    assert found.left_out == (
        "Left out for x86_64, which has none: 22.3.0",
        "Left out for arm64, which has none: 12.16.1, 22.2.0, 25.9.0, 26.1.0",
    )


def test_a_long_list_of_what_is_left_out_is_cut():
    releases = {X86_64: [Release(f"12.{minor}.0") for minor in range(20)], ARM64: []}
    (line,) = plan(MatrixRequest(specs=("every",)), releases=releases).left_out
    assert line.endswith("12.7.0 and 12 more")


@pytest.mark.parametrize("wish", [{"specs": ("every", "12")}, {"jobs": 0}, {"jobs": 257}])
def test_flags_that_cannot_be_meant_are_refused(wish):
    with pytest.raises(InvalidInputError):
        MatrixRequest(**wish)


# what the manifest lacks


def entry(version="24.1.0", architecture="x86_64", nodelayer=__version__, deleted=None, regions=1):
    name = f"nodejs-{version.replace('.', '-')}-{architecture}"
    here = {
        region: Published(
            version=1,
            arn=f"arn:aws:lambda:{region}:123456789012:layer:{name}:1",
            published="2026-11-01T00:00:00Z",
            deleted=deleted,
        )
        for region in ("eu-west-1", "us-east-1")[:regions]
    }
    return Layer(
        node_version=version,
        architecture=architecture,
        nodelayer_version=nodelayer,
        layer_name=name,
        code_sha256="A" * 43 + "=",
        size=1,
        compatible_runtimes=["provided.al2023"],
        regions=here,
    )


@pytest.mark.parametrize(
    ("recorded", "missing"),
    [
        ([], True),
        ([entry()], False),
        ([entry(regions=2)], False),
        ([entry(regions=0)], True),
        ([entry(deleted="2026-11-02T00:00:00Z")], True),
        ([entry(nodelayer="0.0.1")], True),
        ([entry(nodelayer="0.0.1"), entry()], False),
        ([entry(architecture="arm64")], True),
        ([entry(version="24.1.1")], True),
    ],
)
def test_missing_is_what_no_region_has_live_of_this_nodelayer(recorded, missing):
    pair = Pair("24.1.0", X86_64)
    assert lacking([pair], Manifest.of(recorded), __version__) == ([pair] if missing else [])


def test_what_one_region_did_not_take_is_missing():
    known = Manifest.of([entry(regions=2), entry("24.1.1", regions=1)])
    pairs = [Pair("24.1.0", X86_64), Pair("24.1.1", X86_64)]
    assert lacking(pairs, known, __version__) == pairs[1:]


def test_of_an_empty_manifest_everything_is_missing_and_of_a_full_one_nothing():
    assert built(plan(MatrixRequest(missing=Manifest()))) == built(plan())
    full = Manifest.of(entry(version, architecture) for version, architecture in built(plan()))
    found = plan(MatrixRequest(missing=full))
    assert found.jobs == ()
    assert found.outputs() == {"matrix": '{"include":[]}', "any": "false", "count": "0", "batches": "1"}


# jobs


def pairs(x86_64, arm64=0):
    numbers = {X86_64: x86_64, ARM64: arm64}
    return [Pair(f"{12 + n // 100}.{n % 100}.0", each) for each in numbers for n in range(numbers[each])]


@pytest.mark.parametrize("most", [1, 2, 3, 20, 255, 256])
@pytest.mark.parametrize("total", [0, 1, 2, 255, 256, 257, 511, 512, 513, 1000, 10000])
@pytest.mark.parametrize("part", [0.0, 0.003, 0.3, 0.5])
def test_each_layer_is_in_one_job_and_jobs_are_even(total, part, most):
    arm64 = int(total * part)
    wanted = pairs(total - arm64, arm64)
    shuffled = random.Random(total).sample(wanted, len(wanted))
    if most == 1 and arm64 and total > most:
        with pytest.raises(InvalidInputError, match="--jobs 1"):
            in_jobs(shuffled, most, RUNNERS)
        return
    jobs = in_jobs(shuffled, most, RUNNERS)
    assert Counter((v, job.architecture) for job in jobs for v in job.versions) == Counter(
        (each.version, each.architecture) for each in wanted
    )
    assert len(jobs) <= most
    assert len({job.id for job in jobs}) == len(jobs)
    for each in (X86_64, ARM64):
        sizes = [len(job.versions) for job in jobs if job.architecture == each]
        assert max(sizes, default=0) - min(sizes, default=0) <= 1
        assert 0 not in sizes
    sizes = [len(job.versions) for job in jobs]
    if min(Counter(job.architecture for job in jobs).values(), default=0) >= max(sizes, default=0):
        assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert in_jobs(wanted, most, RUNNERS) == jobs, "the order of what is given does not matter"


def test_as_few_versions_share_a_job_as_can_be():
    assert max(len(job.versions) for job in in_jobs(pairs(500, 500), 256, RUNNERS)) == 4
    assert max(len(job.versions) for job in in_jobs(pairs(256, 1), 256, RUNNERS)) == 2
    assert max(len(job.versions) for job in in_jobs(pairs(5, 4), 3, RUNNERS)) == 4


def test_a_job_of_its_own_has_the_version_in_its_id():
    first, *_, last = in_jobs(pairs(128, 128), 256, RUNNERS)
    assert first.as_json() == {
        "id": "12.0.0-x86_64",
        "node": "12.0.0",
        "arch": "x86_64",
        "runner": "ubuntu-24.04",
    }
    assert last.as_json()["runner"] == "ubuntu-24.04-arm"


def test_jobs_that_are_shared_are_numbered_and_hold_versions_oldest_first():
    jobs = in_jobs(pairs(300, 300), 256, RUNNERS)
    assert jobs[6].as_json() == {
        "id": "x86_64-007",
        "node": "12.18.0,12.19.0,12.20.0",
        "arch": "x86_64",
        "runner": "ubuntu-24.04",
    }
    assert jobs[-1].id == "arm64-100"
    for job in jobs:
        assert list(job.versions) == sorted(job.versions, key=sort_key)


# batches


@pytest.mark.parametrize("total", [0, 1, BATCH, BATCH + 1, 1000, 10000])
def test_batches_hold_each_layer_once_and_no_more_than_a_run_builds(total):
    wanted = pairs(total - total // 2, total // 2)
    found = in_batches(wanted)
    assert sorted(str(pair) for each in found for pair in each) == sorted(map(str, wanted))
    assert [len(each) for each in found[:-1]] == [BATCH] * (len(found) - 1)
    assert all(0 < len(each) <= BATCH for each in found)


def test_a_new_release_moves_no_other_into_another_batch():
    old = [Pair(f"{12 + n % 9}.{n // 9}.0", X86_64, f"2020-01-{n % 28 + 1:02}") for n in range(500)]
    new = Pair("12.99.0", X86_64, "2026-11-25")
    before, after = in_batches(old), in_batches([new, *old])
    assert after[:-1] == before[:-1]
    assert set(after[-1]) == {*before[-1], new}


MANY = {each: [Release(f"{12 + n // 40}.{n % 40}.0") for n in range(500)] for each in (X86_64, ARM64)}


def test_the_batches_of_a_thousand_layers_are_the_runs_that_are_to_be_started():
    found = [plan(MatrixRequest(specs=("every",), batch=n), releases=MANY) for n in range(1, 8)]
    assert {each.batches for each in found} == {7}
    everything = [pair for each in found for pair in built(each)]
    assert len(everything) == len(set(everything)) == 1000
    assert found[1].others({"node": "every"}) == [
        f"gh workflow run release.yml --ref v{__version__} -f node=every -f batch={n}"
        for n in (1, 3, 4, 5, 6, 7)
    ]


def test_a_batch_stays_the_same_while_others_are_published():
    first = plan(MatrixRequest(specs=("every",), batch=1), releases=MANY)
    known = Manifest.of(entry(version, architecture) for version, architecture in built(first))
    again = plan(MatrixRequest(specs=("every",), batch=1, missing=known), releases=MANY)
    second = plan(MatrixRequest(specs=("every",), batch=2, missing=known), releases=MANY)
    assert again.jobs == ()
    assert built(second) == built(plan(MatrixRequest(specs=("every",), batch=2), releases=MANY))
    assert second.batches == 7


@pytest.mark.parametrize("batch", [0, 8, -1])
def test_a_batch_that_is_not_there_is_refused_with_those_that_are(batch):
    with pytest.raises(InvalidInputError, match="use 1 to 7"):
        plan(MatrixRequest(specs=("every",), batch=batch), releases=MANY)


def test_a_batch_is_what_one_run_has_time_and_room_for():
    assert matrix.BATCH * matrix.PUBLISH_SECONDS <= matrix.SESSION_SECONDS
    assert -(-BATCH // MATRIX_JOBS) * matrix.BUILD_SECONDS <= matrix.JOB_SECONDS / 2
    assert BATCH * matrix.ZIP_BYTES * 7 / 3 <= matrix.RUNNER_DISK
    assert BATCH >= 100
    template = (ROOT / "cloudformation" / "github-publisher.yaml").read_text()
    assert f"MaxSessionDuration: {matrix.SESSION_SECONDS} " in template


# what is written


def test_the_matrix_is_one_line_that_a_workflow_reads():
    line = plan(MatrixRequest(specs=("12.16.1",))).line
    assert line == (
        '{"include":[{"id":"12.16.1-x86_64","node":"12.16.1","arch":"x86_64","runner":"ubuntu-24.04"}]}'
    )
    assert (
        json.loads(plan(MatrixRequest(specs=("every",)), releases=MANY).line)["include"][0]["node"]
        == "12.0.0"
    )


def test_outputs_say_how_many_and_whether_any():
    found = plan(MatrixRequest(specs=("every",), jobs=20, batch=7), releases=MANY).outputs()
    assert (found["any"], found["count"], found["batches"]) == ("true", "100", "7")
    assert len(json.loads(found["matrix"])["include"]) == 20


def test_a_line_of_json_fits_into_an_output_of_a_job():
    releases = {
        each: [Release(f"{12 + n // 400}.{n % 400}.0") for n in range(5000)] for each in (X86_64, ARM64)
    }
    assert (
        max(len(plan(MatrixRequest(specs=("every",), batch=n), releases=releases).line) for n in (1, 2))
        < 1_000_000
    )
