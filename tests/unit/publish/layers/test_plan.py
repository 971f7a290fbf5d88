from dataclasses import replace
from pathlib import Path

import pytest

from nodelayer.aws.layers import PRIVATE, Access, LayerVersionSummary
from nodelayer.errors import InvalidInputError
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.publish.layers import metadata, plan
from nodelayer.publish.layers.plan import Step

NAME = "nodejs-12-16-1-x86_64"
SHA256 = "A" * 43 + "="
ARTIFACT = Artifact(
    path=Path("dist/nodejs-12.16.1-x86_64.zip"),
    node_version="12.16.1",
    nodelayer_version="1.0.0",
    code_sha256=SHA256,
    size=1000,
    unzipped_size=2000,
    layer_name=NAME,
    description="Node.js 12.16.1",
    license="MIT",
    architecture="x86_64",
    compatible_runtimes=("provided.al2023",),
)


def arn(region, version):
    return f"arn:aws:lambda:{region}:123456789012:layer:{NAME}:{version}"


def step(region, latest=0, existing=None, **more):
    listed = (
        LayerVersionSummary(existing, arn(region, existing), "", "2026-01-01T00:00:00Z") if existing else None
    )
    return Step(region, ARTIFACT, existing=listed, latest=latest, **more)


def numbers(*steps, known=None):
    """Return the aligned version number, the padding and whether it publishes, by region."""
    found = plan.aligned(steps, known or Manifest())
    return {each.region: (each.wanted_version, each.paddings, each.publishes) for each in found}


def test_align_starts_with_version_1_in_empty_regions():
    assert numbers(step("a"), step("b")) == {"a": (1, 0, True), "b": (1, 0, True)}


def test_align_pads_regions_with_fewer_versions():
    assert numbers(step("a", latest=4), step("b", latest=1), step("c")) == {
        "a": (5, 0, True),
        "b": (5, 3, True),
        "c": (5, 4, True),
    }


def test_align_keeps_a_region_with_the_target_version():
    assert numbers(step("a", latest=3, existing=3), step("b", latest=1)) == {
        "a": (3, 0, False),
        "b": (3, 1, True),
    }


def test_align_moves_on_if_other_content_has_the_target_version():
    assert numbers(step("a", latest=2, existing=2), step("b", latest=5)) == {
        "a": (6, 3, True),
        "b": (6, 0, True),
    }


def test_align_never_reuses_an_older_version_number():
    # region b has reached version 3, so version 2 of region a can no longer be published there
    assert numbers(step("a", latest=4, existing=2), step("b", latest=3)) == {
        "a": (5, 0, True),
        "b": (5, 1, True),
    }


def test_align_counts_regions_outside_this_run():
    published = Published(version=7, arn=arn("us-east-1", 7), published="2026-01-01T00:00:00Z")
    known = Manifest.of(
        [
            Layer(
                node_version="12.16.1",
                architecture="x86_64",
                nodelayer_version="1.0.0",
                layer_name=NAME,
                code_sha256=SHA256,
                size=1000,
                compatible_runtimes=["provided.al2023"],
                regions={"us-east-1": published},
            )
        ]
    )
    assert numbers(step("eu-west-1", latest=1), known=known) == {"eu-west-1": (7, 5, True)}


def test_align_changes_no_aligned_region():
    assert [idle for *_, idle in numbers(step("a", 3, 3), step("b", 9, 3)).values()] == [False, False]


def test_the_description_lists_the_actions_in_order():
    full = step("a", latest=1, wanted_version=4, missing_access=Access(public=True))
    assert full.actions == "publish 2 padding versions, publish, as number 4, permit public, record"
    assert step("a", existing=1, recorded=True).actions == "nothing"
    assert step("a", existing=1, recorded=True, duplicates=(2, 3)).actions == "delete the duplicate 2, 3"


def test_access_is_only_added():
    both = Access(public=True, organizations=frozenset({"o-abcdefghij"}))
    assert both - Access(public=True) == Access(organizations=frozenset({"o-abcdefghij"}))
    assert not PRIVATE - both
    assert str(both) == "public, o-abcdefghij"


def test_the_description_of_padding_is_marked_and_short_enough():
    padding = metadata.for_artifact(replace(ARTIFACT, description="x" * 300), padding=True)
    assert (len(padding.description), padding.description.endswith(metadata.PADDING)) == (256, True)


def test_the_summary_counts_steps():
    planned = plan.Plan((step("a", latest=1, wanted_version=4), step("b", existing=1, recorded=True)))
    assert plan.summary(planned, "123456789012", "aws") == (
        "Account 123456789012, partition aws, 2 regions: 1 layer versions to publish, 2 padding "
        "versions to publish, 1 need no change, 0.0 MB of code storage"
    )


@pytest.mark.parametrize("accounts", ["1234", "12345678901x", "123456789012,1"])
def test_an_invalid_account_is_rejected(accounts):
    with pytest.raises(InvalidInputError, match="is not the ID of an account"):
        plan.check_access(public=False, accounts=accounts)


@pytest.mark.parametrize("organization", ["x", "o-", "o-SHOUTED1234", "o-abc\n"])
def test_an_invalid_organization_is_rejected(organization):
    with pytest.raises(InvalidInputError, match="is not the ID of an organization"):
        plan.check_access(public=False, organization=organization)
