"""Start the release workflow for layers that the manifest or the newest release does not have.

https://docs.github.com/rest/actions/workflows#create-a-workflow-dispatch-event
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from nodelayer.errors import RefusedError
from nodelayer.github.api import GitHub

_ACTIVE = frozenset({"requested", "queued", "pending", "in_progress"})
"""States of an active run. A run that waits for approval is not active: it may never be approved."""
_RUNS = 50


def newest_release(github: GitHub) -> dict[str, Any] | None:
    """Return the latest release, which is no draft and no prerelease; None without releases."""
    release: dict[str, Any] | None = github.find("releases/latest")
    return release


def assets(github: GitHub, release: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the complete assets of a release."""
    listed = github.every(f"releases/{release['id']}/assets")
    return frozenset(str(each["name"]) for each in listed if each["state"] == "uploaded")


def check_released(github: GitHub, tag: str) -> None:
    """Raise RefusedError unless the tag has a published release."""
    release = github.find(f"releases/tags/{quote(tag, safe='')}")
    if release is None or release["draft"]:
        raise RefusedError(
            f"{tag} has no published GitHub release",
            where="--released",
            todo="publish the release first",
        )


def active_run(github: GitHub, workflow: str, tag: str) -> dict[str, Any] | None:
    """Return a queued or active run of the workflow at a tag, None if the last 50 runs have none."""
    runs = github.get(f"actions/workflows/{quote(workflow)}/runs?per_page={_RUNS}")["workflow_runs"]
    here = (run for run in runs if run["head_branch"] == tag and run["status"] in _ACTIVE)
    return next(here, None)


def start(github: GitHub, workflow: str, tag: str, versions: Sequence[str]) -> None:
    """Start the workflow at a tag for these versions, without approval."""
    github.post(
        f"actions/workflows/{quote(workflow)}/dispatches",
        {"ref": tag, "inputs": {"node": ",".join(versions), "unattended": "true"}},
    )
