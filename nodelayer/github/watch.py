"""New releases of Node.js that no manifest has yet: a run of the release workflow is started for them.

https://docs.github.com/rest/actions/workflows#create-a-workflow-dispatch-event
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from nodelayer.errors import RefusedError
from nodelayer.github.api import GitHub
from nodelayer.github.matrix import Matrix
from nodelayer.node.versions import sort_key

_AT_WORK = frozenset({"requested", "queued", "pending", "in_progress"})
"""Of a run; one that waits for somebody's approval keeps nobody from working."""
_LOOKED_AT = 50


def newest_tag(github: GitHub) -> str | None:
    """The tag of the latest published release, no draft and no prerelease; None where there is none."""
    release = github.find("releases/latest")
    return str(release["tag_name"]) if release else None


def check_released(github: GitHub, tag: str) -> None:
    """Raises RefusedError unless the tag has a release that everybody sees."""
    release = github.find(f"releases/tags/{quote(tag, safe='')}")
    if release is None or release["draft"]:
        raise RefusedError(
            f"{tag} is not released",
            where=github.repository,
            todo="release it first, with somebody's approval",
        )


def at_work(github: GitHub, workflow: str, tag: str) -> dict[str, Any] | None:
    """A run of the workflow at that tag that has begun or will; None where the last fifty have none."""
    runs = github.get(f"actions/workflows/{quote(workflow)}/runs?per_page={_LOOKED_AT}")["workflow_runs"]
    here = (run for run in runs if run["head_branch"] == tag and run["status"] in _AT_WORK)
    return next(here, None)


def versions_of(matrix: Matrix) -> tuple[str, ...]:
    """The Node.js versions that its jobs build, each once, oldest first."""
    return tuple(sorted({version for job in matrix.jobs for version in job.versions}, key=sort_key))


def start(github: GitHub, workflow: str, tag: str, versions: Sequence[str]) -> None:
    """Start the workflow as it is at the tag, for these versions, with nobody to approve it."""
    github.post(
        f"actions/workflows/{quote(workflow)}/dispatches",
        {"ref": tag, "inputs": {"node": ",".join(versions), "unattended": "true"}},
    )
