"""Compare the manifest with the account: runtime versions, their images, aliases and access."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodelayer.aws.arn import RuntimeVersionArn
from nodelayer.aws.layers import Access
from nodelayer.aws.managed_runtimes import Alias, ManagedRuntimes
from nodelayer.manifest.lookup import LATEST
from nodelayer.manifest.model import Manifest
from nodelayer.manifest.model import RuntimeVersion as Recorded
from nodelayer.project_paths import PROGRAM
from nodelayer.publish.runtimes import sharing
from nodelayer.publish.runtimes.lifecycle import lifecycle_of
from nodelayer.publish.runtimes.names import node_version

Entries = Sequence[tuple[RuntimeVersionArn, Recorded]]


@dataclass(frozen=True)
class Problem:
    """A runtime version or an alias that differs from the manifest; `kind` says how."""

    region: str
    arn: str
    kind: str

    def as_json(self) -> dict[str, str]:
        """Return the JSON object of the problem."""
        return vars(self)


def recorded_in(known: Manifest, region: str) -> Entries:
    """Return the runtime versions of a region that exist according to the manifest."""
    entries = ((RuntimeVersionArn.parse(arn), each) for arn, each in known.runtimes.items() if each.live)
    return [(arn, each) for arn, each in entries if arn.region == region]


def compare(runtimes: ManagedRuntimes, entries: Entries) -> list[Problem]:
    """Return the problems of the entries of one region."""
    found: list[Problem] = []
    for name in sorted({arn.name for arn, _ in entries}):
        of_runtime = [(arn, each) for arn, each in entries if arn.name == name]
        runtime = of_runtime[0][0].runtime
        aliases = {each.name: each for each in runtimes.aliases(name)}
        nodes = sorted({each.node_version for _, each in of_runtime})
        kinds = {str(arn): _version(runtimes, arn, each) for arn, each in of_runtime}
        kinds |= {f"{runtime}/alias/{alias}": _alias(aliases, alias, nodes) for alias in (*nodes, LATEST)}
        wanted = Access(
            organizations=frozenset(each for _, entry in of_runtime for each in entry.organizations),
            accounts=frozenset(each for _, entry in of_runtime for each in entry.accounts),
        )
        if wanted and (lost := wanted - sharing.access_in(runtimes.policy(runtime))):
            kinds[runtime] = f"access was removed: {lost}"
        found += [Problem(of_runtime[0][0].region, arn, kind) for arn, kind in kinds.items() if kind]
    return found


def _version(runtimes: ManagedRuntimes, arn: RuntimeVersionArn, recorded: Recorded) -> str:
    """Return what is wrong with a runtime version; empty for nothing."""
    version = runtimes.version(arn.name, arn.version)
    if version is None:
        return "missing: it was deleted, or never published"
    digest = recorded.image.rpartition("@")[2]
    lost = sorted(set(recorded.architectures) - set(version.architectures))
    if version.leaving:
        kind = (
            f"scheduled for deletion at {version.deletion}; to keep it, run: {PROGRAM} restore-runtime "
            f"--runtime {arn.name} --version {arn.version} --regions {arn.region}"
        )
    elif version.arn != str(arn):
        kind = f"wrong ARN: in this account it is {version.arn}"
    elif version.state != "ACTIVE":
        kind = f"not active, but {version.state}"
    elif version.digest and digest not in {version.digest, *(version.digests or {}).values()}:
        kind = f"changed: its image is {version.digest}, not {digest}; restore the manifest"
    else:
        kind = f"does not run on {', '.join(lost)}" if lost else ""
    return kind


def _alias(aliases: Mapping[str, Alias], name: str, nodes: Sequence[str]) -> str:
    """Return what is wrong with an alias: of a Node.js version, or `latest`; empty for nothing."""
    alias = aliases.get(name)
    if alias is None:
        return "missing: it was deleted, or never created; run publish-runtime"
    node = node_version(alias.version)
    if alias.leaving:
        return f"scheduled for deletion at {alias.deletion}"
    if name not in {LATEST, node}:
        return f"names {alias.version}, which is not Node.js {name}"
    if node not in nodes:
        return f"names {alias.version}, which is not in the manifest"
    wanted = lifecycle_of(node)
    if alias.lifecycle != wanted:
        told, should = (" ".join(filter(None, vars(each).values())) for each in (alias.lifecycle, wanted))
        return f"its release lifecycle is {told or 'missing'}, not {should}; run publish-runtime"
    return ""
