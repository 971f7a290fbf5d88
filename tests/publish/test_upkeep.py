"""verify, backfill and prune on an emulator of AWS."""

import json

import pytest
from publish.conftest import make_layer
from publish.faults import Rule, access_denied, dead
from publish.publish_fixtures import LAYER, PUBLIC, THREE

from nodelayer import __version__
from nodelayer.errors import NotVerifiedError
from nodelayer.publish.layers import backfill, metadata
from nodelayer.util.console import Reporter

pytestmark = [pytest.mark.network, pytest.mark.full]


def test_verify_finds_no_problem_after_publishing(workspace):
    workspace.publish(access=PUBLIC)
    outcome = workspace.command("verify")
    assert (outcome.code, outcome.out) == (0, "")
    assert "3 layer versions in 3 regions compared, 0 problems" in outcome.err


def test_verify_prints_missing_changed_and_no_longer_public_versions(workspace):
    workspace.publish([*THREE, "sa-east-1"], access=PUBLIC)
    workspace.lambda_("ap-south-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    workspace.lambda_("eu-west-1").remove_layer_version_permission(
        LayerName=LAYER, VersionNumber=1, StatementId="public"
    )
    raw = json.loads(workspace.path.read_text())
    regions = raw["layers"][0]["regions"]
    raw["layers"].append(
        dict(raw["layers"][0], code_sha256="A" * 43 + "=", regions={"us-east-1": regions.pop("us-east-1")})
    )
    workspace.path.write_text(json.dumps(raw))
    outcome = workspace.command("verify", "--json")
    assert outcome.code == 5
    assert [(each["region"], each["kind"].split(":")[0]) for each in json.loads(outcome.out)] == [
        ("ap-south-1", "missing"),
        ("eu-west-1", "access was removed"),
        ("us-east-1", "changed"),
    ]


def test_backfill_publishes_the_same_bytes_and_permissions_without_the_zip(workspace):
    workspace.publish(["eu-west-1"], access=PUBLIC)
    sha256 = workspace.artifacts()[0].code_sha256
    for path in workspace.dist.iterdir():
        path.unlink()
    outcome = workspace.command("backfill", "--regions", "ap-south-1,us-east-1")
    assert outcome.code == 0, outcome.err
    assert f"{LAYER}: downloading the zip from eu-west-1" in outcome.err
    assert [workspace.versions(region) for region in THREE] == [{1: (sha256, "public")}] * 3
    seen = workspace.lambda_("us-east-1").get_layer_version(LayerName=LAYER, VersionNumber=1)
    assert (seen["Description"], seen["LicenseInfo"]) == (
        f"Node.js 12.16.1 for AWS Lambda (x86_64), nodelayer {__version__}",
        "MIT",
    )


def test_backfill_names_the_regions_that_lack_layers(workspace):
    workspace.publish(THREE)
    make_layer(workspace.dist, "nodejs-14.0.0-x86_64")
    workspace.publish(["eu-west-1"], "14")
    outcome = workspace.command("backfill", "--dry-run")
    assert (
        "ap-south-1,us-east-1 have only some of the layers. "
        "Run: invoke backfill --regions ap-south-1,us-east-1" in outcome.err
    )


def test_backfill_refuses_content_that_differs_from_the_manifest(workspace):
    workspace.publish(["eu-west-1"])
    raw = json.loads(workspace.path.read_text())
    raw["layers"][0]["code_sha256"] = "A" * 43 + "="
    workspace.path.write_text(json.dumps(raw))
    outcome = workspace.command("backfill", "--regions", "us-east-1", "--out", "nowhere")
    assert outcome.code == 4
    assert "the layer version's content differs from the manifest" in outcome.err
    assert workspace.versions("us-east-1") == {}


@pytest.fixture
def two_layers(workspace):
    """A workspace with layers of two Node.js versions in eu-west-1."""
    make_layer(workspace.dist, "nodejs-14.0.0-x86_64")
    for spec in ("12", "14"):
        workspace.publish(["eu-west-1"], spec)
    return workspace


def test_backfill_continues_with_the_next_layer_if_a_region_is_dead(two_layers, proxy):
    proxy.rule(Rule(dead, region="ap-south-1"))
    outcome = two_layers.command("backfill", "--regions", "ap-south-1,us-east-1")
    assert outcome.code == 4
    assert [set(two_layers.versions("us-east-1", name)) for name in (LAYER, "nodejs-14-0-0-x86_64")] == [
        {1},
        {1},
    ]
    retry = "Not done: ap-south-1. To retry only these regions, run: invoke backfill --regions ap-south-1"
    assert outcome.err.count(retry) == 1


