"""The limits in docs/scale.md are those of nodelayer/matrix.py, and those cover what was measured."""

import json

from support import ROOT

from nodelayer.github import matrix

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_a_batch_leaves_room_above_the_measured_layers():
    results = json.loads((ROOT / "benchmarks" / "results" / "build.json").read_bytes())["tables"]
    times, sizes = (table["rows"].values() for table in results)
    assert max(max(layer["zip"]) for layer in sizes) * 1e6 <= matrix.ZIP_BYTES
    longest = max(max(layer["built, nothing cached"]) + max(layer["tested"]) for layer in times)
    assert longest * 5 <= matrix.BUILD_SECONDS


def test_the_page_states_the_limits_of_the_code():
    jobs = matrix.MATRIX_JOBS * (matrix.JOB_SECONDS // 2 // matrix.BUILD_SECONDS)
    assert f"{matrix.BUILD_SECONDS} s a layer | {jobs:,} |" in PAGE
    assert f"| {matrix.SESSION_SECONDS // matrix.PUBLISH_SECONDS} |" in PAGE
    assert f"A batch has {matrix.BATCH} layers" in PAGE
    assert f"from {matrix.FIRST} on" in PAGE
