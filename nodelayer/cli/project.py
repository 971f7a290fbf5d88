"""Commands for maintainers of nodelayer."""

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

BENCHMARKS = (
    *("sizes", "build", "runtime", "code_cache", "endurance"),
    *("publish", "publish_runtime", "catalog", "startup"),
)


@command(
    bare_value_flag="level",
    help={
        "level": "(required) part of the version to raise: patch, minor or major; --level may be omitted",
        "dry-run": "print the version, the changelog section and the git commands, and change nothing",
        "branch": "branch to release from (default: main)",
        "remote": "git remote that must not be ahead of the branch (default: origin)",
    },
)
def release(
    _ctx: Context,
    level: str,
    dry_run: bool = False,  # noqa: FBT001, FBT002
    branch: str = "main",
    remote: str = "origin",
) -> None:
    """Release nodelayer itself: raise the version, update the changelog, commit and tag.

    Pushes nothing; prints the push command. Example: release minor --dry-run
    """
    from nodelayer.project import release as own_release

    reporter = Reporter()
    today = datetime.now(UTC).date()
    root = Path.cwd()
    plan = own_release.plan(root, level, today, branch=branch, remote=remote, reporter=reporter)
    if dry_run:
        print(plan.text())
        return
    own_release.release(root, plan)
    reporter.say(f"Release {plan.version} is committed and tagged in this clone. To push both, run:")
    print(plan.push)


_SELECTION = {"only": "folder or file of tests, for instance tests/unit", "keyword": "as pytest's -k"}


@command(name="test", help=_SELECTION)
def run_tests(_ctx: Context, only: str = "", keyword: str = "") -> None:
    """Run the tests that find most faults, in about seven minutes. A test that cannot run here is skipped."""
    _pytest("not full and not long", only, keyword)


@command(
    name="test-all",
    help={
        **_SELECTION,
        "rest": "only the tests that `test` leaves out",
        "long": "also the tests that take minutes each: more kills and random transfers, packages from npm",
    },
)
def run_all_tests(
    _ctx: Context,
    only: str = "",
    keyword: str = "",
    rest: bool = False,  # noqa: FBT001, FBT002
    long: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Run every test: all versions of Node.js, both runtime clients of AWS, the workflows, SAM."""
    _pytest(" and ".join(["(full or long)"] * rest + ["not long"] * (not long)), only, keyword)


def _pytest(markers: str, only: str, keyword: str) -> None:
    chosen = [*([only] if only else []), *(["-k", keyword] if keyword else [])]
    # Run a selection in one process: it is small, and -k prints no progress otherwise.
    _tool("pytest", "-m", markers, *(chosen or ["--numprocesses=auto", "--maxprocesses=4"]))


@command()
def lint(_ctx: Context) -> None:
    """Check style, types, imports, the Dockerfile, workflows and CloudFormation templates."""
    _tool("ruff", "check", ".")
    _tool("ruff", "format", "--check", ".")
    _tool("mypy")
    _tool("lint-imports")
    _tool("hadolint", "docker/Dockerfile")
    _tool("actionlint", "-shellcheck=", "-pyflakes=")  # without linters that only some machines have
    _tool("zizmor", "--offline", "--pedantic", "--quiet", ".github", "actions")
    regions = ["us-east-1", "cn-north-1", "us-gov-west-1"]  # one of each partition that cfn-lint knows
    _tool("cfn-lint", "--include-checks", "I", "--regions", *regions, "--", "cloudformation/*.yaml")


@command(
    help={
        "only": "pins to refresh, separated by commas, for example base-images,rie (default: all); an "
        "unknown name prints the names of all pins",
        "compare": "change nothing; exit code 1 if a pin is outdated",
        "summary": "file for a summary of changes and failures, in Markdown",
        "outputs": step_outputs.HELP + " Name: changed (true or false)",
    }
)
def refresh(
    _ctx: Context,
    only: str = "",
    compare: bool = False,  # noqa: FBT001, FBT002
    summary: str = "",
    outputs: str = "",
) -> None:
    """Update pinned facts from their sources, for example base images, LTS lines and release keys.

    A failure does not stop the others.
    """
    from nodelayer.layer import docker_builder
    from nodelayer.project.pins import refresh as pins

    reporter = Reporter()
    chosen = pins.choose(only, "--only") or pins.PINS
    outcomes = pins.refresh(
        ROOT,
        chosen,
        kept=chosen if compare else (),
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


@command(name="bench", help={"only": f"one benchmark: {', '.join(BENCHMARKS)} (default: all)"})
def benchmark(_ctx: Context, only: str = "") -> None:
    """Run the benchmarks, and write their results to benchmarks/results."""
    if only and only not in BENCHMARKS:
        raise Exit(f"nodelayer: unknown benchmark {only!r} [--only]: use {', '.join(BENCHMARKS)}", code=2)
    for name in [only] if only else BENCHMARKS:
        _tool("python", f"benchmarks/{name}.py")


@command(name="docs", help={"out": "folder for the pages"})
def build_docs(_ctx: Context, out: str = "site/docs") -> None:
    """Build the documentation site, with the command reference. A broken link fails."""
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
    """Run a program of this environment in the repository's folder. Raises Exit with its exit code."""
    done = subprocess.run([Path(sys.executable).parent / name, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        raise Exit(code=done.returncode)
