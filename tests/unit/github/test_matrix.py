"""The jobs of a matrix from targets, releases, manifest and date, without gaps or duplicates."""

from datetime import date

import pytest

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.github import matrix
from nodelayer.github.matrix import Job, MatrixRequest, in_batches, lacking
from nodelayer.github.targets import ReleaseTargets
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.node.versions import Release
from nodelayer.version import __version__

TODAY = date(2026, 11, 25)
RUNNERS = {X86_64: "ubuntu-24.04", ARM64: "ubuntu-24.04-arm"}
TARGETS = ReleaseTargets(maintenance=True, versions=("12.16.1", "20.20.2"), runners=RUNNERS)
RELEASES = {
    X86_64: [
        Release(v)
        for v in ("10.24.1", "12.16.1", "20.20.2", "22.1.0", "22.2.0", "24.1.0", "25.9.0", "26.1.0")
    ],
    ARM64: [Release(v) for v in ("20.20.2", "22.1.0", "22.3.0", "24.1.0")],
}


def plan(request=MatrixRequest(), targets=TARGETS, releases=RELEASES):  # noqa: B008 - frozen
    return matrix.plan(targets, releases, request, today=TODAY)


def built(found):
    return [(job.version, job.architecture.name) for job in found.jobs]


# selected layers


def test_plan_has_the_newest_release_of_each_maintained_line_and_the_named_versions():
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
    assert (found.batches, found.versions[:2]) == (1, ("12.16.1", "20.20.2"))


def test_version_that_an_architecture_lacks_is_skipped_with_a_message():
    assert plan().left_out == ("Skipped for arm64, because Node.js has no such release: 26, 12.16.1",)


def test_plan_without_maintenance_has_only_the_named_versions():
    found = plan(targets=ReleaseTargets(maintenance=False, versions=("22",), runners=RUNNERS))
    assert built(found) == [("22.2.0", "x86_64"), ("22.3.0", "arm64")]


def test_specs_replace_the_targets_without_duplicates():
    found = plan(MatrixRequest(specs=("24", "24.1.0", "v24.1.0", "24.1")))
    assert built(found) == [("24.1.0", "x86_64"), ("24.1.0", "arm64")]


def test_an_unknown_version_is_an_error_and_the_others_are_planned():
    found = plan(MatrixRequest(specs=("99", "24", "11.0.0")))
    assert built(found) == [("24.1.0", "x86_64"), ("24.1.0", "arm64")]
    assert [type(each) for each in found.failures] == [NotFoundError] * 2
    assert str(found.failures[0]) == "no Node.js 99 for x86_64 or arm64: nearest: 26.1.0"


def test_layer_without_an_asset_is_missing_even_if_it_is_published():
    target = ReleaseTargets(maintenance=False, versions=("12.16.1",), runners={X86_64: "ubuntu-24.04"})
    known = Manifest.of([entry("12.16.1")])
    (job,) = plan(targets=target).jobs
    complete = frozenset(job.assets)
    assert f"attestation-{job.id}.jsonl" in complete
    for released, missing in ((complete, ()), (complete - {f"attestation-{job.id}.jsonl"}, (job,))):
        request = MatrixRequest(missing=known, released=released)
        assert plan(request, targets=target).jobs == missing


def test_matrix_is_read_back_from_its_line():
    found = plan()
    assert [(job.version, job.architecture) for job in matrix.read(found.line)] == [
        (job.version, job.architecture) for job in found.jobs
    ]
    with pytest.raises(InvalidInputError, match="the value is not a matrix"):
        matrix.read('{"include": [{"node": "12.16.1"}]}')


def test_every_starts_with_the_oldest_supported_release():
    releases = {
        X86_64: [Release("11.15.0"), Release("12.0.0"), Release("12.0.0-rc.1"), Release("13.0.0-rc.1")]
    }
    assert built(plan(MatrixRequest(specs=("every",)), releases=releases)) == [("12.0.0", "x86_64")]


