"""SSM parameters that name a layer's ARN, for `{{resolve:ssm:…}}` in the same account and region."""

from collections.abc import Mapping

from nodelayer.aws.ssm import Parameters
from nodelayer.errors import NotFoundError
from nodelayer.manifest.lookup import look_up
from nodelayer.manifest.model import Manifest
from nodelayer.util.parallel import Stop

PREFIX = "/nodelayer"


def of(known: Manifest, node_version: str, architecture: str, region: str) -> dict[str, str]:
    """Return the parameters that publishing a version may change, with the ARN for each.

    `/nodelayer/12.16.1/x86_64/arn`, and the same with its major version, `lts` and `latest`, which name the
    newest version recorded in the region, whichever was published last.
    """
    wanted = {}
    for line in (node_version, node_version.split(".", maxsplit=1)[0], "lts", "latest"):
        try:
            found = look_up(known, line, region, architecture)
        except NotFoundError:
            continue  # no LTS release is published there
        wanted[f"{PREFIX}/{line}/{architecture}/arn"] = found.published.arn
    return wanted


def wanted_in(known: Manifest, region: str) -> dict[str, str]:
    """Return the parameters that should exist in a region, with their ARNs: those that were once written."""
    wanted: dict[str, str] = {}
    for layer in known.layers:
        published = dict(layer.live()).get(region)
        if published is not None and published.parameters:
            wanted |= of(known, layer.node_version, layer.architecture, region)
    return wanted


def write(parameters: Parameters, wanted: Mapping[str, str], stop: Stop) -> int:
    """Write the parameters whose value changes, and return how many."""
    existing = parameters.get(sorted(wanted))
    changed = {name: arn for name, arn in sorted(wanted.items()) if existing.get(name) != arn}
    for name, arn in changed.items():
        stop.check()
        parameters.put(name, arn, "ARN of a Node.js layer, written by nodelayer")
    return len(changed)
