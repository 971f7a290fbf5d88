"""Rules of every workflow and the composite action that zizmor and actionlint (`make lint`) do not check."""

import re
import shlex
from contextlib import nullcontext

import pytest
import yaml
from actions.act import DOUBLES, ROLE
from invoke import Exit
from support import ROOT

from nodelayer.cli.program import NodelayerProgram, checkout
from nodelayer.github import targets

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
FILES = [*WORKFLOWS, *sorted((ROOT / "actions").glob("*/action.y*ml"))]
SCRIPTS = {f".github/scripts/{file.name}" for file in (ROOT / ".github" / "scripts").iterdir()}
PROGRAMS = {
    "git",
    "make",
    "sudo",
    ".venv/bin/invoke",
    ".venv/bin/python",
    ".venv/bin/uv",
    "cp",
    "cat",
    "printf",
    "exit",
    "tests/images/standin-base.sh",
}
OF_MAKE = {"venv", "help"}

_PINNED = re.compile(r"(?P<action>[\w.-]+/[\w.-]+)(?:/[\w./-]+)?@(?P<commit>[0-9a-f]{40})")
OWN = "$/.github/workflows/"
"""The beginning of a `uses:` that names a workflow of this repository, at the same commit."""

_RUNNER = re.compile(r"ubuntu-\d\d\.04(-arm)?")
_CHOSEN = re.compile(r"'([^']+)'(?: \|\||$)")
_VARIABLE = re.compile(r"\$\w+")
_IF_SET = re.compile(r"\$\{(\w+):\+\$\1\}")

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
each_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)


def read(file):
    return yaml.safe_load(file.read_text())


def jobs(file):
    return read(file).get("jobs", {})


def steps(file):
    """Return each step with all its variables."""
    whole = read(file)
    several = [*jobs(file).values(), whole.get("runs", {})]
    return [
        step | {"env": whole.get("env", {}) | each.get("env", {}) | step.get("env", {})}
        for each in several
        for step in each.get("steps", ())
    ]


def used(file):
    """Return every third-party `uses:` with its step or job; steps that an alias repeats count once."""
    whole = read(file)
    several = [*whole.get("jobs", {}).values(), whole.get("runs", {})]
    every = {id(each): each for one in several for each in (one, *one.get("steps", ()))}.values()
    return [(each["uses"], each) for each in every if not each.get("uses", OWN).startswith(OWN)]


def pins(file):
    """Return the name, commit and version of each pinned action."""
    pattern = rf"(?m)^ *(?:- )?uses: {_PINNED.pattern} # (?P<version>v\d+\.\d+\.\d+)$"
    return [
        (found["action"], (found["commit"], found["version"]))
        for found in re.finditer(pattern, file.read_text())
    ]


def lines(file):
    """Return the words of each shell line, with the variables of its step."""
    return [
        (shlex.split(line), step["env"]) for step in steps(file) for line in step.get("run", "").splitlines()
    ]


def labels(job):
    """Return the runners that a job can use."""
    label = job["runs-on"]
    matrix = job.get("strategy", {}).get("matrix", {})
    if label not in {"${{ matrix.runner }}", "${{ inputs.runner }}"}:
        return _CHOSEN.findall(label.removesuffix(" }}")) if "${{" in label else [label]
    if isinstance(matrix, dict) and matrix:
        return [row["runner"] for row in matrix["include"]]
    return list(targets.load(ROOT / targets.FILE).runners.values())


@each_file
def test_each_action_is_pinned_by_commit_with_its_version_in_a_comment(file):
    assert [uses for uses, _ in used(file) if not _PINNED.fullmatch(uses)] == []
    assert len(pins(file)) == len(used(file))


@each_workflow
def test_each_rule_of_rights_holds_in_every_job(file):
    """Jobs with rights install only hashed wheels, and take artifacts by ID or check their attestations."""
    for name, job in jobs(file).items():
        rights = {right for right, level in job.get("permissions", {}).items() if level == "write"}
        for step in job.get("steps", ()):
            given = step.get("with", {})
            if rights and "make venv" in step.get("run", ""):
                assert step["run"] == "make venv EXTRAS=", name
            if step.get("uses", "").startswith("actions/download-artifact@"):
                assert "artifact-ids" in given or (name, given["pattern"]) == ("publish", "layer-*"), name
            if step.get("uses", "").startswith("actions/upload-artifact@"):
                assert given["name"].endswith("${{ job.check_run_id }}"), name
                assert "overwrite" not in given, name
    assert "--require-hashes --only-binary :all: -r requirements.txt" in (ROOT / "Makefile").read_text()


def test_every_publish_of_a_workflow_requires_the_signature():
    found = [
        words
        for file in FILES
        for words, _ in lines(file)
        if "publish" in words and words[0] != ".venv/bin/uv"
    ]
    assert len(found) == 3
    assert [words for words in found if "--require-signature" not in words] == []


