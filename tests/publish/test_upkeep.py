"""verify, backfill and prune on an emulator of AWS."""

import json

import pytest
from publish.conftest import make_layer
from publish.faults import Rule, access_denied, dead
from publish.shop import LAYER, PUBLIC, THREE

from nodelayer import __version__
from nodelayer.errors import NotVerifiedError
from nodelayer.publish.layers import upkeep
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.network


def test_verify_finds_all_well_after_publishing(shop):
    shop.publish(access=PUBLIC)
    outcome = shop.command("verify")
    assert (outcome.code, outcome.out) == (0, "")
    assert "3 layer versions in 3 regions looked at, 0 problems" in outcome.err


def test_verify_names_what_is_missing_changed_and_not_public(shop):
    shop.publish([*THREE, "sa-east-1"], access=PUBLIC)
    shop.lambda_("ap-south-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    shop.lambda_("eu-west-1").remove_layer_version_permission(
        LayerName=LAYER, VersionNumber=1, StatementId="public"
    )
    raw = json.loads(shop.path.read_text())
    regions = raw["layers"][0]["regions"]
    raw["layers"].append(
        dict(raw["layers"][0], code_sha256="A" * 43 + "=", regions={"us-east-1": regions.pop("us-east-1")})
    )
    shop.path.write_text(json.dumps(raw))
    outcome = shop.command("verify", "--json")
    assert outcome.code == 5
    assert [(each["region"], each["kind"].split(":")[0]) for each in json.loads(outcome.out)] == [
        ("ap-south-1", "missing"),
        ("eu-west-1", "not public any more"),
        ("us-east-1", "changed"),
    ]


def test_verify_says_which_region_it_could_not_ask(shop, proxy):
    shop.publish()
    proxy.rule(Rule(dead, region="eu-west-1"))
    outcome = shop.command("verify")
    assert outcome.code == 4
    assert "eu-west-1: the connection broke" in outcome.err
    assert "2 regions looked at" in outcome.err


def test_backfill_brings_new_regions_the_same_bytes_with_the_same_permission_without_the_zip(shop):
    shop.publish(["eu-west-1"], access=PUBLIC)
    sha256 = shop.artifacts()[0].code_sha256
    for path in shop.dist.iterdir():
        path.unlink()
    outcome = shop.command("backfill", "--regions", "ap-south-1,us-east-1")
    assert outcome.code == 0, outcome.err
    assert f"{LAYER}: taking the zip from eu-west-1" in outcome.err
    assert [shop.versions(region) for region in THREE] == [{1: (sha256, "public")}] * 3
    seen = shop.lambda_("us-east-1").get_layer_version(LayerName=LAYER, VersionNumber=1)
    assert (seen["Description"], seen["LicenseInfo"]) == (
        f"Node.js 12.16.1 for AWS Lambda (x86_64), nodelayer {__version__}",
        "MIT",
    )


def test_backfill_of_new_regions_leaves_out_those_that_have_something(shop):
    shop.publish(THREE)
    outcome = shop.command("backfill", "--dry-run", "--json")
    steps = json.loads(outcome.out)["steps"]
    assert steps
    assert not {step["region"] for step in steps} & set(THREE)


def test_backfill_of_new_regions_names_those_that_are_behind(shop):
    shop.publish(THREE)
    make_layer(shop.dist, "nodejs-14.0.0-x86_64")
    shop.publish(["eu-west-1"], "14")
    outcome = shop.command("backfill", "--dry-run")
    assert (
        "Not new, but lacking some: ap-south-1,us-east-1. "
        "Those: invoke backfill --regions ap-south-1,us-east-1" in outcome.err
    )


def test_backfill_with_nothing_missing_says_so(shop):
    shop.publish(THREE)
    outcome = shop.command("backfill", "--regions", ",".join(THREE))
    assert (outcome.code, outcome.lines) == (0, ["Nothing is missing there"])


def test_backfill_takes_the_newest_of_several_builds(shop):
    shop.publish(["eu-west-1"])
    make_layer(shop.dist, seed=1)
    shop.publish(["eu-west-1"])
    newest = shop.artifacts()[0].code_sha256
    shop.command("backfill", "--regions", "us-east-1")
    assert [sha256 for sha256, _ in shop.versions("us-east-1").values()] == [newest]


def test_backfill_refuses_bytes_that_are_not_the_recorded_ones(shop):
    shop.publish(["eu-west-1"])
    raw = json.loads(shop.path.read_text())
    raw["layers"][0]["code_sha256"] = "A" * 43 + "="
    shop.path.write_text(json.dumps(raw))
    outcome = shop.command("backfill", "--regions", "us-east-1", "--out", "nowhere")
    assert outcome.code == 4
    assert "what is there is not what the manifest says" in outcome.err
    assert shop.versions("us-east-1") == {}


@pytest.fixture
def two_layers(shop):
    """Of two Node.js versions, in eu-west-1."""
    make_layer(shop.dist, "nodejs-14.0.0-x86_64")
    for spec in ("12", "14"):
        shop.publish(["eu-west-1"], spec)
    return shop


