"""An issue where a job of a workflow fails twice in a row, and its end once all is well again.

One failure is a network's bad day, and the next run tries again. https://docs.github.com/rest/actions/workflow-runs
· https://docs.github.com/rest/actions/workflow-jobs · https://docs.github.com/rest/issues
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from nodelayer.errors import InvalidInputError
from nodelayer.github.api import GitHub

LABEL = "nodelayer-watch"
_FAILED = frozenset({"failure", "timed_out", "startup_failure"})
_TOLD = frozenset({*_FAILED, "success"})
"""How a run ends that says something: not cancelled, not skipped."""


@dataclass(frozen=True)
class Report:
    """What to say of which run. `workflow` is the file's name, as `watch.yml`."""

    workflow: str
    run_id: str
    label: str = LABEL

    def __post_init__(self) -> None:
        if not self.run_id.isdecimal():
            raise InvalidInputError(
                f"{self.run_id!r} is no run", where="--run-id", todo="name it: ${{ github.run_id }} in a job"
            )

    @property
    def title(self) -> str:
        return f"{self.workflow} fails again and again"

    def marker(self, what: str) -> str:
        """What is not seen, and says that this run has been told of already."""
        return f"<!-- nodelayer {what} of run {self.run_id} -->"


@dataclass(frozen=True)
class Outcome:
    """The issue, if there is one, and a line of what was done."""

    issue: Mapping[str, Any] | None
    told: str


def failure(report: Report, github: GitHub) -> Outcome:
    """Open an issue, or add to the open one, if a job of this run failed in the run before as well."""
    run = _run(report, github)
    failing = _failing(github, run)
    before = _before(report, run, github)
    twice = sorted(set(failing) & set(_failing(github, before) if before else ()))
    if not twice or before is None:
        names = ", ".join(sorted(failing)) or "no job"
        return Outcome(None, f"{names} failed in this run, and not in the one before: no issue yet")
    text = _text(report, failing, twice, (run, before))
    names = f"{', '.join(twice)} failed twice"
    issue = _open_one(report, github)
    if issue is None:
        issue = github.persist(lambda: _open_one(report, github) or _opened(report, github, text))
        return Outcome(issue, f"{names}: an issue is opened")
    told = github.persist(lambda: _comment(issue, text, report.marker("failure"), github))
    return Outcome(issue, f"{names}: the open issue {'is told' if told else 'has been told already'}")


def success(report: Report, github: GitHub) -> Outcome:
    """Close the open issue with a comment, unless a job of this run has failed."""
    run = _run(report, github)
    issue = _open_one(report, github)
    if issue is None:
        return Outcome(None, "no issue is open")
    if failing := _failing(github, run):
        return Outcome(issue, f"{', '.join(sorted(failing))} failed: the issue stays open")
    marker = report.marker("success")
    text = f"It works again: [run {run['run_number']}]({run['html_url']}).\n\n{marker}\n"
    github.persist(lambda: _comment(issue, text, marker, github))
    closed = github.patch(f"issues/{issue['number']}", {"state": "closed", "state_reason": "completed"})
    return Outcome(closed, "it works again: the issue is closed")


def _run(report: Report, github: GitHub) -> Mapping[str, Any]:
    run: Mapping[str, Any] = github.get(f"actions/runs/{report.run_id}")
    file = str(run["path"]).partition("@")[0].rpartition("/")[2]
    if file != report.workflow:
        raise InvalidInputError(
            f"run {report.run_id} is of {file}, not of {report.workflow}",
            where="--workflow",
            todo="name the file of the workflow whose run it is",
        )
    return run


def _before(report: Report, run: Mapping[str, Any], github: GitHub) -> Mapping[str, Any] | None:
    """The newest run before this one on its branch that came to an end by itself."""
    query = urlencode({"branch": run["head_branch"], "status": "completed"})
    runs = github.every(f"actions/workflows/{quote(report.workflow)}/runs?{query}", "workflow_runs")
    older = [each for each in runs if each["run_number"] < run["run_number"] and each["conclusion"] in _TOLD]
    return max(older, key=lambda each: int(each["run_number"]), default=None)


def _failing(github: GitHub, run: Mapping[str, Any]) -> dict[str, str]:
    """The jobs that failed in the last attempt of a run, by name, and where their log is."""
    jobs = github.every(f"actions/runs/{run['id']}/jobs?filter=latest", "jobs")
    return {each["name"]: each["html_url"] for each in jobs if each["conclusion"] in _FAILED}


def _text(
    report: Report, failing: Mapping[str, str], twice: list[str], runs: tuple[Mapping[str, Any], ...]
) -> str:
    names = " and ".join(f"[run {run['run_number']}]({run['html_url']})" for run in runs)
    lines = [f"Failed in {names} of `{report.workflow}`:", ""]
    lines += [f"- [{_plain(name)}]({failing[name]})" for name in twice]
    return "\n".join([*lines, "", report.marker("failure"), ""])


def _plain(name: str) -> str:
    """A job's name as the text of a link."""
    return name.replace("[", "(").replace("]", ")")


def _open_one(report: Report, github: GitHub) -> Mapping[str, Any] | None:
    query = urlencode({"state": "open", "labels": report.label})
    found = [each for each in github.every(f"issues?{query}") if "pull_request" not in each]
    return min(found, key=lambda each: int(each["number"]), default=None)


def _opened(report: Report, github: GitHub, text: str) -> Mapping[str, Any]:
    body = {"title": report.title, "body": text, "labels": [report.label]}
    issue: Mapping[str, Any] = github.post("issues", body)
    return issue


def _comment(issue: Mapping[str, Any], text: str, marker: str, github: GitHub) -> bool:
    """Whether it had to be said: neither the issue nor a comment has the marker."""
    path = f"issues/{issue['number']}/comments"
    if any(marker in (each.get("body") or "") for each in [issue, *github.every(path)]):
        return False
    github.post(path, {"body": text})
    return True
