import pytest

from nodelayer.aws import regions
from nodelayer.aws.regions import Partition
from nodelayer.errors import InvalidInputError

AWS = Partition(
    "aws",
    ("ap-east-1", "eu-west-1", "me-west-1", "us-east-1"),
    frozenset({"ap-east-1", "eu-west-1", "us-east-1"}),
)


def test_parse_leaves_all_to_the_account():
    assert regions.parse("all") is None


@pytest.mark.parametrize(
    "text", ["us-east-1,eu-west-1", "us-east-1 eu-west-1", " us-east-1,eu-west-1,us-east-1 "]
)
def test_a_list_keeps_its_order_without_duplicates(text):
    assert regions.parse(text) == ("us-east-1", "eu-west-1")


@pytest.mark.parametrize(
    "text", ["", " ", "all,eu-west-1", "Ireland", "eu-west-1;", "eu-west", "eu-west-1/../x"]
)
def test_an_invalid_region_is_rejected(text):
    with pytest.raises(InvalidInputError, match="--regions"):
        regions.parse(text)


def test_disabled_regions_are_skipped_with_the_reason():
    found = regions.select(
        None, AWS, {"ap-east-1": "DISABLED", "eu-west-1": "ENABLED", "us-east-1": "ENABLED_BY_DEFAULT"}
    )
    assert found.regions == ("eu-west-1", "us-east-1")
    assert found.skipped == {
        "ap-east-1": "not enabled in this account (disabled)",
        "me-west-1": "not offered to this account",
    }


@pytest.mark.parametrize("status", ["DISABLED", "ENABLING", "DISABLING"])
def test_only_enabled_regions_are_selected(status):
    assert regions.select(None, AWS, {"ap-east-1": status}).regions == ()


def test_enabled_region_that_botocore_does_not_list_for_lambda_is_selected_as_unsure():
    found = regions.select(
        None, AWS, {"eu-west-1": "ENABLED", "me-west-1": "ENABLED", "mars-north-1": "ENABLED"}
    )
    assert found.regions == ("eu-west-1", "mars-north-1", "me-west-1")
    assert found.unsure == {"mars-north-1", "me-west-1"}


def test_partition_has_the_regions_that_botocore_knows_without_endpoints():
    known = regions.regions_of("aws")
    assert {"me-west-1", "sa-west-1", "us-east-1"} <= set(known)
    assert not any("global" in region for region in known)


def test_without_statuses_every_known_region_is_selected():
    found = regions.select(None, AWS, None)
    assert (found.regions, found.certain) == (AWS.regions, False)


def test_error_for_a_misspelled_region_suggests_similar_names():
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


def test_a_region_outside_all_partitions_is_rejected():
    with pytest.raises(InvalidInputError, match="no AWS partition has a region mars-north-1"):
        regions.partition_of("mars-north-1")
