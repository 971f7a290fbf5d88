"""SSM parameters that name a layer's ARN, for `{{resolve:ssm:…}}` in the same account and region."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from nodelayer.aws.ssm import Parameters
from nodelayer.errors import NotFoundError
from nodelayer.manifest.lookup import Found, newest, offered_in
from nodelayer.manifest.model import Manifest
from nodelayer.util.parallel import Stop

PREFIX = "/nodelayer"


def of(known: Manifest, node_versions: Collection[str], architecture: str, region: str) -> dict[str, str]:
    """Return the parameters that publishing these versions may change, with the ARN for each.

    `/nodelayer/12.16.1/x86_64/arn`, and the same with its major version, `lts` and `latest`, which name the
    newest version recorded in the region, whichever was published last.
    """
    offered = offered_in(known, region, architecture)
    among: dict[str, list[Found]] = {version: [] for version in node_versions}
    for each in offered:
        if each.layer.node_version in among:
            among[each.layer.node_version].append(each)
    for version in node_versions:
        among |= dict.fromkeys((version.partition(".")[0], "lts", "latest"), offered)
    wanted = {}
    for line, found in among.items():
        with suppress(NotFoundError):  # for example, no LTS release is published there
            wanted[f"{PREFIX}/{line}/{architecture}/arn"] = newest(found, line).published.arn
    return wanted


def wanted_in(known: Manifest, region: str) -> dict[str, str]:
    """Return the parameters that should exist in a region, with their ARNs: those that were once written."""
    written: dict[str, set[str]] = {}
    for layer in known.layers:
        published = layer.live_in(region)
        if published is not None and published.parameters:
            written.setdefault(layer.architecture, set()).add(layer.node_version)
    wanted: dict[str, str] = {}
    for architecture, versions in written.items():
        wanted |= of(known, versions, architecture, region)
    return wanted


def write(parameters: Parameters, wanted: Mapping[str, str], stop: Stop) -> int:
    """Write the parameters whose value changes, and return how many."""
    existing = parameters.get(sorted(wanted))
    changed = {name: arn for name, arn in sorted(wanted.items()) if existing.get(name) != arn}
    for name, arn in changed.items():
        stop.check()
        parameters.put(name, arn, "ARN of a Node.js layer, written by nodelayer")
    return len(changed)