def test_backfill_prints_one_json_document_for_several_layers(two_layers):
    words = ("backfill", "--regions", "us-east-1", "--json")
    planned = json.loads(two_layers.command(*words, "--dry-run").out)
    done = json.loads(two_layers.command(*words).out)
    nothing = json.loads(two_layers.command(*words).out)
    assert (len(planned["steps"]), len(done["done"]), nothing) == (2, 2, {})


@pytest.mark.parametrize("words", [("verify",), ("prune", "--keep", "1")])
def test_a_region_without_recorded_layers_is_not_skipped(workspace, words):
    workspace.publish(["eu-west-1"])
    outcome = workspace.command(*words, "--regions", "eu-west-2")
    assert (outcome.code, outcome.lines) == (
        3,
        ["nodelayer: the manifest has no layer in eu-west-2 [--regions]: use eu-west-1"],
    )


def test_an_error_while_a_zip_is_used_is_not_reported_as_a_bad_zip(workspace):
    workspace.publish(["eu-west-1"])
    publisher, _ = workspace.publisher(["eu-west-1"])
    (layer,) = workspace.manifest().layers
    with (
        pytest.raises(NotVerifiedError, match="of the region, not of the zip"),
        backfill.recorded_artifact(layer, workspace.dist, publisher._account, Reporter(quiet=True)),
    ):
        raise NotVerifiedError("of the region, not of the zip")


@pytest.fixture
def three_versions(workspace):
    for seed in range(3):
        make_layer(workspace.dist, seed=seed)
        workspace.publish(["eu-west-1", "us-east-1"])
    return workspace


def test_prune_changes_nothing_without_a_terminal_or_yes(three_versions):
    outcome = three_versions.command("prune", "--keep", "1")
    assert outcome.code == 2
    assert "Delete 4 layer versions? [no terminal]: use --yes to skip this question" in outcome.err
    assert outcome.out.splitlines()[0] == f"eu-west-1  {LAYER}  1  delete"
    planned = json.loads(three_versions.command("prune", "--keep", "1", "--dry-run", "--json").out)
    assert [(old["region"], old["version"]) for old in planned[:2]] == [("eu-west-1", 1), ("eu-west-1", 2)]
    assert set(three_versions.versions("eu-west-1")) == {1, 2, 3}


def test_prune_deletes_old_versions_and_marks_them_as_deleted(three_versions):
    outcome = three_versions.command("prune", "--keep", "1", "--yes")
    assert outcome.code == 0, outcome.err
    assert "Functions that use these layer versions keep working" in outcome.err
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


def test_prune_marks_layer_versions_that_were_deleted_elsewhere(three_versions):
    three_versions.lambda_("eu-west-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    three_versions.command("prune", "--keep", "2", "--yes")
    gone = [
        (region, published.version)
        for layer in three_versions.manifest().layers
        for region, published in layer.regions.items()
        if published.deleted
    ]
    assert sorted(gone) == [("eu-west-1", 1), ("us-east-1", 1)]


def test_prune_continues_if_one_region_refuses(three_versions, proxy):
    proxy.rule(Rule(access_denied, region="eu-west-1", operation="DeleteLayerVersion"))
    outcome = three_versions.command("prune", "--keep", "1", "--yes")
    assert outcome.code == 9
    assert "not allowed: lambda:DeleteLayerVersion" in outcome.err
    assert set(three_versions.versions("us-east-1")) == {3}
    assert set(three_versions.versions("eu-west-1")) == {1, 2, 3}
    assert three_versions.command("verify").code == 0


def test_prune_does_not_count_padding_versions(workspace):
    workspace.publish(["eu-west-1"])  # then simulate an --align that was killed before its last version
    made = workspace.artifacts()[0]
    for _ in range(2):
        workspace.lambda_("eu-west-1").publish_layer_version(
            LayerName=LAYER,
            Content={"ZipFile": made.path.read_bytes()},
            Description=metadata.for_artifact(made, padding=True).description,
        )
    outcome = workspace.command("prune", "--keep", "1", "--yes")
    assert (outcome.code, outcome.out) == (0, "")
    assert set(workspace.versions("eu-west-1")) == {1, 2, 3}


@pytest.mark.parametrize(
    ("keep", "words"),
    [("0", "--keep is missing or less than 1"), ("x", "--keep takes a whole number, not 'x'")],
)
def test_prune_refuses_an_invalid_keep_number(workspace, keep, words):
    outcome = workspace.command("prune", "--keep", keep)
    assert (outcome.code, len(outcome.lines), words in outcome.err) == (2, 1, True)
