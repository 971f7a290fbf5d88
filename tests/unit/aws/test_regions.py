import pytest

from nodelayer.aws import regions
from nodelayer.aws.regions import Partition
from nodelayer.errors import InvalidInputError

AWS = Partition("aws", ("ap-east-1", "eu-west-1", "us-east-1"))


def test_all_is_left_for_the_account_to_say():
    assert regions.parse("all") is None


@pytest.mark.parametrize(
    "text", ["us-east-1,eu-west-1", "eu-west-1 us-east-1", " eu-west-1,us-east-1,eu-west-1 "]
)
def test_a_list_is_sorted_and_has_each_once(text):
    assert regions.parse(text) == ("eu-west-1", "us-east-1")


@pytest.mark.parametrize(
    "text", ["", " ", "all,eu-west-1", "Ireland", "eu-west-1;", "eu-west", "eu-west-1/../x"]
)
def test_what_is_no_region_is_refused(text):
    with pytest.raises(InvalidInputError, match="--regions"):
        regions.parse(text)


def test_regions_that_are_off_are_left_out_with_the_reason():
    found = regions.select(
        None, AWS, {"ap-east-1": "DISABLED", "eu-west-1": "ENABLED", "us-east-1": "ENABLED_BY_DEFAULT"}
    )
    assert found.regions == ("eu-west-1", "us-east-1")
    assert found.skipped == {"ap-east-1": "not enabled in this account (disabled)"}


@pytest.mark.parametrize("status", ["DISABLED", "ENABLING", "DISABLING"])
def test_only_what_is_on_counts(status):
    assert regions.select(None, AWS, {"ap-east-1": status}).regions == ()


def test_a_region_the_account_has_and_nobody_knows_for_lambda_is_named_and_left_out():
    found = regions.select(None, AWS, {"eu-west-1": "ENABLED", "mars-north-1": "ENABLED"})
    assert found.regions == ("eu-west-1",)
    assert found.skipped["mars-north-1"] == "not known to have Lambda: name it in --regions to try"


def test_a_region_only_the_account_knows_can_be_named():
    found = regions.select(("mars-north-1",), AWS, {"mars-north-1": "ENABLED"})
    assert (found.regions, found.named) == (("mars-north-1",), True)


def test_where_the_account_does_not_say_every_known_region_is_tried():
    found = regions.select(None, AWS, None)
    assert (found.regions, found.certain) == (AWS.regions, False)


def test_a_slip_of_the_pen_is_answered_with_what_it_might_have_been():
    with pytest.raises(InvalidInputError, match="did you mean eu-west-1"):
        regions.select(("eu-west-2",), AWS, None)


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-east-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_a_region_has_a_partition(region, partition):
    assert regions.partition_of(region) == partition


def test_a_region_of_no_partition_is_refused():
    with pytest.raises(InvalidInputError, match="no AWS partition has a region mars-north-1"):
        regions.partition_of("mars-north-1")
