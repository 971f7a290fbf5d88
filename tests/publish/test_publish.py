"""Publishing on an emulator of AWS: the result, and the effect of a second run."""

import contextlib
import json
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from publish.conftest import make_layer
from publish.faults import Rule, access_denied, dead, hang, regions, too_large
from publish.publish_fixtures import LAYER, PUBLIC, THREE, Workspace
from unit.github.test_step_outputs import read

from nodelayer import __version__
from nodelayer.aws import account
from nodelayer.aws.layers import Access
from nodelayer.aws.quotas import DIRECT_UPLOAD
from nodelayer.publish.layers import lease, plan, recorder
from nodelayer.publish.layers.metadata import PADDING
from nodelayer.util import parallel

pytestmark = pytest.mark.network

READS = {
    "GetCallerIdentity",
    "ListRegions",
    "ListLayerVersions",
    "GetLayerVersion",
    "GetLayerVersionPolicy",
    "GetAccountSettings",
}


def test_publish_creates_a_public_recorded_version_in_each_region(workspace):
    outcome = workspace.command("publish", "--node", "12", "--regions", ",".join(THREE), "--public")
    sha256 = workspace.artifacts()[0].code_sha256
    assert outcome.code == 0, outcome.err
    assert [workspace.versions(region) for region in THREE] == [{1: (sha256, "public")}] * 3
    assert workspace.recorded() == dict.fromkeys(THREE, 1)
    assert outcome.out.split() == [
        f"arn:aws:lambda:{region}:{workspace.account}:layer:{LAYER}:1" for region in THREE
    ]
    assert workspace.path.with_suffix(".txt").read_text().split("\n")[0] == (
        f"ap-south-1 12.16.1 x86_64 arn:aws:lambda:ap-south-1:{workspace.account}:layer:{LAYER}:1"
    )


NEWER = "nodejs-24-1-0-x86_64"


def outputs_of(path):
    found = read(path.read_text())
    return json.loads(found["layer-arns"]), found["layer-arn"]


def arn(workspace, region, layer=LAYER):
    return f"arn:aws:lambda:{region}:{workspace.account}:layer:{layer}:1"


@pytest.fixture
def two_layers(workspace):
    """A workspace with layers of 12.16.1 and 24.1.0."""
    make_layer(workspace.dist, "nodejs-24.1.0-x86_64", seed=1)
    return workspace


def test_publish_takes_several_versions_and_skips_duplicates(two_layers):
    outcome = two_layers.command(
        "publish", "--node", "24,12,12.16.1", "--regions", "eu-west-1,us-east-1", GITHUB_OUTPUT="outputs"
    )
    assert outcome.code == 0, outcome.err
    assert [set(two_layers.versions(region, name)) for region in THREE[1:] for name in (LAYER, NEWER)] == [
        {1}
    ] * 4
    assert "4 layer versions published, 0 already published" in outcome.err
    assert outputs_of(two_layers.folder / "outputs") == (
        {name: {region: arn(two_layers, region, name) for region in THREE[1:]} for name in (LAYER, NEWER)},
        "",
    )


def test_a_version_that_is_not_built_does_not_stop_the_others(workspace):
    outcome = workspace.command(
        "publish", "--node", "24,12", "--regions", "eu-west-1", GITHUB_OUTPUT="outputs"
    )
    assert outcome.code == 3
    assert "no layer of Node.js 24 for x86_64 is built [dist]" in outcome.err
    assert workspace.recorded() == {"eu-west-1": 1}
    arns, one = outputs_of(workspace.folder / "outputs")
    assert (arns, one) == ({LAYER: {"eu-west-1": arn(workspace, "eu-west-1")}}, "")


