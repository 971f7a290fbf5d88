"""verify-layer, with layers that an emulator of AWS holds."""

import json
import os
import zipfile
from dataclasses import replace

import pytest
from publish import emulators
from tools import GH, Tools

from actions import sigstore
from nodelayer import __version__
from nodelayer.layer import archive
from nodelayer.util.cache import DownloadCache

pytestmark = [pytest.mark.network, pytest.mark.full]

VERSION = "12.16.1"
DESCRIPTION = f"Node.js {VERSION} for AWS Lambda (x86_64), nodelayer {__version__}"
OLDER = DESCRIPTION.replace(f"nodelayer {__version__}", "nodelayer 0.0.1")
REPOSITORY = "OWNER/nodelayer"
CLIENT = "aws/index.js"


@pytest.fixture(scope="module")
def cloud(cache_folder):
    with emulators.ministack(cache_folder) as running:
        yield running


@pytest.fixture(scope="module")
def programs(cache_folder, layer, tmp_path_factory):
    """A folder with a gh that finds the attestation of the layer, of a test Sigstore, without GitHub."""
    folder = tmp_path_factory.mktemp("programs")
    signers = sigstore.make(folder / "sigstore")
    run = sigstore.Workflow(REPOSITORY, "layer.yml", f"refs/tags/v{__version__}", "0" * 40)
    statement = (sigstore.PROVENANCE, sigstore.provenance(run))
    bundle = sigstore.attest(signers, [layer(VERSION).zip], *statement, run)
    (folder / "bundle.jsonl").write_text(json.dumps(bundle) + "\n")
    gh = Tools(DownloadCache(cache_folder)).pip(GH) / "bin" / "gh"
    roots = signers / sigstore.ROOTS
    (folder / "gh").write_text(
        f'#!/bin/sh\nexec {gh} "$@" --bundle {folder}/bundle.jsonl --custom-trusted-root {roots}\n'
    )
    (folder / "gh").chmod(0o755)
    return folder


@pytest.fixture
def verify(cloud, invoke, programs, tmp_path):
    """Return a function that publishes a zip and verifies it; returns the outcome and the ARN."""

    def verified(zipped, *flags, description=DESCRIPTION):
        arn = cloud.client("lambda").publish_layer_version(
            LayerName=f"nodejs-{VERSION.replace('.', '-')}-x86_64",
            Description=description,
            Content={"ZipFile": zipped.read_bytes()},
        )["LayerVersionArn"]
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return invoke("verify-layer", f"--arn={arn}", *flags, cwd=tmp_path, **cloud.environ(PATH=path))

    return verified


def test_verify_layer_names_the_content_its_attestation_and_rebuilds_the_same_bytes(verify, layer):
    outcome = verify(layer(VERSION).zip, "--rebuild", f"--repository={REPOSITORY}")
    assert outcome.code == 0, outcome.err
    digest = layer(VERSION).record["runtime_sha256"]
    assert outcome.out.splitlines() == [
        f"Node.js {VERSION} for x86_64: the official binary (npm, integrity checked, no OpenPGP signature)",
        f"Runtime client: that of nodelayer {__version__}, sha256 {digest}",
        "Rebuild: the same bytes (--compression fast)",
        f"Attestation: .github/workflows/layer.yml of {REPOSITORY} at v{__version__}",
    ]
    another = verify(layer(VERSION).zip, "--repository=OTHER/nodelayer")
    assert "the attestation is not valid (" in refused(another)
    assert "Attestation" not in another.out


def refused(outcome):
    """Return the last line of a command that found a difference."""
    assert outcome.code == 5, outcome.err
    return outcome.lines[-1]


def test_verify_layer_names_each_file_that_differs(verify, layer, tmp_path):
    entries = {each.path: each for each in archive.read(layer(VERSION).zip)}
    client = bytearray(entries[CLIENT].data)
    client[100] ^= 1
    entries[CLIENT] = replace(entries[CLIENT], data=bytes(client))
    entries["aws/preload.js"] = archive.Entry("aws/preload.js", b"")
    entries["bootstrap"] = replace(entries["bootstrap"], mode=0o777)
    del entries["nodejs/LICENSE"]
    zipped = tmp_path / "layer.zip"
    with zipped.open("wb") as stream:
        archive.write(entries.values(), stream, "fast")
    outcome = verify(zipped, description=OLDER)
    assert outcome.out.startswith(f"Node.js {VERSION} for x86_64: the official binary")
    assert "Runtime client" not in outcome.out
    line = refused(outcome)
    reasons = (
        f"{CLIENT} is different, aws/preload.js is unexpected, bootstrap has mode 0777, "
        "nodejs/LICENSE is missing"
    )
    assert f"the layer is not verified: {reasons} [arn:" in line
    assert line.endswith(f"check it with nodelayer 0.0.1; this is nodelayer {__version__}")


def test_verify_layer_refuses_another_binary_and_another_description(verify, layer, tmp_path):
    entries = {each.path: each for each in archive.read(layer(VERSION).zip)}
    binary = bytearray(entries["nodejs/bin/node"].data)
    binary[-1] ^= 1
    entries["nodejs/bin/node"] = replace(entries["nodejs/bin/node"], data=bytes(binary))
    zipped = tmp_path / "layer.zip"
    with zipped.open("wb") as stream:
        archive.write(entries.values(), stream, "fast")
    described = DESCRIPTION.replace(VERSION, "24.21.0")
    outcome = verify(zipped, description=described)
    line = refused(outcome)
    assert "official binary" not in outcome.out
    assert f"its description is 'Node.js 24.21.0 for AWS Lambda (x86_64), nodelayer {__version__}'" in line
    assert "nodejs/bin/node is different [arn:" in line
    assert line.endswith("do not use it")


def test_verify_layer_refuses_a_zip_that_nodelayer_did_not_write(verify, tmp_path):
    zipped = tmp_path / "layer.zip"
    with zipfile.ZipFile(zipped, "w") as made:
        made.writestr("bootstrap", "#!/bin/sh\n")
    zipped.write_bytes(b"#!/bin/sh\n" + zipped.read_bytes())
    assert "nodelayer would write 'bootstrap' in another way" in refused(verify(zipped))
