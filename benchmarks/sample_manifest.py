"""A large manifest, as of a publisher of every Node.js version; the same at each call."""

import base64
import random
from datetime import UTC, datetime, timedelta

import boto3

from nodelayer.manifest.model import Layer, Manifest, Published

ACCOUNT = "123456789012"
START = datetime(2026, 11, 1, 6, tzinfo=UTC)
MAJORS = range(12, 27)
MODERN = 18
"""The first major version that runs only on the newest runtime."""


def sample(versions: int) -> Manifest:
    """Return a manifest of `versions` versions, for both architectures, in every region that has Lambda."""
    regions = boto3.Session().get_available_regions("lambda")
    every = ((number % len(MAJORS), number // len(MAJORS)) for number in range(versions))
    numbers = sorted((MAJORS[major], minor) for major, minor in every)
    return Manifest.of(
        _layer(major, minor, architecture, regions)
        for major, minor in numbers
        for architecture in ("x86_64", "arm64")
    )


def _layer(major: int, minor: int, architecture: str, regions: list[str]) -> Layer:
    """Return a layer whose version numbers and times differ between regions."""
    node, chance = f"{major}.{minor}.1", random.Random(f"{major}.{minor} {architecture}")  # noqa: S311
    name = f"nodejs-{node.replace('.', '-')}-{architecture}"
    size = int((11.5 + major * 0.95 + chance.random()) * 1e6)
    began = START + timedelta(minutes=major * 555 + minor * 37)

    def published(region: str) -> Published:
        version = chance.choices([2, 3], [29, 1])[0]
        return Published(
            version=version,
            arn=f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}:{version}",
            published=(began + timedelta(seconds=chance.randrange(90))).strftime("%Y-%m-%dT%H:%M:%SZ"),
            public=True,
        )

    return Layer(
        node_version=node,
        architecture=architecture,
        nodelayer_version="1.2.0",
        layer_name=name,
        code_sha256=base64.b64encode(chance.randbytes(32)).decode(),
        size=size,
        unzipped_size=int(size * 2.81),
        compatible_runtimes=(["provided", "provided.al2"] if major < MODERN else []) + ["provided.al2023"],
        regions={region: published(region) for region in regions},
    )
