"""Entries of a manifest for the tests of the catalogue."""

from nodelayer.manifest.model import Layer, Published, RuntimeVersion, Source

KEY = "C4F0DFFF4E8C1A8236409D08E73BC641CC11F4C8"
EVIL = "</script><script>alert(1)</script><img src=x onerror=\"document.title='run'\">\"'&<!--"


def layer(  # noqa: PLR0913 - what differs between entries
    node="12.16.1",
    arch="x86_64",
    regions=("eu-west-1",),
    *,
    build="1.1.0",
    version=1,
    content="A",
    when=None,
    name=None,
    runtimes=None,
    canary=None,
    **access,
):
    """Make an entry; the version number grows by one from region to region."""
    name = name or f"nodejs-{node.replace('.', '-')}-{arch}"
    if runtimes is None:
        oldest = ["provided", "provided.al2"] if int(node.partition(".")[0]) < 18 else []
        runtimes = [*oldest, "provided.al2023"]
    return Layer(
        node_version=node,
        architecture=arch,
        nodelayer_version=build,
        layer_name=name,
        code_sha256="".join(filter(str.isalnum, f"{node}{arch}{build}")).ljust(43, content) + "=",
        size=13_754_321,
        unzipped_size=38_400_512,
        compatible_runtimes=runtimes,
        source=Source(name="nodejs.org", verified="openpgp", key=KEY),
        canary=canary,
        regions={
            region: Published(
                version=version + number,
                arn=f"arn:{partition(region)}:lambda:{region}:123456789012:layer:{name}:{version + number}",
                published=when or f"2026-11-{version + 1:02}T20:15:{number:02}Z",
                **({"public": True} | access),
            )
            for number, region in enumerate(regions)
        },
    )


def runtimes(node, regions=("eu-west-1",), *, build="1.1.0", architectures=("arm64", "x86_64"), **more):
    """Make the entries of a runtime version by ARN."""
    name = f"nodejs-{node.partition('.')[0]}"
    host = "123456789012.dkr.ecr.{}.amazonaws.com/nodelayer/{}"
    return {
        f"arn:{partition(region)}:lambda:{region}:123456789012:runtime/{name}/version/{node}_{build}": (
            RuntimeVersion(
                node_version=node,
                nodelayer_version=build,
                architectures=list(architectures),
                image=f"{host.format(region, name)}@sha256:{'0' * 64}",
                published=f"2026-11-25T20:15:{number:02}Z",
                **more,
            )
        )
        for number, region in enumerate(regions)
    }


def partition(region):
    return "aws-cn" if region.startswith("cn-") else "aws"