def test_publish_built_continues_after_a_broken_zip(two_layers, proxy):
    (two_layers.dist / "nodejs-24.1.0-x86_64.zip").write_bytes(b"broken")
    proxy.rule(Rule(region="us-east-1", operation="PublishLayerVersion", do=dead()))
    outcome = two_layers.command("publish", "--built", "--regions", "eu-west-1,us-east-1")
    assert outcome.code == 5
    assert two_layers.recorded() == {"eu-west-1": 1}
    assert "To retry only these regions, run: invoke publish --built --regions us-east-1" in outcome.err


@pytest.mark.parametrize("words", [(), ("--built", "--node", "12")])
def test_publish_requires_either_node_or_built(workspace, proxy, words):
    outcome = workspace.command("publish", *words, "--regions", "eu-west-1")
    assert (outcome.code, len(outcome.lines), proxy.calls) == (2, 1, [])


def test_without_built_layers_nothing_is_published(workspace, proxy, tmp_path):
    outcome = workspace.command(
        "publish", "--built", "--out", str(tmp_path / "empty"), "--regions", "eu-west-1"
    )
    assert (outcome.code, len(outcome.lines), proxy.calls) == (3, 1, [])


def test_if_no_requested_layer_is_built_nothing_is_done(workspace, proxy):
    outcome = workspace.command("publish", "--node", "24,26", "--regions", "eu-west-1")
    assert outcome.code == 3
    assert len(outcome.lines) == 2
    assert proxy.calls == []


def test_retry_command_contains_every_requested_version(two_layers, proxy):
    proxy.rule(Rule(access_denied, operation="PublishLayerVersion", region="eu-west-1"))
    outcome = two_layers.command("publish", "--node", "12,^24 || >=30", "--regions", "eu-west-1,us-east-1")
    assert outcome.code == 9
    again = "invoke publish --node '12,^24 || >=30' --regions eu-west-1"
    assert f"Not done: eu-west-1. To retry only these regions, run: {again}" in outcome.err
    assert two_layers.recorded(NEWER) == {"us-east-1": 1}


@pytest.mark.parametrize(
    ("aws_region", "region"), [("us-east-1", "us-east-1"), ("sa-east-1", "ap-south-1"), (None, "ap-south-1")]
)
def test_layer_arn_is_that_of_aws_region_or_of_the_first_named_region(workspace, aws_region, region):
    words = ("publish", "--node", "12", "--regions", ",".join(THREE))
    outcome = workspace.command(
        *words, GITHUB_OUTPUT="outputs", **({"AWS_REGION": aws_region} if aws_region else {})
    )
    assert outcome.code == 0, outcome.err
    assert outputs_of(workspace.folder / "outputs")[1] == arn(workspace, region)


def test_second_run_has_the_same_outputs_and_a_dry_run_has_none(workspace):
    words = ("publish", "--node", "12", "--regions", "eu-west-1")
    workspace.command(*words, "--dry-run", GITHUB_OUTPUT="dry")
    workspace.command(*words, GITHUB_OUTPUT="first")
    workspace.command(*words, GITHUB_OUTPUT="second")
    assert outputs_of(workspace.folder / "dry") == ({}, "")
    assert outputs_of(workspace.folder / "second") == outputs_of(workspace.folder / "first")
    assert outputs_of(workspace.folder / "first")[1] == arn(workspace, "eu-west-1")


def test_incomplete_layer_versions_are_not_in_the_outputs(workspace, proxy):
    proxy.rule(Rule(access_denied, operation="AddLayerVersionPermission", region="eu-west-1"))
    words = (
        "publish",
        "--node",
        "12",
        "--regions",
        "eu-west-1,us-east-1",
        "--public",
    )
    assert workspace.command(*words, GITHUB_OUTPUT="outputs").code == 9
    assert outputs_of(workspace.folder / "outputs") == (
        {LAYER: {"us-east-1": arn(workspace, "us-east-1")}},
        arn(workspace, "us-east-1"),
    )


