"""Parts of a build that need no network and no Docker: names, refused input, existing layers."""

import hashlib
import io
import json
import shutil

import pytest
from support import ROOT

from nodelayer import __version__
from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.layer import abi, archive, build, contents, docker_builder
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import LayerTarget, code_sha256
from nodelayer.node.sources.base import NodeFiles, SourceRecord
from nodelayer.util.console import Reporter

PATHS = build.ProjectPaths(
    runtime=ROOT / "runtime",
    function=ROOT / "function",
    dockerfiles=ROOT / "docker",
    event=ROOT / "function" / "events" / "hello.json",
)


class OneReleaseSource:
    """A source with one release, whose binary the test sets."""

    name = "npm"

    def __init__(self, node):
        self.node = node
        self.asked = 0

    def releases(self, _architecture):
        return []

    def fetch(self, version, architecture):
        self.asked += 1
        record = SourceRecord(name="npm", package="node", sha256="0" * 64, signature="none")
        return NodeFiles(version, architecture, self.node, b"licence", record)


def no_docker():
    raise UnreachableError("Docker does not answer")


def context(source):
    return build.BuildContext(PATHS, source, Reporter(quiet=True), lambda _arch: ROOT, no_docker, no_docker)


def test_layer_name_file_name_and_description_contain_the_version():
    target = LayerTarget("12.16.1", ARM64)
    assert target.stem == "nodejs-12.16.1-arm64"
    assert target.layer_name == "nodejs-12-16-1-arm64"
    assert "12.16.1" in target.description
    assert __version__ in target.description
    assert len(target.description) <= 256


@pytest.mark.parametrize("options", [{"builder": "x"}, {"compression": "x"}])
def test_an_unknown_value_is_rejected_before_anything_is_downloaded(tmp_path, options):
    source = OneReleaseSource(b"")
    with pytest.raises(InvalidInputError):
        build.build(LayerTarget("1.2.3", X86_64), build.BuildOptions(tmp_path, **options), context(source))
    assert source.asked == 0


def test_a_failed_build_keeps_the_existing_files(tmp_path):
    (tmp_path / "nodejs-1.2.3-x86_64.zip").write_bytes(b"old")
    with pytest.raises(NodelayerError):
        build.build(
            LayerTarget("1.2.3", X86_64), build.BuildOptions(tmp_path), context(OneReleaseSource(b"no ELF"))
        )
    assert [path.name for path in tmp_path.iterdir()] == ["nodejs-1.2.3-x86_64.zip"]


def test_build_fails_if_the_output_folder_is_a_file(tmp_path):
    (tmp_path / "dist").write_text("")
    with pytest.raises(MachineError, match="file exists"):
        build.build(
            LayerTarget("1.2.3", X86_64),
            build.BuildOptions(tmp_path / "dist"),
            context(OneReleaseSource(b"")),
        )


def test_runtime_client_contains_every_file_of_the_runtime_folder():
    entries = {entry.path: entry.mode for entry in contents.client(ROOT / "runtime")}
    scripts = {"bootstrap": 0o755, "bin/node": 0o755}
    assert entries == scripts | {f"aws/{path.name}": 0o644 for path in (ROOT / "runtime" / "aws").iterdir()}


