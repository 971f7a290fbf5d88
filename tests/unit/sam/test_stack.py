"""Decisions about a stack, without SAM and without AWS."""

import re

import pytest
from support import ROOT

from nodelayer.aws.stacks import Stack
from nodelayer.errors import InvalidInputError, NotFoundError, RefusedError
from nodelayer.sam import stack
from nodelayer.sam.stack import StackOptions, StackTarget

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:1"
TARGET = StackTarget("nodelayer-sample", "eu-west-1")
RESOURCES = frozenset({"Function", "FunctionRole", "Layer0123456789", "UrlPermission"})


def found(status="CREATE_COMPLETE", description=stack.DESCRIPTION, resources=RESOURCES, **outputs):
    return Stack(TARGET.stack, status, description, resources, outputs)


@pytest.mark.parametrize("name", ["", "1stack", "a_b", "a b", "a" * 129, "stack;rm", "--region"])
def test_an_invalid_stack_name_is_rejected(name):
    with pytest.raises(InvalidInputError, match="is not a stack name"):
        StackTarget(name, "eu-west-1")


def test_our_flags_select_the_same_stack_and_omit_defaults():
    assert TARGET.our_flags == "--region eu-west-1"
    other = StackTarget("other", "us-east-1", "my profile")
    assert other.our_flags == "--region us-east-1 --stack-name other --profile 'my profile'"


@pytest.mark.parametrize(
    ("requested", "configured", "layer", "region"),
    [
        ("eu-west-1", "us-east-1", "", "eu-west-1"),
        ("", "us-east-1", "", "us-east-1"),
        ("", None, ARN, "eu-west-1"),
        ("eu-west-1", "us-east-1", ARN, "eu-west-1"),
    ],
)
def test_region_is_the_requested_one_or_the_configured_one_or_that_of_the_layer(
    requested, configured, layer, region
):
    assert stack.choose_region(requested, configured, layer) == region


@pytest.mark.parametrize(("requested", "configured"), [("us-east-1", None), ("", "us-east-1")])
def test_another_region_than_the_layers_is_rejected_with_both_solutions(requested, configured):
    with pytest.raises(InvalidInputError) as caught:
        stack.choose_region(requested, configured, ARN)
    assert "--region eu-west-1" in caught.value.todo
    assert "the layer in us-east-1" in caught.value.todo


def test_error_without_a_region_names_the_flag():
    with pytest.raises(InvalidInputError, match="no region"):
        stack.choose_region("", None, "")


@pytest.mark.parametrize("options", [{"layer_arn": 'a" Http="url'}, {"http": "open"}, {"public": True}])
def test_an_unknown_value_is_rejected(options):
    with pytest.raises(InvalidInputError):
        StackOptions(**options)


@pytest.mark.parametrize(
    "state", [None, found(), found("UPDATE_ROLLBACK_COMPLETE"), found("REVIEW_IN_PROGRESS", "")]
)
def test_a_new_or_idle_stack_is_deployable(state):
    stack.check_deployable(TARGET, state)


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"])
def test_a_failed_stack_is_rejected_with_the_command_that_deletes_it(status):
    with pytest.raises(RefusedError) as caught:
        stack.check_deployable(TARGET, found(status))
    assert status in caught.value.what
    assert "invoke destroy --region eu-west-1" in caught.value.todo


def test_a_stack_with_a_running_operation_is_rejected():
    with pytest.raises(RefusedError, match="another operation is running"):
        stack.check_deployable(TARGET, found("UPDATE_IN_PROGRESS"))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"description": "A layer"}, "its description is 'A layer'"),
        ({"resources": RESOURCES | {"Orders"}}, "it contains Orders"),
    ],
)
def test_a_stack_with_other_content_is_rejected(other, reason):
    for check in (stack.check_deployable, stack.check_ours, stack.function_name):
        with pytest.raises(RefusedError, match=f"nodelayer did not deploy this stack: {reason}"):
            check(TARGET, found(**other))


def test_the_template_has_the_description_and_resources_that_identify_a_stack():
    text = (ROOT / "template.yaml").read_text()
    assert f"\nDescription: {stack.DESCRIPTION}\n" in text
    section = text.partition("\nResources:\n")[2].partition("\nOutputs:\n")[0]
    resources = re.findall(r"^  (\w+):$", section, re.MULTILINE)
    assert len(resources) == 8
    assert all(each.startswith(stack.RESOURCES) for each in resources)


def test_the_function_name_is_an_output_of_the_stack():
    assert stack.function_name(TARGET, found(FunctionName="f")) == "f"
    with pytest.raises(NotFoundError, match="its status is ROLLBACK_COMPLETE"):
        stack.function_name(TARGET, found("ROLLBACK_COMPLETE"))
