"""Built layers by their build records, and the commands that errors suggest."""

import json
import shlex

import pytest

from nodelayer.errors import NodelayerError, NotFoundError, NotVerifiedError
from nodelayer.layer import artifact
from nodelayer.layer.record import BuilderRecord, BuildRecord
from nodelayer.node.sources.base import SourceRecord

RECORD = BuildRecord(
    layer_name="nodejs-24-1-0-x86_64",
    description="",
    license="MIT",
    node_version="24.1.0",
    architecture="x86_64",
    nodelayer_version="1.0.0",
    compatible_runtimes=["provided.al2023"],
    compatible_architectures=["x86_64"],
    zip="nodejs-24.1.0-x86_64.zip",
    sha256="",
    code_sha256="",
    size=1,
    unzipped_size=1,
    compression="best",
    source=SourceRecord(name="npm", sha256="", signature=""),
    runtime_sha256="",
    builder=BuilderRecord(name="local"),
    files=[],
)


@pytest.mark.parametrize("spec", ["lts/x';touch x;'", 'lts/x"`touch x`', "lts/$(touch x)", "lts/x\ntouch x"])
def test_a_suggested_command_quotes_its_arguments(tmp_path, spec):
    with pytest.raises(NotFoundError) as caught:
        artifact.built(spec, ["x86_64"], tmp_path)
    words = shlex.split(str(caught.value.todo).removeprefix("run "))
    assert words == ["invoke", "build-layer", "--node", spec, "--arch", "x86_64"]


@pytest.mark.parametrize(
    "changes",
    [
        {"zip": "../nodejs-24.1.0-x86_64.zip"},
        {"zip": "/etc/passwd"},
        {"node_version": "24.1.0; touch x"},
        {"node_version": "../24.1.0"},
        {"architecture": "$(touch x)"},
    ],
)
def test_a_record_of_an_unknown_layer_or_another_zip_is_refused(tmp_path, changes):
    path = tmp_path / "nodejs-24.1.0-x86_64.json"
    path.write_text(RECORD.json_text())
    with pytest.raises(NotVerifiedError, match="the zip is missing"):
        artifact.of_record(RECORD, tmp_path)
    path.write_text(json.dumps(json.loads(RECORD.json_text()) | changes))
    with pytest.raises(NodelayerError, match="not a build record"):
        artifact.all_built(tmp_path)