def test_the_layer_version_has_the_metadata_of_the_layer(workspace):
    workspace.publish()
    seen = workspace.lambda_("eu-west-1").get_layer_version(LayerName=LAYER, VersionNumber=1)
    assert seen["Description"] == f"Node.js 12.16.1 for AWS Lambda (x86_64), nodelayer {__version__}"
    assert seen["CompatibleRuntimes"] == ["provided.al2", "provided.al2023"]
    assert (seen["CompatibleArchitectures"], seen["LicenseInfo"]) == (["x86_64"], "MIT")


def test_second_run_only_reads_and_changes_nothing(workspace, proxy):
    words = ("publish", "--node", "12", "--regions", ",".join(THREE), "--public")
    workspace.command(*words)
    before = workspace.path.read_bytes(), workspace.files()
    proxy.clear()
    outcome = workspace.command(*words)
    assert (outcome.code, (workspace.path.read_bytes(), workspace.files())) == (0, before)
    assert "0 layer versions published, 3 already published" in outcome.err
    assert {call.operation for call in proxy.calls} <= READS
    in_lambda = Counter(call.region for call in proxy.calls if call.service == "lambda")
    assert in_lambda == dict.fromkeys(THREE, 2)  # the list, and the policy of the one that matches
    assert [set(workspace.versions(region)) for region in THREE] == [{1}] * 3


def test_content_is_asked_for_newest_first_until_it_is_found(workspace, proxy, monkeypatch):
    for seed in range(3):
        make_layer(workspace.dist, seed=seed)
        workspace.publish(["eu-west-1"])
    workspace.path.unlink()
    monkeypatch.setattr(plan, "_FRESH_S", -1)  # no duplicate is young enough to be deleted
    proxy.clear()
    (step,) = workspace.plan(["eu-west-1"]).steps
    assert (step.existing.version, step.publishes) == (3, False)
    asked = [call.resources[0] for call in proxy.calls if call.operation == "GetLayerVersion"]
    assert asked == [f"layer:{LAYER}:3"]


def test_dry_run_prints_the_plan_only_reads_and_writes_no_file(workspace, proxy):
    before = workspace.files()
    outcome = workspace.command(
        "publish", "--node", "12", "--regions", ",".join(THREE), "--public", "--dry-run"
    )
    assert outcome.out.splitlines() == [
        "region      layer                  published  to do",
        f"ap-south-1  {LAYER}  -          publish, permit public, record",
        f"eu-west-1   {LAYER}  -          publish, permit public, record",
        f"us-east-1   {LAYER}  -          publish, permit public, record",
    ]
    assert {call.operation for call in proxy.calls} <= READS
    assert workspace.files() == before


def test_dry_run_prints_the_plan_as_json(workspace):
    workspace.publish(["eu-west-1"])
    outcome = workspace.command(
        "publish", "--node", "12", "--regions", ",".join(THREE), "--dry-run", "--json"
    )
    steps = {step["region"]: step for step in json.loads(outcome.out)["steps"]}
    assert steps["eu-west-1"]["existing"].endswith(f":{LAYER}:1")
    assert [steps[region]["publish"] for region in THREE] == [True, False, True]
    assert steps["us-east-1"]["adds_bytes"] == workspace.artifacts()[0].size


def test_all_selects_a_region_that_botocore_does_not_list_for_lambda(workspace, proxy):
    proxy.rule(Rule(regions(["eu-west-1", "me-west-1"]), operation="ListRegions"))
    assert workspace.publish(None).failures == ()
    assert workspace.recorded() == {"eu-west-1": 1, "me-west-1": 1}


def test_all_skips_an_enabled_region_without_lambda(workspace, proxy, monkeypatch):
    proxy.rule(Rule(regions(["eu-west-1", "me-west-1"]), operation="ListRegions"))
    client = account.Account.client

    def without_endpoint(self, service, region, **how):
        if region == "me-west-1":
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        try:
            return client(self, service, region, **how)
        finally:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)

    monkeypatch.setattr(account.Account, "client", without_endpoint)
    planned = workspace.plan(None)
    assert planned.skipped["me-west-1"] == "AWS Lambda has no endpoint there"
    assert (planned.failures, planned.regions) == ((), ["eu-west-1"])


