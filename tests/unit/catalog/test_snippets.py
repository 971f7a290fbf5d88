"""Snippets as text; tests/integration/test_snippets.py passes each to its tool."""

import dataclasses
import json
import re
import shlex

import pytest

from nodelayer.catalog.snippets import (
    FORMATS,
    REGION_FORMATS,
    RUNTIME_FORMATS,
    RuntimeSnippetValues,
    SnippetValues,
    render,
    render_regions,
)
from nodelayer.errors import InvalidInputError

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1:3"
X86_64 = SnippetValues(ARN, "eu-west-1", "12.16.1", "x86_64", "provided.al2023", {"arn": ARN, "size": 1})
ARM64 = dataclasses.replace(X86_64, architecture="arm64")
RUNTIME_ARN = "arn:aws:lambda:eu-west-1:123456789012:runtime/nodejs-12"
RUNTIME = RuntimeSnippetValues(RUNTIME_ARN, "latest", "eu-west-1", "12.16.1", "x86_64", {"arn": RUNTIME_ARN})
EACH = [X86_64, ARM64, RUNTIME, dataclasses.replace(RUNTIME, architecture="arm64")]
FUNCTIONS = [each for each in FORMATS if each not in {"arn", "json"}]
CDK = ("cdk", "cdk-python")


def test_each_tool_has_a_format():
    tools = {"sam", "cloudformation", "cdk", "cdk-python", "terraform", "serverless", "cli"}
    assert {"arn", "json", *tools} <= set(FORMATS)
    assert list(RUNTIME_FORMATS) == list(FORMATS)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("values", [X86_64, RUNTIME], ids=["layer", "runtime"])
def test_snippet_contains_the_arn_once_and_no_other_partition(format_, values):
    arn = values.arn.replace("aws:", "aws-cn:").replace("eu-west-1", "cn-north-1")
    china = dataclasses.replace(values, arn=arn, region="cn-north-1", as_json={"arn": arn})
    text = render(format_, china)
    assert text.count(arn) == 1
    assert "arn:aws:" not in text


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("values", [X86_64, RUNTIME], ids=["layer", "runtime"])
def test_snippet_has_no_trailing_whitespace(format_, values):
    lines = render(format_, values).split("\n")
    assert lines[-1]
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("format_", FUNCTIONS)
@pytest.mark.parametrize("values", EACH, ids=lambda each: f"{type(each).__name__} {each.architecture}")
def test_snippet_has_only_its_own_region_and_architecture(format_, values):
    words = {"x86_64": ("x86_64", "X86_64"), "arm64": ("arm64", "ARM_64")}
    text = render(format_, values).replace(values.arn, "")
    expected = words.pop(values.architecture)[format_ in CDK]
    (others,) = words.values()
    assert all(word in text for word in (expected, "eu-west-1", "function.handler"))
    assert not any(other in text for other in others)


@pytest.mark.parametrize("format_", FUNCTIONS)
def test_snippet_of_a_runtime_names_the_alias_and_no_layer(format_):
    text = render(format_, RUNTIME)
    assert re.search(r"RuntimeAlias['\"]? *[:=] *['\"]?latest\b", text)
    assert "ayer" not in text
    assert "<<" not in text
    assert "provided" not in text or format_ == "serverless"


@pytest.mark.parametrize("format_", ["json", *REGION_FORMATS])
def test_snippet_for_all_regions_contains_each_region_and_arn_once(format_):
    other = dataclasses.replace(X86_64, region="us-east-1", arn=ARN.replace("eu-west-1", "us-east-1"))
    text = render_regions(format_, [X86_64, dataclasses.replace(other, as_json={"arn": other.arn})])
    for each in (X86_64, other):
        assert text.count(each.arn) == 1
        assert sum(line.count(each.region) for line in text.split("\n") if each.arn in line) >= 1
    assert "<<" not in text


def test_format_without_support_for_all_regions_is_rejected():
    with pytest.raises(InvalidInputError, match=r"use json, arn, sam, cloudformation, cdk, terraform"):
        render_regions("cli", [X86_64])


def test_format_arn_prints_only_the_arn():
    assert render("arn", X86_64) == ARN


def test_json_is_the_entry_of_the_manifest():
    assert json.loads(render("json", X86_64)) == X86_64.as_json


def test_format_cli_is_one_shell_command():
    text = render("cli", X86_64).replace("\\\n", "")
    words = shlex.split(text)
    assert words[:3] == ["aws", "lambda", "create-function"]
    assert words[words.index("--layers") + 1 :] == [ARN]
    assert "\n" not in text


@pytest.mark.parametrize("format_", ["", "ARN", "xml"])
def test_an_unknown_format_is_refused_with_the_known_ones(format_):
    with pytest.raises(InvalidInputError) as caught:
        render(format_, X86_64)
    assert (repr(format_) in caught.value.what, caught.value.where) == (True, "--format")
    assert all(each in caught.value.todo for each in FORMATS)


@pytest.mark.parametrize("name", ["arn", "region", "node_version", "runtime"])
@pytest.mark.parametrize("value", ["", "x; rm -rf ~", "x'", 'x"', "x\n", "x\ny: z", "${x}", "$(x)", "--x"])
def test_a_value_that_needs_quoting_is_rejected(name, value):
    with pytest.raises(InvalidInputError, match=f"the layer's {name} is not plain text"):
        dataclasses.replace(X86_64, **{name: value})


@pytest.mark.parametrize("name", ["arn", "alias", "region", "node_version"])
def test_a_runtime_value_that_needs_quoting_is_rejected(name):
    with pytest.raises(InvalidInputError, match=f"the runtime's {name} is not plain text"):
        dataclasses.replace(RUNTIME, **{name: "$(x)"})


@pytest.mark.parametrize("architecture", ["", "amd64", "x86_64\n", "all"])
def test_an_unknown_architecture_is_refused(architecture):
    with pytest.raises(InvalidInputError, match="unknown architecture"):
        dataclasses.replace(X86_64, architecture=architecture)
