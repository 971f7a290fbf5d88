"""The commands in the documentation: some are run, the others are checked for existing names."""

import re
import shlex

import botocore.session
import pytest
from botocore import xform_name
from docs.pages import PAGES
from support import ROOT

from docs import pages
from nodelayer.catalog.snippets import FORMATS

COMMANDS = list(dict.fromkeys(command for page in PAGES for command in pages.commands(page)))
RUN = re.compile(r"(?:\.venv/bin/)?invoke (?:publish|arn|catalog) ")
AWS_CLI_ONLY = {"sso login", "cloudformation deploy"}
"""Commands of the AWS CLI that are not operations of a service."""

_PATH = re.compile(
    r"(?:(?<= )|(?<=^)|file://)((?:cloudformation|examples|scripts|docker|function|docs|benchmarks)/[\w./-]+)"
)
_FLAGS_OF_EVERY_CALL = {"region", "query", "output", "profile", "cli-binary-format"}


@pytest.fixture(scope="module")
def published(clone):
    outcome = clone.type("invoke publish --node 12.16.1 --regions eu-west-1,us-east-1 --public")
    assert outcome.code == 0, outcome.err
    return clone


@pytest.mark.network
@pytest.mark.parametrize("command", [command for command in COMMANDS if RUN.match(command)])
def test_each_publish_arn_and_catalog_command_succeeds(published, command):
    if "--canary" in command:  # this emulator runs no function: integration/test_sam.py runs a canary
        command += " --dry-run"
    outcome = published.type(command.replace("https://example.org/layers.json", "docs/layers.sample.json"))
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("aws ")])
def test_each_aws_command_is_a_valid_operation_with_valid_flags(command):
    _, service, operation, *words = shlex.split(command)
    if f"{service} {operation}" in AWS_CLI_ONLY:
        return
    session = botocore.session.get_session()
    model = session.get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if operation == "wait":
        waiters = session.get_waiter_model(service)
        called = {xform_name(each, "-"): waiters.get_waiter(each).operation for each in waiters.waiter_names}
        operation = xform_name(called[words.pop(0)], "-")
    members = model.operation_model(operations[operation]).input_shape.members
    known = {xform_name(name, "-") for name in members} | _FLAGS_OF_EVERY_CALL
    assert {word.removeprefix("--") for word in words if word.startswith("--")} <= known


def test_files_and_parameters_in_commands_exist():
    missing = []
    for command in COMMANDS:
        files = [ROOT / found[1] for found in _PATH.finditer(command)]
        missing += [path for path in files if not path.exists() and not command.startswith("cp ")]
        _, _, overrides = command.partition("--parameter-overrides ")
        templates = [path / "template.yaml" if path.is_dir() else path for path in files]
        text = "".join(path.read_text(encoding="utf-8") for path in templates if path.suffix == ".yaml")
        names = [word.partition("=")[0] for word in shlex.split(overrides)]
        missing += [name for name in names if not re.search(rf"^  {name}:$", text, re.MULTILINE)]
    assert missing == []


@pytest.mark.network
def test_pages_show_the_output_of_each_format(clone):
    page = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- invoke arn --format ([\w-]+) -->\n```\w+\n(.*?)```\n", page, re.DOTALL))
    assert sorted(["arn", *shown]) == sorted(FORMATS)
    lookup = "invoke arn --node 12.16.1 --region eu-west-1 --manifest docs/layers.sample.json"
    assert {each: clone.type(f"{lookup} --format {each}").out for each in shown} == shown
    page = (ROOT / "docs" / "runtimes.md").read_text(encoding="utf-8")
    mark = r"<!-- invoke arn --as runtime --format ([\w-]+) -->\n```\w+\n(.*?)```\n"
    shown = dict(re.findall(mark, page, re.DOTALL))
    lookup = "invoke arn --as runtime --node 24 --region eu-west-1 --manifest docs/layers.sample.json"
    assert {each: clone.type(f"{lookup} --format {each}").out for each in shown} == shown
    assert len(shown) == 3