def test_every_plans_all_releases_of_each_architecture():
    found = plan(MatrixRequest(specs=("every",)))
    expected = {
        (each.version, arch.name) for arch in RELEASES for each in RELEASES[arch] if each.version > "12"
    }
    assert (set(built(found)), len(built(found))) == (expected, 11)
    assert found.left_out == (
        "Skipped for x86_64, because Node.js has no such release: 22.3.0",
        "Skipped for arm64, because Node.js has no such release: 12.16.1, 22.2.0, 25.9.0, 26.1.0",
    )


def test_long_list_of_skipped_versions_is_shortened():
    releases = {X86_64: [Release(f"12.{minor}.0") for minor in range(20)], ARM64: []}
    (line,) = plan(MatrixRequest(specs=("every",)), releases=releases).left_out
    assert line.endswith("12.7.0 and 12 more")


def test_every_cannot_be_combined_with_other_versions():
    with pytest.raises(InvalidInputError, match="every cannot be combined with other versions"):
        MatrixRequest(specs=("every", "12"))


# layers that the manifest lacks


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
def test_layer_without_an_undeleted_version_of_this_nodelayer_is_missing(recorded, missing):
    job = Job("24.1.0", X86_64)
    assert lacking([job], Manifest.of(recorded), __version__) == ([job] if missing else [])


def test_layer_is_missing_if_one_region_lacks_it():
    known = Manifest.of([entry(regions=2), entry("24.1.1", regions=1)])
    jobs = [Job("24.1.0", X86_64), Job("24.1.1", X86_64)]
    assert lacking(jobs, known, __version__) == jobs[1:]


def test_empty_manifest_lacks_every_layer_and_a_full_one_none():
    assert built(plan(MatrixRequest(missing=Manifest()))) == built(plan())
    full = Manifest.of(entry(version, architecture) for version, architecture in built(plan()))
    found = plan(MatrixRequest(missing=full))
    assert found.jobs == ()
    assert found.outputs() == {"matrix": '{"include":[]}', "any": "false"}


# batches


def test_new_release_does_not_move_other_releases_to_another_batch():
    old = [Job(f"{12 + n % 9}.{n // 9}.0", X86_64, f"2020-01-{n % 28 + 1:02}") for n in range(500)]
    new = Job("12.99.0", X86_64, "2026-11-25")
    before, after = in_batches(old), in_batches([new, *old])
    assert after[:-1] == before[:-1]
    assert set(after[-1]) == {*before[-1], new}


MANY = {each: [Release(f"{12 + n // 40}.{n % 40}.0") for n in range(500)] for each in (X86_64, ARM64)}


def test_thousand_layers_make_seven_batches_with_a_command_each():
    found = [plan(MatrixRequest(specs=("every",), batch=n), releases=MANY) for n in range(1, 8)]
    assert {each.batches for each in found} == {7}
    everything = [pair for each in found for pair in built(each)]
    assert len(everything) == len(set(everything)) == 1000
    assert found[1].others("every") == [
        f"gh workflow run release.yml --ref v{__version__} -f node=every -f batch={n}"
        for n in (1, 3, 4, 5, 6, 7)
    ]


def test_batch_does_not_change_while_other_batches_are_published():
    first = plan(MatrixRequest(specs=("every",), batch=1), releases=MANY)
    known = Manifest.of(entry(version, architecture) for version, architecture in built(first))
    again = plan(MatrixRequest(specs=("every",), batch=1, missing=known), releases=MANY)
    second = plan(MatrixRequest(specs=("every",), batch=2, missing=known), releases=MANY)
    assert again.jobs == ()
    assert built(second) == built(plan(MatrixRequest(specs=("every",), batch=2), releases=MANY))
    assert second.batches == 7


@pytest.mark.parametrize("batch", [0, 8, -1])
def test_an_unknown_batch_is_refused(batch):
    with pytest.raises(InvalidInputError, match="use 1 to 7"):
        plan(MatrixRequest(specs=("every",), batch=batch), releases=MANY)


# output


def test_matrix_is_one_line_of_json():
    line = plan(MatrixRequest(specs=("12.16.1",))).line
    assert line == (
        '{"include":[{"id":"12.16.1-x86_64","node":"12.16.1","arch":"x86_64","runner":"ubuntu-24.04"}]}'
    )