@pytest.mark.parametrize(
    ("home", "expected"),
    [
        ("cn-north-1", ["cn-north-1", "cn-northwest-1"]),
        ("eusc-de-east-1", ["eusc-de-east-1"]),
    ],
)
def test_all_selects_every_region_of_another_partition(workspace, proxy, monkeypatch, home, expected):
    monkeypatch.setenv("AWS_REGION", home)
    monkeypatch.setenv("AWS_DEFAULT_REGION", home)
    proxy.rule(Rule(access_denied, operation="ListRegions"))
    assert workspace.plan(None).regions == expected


def test_misspelled_region_is_found_without_credentials_and_network(workspace, proxy):
    nothing = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    outcome = workspace.command("publish", "--node", "12", "--regions", "eu-west-11", **nothing)
    assert (outcome.code, len(outcome.lines), proxy.calls) == (2, 1, [])
    assert "the partition aws has no region eu-west-11 [--regions]: did you mean eu-west-1" in outcome.err


def test_plan_names_the_code_storage_of_the_fullest_region(workspace):
    line = plan.summary(workspace.plan(), workspace.account, "aws")
    assert re.search(r"0.0 MB of code storage \(ap-south-1 uses 0.0 of \d+.\d GB\)", line)


def test_account_ids_get_access(workspace):
    other = "210987654321"
    words = ("publish", "--node", "12", "--regions", "eu-west-1", "--account-id", other)
    outcome = workspace.command(*words)
    assert outcome.code == 0, outcome.err
    (published,) = workspace.manifest().layers[0].regions.values()
    assert (published.accounts, published.public) == ([other], False)
    reader = workspace.seen.client("lambda", "eu-west-1", other)
    assert reader.get_layer_version_by_arn(Arn=published.arn)["Version"] == 1
    assert workspace.plan(["eu-west-1"], access=Access(accounts=frozenset({other}))).idle


def test_all_selects_the_enabled_regions_and_names_the_skipped_ones(workspace):
    outcome = workspace.command("publish", "--node", "12", "--dry-run")
    enabled = {
        each["RegionName"] for each in workspace.seen.client("account").list_regions(MaxResults=50)["Regions"]
    }
    shown = {line.split()[0]: line for line in outcome.out.splitlines()[1:]}
    assert {region for region, line in shown.items() if "publish" in line} == enabled
    assert shown["ap-east-2"].endswith("skipped: not offered to this account")


def test_permissions_are_added_once_after_the_version_is_final(workspace, proxy):
    workspace.publish()
    private = workspace.versions("eu-west-1")
    workspace.publish(access=PUBLIC)
    workspace.publish(access=Access(organizations=frozenset({"o-abcdefghij"})))
    proxy.clear()
    workspace.publish(access=PUBLIC | Access(organizations=frozenset({"o-abcdefghij"})))
    assert [access for _, access in private.values()] == ["private"]
    assert [access for _, access in workspace.versions("eu-west-1").values()] == ["o-abcdefghij, public"]
    assert "AddLayerVersionPermission" not in {call.operation for call in proxy.calls}
    published = workspace.manifest().layers[0].regions["eu-west-1"]
    assert (published.public, published.organizations) == (True, ["o-abcdefghij"])


def test_publish_uses_a_version_that_was_published_by_hand(workspace):
    workspace.lambda_("eu-west-1").publish_layer_version(
        LayerName=LAYER, Content={"ZipFile": workspace.artifacts()[0].path.read_bytes()}
    )
    result = workspace.publish()
    assert [each.new for each in result.done] == [True, False, True]
    assert (set(workspace.versions("eu-west-1")), workspace.recorded()["eu-west-1"]) == ({1}, 1)


