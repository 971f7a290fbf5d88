"""Commands for maintainers: release, test, lint, refresh, docs, bench."""

import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from invoke import Context, Exit

from nodelayer.cli.command import ROOT, command
from nodelayer.github import step_outputs
from nodelayer.util.console import Reporter

BENCHMARKS = ("sizes", "build", "runtime", "endurance", "publish", "catalog", "startup")


@command(
    bare_value_flag="level",
    help={
        "level": "patch, minor or major: the step of the version, by Semantic Versioning",
        "dry-run": "show the version, the changelog's section and the commands, and stop",
        "branch": "where releases are made",
        "remote": "what has to have nothing newer, and gets the tag",
    },
)
def release(
    _ctx: Context,
    level: str,
    dry_run: bool = False,  # noqa: FBT001, FBT002
    branch: str = "main",
    remote: str = "origin",
) -> None:
    """Release nodelayer itself: raise its version, move the changelog, commit and tag. Pushes nothing."""
    from nodelayer.project import release as own_release

    reporter = Reporter()
    today = datetime.now(UTC).date()
    root = Path.cwd()
    plan = own_release.plan(root, level, today, branch=branch, remote=remote, reporter=reporter)
    if dry_run:
        print(plan.text())
        return
    own_release.release(root, plan)
    reporter.say(f"Release {plan.version} is committed and tagged, here only. To push both or neither:")
    print(plan.push)


@command(
    name="test",
    help={"only": "folder or file of tests, for instance tests/unit", "keyword": "as pytest's -k"},
)
def run_tests(_ctx: Context, only: str = "", keyword: str = "") -> None:
    """Run the tests; what needs a Docker daemon is skipped with a reason where there is none."""
    chosen = [*([only] if only else []), *(["-k", keyword] if keyword else [])]
    # All of them go on in several processes; what shares something stays together (tests/conftest.py).
    _tool("pytest", *(chosen or ["--numprocesses=auto", "--maxprocesses=4"]))


@command()
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


@command(
    help={
        "only": "pins to refresh, separated by commas, as in docs/github-actions.md (default: all)",
        "keep": "pins to compare only, separated by commas",
        "compare": "write nothing; exit code 1 if anything differs",
        "summary": "write what changed and what failed to this file, as Markdown",
        "outputs": step_outputs.HELP,
    }
)
def refresh(
    _ctx: Context,
    only: str = "",
    keep: str = "",
    compare: bool = False,  # noqa: FBT001, FBT002
    summary: str = "",
    outputs: str = "",
) -> None:
    """Refresh what is pinned, each from its own source; a failure does not stop the others."""
    from nodelayer.layer import docker_builder
    from nodelayer.project.pins import refresh as pins

    reporter = Reporter()
    chosen = pins.choose(only, "--only") or pins.PINS
    outcomes = pins.refresh(
        ROOT,
        chosen,
        kept=chosen if compare else pins.choose(keep, "--keep"),
        daemon=lambda: docker_builder.connect(reporter),
        reporter=reporter,
    )
    pins.write_summary(summary, outcomes)
    for each in outcomes:
        if each.changed:
            print(each.pin.name)
    written = any(each.changed and not each.kept for each in outcomes)
    step_outputs.write(outputs, {"changed": "true" if written else "false"})
    if code := pins.exit_code(outcomes, compare=compare):
        raise Exit(code=code)


@command(name="bench", help={"only": f"{', '.join(BENCHMARKS)} (default: all of them)"})
def benchmark(_ctx: Context, only: str = "") -> None:
    """Measure sizes against Everynode's, the runtime client against AWS's, publishing against the AWS CLI."""
    if only and only not in BENCHMARKS:
        raise Exit(f"nodelayer: no benchmark {only!r} (--only): use {' or '.join(BENCHMARKS)}", code=2)
    for name in [only] if only else BENCHMARKS:
        _tool("python", f"benchmarks/{name}.py")


@command(name="docs", help={"out": "folder for the pages (default: site/docs)"})
def build_docs(_ctx: Context, out: str = "site/docs") -> None:
    """Build the documentation site with the command reference; a broken link or anchor is an error."""
    from nodelayer.cli import reference

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "docs", copy / "docs")
        shutil.copy(ROOT / "mkdocs.yml", copy)
        (copy / "docs" / "commands.md").write_text(reference.text(), encoding="utf-8")
        _tool("zensical", "build", "--strict", "--config-file", str(copy / "mkdocs.yml"))
        shutil.copytree(copy / "site", out, dirs_exist_ok=True)
    print(Path(out) / "index.html")


def _tool(name: str, *arguments: str) -> None:
    """Run a program of this environment in the repository's folder; its exit code becomes ours."""
    done = subprocess.run([Path(sys.executable).parent / name, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        raise Exit(code=done.returncode)
