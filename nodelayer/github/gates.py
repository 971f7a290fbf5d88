"""What must hold at GitHub before a release publishes: a passed check, and a protected environment.

https://docs.github.com/rest/checks/runs · https://docs.github.com/rest/deployments/environments
"""

from urllib.parse import quote

from nodelayer.errors import RefusedError
from nodelayer.github.api import GitHub

_PAUSE_S = 30.0


def check_environment(github: GitHub, name: str) -> bool:
    """Check that an environment exists and only some branches or tags can use it.

    GitHub creates an environment that does not exist, without protection, when a job first uses it. Returns
    False if the token may not read it.

    Raises:
        RefusedError: The environment does not exist, or every branch can use it.
    """
    todo = "create it and limit it to tags v*.*.* in the settings of the repository"
    try:
        found = github.find(f"environments/{quote(name, safe='')}")
    except RefusedError:
        return False
    if found is None:
        raise RefusedError(f"the environment {name} does not exist", where="--environment", todo=todo)
    if not found.get("deployment_branch_policy"):
        raise RefusedError(f"every branch can use the environment {name}", where="--environment", todo=todo)
    return True


def wait_for_check(github: GitHub, name: str, commit: str, *, minutes: float) -> str:
    """Wait until a check of a commit has ended; return its address.

    Raises:
        RefusedError: The check failed, does not exist, or did not end in time.
    """
    path = f"commits/{quote(commit, safe='')}/check-runs?check_name={quote(name, safe='')}&filter=latest"
    waited = 0.0
    while True:
        runs = github.get(path)["check_runs"]
        ended = [run for run in runs if run["status"] == "completed"]
        if failed := [run for run in ended if run["conclusion"] != "success"]:
            raise RefusedError(
                f"the check {name} did not pass ({failed[0]['conclusion']})",
                where=str(failed[0]["html_url"]),
                todo="run its failed jobs again, then those of this run",
            )
        if ended and len(ended) == len(runs):
            return str(ended[0]["html_url"])
        if waited >= minutes * 60:
            raise RefusedError(
                f"the check {name} did not end within {minutes:.0f} minutes",
                where=commit,
                todo="push the commit to main, wait for ci.yml, and run the failed jobs of this run again",
            )
        if not waited:
            github.reporter.say(f"Waiting for the check {name} of {commit}")
        github.pause(_PAUSE_S)
        waited += _PAUSE_S