def test_other_content_with_the_same_name_gets_the_next_version_number(workspace):
    workspace.publish()
    make_layer(workspace.dist, seed=1)
    workspace.publish()
    assert [set(workspace.versions(region)) for region in THREE] == [{1, 2}] * 3
    assert workspace.recorded() == dict.fromkeys(THREE, 2)


def test_deleted_layer_version_is_published_again(workspace):
    workspace.publish()
    workspace.lambda_("eu-west-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    workspace.publish()
    assert workspace.recorded() == {"ap-south-1": 1, "eu-west-1": 2, "us-east-1": 1}


def test_a_deleted_recorded_version_is_replaced_by_its_duplicate_in_the_manifest(workspace):
    client = workspace.lambda_("eu-west-1")
    for number in (1, 2):  # published by hand, and both are in use
        client.publish_layer_version(
            LayerName=LAYER, Content={"ZipFile": workspace.artifacts()[0].path.read_bytes()}
        )
        client.add_layer_version_permission(
            LayerName=LAYER,
            VersionNumber=number,
            StatementId="public",
            Action="lambda:GetLayerVersion",
            Principal="*",
        )
    workspace.publish(["eu-west-1"], access=PUBLIC)
    workspace.path.write_text(
        workspace.path.read_text().replace(f"{LAYER}:1", f"{LAYER}:2").replace('"version": 1', '"version": 2')
    )
    client.delete_layer_version(LayerName=LAYER, VersionNumber=2)
    assert workspace.publish(["eu-west-1"], access=PUBLIC).failures == ()
    assert workspace.recorded()["eu-west-1"] in workspace.versions("eu-west-1")
    assert workspace.plan(["eu-west-1"], access=PUBLIC).idle


# ---- staging


def test_a_zip_over_50_mb_is_uploaded_through_a_private_encrypted_bucket(workspace, proxy):
    make_layer(workspace.dist, size=DIRECT_UPLOAD + 1)
    proxy.rule(Rule(too_large))
    result = workspace.publish(["eu-west-1"], access=PUBLIC)
    assert result.failures == ()
    assert workspace.versions("eu-west-1") == {1: (workspace.artifacts()[0].code_sha256, "public")}
    client = workspace.seen.client("s3", "eu-west-1")
    bucket = f"nodelayer-{workspace.account}-eu-west-1"
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert (
        rules[0]["Expiration"]["Days"],
        rules[0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"],
    ) == (1, 1)
    assert all(client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]


def test_the_next_run_completes_an_interrupted_bucket_creation(workspace, proxy):
    make_layer(workspace.dist, size=DIRECT_UPLOAD + 1)
    proxy.rule(Rule(access_denied, operation="PutBucketLifecycleConfiguration", times=1))
    assert [failure.region for failure in workspace.publish(["eu-west-1"]).failures] == ["eu-west-1"]
    assert workspace.publish(["eu-west-1"]).failures == ()
    bucket = f"nodelayer-{workspace.account}-eu-west-1"
    assert workspace.seen.client("s3", "eu-west-1").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


# ---- the same number in every region


def test_align_gives_every_region_the_same_number(workspace):
    for number in range(3):  # one region has a history
        make_layer(workspace.dist, seed=10 + number)
        workspace.publish(["eu-west-1"])
    make_layer(workspace.dist)
    planned = workspace.plan(align=True)
    assert {step.region: (step.wanted_version, step.paddings) for step in planned.steps} == {
        "ap-south-1": (4, 3),
        "eu-west-1": (4, 0),
        "us-east-1": (4, 3),
    }
    assert "6 padding versions to publish" in plan.summary(planned, workspace.account, "aws")
    workspace.publish(align=True, access=PUBLIC)
    sha256 = workspace.artifacts()[0].code_sha256
    assert workspace.recorded() == dict.fromkeys(THREE, 4)
    assert workspace.versions("us-east-1") == {
        **dict.fromkeys((1, 2, 3), (sha256, "private")),
        4: (sha256, "public"),
    }
    listed = workspace.lambda_("us-east-1").list_layer_versions(LayerName=LAYER)["LayerVersions"]
    assert [each["Description"].endswith(PADDING) for each in listed] == [False, True, True, True]


def test_align_counts_the_numbers_of_deleted_versions(workspace):
    for seed in (1, 2):
        make_layer(workspace.dist, seed=seed)
        workspace.publish(["us-east-1"])
    for number in (1, 2):  # deleted versions are in no list
        workspace.lambda_("us-east-1").delete_layer_version(LayerName=LAYER, VersionNumber=number)
    workspace.path.unlink()
    make_layer(workspace.dist)
    result = workspace.publish(align=True)
    assert result.failures == ()
    assert workspace.recorded() == dict.fromkeys(THREE, 3)


def test_align_gives_a_new_region_the_number_of_the_others(workspace):
    make_layer(workspace.dist, seed=1)
    workspace.publish(["eu-west-1", "us-east-1"])
    make_layer(workspace.dist)
    workspace.publish(["eu-west-1", "us-east-1"], align=True)
    workspace.publish(["ap-south-1"], align=True)
    assert workspace.recorded()["ap-south-1"] == 2


@pytest.fixture
def hidden_history(workspace):
    """A workspace whose layer had two versions in us-east-1 that were deleted: they are in no list."""
    for seed in (1, 2):
        made = make_layer(workspace.folder / "other", seed=seed)
        workspace.lambda_("us-east-1").publish_layer_version(
            LayerName=LAYER, Content={"ZipFile": made.zip.read_bytes()}
        )
        workspace.lambda_("us-east-1").delete_layer_version(LayerName=LAYER, VersionNumber=seed)
    return workspace


def assert_aligned(workspace):
    sha256 = workspace.artifacts()[0].code_sha256
    for region in THREE:
        private = {} if region == "us-east-1" else dict.fromkeys((1, 2), (sha256, "private"))
        assert workspace.versions(region) == {**private, 3: (sha256, "public")}
    assert workspace.recorded() == dict.fromkeys(THREE, 3)
    assert workspace.versions("ap-south-1", lease.LAYER) == {}


def test_two_concurrent_publishers_with_align_agree_on_one_number(hidden_history, proxy, monkeypatch):
    monkeypatch.setattr(lease, "_POLL_S", 0.2)
    proxy.latency = 0.02
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: hidden_history.publish(align=True, access=PUBLIC), range(2)))
    assert [result.failures for result in results] == [(), ()]
    assert_aligned(hidden_history)