@pytest.mark.parametrize("name", ["bootstrap", "bin/node", "aws/index.js"])
def test_runtime_client_with_windows_line_endings_is_refused(tmp_path, name):
    runtime = shutil.copytree(ROOT / "runtime", tmp_path / "runtime")
    (runtime / name).write_bytes((runtime / name).read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(NotVerifiedError, match=f"runtime/{name} has Windows line endings"):
        contents.client(runtime)


def test_client_digest_depends_on_contents_modes_and_names_but_not_on_order():
    one, other = Entry("a", b"1"), Entry("b", b"2")
    whole = contents.digest([one, other])
    assert contents.digest([other, one]) == whole
    for changed in (Entry("a", b"3"), Entry("a", b"1", 0o755), Entry("c", b"1")):
        assert contents.digest([changed, other]) != whole


def record_of(out, version, **changes):
    """Write a minimal finished layer and its build record."""
    stem = f"nodejs-{version}-x86_64"
    packed = io.BytesIO()
    archive.write([Entry("bootstrap", b"")], packed)
    (out / f"{stem}.zip").write_bytes(packed.getvalue())
    content = {
        "layer_name": stem,
        "description": "",
        "license": "MIT",
        "node_version": version,
        "architecture": "x86_64",
        "nodelayer_version": __version__,
        "compatible_runtimes": [],
        "compatible_architectures": ["x86_64"],
        "zip": f"{stem}.zip",
        "sha256": hashlib.sha256(packed.getvalue()).hexdigest(),
        "code_sha256": code_sha256(hashlib.sha256(packed.getvalue()).digest()),
        "size": len(packed.getvalue()),
        "unzipped_size": 0,
        "compression": "fast",
        "source": {"name": "npm", "sha256": "", "signature": ""},
        "runtime_sha256": contents.digest(contents.client(ROOT / "runtime")),
        "builder": {"name": "local"},
        "files": [],
    }
    (out / f"{stem}.json").write_text(json.dumps({**content, **changes}))


def test_existing_finds_a_finished_layer(tmp_path):
    record_of(tmp_path, "12.16.1")
    found = build.existing(LayerTarget("12.16.1", X86_64), build.BuildOptions(tmp_path), PATHS)
    assert found is not None
    assert found.zip == "nodejs-12.16.1-x86_64.zip"


@pytest.mark.parametrize(
    "changes", [{"nodelayer_version": "0.0.0"}, {"runtime_sha256": "other"}, {"sha256": "other"}, {"size": 1}]
)
def test_an_existing_layer_with_another_client_or_zip_is_built_again(tmp_path, changes):
    record_of(tmp_path, "12.16.1", **changes)
    assert build.existing(LayerTarget("12.16.1", X86_64), build.BuildOptions(tmp_path), PATHS) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema_version": 2}'])
def test_an_invalid_build_record_means_that_no_layer_exists(tmp_path, text):
    (tmp_path / "nodejs-12.16.1-x86_64.json").write_text(text)
    assert build.existing(LayerTarget("12.16.1", X86_64), build.BuildOptions(tmp_path), PATHS) is None


def test_the_newest_layer_is_chosen_by_version_order(tmp_path):
    for version in ("9.11.2", "12.16.1", "10.0.0"):
        record_of(tmp_path, version)
    assert build.newest(tmp_path, X86_64).version == "12.16.1"
    with pytest.raises(NotFoundError, match="no arm64 layer is built"):
        build.newest(tmp_path, ARM64)


def test_clean_deletes_finished_and_unfinished_layers_only(tmp_path):
    record_of(tmp_path, "12.16.1")
    (tmp_path / ".nodejs-12.16.1-x86_64-abc").mkdir()
    (tmp_path / "mine.txt").write_text("")
    assert len(build.clean(tmp_path)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert build.clean(tmp_path / "nowhere") == []


def test_every_runtime_has_a_base_image_and_amazon_linux_2023_is_pinned_by_digest():
    images = {name: docker_builder.base_reference(name, None, X86_64) for name in abi.RUNTIMES}
    assert "@sha256:" in images["provided.al2023"]
    assert docker_builder.short(images["provided.al2"]).endswith("amazonlinux:2")
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    assert f"ARG BASE_IMAGE={images['provided.al2023']}\n" in dockerfile


def test_base_image_option_has_a_placeholder_for_the_architecture():
    assert docker_builder.base_reference("provided.al2023", "mine:{arch}", ARM64) == "mine:arm64"
    assert docker_builder.base_reference("provided.al2023", "mine:{arch}", X86_64) == "mine:amd64"
