"""Entries of a manifest for the tests of the catalogue."""

from nodelayer.manifest.model import Layer, Published

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<!--"


def layer(node="12.16.1", arch="x86_64", regions=("eu-west-1",), *, build="1.0.0", content="A", **more):
    name = f"nodejs-{node.replace('.', '-')}-{arch}"
    published = {
        "version": 1,
        "published": more.pop("when", "2026-01-02T03:04:05Z"),
        **more.pop("access", {}),
    }
    arns = {region: f"arn:aws:lambda:{region}:123456789012:layer:{name}:1" for region in regions}
    return Layer(
        node_version=node,
        architecture=arch,
        nodelayer_version=build,
        layer_name=name,
        code_sha256=content * 43 + "=",
        size=13_700_000,
        compatible_runtimes=more.pop("runtimes", ["provided.al2023"]),
        regions={region: Published(arn=arn, **published) for region, arn in arns.items()},
    )