def test_align_continues_when_the_lease_of_a_killed_publisher_has_expired(hidden_history, monkeypatch):
    monkeypatch.setattr(lease, "LIFETIME_S", 1.0)
    monkeypatch.setattr(lease, "_POLL_S", 0.2)
    publishing, _ = hidden_history.publisher()
    left = lease.align_lease(publishing._account, THREE, parallel.Stop(), print)
    monkeypatch.setattr(lease._Holder, "renewing", lambda _: contextlib.nullcontext())
    left.__enter__()  # and is killed
    assert hidden_history.publish(align=True, access=PUBLIC).failures == ()
    assert_aligned(hidden_history)


# ---- parameters


def parameters(workspace, region="eu-west-1"):
    found = workspace.seen.client("ssm", region).get_parameters_by_path(Path="/nodelayer", Recursive=True)
    return {each["Name"]: each["Value"].split(":")[-2:] for each in found["Parameters"]}


def test_parameters_exist_for_the_version_and_for_the_lines_it_leads(workspace):
    workspace.command("publish", "--node", "12", "--regions", "eu-west-1", "--ssm")
    assert parameters(workspace) == {
        f"/nodelayer/{line}/x86_64/arn": [LAYER, "1"] for line in ("12.16.1", "12", "lts", "latest")
    }


