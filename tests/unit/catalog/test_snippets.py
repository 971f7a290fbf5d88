"""What a consumer pastes: the right layer in each tool's language, and nothing that was smuggled in."""

import ast
import dataclasses
import json
import shlex

import pytest

from nodelayer.catalog.snippets import FORMATS, Layer, render
from nodelayer.errors import InvalidInputError

X86_64 = Layer(
    arn="arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:3",
    region="eu-west-1",
    node_version="12.16.1",
    architecture="x86_64",
    runtime="provided.al2023",
    as_json={
        "arn": "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:3",
        "architecture": "x86_64",
        "compatible_runtimes": ["provided.al2", "provided.al2023"],
    },
)
ARM64 = dataclasses.replace(
    X86_64, arn="arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1:8", architecture="arm64"
)
FUNCTIONS = [each for each in FORMATS if each not in {"arn", "json"}]
CDK = ("cdk", "cdk-python")


def test_the_formats_are_those_that_a_consumer_has_tools_for():
    tools = ("sam", "cloudformation", "cdk", "cdk-python", "terraform", "serverless", "cli")
    assert ("arn", "json", *tools) == FORMATS


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_names_the_layer_once(format_):
    assert render(format_, X86_64).count(X86_64.arn) == 1


@pytest.mark.parametrize("format_", FORMATS)
def test_an_arn_of_another_partition_comes_through_and_no_other_partition_is_named(format_):
    arn = "arn:aws-cn:lambda:cn-north-1:123456789012:layer:nodejs-12-16-1-x86_64:3"
    china = dataclasses.replace(X86_64, arn=arn, region="cn-north-1", as_json={"arn": arn})
    text = render(format_, china)
    assert arn in text
    assert "arn:aws:" not in text


@pytest.mark.parametrize("format_", FORMATS)
def test_a_snippet_ends_without_a_newline_and_has_no_space_at_a_line_s_end(format_):
    lines = render(format_, X86_64).split("\n")
    assert lines[-1]
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("format_", FUNCTIONS)
def test_every_snippet_names_the_region_and_the_handler(format_):
    text = render(format_, X86_64).replace(X86_64.arn, "")
    assert "eu-west-1" in text
    assert "function.handler" in text


@pytest.mark.parametrize("format_", FUNCTIONS)
@pytest.mark.parametrize("layer", [X86_64, ARM64], ids=lambda layer: layer.architecture)
def test_every_snippet_asks_for_the_layer_s_architecture_and_no_other(format_, layer):
    words = {"x86_64": ("x86_64", "X86_64"), "arm64": ("arm64", "ARM_64")}
    text = render(format_, layer).replace(layer.arn, "")
    asked = words.pop(layer.architecture)[format_ in CDK]
    (others,) = words.values()
    assert asked in text
    assert not any(other in text for other in others)


@pytest.mark.parametrize("format_", FUNCTIONS)
@pytest.mark.parametrize(
    ("runtime", "constant"),
    [
        ("provided", "Runtime.PROVIDED,"),
        ("provided.al2", "Runtime.PROVIDED_AL2,"),
        ("provided.al2023", "Runtime.PROVIDED_AL2023,"),
    ],
)
def test_every_snippet_asks_for_a_runtime_that_the_layer_was_proved_on(format_, runtime, constant):
    text = render(format_, dataclasses.replace(X86_64, runtime=runtime))
    words = text.replace('"', " ").split()
    assert constant in text if format_ in CDK else runtime in words


def test_arn_is_the_arn_and_nothing_else():
    assert render("arn", X86_64) == X86_64.arn


def test_json_is_what_the_manifest_gave():
    text = render("json", X86_64)
    assert json.loads(text) == X86_64.as_json
    assert text.startswith('{\n  "arn"')


def test_the_command_is_one_command_of_the_shell():
    text = render("cli", X86_64).replace("\\\n", "")
    words = shlex.split(text)
    assert words[:3] == ["aws", "lambda", "create-function"]
    assert words[words.index("--layers") + 1 :] == [X86_64.arn]
    assert "\n" not in text


def test_the_python_stack_is_python():
    ast.parse(render("cdk-python", X86_64))


@pytest.mark.parametrize("format_", ["", "ARN", "pulumi"])
def test_an_unknown_format_is_one_line_that_names_the_known(format_):
    with pytest.raises(InvalidInputError) as caught:
        render(format_, X86_64)
    line = str(caught.value)
    assert repr(format_) in line
    assert "--format" in line
    assert "use arn, json, sam, " in line
    assert all(each in line for each in FORMATS)


@pytest.mark.parametrize("name", ["arn", "region", "node_version", "runtime"])
@pytest.mark.parametrize("smuggled", ["", "x; rm -rf ~", "x'", 'x"', "x\n", "x\ny: z", "${x}", "$(x)", "--x"])
def test_a_word_that_some_language_would_read_as_more_than_a_word_is_refused(name, smuggled):
    with pytest.raises(InvalidInputError, match=f"the layer's {name} is not plain text"):
        dataclasses.replace(X86_64, **{name: smuggled})


@pytest.mark.parametrize("architecture", ["", "amd64", "x86_64\n", "all"])
def test_an_architecture_that_lambda_does_not_have_is_refused(architecture):
    with pytest.raises(InvalidInputError, match="unknown architecture"):
        dataclasses.replace(X86_64, architecture=architecture)