def test_release_runs_a_canary_and_is_not_released_without_its_success():
    known = jobs(ROOT / ".github" / "workflows" / "release.yml")
    (step,) = [step for step in known["publish"]["steps"] if step.get("id") == "publish"]
    assert {"--canary=$CANARY", "--canary-role=$CANARY_ROLE"} <= set(shlex.split(step["run"]))
    assert step["env"]["CANARY"] == "${{ vars.CANARY_ROLE != 'none' && 'any' || '' }}"
    assert "steps.publish.outputs.canary != 'failed'" in known["publish"]["outputs"]["released"]
    assert "needs.publish.outputs.released == 'true'" in known["release"]["if"]


@pytest.mark.parametrize(
    ("role", "code", "words"),
    [
        (
            "",
            2,
            "the release stops, because the variable CANARY_ROLE is not set and no canary would run: set it",
        ),
        ("none", None, "warning: CANARY_ROLE is none: the layers become public without a start on Lambda"),
        (ROLE, None, ""),
        ("nodelayer-canary", 2, "nodelayer-canary is not the ARN of a role"),
    ],
)
def test_release_stops_unless_somebody_decided_about_the_canary(capsys, role, code, words):
    line = ["invoke", "github.check-canary", role]
    with pytest.raises(SystemExit) if code else nullcontext() as ended:
        NodelayerProgram(name="invoke", namespace=checkout()).run(line, exit=bool(code))
    printed = capsys.readouterr().err
    assert (ended.value.code if code else None, bool(printed)) == (code, bool(words))
    assert words in printed


def test_code_owners_exist_for_files_that_decide_what_is_published():
    lines = (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
    owned = [line.split() for line in lines if line and not line.startswith("#")]
    assert [place for place, _ in owned if not (ROOT / place.strip("/")).exists()] == []
    assert {"/.github/", "/nodelayer/node/release_keys.json", "/nodelayer/layer/policies/"} <= {
        place for place, _ in owned
    }


@each_file
def test_each_input_exists_in_its_action(file):
    wrong = []
    for uses, step in used(file):
        action = uses.partition("@")[0]
        double = read(DOUBLES / action.partition("/")[2] / "action.yml")
        assert double["description"] == f"A double of {action}"
        wrong += [f"{action}: {name}" for name in step.get("with", {}) if name not in double["inputs"]]
    assert wrong == []


@each_workflow
def test_each_job_has_a_timeout_and_a_fixed_runner_version(file):
    for name, job in jobs(file).items():
        if job.get("uses", "").startswith(OWN):
            continue
        assert type(job.get("timeout-minutes")) is int, name
        assert labels(job), name
        assert [label for label in labels(job) if not _RUNNER.fullmatch(label)] == [], name


@each_file
def test_each_step_runs_one_command_without_logic(file):
    assert [
        words for words, _ in lines(file) if words[0].removeprefix("$NODELAYER/") not in PROGRAMS | SCRIPTS
    ] == []
    for step in steps(file):
        reader = shlex.shlex(step.get("run", ""), posix=True, punctuation_chars=True)
        assert [word for word in reader if set(word) <= set("();<>|&") and word != ">>"] == [], step
        assert not re.search(r"\$\(|`", step.get("run", "")), step


@each_file
def test_each_command_exists_and_has_its_flags(file):
    wrong = []
    for words, variables in lines(file):
        typed = _typed(words, variables)
        program = NodelayerProgram(namespace=checkout())
        try:
            program.parse_core(
                ["invoke", *(_VARIABLE.sub("1", word) for word in typed)]
            )  # a number, and a text
            program.parse_collection()
            program.parse_tasks()
        except Exit as error:
            wrong.append(f"{shlex.join(words)}: {error.message}")
        only = typed[typed.index("--only") + 1] if typed[:1] == ["test"] and "--only" in typed else "."
        wrong += [] if (ROOT / only).exists() else [only]
    assert wrong == []


def _typed(words, variables):
    """Return the arguments that Invoke gets, directly or from make; an empty list for other programs."""
    program, *rest = [each for word in words for each in _expanded(word, variables)]
    if rest[:1] in (["-C"], ["--search-root"]):
        rest = rest[2:]
    if program.removeprefix("$NODELAYER/") == ".venv/bin/invoke":
        return rest
    if program != "make":
        return []
    makefile = (ROOT / "Makefile").read_text()
    set_here = dict(word.split("=", 1) for word in rest[1:])
    assert [name for name in set_here if f"$({name})" not in makefile] == []
    if rest[0] in OF_MAKE:
        return []
    given = variables | set_here
    passed_on = re.search(r"foreach name,([A-Z ]+),", makefile)[1].split()  # also from make's environment
    flags = [f"--{name.lower()}={given[name]}" for name in passed_on if name in given]
    return [rest[0], *flags, *shlex.split(given.get("ARGS", ""))]


def _expanded(word, variables):
    """Return a word, or the flags that it can expand to if it depends on a variable."""
    found = _IF_SET.fullmatch(word)
    return re.findall(r"--[\w-]+", variables[found[1]]) if found else [word]
