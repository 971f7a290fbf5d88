"""Commands for maintainers: release, test, lint, refresh, bench."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from invoke import Context, Exit, task

from nodelayer.cli.command import ROOT, command
from nodelayer.github import step_outputs
from nodelayer.layer import docker_builder
from nodelayer.project import release as own_release
from nodelayer.project.pins import run as refreshing
from nodelayer.util.console import Reporter

BENCHMARKS = ("sizes", "build", "runtime", "endurance", "publish", "catalog", "startup")


@task(
    positional=["level"],
    help={
        "level": "patch, minor or major: the step of the version, by Semantic Versioning",
        "dry-run": "show the version, the changelog's section and the commands, and stop",
        "branch": "where releases are made",
        "remote": "what has to have nothing newer, and gets the tag",
    },
)
@command
def release(
    _ctx: Context,
    level: str,
    dry_run: bool = False,  # noqa: FBT001, FBT002
    branch: str = "main",
    remote: str = "origin",
) -> None:
    """Release nodelayer itself: raise its version, move the changelog, commit and tag. Pushes nothing."""
    reporter = Reporter()
    today = datetime.now(UTC).date()
    plan = own_release.plan(ROOT, level, today, branch=branch, remote=remote, reporter=reporter)
    if dry_run:
        print(plan.text())
        return
    own_release.release(ROOT, plan)
    reporter.say(f"Release {plan.version} is committed and tagged, here only. To push both or neither:")
    print(plan.push)


@task(
    name="test",
    help={"only": "folder or file of tests, for instance tests/unit", "keyword": "as pytest's -k"},
)
def run_tests(_ctx: Context, only: str = "", keyword: str = "") -> None:
    """Run the tests; what needs a Docker daemon is skipped with a reason where there is none."""
    chosen = [*([only] if only else []), *(["-k", keyword] if keyword else [])]
    # All of them go on in several processes; what shares something stays together (tests/conftest.py).
    _tool("pytest", *(chosen or ["--numprocesses=auto", "--maxprocesses=4"]))


@task
def lint(_ctx: Context) -> None:
    """Check style, types, the import contract, the Dockerfile, workflows and CloudFormation templates."""
    _tool("ruff", "check", ".")
    _tool("ruff", "format", "--check", ".")
    _tool("mypy")
    _tool("lint-imports")
    _tool("hadolint", "docker/Dockerfile")
    _tool("actionlint", "-shellcheck=", "-pyflakes=")  # the same whatever else is installed
    _tool("zizmor", "--offline", "--pedantic", "--quiet", ".github", "actions")
    regions = ["us-east-1", "cn-north-1", "us-gov-west-1"]  # one of each partition that cfn-lint knows
    _tool("cfn-lint", "--include-checks", "I", "--regions", *regions, "--", "cloudformation/*.yaml")


@task(
    help={
        "only": "of "
        + ", ".join(pin.name for pin in refreshing.PINS)
        + ", with commas between (default: all)",
        "keep": "of the same: what is compared with its source and told, but stays as it is",
        "compare": "write nothing; exit code 1 where anything differs",
        "summary": "write what changed and what failed to this file, as Markdown",
        "outputs": step_outputs.HELP,
    }
)
@command
def refresh(
    _ctx: Context,
    only: str = "",
    keep: str = "",
    compare: bool = False,  # noqa: FBT001, FBT002
    summary: str = "",
    outputs: str = "",
) -> None:
    """Bring what is pinned up to date, each from its own source; one that fails stops no other."""
    pins = refreshing.chosen(only, "--only") or refreshing.PINS
    kept = pins if compare else refreshing.chosen(keep, "--keep")
    reporter = Reporter()
    done = refreshing.run(
        ROOT, pins, kept=kept, daemon=lambda: docker_builder.connect(reporter), reporter=reporter
    )
    refreshing.write_summary(summary, done)
    changed = [each.pin.name for each in done if each.changed]
    print("".join(f"{name}\n" for name in changed), end="")
    written = any(each.changed and not each.kept for each in done)
    step_outputs.write(outputs, {"changed": "true" if written else "false"})
    if code := refreshing.code_of(done, compare=compare):
        raise Exit(code=code)


@task(name="bench", help={"only": f"{', '.join(BENCHMARKS)} (default: all of them)"})
def benchmark(_ctx: Context, only: str = "") -> None:
    """Measure sizes against Everynode's, the runtime client against AWS's, publishing against the AWS CLI."""
    if only and only not in BENCHMARKS:
        raise Exit(f"nodelayer: no benchmark {only!r} (--only): use {' or '.join(BENCHMARKS)}", code=2)
    for name in [only] if only else BENCHMARKS:
        _tool("python", f"benchmarks/{name}.py")


def _tool(name: str, *arguments: str) -> None:
    """Run a program of this environment in the repository's folder; its exit code becomes ours."""
    done = subprocess.run([Path(sys.executable).parent / name, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        raise Exit(code=done.returncode)
