"""Names of runtimes, their versions and aliases.

The runtime `nodejs-12` has the version `12.16.1_1.0.0`: Node.js 12.16.1, built by nodelayer 1.0.0.
"""

from semver import Version

from nodelayer.node.versions import is_stable, sort_key

PREVIOUS, CANARY = "previous", "canary"
"""Aliases: of the version that `latest` named before, and of the one that is being tested."""


def runtime_name(node_version: str) -> str:
    """Return the runtime of a Node.js version."""
    return f"nodejs-{sort_key(node_version).major}"


def node_version(version: str) -> str:
    """Return the Node.js version of a runtime version's name; empty if nodelayer did not name it."""
    return version.rpartition("_")[0] if age(version)[0] else ""


def describe(version: str) -> str:
    """Return the description of an alias of this runtime version."""
    node, _, nodelayer = version.rpartition("_")
    return f"Node.js {node}, built by nodelayer {nodelayer}" if age(version)[0] else version


def age(version: str) -> tuple[bool, bool, Version, Version]:
    """Return the sort key of a runtime version's name.

    A name that nodelayer has not given is the oldest; a release of Node.js is newer than any prerelease.
    """
    node, _, nodelayer = version.rpartition("_")
    try:
        return True, is_stable(node), sort_key(node), sort_key(nodelayer)
    except ValueError:
        return False, False, Version(0), Version(0)