def test_backfill_goes_on_with_the_next_layer_where_a_region_is_dead(two_layers, proxy):
    proxy.rule(Rule(dead, region="ap-south-1"))
    outcome = two_layers.command("backfill", "--regions", "ap-south-1,us-east-1")
    assert outcome.code == 4
    assert [set(two_layers.versions("us-east-1", name)) for name in (LAYER, "nodejs-14-0-0-x86_64")] == [
        {1},
        {1},
    ]
    assert outcome.err.count("Not done: ap-south-1. Just those: invoke backfill --node") == 2


def test_backfill_of_several_layers_is_one_json_document(two_layers):
    words = ("backfill", "--regions", "us-east-1", "--json")
    planned = json.loads(two_layers.command(*words, "--dry-run").out)
    done = json.loads(two_layers.command(*words).out)
    nothing = json.loads(two_layers.command(*words).out)
    assert (len(planned["steps"]), len(done["done"]), nothing) == (2, 2, {})


@pytest.mark.parametrize("words", [("verify",), ("prune", "--keep", "1")])
def test_a_region_of_which_nothing_is_recorded_is_not_passed_over(shop, words):
    shop.publish(["eu-west-1"])
    outcome = shop.command(*words, "--regions", "eu-west-11")
    assert (outcome.code, outcome.lines) == (
        3,
        ["nodelayer: nothing is recorded in eu-west-11 [--regions]: the manifest has eu-west-1"],
    )


def test_what_goes_wrong_while_a_zip_from_dist_is_used_is_not_taken_for_a_bad_zip(shop):
    shop.publish(["eu-west-1"])
    publisher, _ = shop.publisher(["eu-west-1"])
    (layer,) = shop.manifest().layers
    with (
        pytest.raises(NotVerifiedError, match="of the region, not of the zip"),
        upkeep.recorded_artifact(layer, shop.dist, publisher._account, Reporter(quiet=True)),
    ):
        raise NotVerifiedError("of the region, not of the zip")


@pytest.fixture
def three_versions(shop):
    for seed in range(3):
        make_layer(shop.dist, seed=seed)
        shop.publish(["eu-west-1", "us-east-1"])
    return shop


def test_prune_shows_and_asks_and_does_nothing_where_nobody_can_answer(three_versions):
    outcome = three_versions.command("prune", "--keep", "1")
    assert outcome.code == 2
    assert "Delete 4 layer versions? [nobody to ask]: --yes does it without" in outcome.err
    assert outcome.out.splitlines()[0] == f"eu-west-1  {LAYER}  1  delete"
    assert set(three_versions.versions("eu-west-1")) == {1, 2, 3}


def test_prune_deletes_the_old_ones_and_marks_them(three_versions):
    outcome = three_versions.command("prune", "--keep", "1", "--yes")
    assert outcome.code == 0, outcome.err
    assert "Functions that use them keep working" in outcome.err
    assert set(three_versions.versions("eu-west-1")) == {3}
    marked = {
        published.version: published.deleted is not None
        for layer in three_versions.manifest().layers
        for published in layer.regions.values()
    }
    assert marked == {1: True, 2: True, 3: False}
    assert three_versions.command("verify").code == 0
    found = three_versions.command("arn", "--node", "12", "--region", "eu-west-1")
    assert found.out.strip().endswith(f":{LAYER}:3")


def test_prune_again_finds_nothing(three_versions):
    three_versions.command("prune", "--keep", "1", "--yes")
    outcome = three_versions.command("prune", "--keep", "1", "--yes")
    assert (outcome.code, outcome.out) == (0, "")
    assert "Nothing to delete" in outcome.err


def test_prune_marks_what_somebody_else_deleted(three_versions):
    three_versions.lambda_("eu-west-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    three_versions.command("prune", "--keep", "2", "--yes")
    gone = [
        (region, published.version)
        for layer in three_versions.manifest().layers
        for region, published in layer.regions.items()
        if published.deleted
    ]
    assert sorted(gone) == [("eu-west-1", 1), ("us-east-1", 1)]


def test_prune_goes_on_where_one_region_refuses(three_versions, proxy):
    proxy.rule(Rule(access_denied, region="eu-west-1", operation="DeleteLayerVersion"))
    outcome = three_versions.command("prune", "--keep", "1", "--yes")
    assert outcome.code == 9
    assert "not allowed: lambda:DeleteLayerVersion" in outcome.err
    assert set(three_versions.versions("us-east-1")) == {3}
    assert set(three_versions.versions("eu-west-1")) == {1, 2, 3}
    assert three_versions.command("verify").code == 0


def test_prune_does_not_count_what_fills_the_numbering(shop):
    shop.publish(["eu-west-1"])  # and then an --align that was killed before its last number
    made = shop.artifacts()[0]
    for _ in range(2):
        shop.lambda_("eu-west-1").publish_layer_version(
            LayerName=LAYER,
            Content={"ZipFile": made.path.read_bytes()},
            Description=made.padding.description,
        )
    outcome = shop.command("prune", "--keep", "1", "--yes")
    assert (outcome.code, outcome.out) == (0, "")
    assert set(shop.versions("eu-west-1")) == {1, 2, 3}


def test_keeping_none_is_refused(three_versions):
    outcome = three_versions.command("prune", "--keep", "0")
    assert (outcome.code, len(outcome.lines)) == (2, 1)
