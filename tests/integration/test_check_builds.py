"""What github.check-builds and publish accept of jobs that build: a real layer, honest and forged."""

import hashlib
import json
import shutil

import pytest

from nodelayer.architecture import X86_64
from nodelayer.layer import archive
from nodelayer.layer.archive import Entry
from nodelayer.layer.docker_builder import base_reference
from nodelayer.layer.record import LayerTarget, describe, load
from nodelayer.node import openpgp

pytestmark = [pytest.mark.network, pytest.mark.full]

OLD = "12.16.1"
STEM = f"nodejs-{OLD}-x86_64"


@pytest.fixture(scope="module")
def honest(layer, tmp_path_factory):
    """A folder with the files of a layer, as the Docker builder and nodejs.org would have given them."""
    built = layer(OLD)
    folder = tmp_path_factory.mktemp("honest")
    for end in (".zip", ".json", ".cdx.json"):
        shutil.copy(built.zip.with_name(f"{STEM}{end}"), folder)
    builder = built.record["builder"] | {"name": "docker", "executed": True, "invoked": True}
    builder["base_image"] = base_reference("provided.al2023", None, None)
    signature = f"verified by {openpgp.pinned_keys()[0].fingerprint}"
    source = {
        "name": "nodejs.org",
        "url": "https://nodejs.org/dist/",
        "sha256": "0" * 64,
        "signature": signature,
    }
    forge(folder, builder=builder, source=source, compression="best")
    return folder


def forge(folder, **changes):
    path = folder / f"{STEM}.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


@pytest.fixture
def builds(honest, tmp_path):
    """Two equal folders."""
    return [shutil.copytree(honest, tmp_path / name) for name in ("first", "second")]


@pytest.fixture
def check(invoke, builds, tmp_path):
    def run(node=OLD):
        first, second = builds
        out = tmp_path / "dist"
        outcome = invoke(
            "github.check-builds", f"--node={node}", f"--first={first}", f"--second={second}", f"--out={out}"
        )
        return outcome, sorted(path.name for path in out.glob("*"))

    return run


def test_two_equal_builds_are_accepted(check, tmp_path):
    outcome, files = check("^12.16 || >=24")
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{tmp_path / 'dist' / STEM}.zip\n"
    assert files == [f"{STEM}.cdx.json", f"{STEM}.json", f"{STEM}.zip"]


def append(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes() + b"more")


def grow_zip(folder):
    """Change the zip, and let the record say so."""
    path = folder / f"{STEM}.zip"
    append(folder, path.name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    forge(folder, sha256=digest, size=path.stat().st_size)


def add_file(folder):
    """Add a file to the zip, with a record that says so."""
    path = folder / f"{STEM}.zip"
    entries = [*archive.read(path), Entry("nodejs/more.js", b"")]
    with path.open("wb") as stream:
        archive.write(entries, stream, "fast")
    old = load(folder / f"{STEM}.json")
    new = describe(
        LayerTarget(OLD, X86_64),
        entries,
        path,
        runtimes=old.compatible_runtimes,
        compression=old.compression,
        source=old.source,
        builder=old.builder,
    )
    (folder / f"{STEM}.json").write_text(new.json_text())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda first, _: append(first, f"{STEM}.zip"), "the two builds differ: sha256"),
        (lambda _, second: append(second, f"{STEM}.json"), "the two builds differ: sha256"),
        (
            lambda first, _: (first / "nodejs-99.0.0-x86_64.txt").touch(),
            "not expected: nodejs-99.0.0-x86_64.txt",
        ),
        (lambda _, second: (second / f"{STEM}.cdx.json").unlink(), f"missing: {STEM}.cdx.json"),
        (lambda *both: [forge(each, layer_name="other") for each in both], "what the zip shows: layer_name"),
        (
            lambda *both: [forge(each, nodelayer_version="99.0.0") for each in both],
            "what the zip shows: nodelayer_version",
        ),
        (
            lambda *both: [forge(each, compatible_runtimes=["nodejs24.x"]) for each in both],
            "what the zip shows: compatible_runtimes",
        ),
        (lambda *both: [grow_zip(each) for each in both], "the layer is damaged"),
        (lambda *both: [add_file(each) for each in both], "nodejs/LICENSE, nodejs/bin/node, nodejs/more.js"),
        (
            lambda *both: [
                forge(each, source={"name": "npm", "sha256": "0" * 64, "integrity": "x", "signature": "none"})
                for each in both
            ],
            "no OpenPGP signature by a pinned key (none)",
        ),
    ],
)
def test_different_or_forged_builds_are_refused(check, builds, change, why):
    change(*builds)
    outcome, files = check()
    assert (outcome.code, files) == (5, []), outcome.err
    assert why in outcome.lines[-1]


def test_publish_with_required_signature_refuses_a_layer_from_npm(invoke, layer, tmp_path):
    built = layer(OLD)
    flags = ("--regions=eu-west-1", "--require-signature", f"--manifest={tmp_path / 'layers.json'}")
    outcome = invoke("publish", f"--node={OLD}", *flags, f"--out={built.zip.parent}")
    assert outcome.code == 5
    assert f"{STEM}.zip contains a Node.js without a verified OpenPGP signature" in outcome.err
    assert not (tmp_path / "layers.json").exists()
