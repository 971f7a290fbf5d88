"""The SSM parameters that a manifest asks for."""

import itertools

from catalog_fixtures import layer
from msgspec.structs import replace

from nodelayer.manifest.lookup import look_up
from nodelayer.manifest.model import Manifest, Withdrawal
from nodelayer.publish.layers import ssm

MARK = Withdrawal(time="2026-11-27T00:00:00Z", reason="bad")


def test_parameters_name_what_a_look_up_finds():
    versions = ("12.16.1", "12.22.12", "24.1.0", "24.21.0", "25.0.0")
    entries = [
        layer(node, arch, build=build, version=number, parameters=True)
        for number, (node, arch, build) in enumerate(
            itertools.product(versions, ("x86_64", "arm64"), ("1.0.0", "1.1.0")), 1
        )
    ]
    regions = {name: replace(each, withdrawn=MARK) for name, each in entries[-1].regions.items()}
    known = Manifest.of([*entries[:-1], replace(entries[-1], regions=regions)])
    lines = (*versions, "12", "24", "25", "lts", "latest")
    assert ssm.wanted_in(known, "eu-west-1") == {
        f"/nodelayer/{line}/{arch}/arn": look_up(known, line, "eu-west-1", arch).published.arn
        for line in lines
        for arch in ("x86_64", "arm64")
    }
    assert ssm.wanted_in(known, "us-east-1") == {}


def test_layers_published_without_parameters_need_none_and_are_named_by_those_of_their_line():
    known = Manifest.of([layer("24.20.0", parameters=True), layer("24.21.0", version=2)])
    wanted = ssm.wanted_in(known, "eu-west-1")
    assert {name.split("/")[2]: arn.rpartition("layer:")[2] for name, arn in wanted.items()} == {
        "24.20.0": "nodejs-24-20-0-x86_64:1",
        "24": "nodejs-24-21-0-x86_64:2",
        "lts": "nodejs-24-21-0-x86_64:2",
        "latest": "nodejs-24-21-0-x86_64:2",
    }
