"""The limits in docs/scale.md are those of nodelayer/github/matrix.py, and cover what was measured."""

import json

from support import ROOT

from nodelayer.github import matrix

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_a_batch_leaves_room_above_the_measured_layers():
    layers = json.loads((ROOT / "benchmarks" / "results" / "build.json").read_bytes())["versions"]
    assert max(each["size"] for each in layers) <= matrix.ZIP_BYTES


def test_the_page_states_the_limits_of_the_code():
    assert f"one for each layer | {matrix.MATRIX_JOBS} |" in PAGE
    assert f"| {matrix.SESSION_SECONDS // matrix.PUBLISH_SECONDS} |" in PAGE
    assert f"A batch has {matrix.BATCH} layers" in PAGE
    assert f"from {matrix.FIRST} on" in PAGE
