"""verify-layer, with layers that an emulator of AWS holds."""

import zipfile
from dataclasses import replace

import pytest
from publish import emulators

from nodelayer import __version__
from nodelayer.layer import archive

pytestmark = [pytest.mark.network, pytest.mark.full]

VERSION = "12.16.1"
DESCRIPTION = f"Node.js {VERSION} for AWS Lambda (x86_64), nodelayer {__version__}"
CLIENT = "aws/index.js"


@pytest.fixture(scope="module")
def cloud(cache_folder):
    with emulators.ministack(cache_folder) as running:
        yield running


@pytest.fixture
def verify(cloud, invoke, tmp_path):
    """Return a function that publishes a zip and verifies it; returns the outcome and the ARN."""

    def verified(zipped, *flags, description=DESCRIPTION, **changes):
        arn = cloud.client("lambda").publish_layer_version(
            LayerName=f"nodejs-{VERSION.replace('.', '-')}-x86_64",
            Description=description,
            Content={"ZipFile": zipped.read_bytes()},
        )["LayerVersionArn"]
        return invoke("verify-layer", f"--arn={arn}", *flags, cwd=tmp_path, **cloud.environ(**changes))

    return verified


def test_verify_layer_names_the_content_and_rebuilds_the_same_bytes(verify, layer):
    outcome = verify(layer(VERSION).zip, "--rebuild")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [
        f"Node.js {VERSION} for x86_64: the official binary (npm, integrity checked, no OpenPGP signature)",
        f"Runtime client: that of nodelayer {__version__}",
        "Rebuild: the same bytes (--compression fast)",
    ]


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
    outcome = verify(zipped, description=DESCRIPTION.replace(VERSION, "24.21.0"))
    assert outcome.out.startswith(f"Node.js {VERSION} for x86_64: the official binary")
    assert "Runtime client" not in outcome.out
    reasons = (
        f"its description is 'Node.js 24.21.0 for AWS Lambda (x86_64), nodelayer {__version__}', "
        f"{CLIENT} is different, aws/preload.js is unexpected, bootstrap has mode 0777, "
        "nodejs/LICENSE is missing"
    )
    assert f"the layer is not verified: {reasons} [arn:" in refused(outcome)


def test_verify_layer_refuses_another_binary_and_names_the_nodelayer_that_can_check_it(
    verify, layer, tmp_path
):
    entries = {each.path: each for each in archive.read(layer(VERSION).zip)}
    binary = bytearray(entries["nodejs/bin/node"].data)
    binary[-1] ^= 1
    entries["nodejs/bin/node"] = replace(entries["nodejs/bin/node"], data=bytes(binary))
    zipped = tmp_path / "layer.zip"
    with zipped.open("wb") as stream:
        archive.write(entries.values(), stream, "fast")
    outcome = verify(zipped, description=DESCRIPTION.replace(f"nodelayer {__version__}", "nodelayer 0.0.1"))
    line = refused(outcome)
    assert "official binary" not in outcome.out
    assert "nodejs/bin/node is different [arn:" in line
    assert line.endswith("check it with nodelayer 0.0.1, before you use it")


def test_verify_layer_refuses_a_zip_with_bytes_that_belong_to_no_file(verify, layer, tmp_path):
    zipped = tmp_path / "layer.zip"
    zipped.write_bytes(b"#!/bin/sh\n")
    with zipfile.ZipFile(layer(VERSION).zip) as source, zipfile.ZipFile(zipped, "a") as made:
        for info in source.infolist():
            content = source.read(info)
            made.writestr(info, content)
    assert "nodelayer would write 'aws/" in refused(verify(zipped))
