"""SSM parameters that name a layer's ARN, for `{{resolve:ssm:…}}` in the same account and region."""

from collections.abc import Mapping

from nodelayer.aws.account import Region
from nodelayer.errors import NotFoundError
from nodelayer.manifest.model import Manifest, look_up
from nodelayer.util.parallel import Stop

PREFIX = "/nodelayer"


def of(known: Manifest, node_version: str, architecture: str, region: str) -> dict[str, str]:
    """The parameters that a published version may move, and the ARN each has to name.

    `/nodelayer/12.16.1/x86_64/arn`, and in the place of the version its major, `lts` and `latest`, which name
    the newest that is recorded in the region, whichever version was published last.
    """
    wanted = {}
    for line in (node_version, node_version.split(".", maxsplit=1)[0], "lts", "latest"):
        try:
            found = look_up(known, line, region, architecture)
        except NotFoundError:
            continue  # no LTS release among them
        wanted[f"{PREFIX}/{line}/{architecture}/arn"] = found.published.arn
    return wanted


def write(region: Region, wanted: Mapping[str, str], stop: Stop) -> int:
    """Write those that say something else, and return how many. Raises NodelayerError."""
    there = region.parameters(sorted(wanted))
    changed = {name: arn for name, arn in sorted(wanted.items()) if there.get(name) != arn}
    for name, arn in changed.items():
        stop.check()
        region.put_parameter(name, arn, "ARN of a Node.js layer, written by nodelayer")
    return len(changed)
