"""Write a manifest as large as a publisher of every Node.js would have, for benchmarks and screenshots.

    python scripts/sample_manifest.py OUT [--versions 500] [--old-builds]

34 regions (those botocore knows Lambda in), x86_64 and arm64; the same arguments give the same bytes.
"""

import argparse
import base64
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3

from nodelayer.manifest.model import Layer, Manifest, Published

LINES = {
    12: 23,
    14: 22,
    16: 21,
    18: 21,
    20: 21,
    22: 23,
    24: 22,
    25: 9,
    26: 4,
    13: 15,
    15: 15,
    17: 10,
    19: 10,
    21: 8,
    23: 12,
}
"""By major, how many minors."""
RUNTIMES = ("provided", "provided.al2", "provided.al2023")
MODERN = 18
"""From this major on it runs on the newest runtime only."""
ACCOUNT = "123456789012"
START = datetime(2026, 11, 1, 6, tzinfo=UTC)


def versions(wanted: int) -> list[str]:
    """So many versions, 12.16.1 among them, spread over the lines as releases are."""
    every = [
        (major, minor, patch)
        for major, minors in LINES.items()
        for minor in range(minors)
        for patch in range(1 + (minor * 7 + major) % 5)
    ]
    must = {(12, 16, 1), *((major, minors - 1, 0) for major, minors in LINES.items())}
    others = [each for each in every if each not in must]
    random.Random(12).shuffle(others)  # noqa: S311 - no secret
    chosen = sorted([*must, *others][:wanted])
    return [f"{major}.{minor}.{patch}" for major, minor, patch in chosen]


def layer(node: str, arch: str, regions: list[str], number: int, build: str = "1.2.0") -> Layer:
    """A layer whose versions differ from region to region, as without --align, published within a minute."""
    chance = random.Random(f"{node} {arch} {build}")  # noqa: S311 - no secret
    major = int(node.partition(".")[0])
    name = f"nodejs-{node.replace('.', '-')}-{arch}"
    size = int((11.5 + major * 0.95 + chance.random()) * 1e6)
    began = START + timedelta(minutes=number * 37)
    published = {}
    for position, region in enumerate(regions):
        version = 2 + (position % 3 == 0) if chance.random() < 0.1 else 2  # noqa: PLR2004 - the usual
        published[region] = Published(
            version=version,
            arn=f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}:{version}",
            published=(began + timedelta(seconds=chance.randrange(90))).strftime("%Y-%m-%dT%H:%M:%SZ"),
            public=True,
        )
    return Layer(
        node_version=node,
        architecture=arch,
        nodelayer_version=build,
        layer_name=name,
        code_sha256=base64.b64encode(chance.randbytes(32)).decode(),
        size=size,
        unzipped_size=int(size * 2.81),
        compatible_runtimes=list(RUNTIMES if major < MODERN else RUNTIMES[-1:]),
        regions=published,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--versions", type=int, default=500)
    parser.add_argument(
        "--old-builds", action="store_true", help="some layers were built by an older nodelayer too"
    )
    chosen = parser.parse_args()
    regions = boto3.Session().get_available_regions("lambda")
    layers = []
    for number, node in enumerate(versions(chosen.versions)):
        for arch in ("x86_64", "arm64"):
            layers.append(layer(node, arch, regions, number))
            if chosen.old_builds and number % 9 == 0:
                layers.append(layer(node, arch, regions[:20], number - 900, "1.1.0"))
    chosen.out.write_text(Manifest.of(layers).json_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
