"""The command line: its commands and flags, and its errors for invalid input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, Outcome, command, contexts

from nodelayer.cli.program import NodelayerProgram, checkout

FOLDER = Path(sys.executable).parent
CONTEXTS = {each.name: each for each in contexts()}
NODELAYER = [sys.executable, "-c", "from nodelayer.cli.program import main; main()"]
SHORT_FLAGS = {}
"""Maps each short flag to its long flag, the same in every command."""
LISTED = [
    "build-layer",
    "build-image",
    "run",
    "test-layer",
    "code-cache",
    "publish",
    "arn",
    "verify",
    "verify-layer",
    "backfill",
    "prune",
    "withdraw",
    "catalog",
    "publish-runtime",
    "rollback-runtime",
    "verify-runtimes",
    "prune-runtimes",
    "restore-runtime",
    "sam-build",
    "deploy",
    "invoke-function",
    "logs",
    "destroy",
    "tour",
    "download",
    "clean",
    "release",
    "test",
    "test-all",
    "lint",
    "bench",
    "github",
    "project",
]
OF_A_CHECKOUT = LISTED[LISTED.index("release") :]

each_program = pytest.mark.parametrize("program", [command(), NODELAYER], ids=["invoke", "nodelayer"])


def run(*line, cwd=ROOT, **variables):
    environ = {**os.environ, "COLUMNS": "200", **variables}
    done = subprocess.run(
        list(map(str, line)), cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def names(listing):
    lines = listing.partition(":\n\n")[2].splitlines()
    return [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]


def test_flags_have_no_automatic_short_form():
    short = {
        names[1]: names[0]
        for each in CONTEXTS.values()
        for argument in each.args.values()
        if len(names := [f"{'-' if len(name) == 1 else '--'}{name}" for name in argument.names]) > 1
    }
    assert short == SHORT_FLAGS


def test_no_command_declares_a_positional_argument():
    assert {name for name, each in CONTEXTS.items() if each.positional_args} == set()


def test_list_succeeds_if_its_output_pipe_closes_early():
    line = " ".join([*map(str, command("--list")), "| head -n 1; exit ${PIPESTATUS[0]}"])
    outcome = run("bash", "-c", line)
    assert (outcome.code, outcome.err) == (0, "")


def test_list_shows_user_commands_in_order_and_hides_workflow_commands():
    assert names(run(*command("--list")).out) == LISTED
    assert ".check-tag" in run(*command("--list", "github")).out
    assert names(run(*NODELAYER, "--list").out) == [name for name in LISTED if name not in OF_A_CHECKOUT]


@pytest.mark.parametrize("flag", ["--region=eu-west-1", "--arch=arm64", "--arch=x86_64"])
def test_newer_than_refuses_flags_that_its_arn_answers(flag, capsys):
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:1"
    with pytest.raises(SystemExit) as ended:
        NodelayerProgram(name="invoke", namespace=checkout()).run(
            ["invoke", "arn", "--newer-than", arn, flag]
        )
    assert ended.value.code == 2
    assert f"--newer-than and {flag.partition('=')[0]} are mutually exclusive" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--as=zip"], "unknown value 'zip' [--as]: use layer or runtime"),
        (["--as=runtime", "--newer-than=x"], "--as runtime and --newer-than are mutually exclusive"),
        (
            ["--as=runtime", "--region=all", "--node=24"],
            "--as runtime and --region all are mutually exclusive",
        ),
    ],
)
def test_arn_refuses_flags_that_a_runtime_does_not_have(flags, message, capsys):
    with pytest.raises(SystemExit) as ended:
        NodelayerProgram(name="invoke", namespace=checkout()).run(["invoke", "arn", *flags])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_arn_prints_a_runtime_and_its_alias(capsys):
    manifest = f"--manifest={ROOT / 'docs' / 'layers.sample.json'}"
    line = ["invoke", "arn", "--as=runtime", "--node=24", "--region=eu-west-1", "--arch=arm64", manifest]
    NodelayerProgram(name="invoke", namespace=checkout()).run([*line, "--format=json"], exit=False)
    printed = json.loads(capsys.readouterr().out)
    arn = "arn:aws:lambda:eu-west-1:123456789012:runtime/nodejs-24"
    assert (printed["runtime_arn"], printed["runtime_alias"]) == (arn, "latest")
    assert printed["runtime_version_arn"] == f"{arn}/version/24.21.0_1.2.3"
    NodelayerProgram(name="invoke", namespace=checkout()).run(line, exit=False)
    assert capsys.readouterr().out == f"{arn}\n"


@pytest.mark.parametrize("name", CONTEXTS)
def test_each_command_shows_its_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        NodelayerProgram(name="invoke", namespace=checkout()).run(["invoke", name, "--help"])
    assert not ended.value.code
    captured = capsys.readouterr()
    assert captured.out.startswith(f"Usage: invoke {name} ")
    shown = captured.out.replace("--[no-]", "--")
    assert all(flag in shown for flag in CONTEXTS[name].flags)


@each_program
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("build-layer --nod 12", "build-layer has no flag --nod: did you mean --node?"),
        ("build-layer --nod test", "did you mean --node?"),
        ("publish -n 12.16.1 -r eu-west-1 -p matrix", "publish has no flag -n: "),
        ("publish --node 12.16.1 --public -p tour", "publish has no flag -p: "),
        ("arn 12.16.1", "arn does not take '12.16.1': "),
        ("arn --node 12", "--region is missing: "),
        ("prune", "--keep is missing or less than 1: "),
        ("build-layer --node", "--node needed value"),
        ("prune --keep x", "--keep takes a whole number, not 'x'"),
        ("clean tour", "more than one command (clean, tour): "),
        ("buidl-layer --node 12", "unknown command buidl-layer: did you mean build-layer?"),
        ("--node 12 build-layer", "unknown flag --node: "),
        ("--list nothing", "'nothing' not found"),
    ],
)
def test_invalid_command_line_gives_a_one_line_error_and_exit_code_2(program, line, expected, tmp_path):
    outcome = run(*program, *line.split(), cwd=tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    (message,) = outcome.lines
    assert expected in message
    assert list(tmp_path.iterdir()) == []


def test_release_takes_its_level_without_a_flag():
    assert "release does not take 'again'" in run(*command("release", "patch", "again")).err
    assert run(*command("release", "patch", "--help")).out.startswith("Usage: invoke release")
    assert "--level is missing" in run(*command("release")).err


@each_program
def test_quiet_prints_no_messages(program, tmp_path):
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "nodejs-1.zip").touch()
    assert run(*program, "clean", "--quiet", cwd=tmp_path) == Outcome(0, "", "")
    assert "nothing to delete" in run(*program, "clean", cwd=tmp_path).err


def test_the_program_prints_its_version_and_lists_no_checkout_commands():
    assert run(*NODELAYER, "--version").out == f"nodelayer {run(*NODELAYER, '--version').out.split()[1]}\n"
    assert run(*NODELAYER, "lint").code == 2


def test_import_of_tasks_loads_no_large_library():
    heavy = ["boto3", "botocore", "docker", "requests", "cyclonedx", "rich", "msgspec"]
    code = f"import sys, tasks; print([name for name in {heavy} if name in sys.modules])"
    assert run(sys.executable, "-c", code).out == "[]\n"


def test_completion_knows_commands_and_flags():
    assert "--region" in run(*NODELAYER, "--complete", "--", "nodelayer arn --r").out.split()
    assert "arn" in run(*NODELAYER, "--complete", "--", "nodelayer a").out.split()