def test_an_older_version_published_later_does_not_change_the_parameters(workspace, proxy):
    make_layer(workspace.dist, "nodejs-12.22.12-x86_64")
    make_layer(workspace.dist, "nodejs-14.0.0-x86_64")
    for spec in ("14.0.0", "12.22.12", "12.16.1"):
        workspace.publish(["eu-west-1"], spec, parameters=True)
    assert parameters(workspace) == {
        "/nodelayer/14.0.0/x86_64/arn": ["nodejs-14-0-0-x86_64", "1"],
        "/nodelayer/12.22.12/x86_64/arn": ["nodejs-12-22-12-x86_64", "1"],
        "/nodelayer/12.16.1/x86_64/arn": [LAYER, "1"],
        "/nodelayer/14/x86_64/arn": ["nodejs-14-0-0-x86_64", "1"],
        "/nodelayer/12/x86_64/arn": ["nodejs-12-22-12-x86_64", "1"],
        "/nodelayer/lts/x86_64/arn": ["nodejs-12-22-12-x86_64", "1"],
        "/nodelayer/latest/x86_64/arn": ["nodejs-14-0-0-x86_64", "1"],
    }
    proxy.clear()
    workspace.publish(["eu-west-1"], "12.16.1", parameters=True)
    assert "PutParameter" not in {call.operation for call in proxy.calls}


def test_parameters_that_a_stopped_run_did_not_write_are_planned_again(workspace, monkeypatch):
    stop = parallel.Stop()
    publishing, selection = workspace.publisher(["eu-west-1"], stop)
    wanted = plan.PublishOptions(parameters=True)
    planned = publishing.plan(workspace.artifacts(), selection, wanted)
    # flush runs after the last publish
    monkeypatch.setattr(recorder.Recorder, "flush", lambda _: stop.request())
    result = publishing.run(workspace.artifacts(), selection, wanted, planned)
    assert (result.failures, result.stopped) == ((), ("eu-west-1",))
    assert parameters(workspace) == {}


def test_an_editor_s_file_beside_the_manifest_is_kept(workspace):
    swap = workspace.path.with_name(".layers.json.swp")
    swap.touch()
    workspace.publish(["eu-west-1"])
    assert swap.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("publish", "--node", "12", "--regions", "eu-west-1"),
        ("publish", "--node", "12", "--regions", "us-east-1"),
        ("backfill", "--regions", "us-east-1"),
        ("prune", "--keep", "1"),
        ("verify",),
    ],
)
@pytest.mark.parametrize("same", [True, False])
def test_publish_does_not_change_a_manifest_of_another_account(workspace, proxy, words, same):
    workspace.publish(["eu-west-1"])
    if not same:
        make_layer(workspace.dist, seed=1)
    before = workspace.path.read_bytes()
    proxy.clear()
    outcome = Workspace(workspace.folder, proxy, workspace.seen, account="999999999999").command(*words)
    assert (outcome.code, len(outcome.lines)) == (9, 1), outcome.err
    assert "which is not in account 999999999999" in outcome.err
    assert workspace.path.read_bytes() == before
    assert not any(call.service == "lambda" for call in proxy.calls)


# ---- concurrent and stopped runs


@pytest.mark.parametrize("seed", range(3))
def test_two_concurrent_publishers_leave_one_version_and_a_complete_manifest(workspace, proxy, seed):
    proxy.latency = 0.01 + 0.02 * seed
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: workspace.publish(access=PUBLIC), range(2)))
    sha256 = workspace.artifacts()[0].code_sha256
    assert [result.failures for result in results] == [(), ()]
    for region in THREE:
        versions = workspace.versions(region)
        assert list(versions.values()) == [(sha256, "public")]
        assert workspace.recorded()[region] in versions


