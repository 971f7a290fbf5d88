"""docs/scale.md against the script that works it out, and against what its prose says of the code."""

import importlib.util
import sys

import pytest
from support import ROOT

from nodelayer.github import matrix

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scale():
    specification = importlib.util.spec_from_file_location("scale_script", ROOT / "scripts" / "scale.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def of(scale):
    figures = scale.Figures(
        built_s=8.0,
        tried_s=2.0,
        zip_bytes=30e6,
        largest=40_000_000,
        first_publish_s=5.0,
        manifest_bytes=8_000_000,
        manifest_read_s=0.5,
        manifest_record_s=1.0,
        page_bytes=1,
        page_gzip_bytes=1,
        layer_versions=34_000,
    )
    return lambda versions, regions=34: scale.Scale(figures, versions, regions)


def test_the_tables_of_the_page_are_what_the_script_works_out(scale):
    made = PAGE.partition(scale.BEGIN)[2].partition(scale.END)[0].strip()
    assert made == scale.tables(scale.VERSIONS, scale.REGIONS)


def test_what_is_worked_out_by_hand_is_what_the_script_says(of):
    everything = of(500)
    assert (everything.layers, everything.entries, everything.runs, everything.jobs) == (1000, 34000, 7, 150)
    assert everything.job_s == 100
    assert everything.billed_minutes == 1000 * 2
    assert everything.rate_s == 1000 * 6 / 15
    assert everything.sent == pytest.approx(1000 * 30e6 * 4 / 3 * 34)
    assert everything.publish_s == pytest.approx(everything.sent / 125e6)
    assert everything.price == pytest.approx(2000 * 0.0055 + 182 * 0.006)
    assert everything.build_hours == pytest.approx(7 * 8 * 100 / 3600)
    assert everything.stored == 30e9


def test_a_small_release_is_one_run_and_lambda_s_rate_is_what_holds_one_region(of):
    small = of(9, 1)
    assert (small.layers, small.runs, small.jobs) == (18, 1, 18)
    assert small.publish_s == small.rate_s == pytest.approx(18 * 6 / 15)


def test_the_budget_of_a_batch_is_above_what_was_measured(scale):
    figures = scale.measured()
    assert figures.largest <= matrix.ZIP_BYTES
    assert 5 * (figures.built_s + figures.tried_s) <= matrix.BUILD_SECONDS
    assert figures.largest * 4 / 3 * scale.REGIONS / scale.UPLINK <= matrix.PUBLISH_SECONDS
    assert figures.first_publish_s <= matrix.PUBLISH_SECONDS


def test_the_prose_gives_the_limits_that_the_code_has():
    jobs = matrix.MATRIX_JOBS * (matrix.JOB_SECONDS // 2 // matrix.BUILD_SECONDS)
    assert f"{matrix.BUILD_SECONDS} s a layer | {jobs:,} |" in PAGE
    assert f"| {matrix.SESSION_SECONDS // matrix.PUBLISH_SECONDS} |" in PAGE
    assert f"A batch has {matrix.BATCH} layers" in PAGE
    assert f"from {matrix.FIRST} on" in PAGE