def test_after_ctrl_c_the_running_call_ends_and_the_next_run_continues(workspace, proxy):
    proxy.latency = 0.4
    words = ("publish", "--node", "12", "--regions", ",".join(THREE), "--public")
    process = workspace.start(*words)
    while not any(call.operation == "PublishLayerVersion" for call in proxy.calls):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Not done: ap-south-1, eu-west-1, us-east-1. To retry only these regions, run: " in err
    assert "Traceback" not in out + err
    proxy.latency = 0
    again = workspace.command(*words)
    assert again.code == 0, again.err
    assert [set(workspace.versions(region)) for region in THREE] == [{1}] * 3
    assert workspace.recorded() == dict.fromkeys(THREE, 1)


@pytest.mark.parametrize(("operation", "times"), [("ListLayerVersions", 1), ("PublishLayerVersion", 2)])
def test_ctrl_c_stops_a_plan_and_a_second_one_stops_any_call_at_once(workspace, proxy, operation, times):
    proxy.rule(Rule(hang, operation=operation, region="eu-west-1"))
    process = workspace.start("publish", "--node", "12", "--regions", ",".join(THREE))
    while sum(call.operation == operation for call in proxy.calls) < len(THREE) - 1:
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)  # the third call has started and hangs
    began = time.monotonic()
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert err.splitlines()[-1].startswith("nodelayer: stopped")
    assert time.monotonic() - began < 10


def test_control_plane_calls_stay_within_the_rate_limit_of_lambda(workspace, proxy):
    for minor in range(12):
        make_layer(workspace.dist, f"nodejs-13.{minor}.0-x86_64")
    proxy.rate_limit = 15
    proxy.latency = 0.2
    account, selection = workspace.publisher(["eu-west-1", "us-east-1"])
    artifacts = [each for minor in range(12) for each in workspace.artifacts(f"13.{minor}.0")]
    wanted = plan.PublishOptions(access=PUBLIC)
    result = account.run(artifacts, selection, wanted, account.plan(artifacts, selection, wanted))
    assert (result.failures, len(result.done)) == ((), 24)
    assert [call for call in proxy.calls if call.status == 429] == []
    assert max(proxy.peak_rate.values()) <= 15 + 8  # the calls of one second and of the half second before it
    assert proxy.peak_in_flight > 2  # several layers of a region at once, but only one uploads:
    uploads = sorted(
        (call.when, call.duration)
        for call in proxy.calls
        if (call.operation, call.region) == ("PublishLayerVersion", "eu-west-1")
    )
    assert all(began + took < after for (began, took), (after, _) in pairwise(uploads))


# ---- moto


@pytest.fixture
def moto_workspace(moto_server, tmp_path, monkeypatch):
    """The same workspace on moto's server, which has partitions and knows no GetAccountSettings."""
    moto_server.reset()
    for name, value in moto_server.environ().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    make_layer(tmp_path / "dist")
    return Workspace(tmp_path, moto_server)


@pytest.mark.full
def test_publish_gives_the_same_result_on_moto(moto_workspace):
    words = ("publish", "--node", "12", "--regions", ",".join(THREE), "--public", "--ssm")
    first, second = moto_workspace.command(*words), moto_workspace.command(*words)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "3 layer versions published" in first.err
    assert "0 layer versions published, 3 already published" in second.err
    assert [set(moto_workspace.versions(region)) for region in THREE] == [{1}] * 3


@pytest.mark.full
@pytest.mark.parametrize(
    ("region", "partition"),
    [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eusc-de-east-1", "aws-eusc")],
)
def test_arns_of_other_partitions_have_their_partition(moto_workspace, region, partition):
    result = moto_workspace.publish([region], access=PUBLIC)
    published = moto_workspace.manifest().layers[0].regions[region]
    assert result.failures == ()
    assert published.arn.startswith(f"arn:{partition}:lambda:{region}:")
