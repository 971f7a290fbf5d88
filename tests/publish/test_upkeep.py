"""verify, backfill and prune on an emulator of AWS."""

import json
import shutil
import signal
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from publish.conftest import make_layer
from publish.faults import Rule, access_denied, answer, dead, delay
from publish.publish_fixtures import LAYER, PUBLIC, THREE

from nodelayer import __version__
from nodelayer.catalog import site
from nodelayer.catalog.site import SiteOptions
from nodelayer.errors import InvalidInputError, NotVerifiedError
from nodelayer.publish.layers import backfill, metadata, withdraw
from nodelayer.publish.layers.report import RunReport
from nodelayer.util.console import Reporter

pytestmark = [pytest.mark.network, pytest.mark.full]

CANARY = {"date": "2026-11-27", "region": "eu-west-1", "memory_mb": 512, "init_ms": 118.0}


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


def test_verify_compares_what_consumers_read(workspace, tmp_path):
    workspace.publish(["eu-west-1"], access=PUBLIC)
    site.write(workspace.manifest(), tmp_path / "site", SiteOptions())
    make_layer(workspace.dist, seed=1)
    workspace.publish(["eu-west-1"], access=PUBLIC)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        words = ("verify", "--manifest-url", f"{url}none.json", "--catalog-url", url)
        found = workspace.command(*words)
        server.shutdown()
    assert found.code == 5, found.err
    assert [line.split(maxsplit=2)[:2] for line in found.out.splitlines()] == [
        ["-", f"{url}none.json"],
        ["-", f"{url}layers.json"],
        ["-", url],
    ]
    assert "2 layer versions in 1 regions compared, 3 problems" in found.err
    assert "--fix" not in found.err


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


# ---- repair


@pytest.fixture
def deleted_in_aws(workspace):
    """A workspace without built layers, whose layer was deleted by hand in eu-west-1."""
    workspace.publish(access=PUBLIC)
    workspace.lambda_("eu-west-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    shutil.rmtree(workspace.dist)
    return workspace


def test_verify_names_the_command_that_repairs_and_fix_runs_it(deleted_in_aws):
    deleted_in_aws.lambda_("us-east-1").remove_layer_version_permission(
        LayerName=LAYER, VersionNumber=1, StatementId="public"
    )
    found = deleted_in_aws.command("verify")
    assert found.code == 5
    assert "To repair them, run: invoke verify --fix" in found.err
    fixed = deleted_in_aws.command("verify", "--fix")
    assert (fixed.code, fixed.out) == (0, ""), fixed.err
    assert "3 layer versions in 3 regions compared, 2 problems, 2 repaired" in fixed.err
    access = [[each for _, each in deleted_in_aws.versions(region).values()] for region in THREE]
    assert access == [["public"]] * 3
    assert deleted_in_aws.recorded() == {"ap-south-1": 1, "eu-west-1": 2, "us-east-1": 1}


def test_verify_fix_exits_with_the_failure_of_a_region(deleted_in_aws, proxy):
    proxy.rule(Rule(access_denied, region="eu-west-1", operation="PublishLayerVersion"))
    outcome = deleted_in_aws.command("verify", "--fix")
    assert outcome.code == 9
    assert "eu-west-1: not allowed: lambda:PublishLayerVersion" in outcome.err
    assert "To retry only these regions, run: invoke verify --fix --regions eu-west-1" in outcome.err


def test_ctrl_c_stops_a_repair_before_it_writes_parameters(deleted_in_aws, proxy):
    raw = json.loads(deleted_in_aws.path.read_text())
    raw["layers"][0]["regions"]["us-east-1"]["parameters"] = True
    deleted_in_aws.path.write_text(json.dumps(raw))
    proxy.clear()
    proxy.rule(Rule(delay(2), operation="PublishLayerVersion"))
    process = deleted_in_aws.start("verify", "--fix")
    while not any(call.operation == "GetAccountSettings" for call in proxy.calls):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert "Not done: eu-west-1, us-east-1. To retry only these regions, run: invoke verify --fix" in err
    assert not any(call.operation == "PutParameter" for call in proxy.calls)
    fixed = deleted_in_aws.command("verify", "--fix")
    assert (fixed.code, fixed.out) == (0, ""), fixed.err
    assert any(call.operation == "PutParameter" for call in proxy.calls)


def test_backfill_publishes_what_was_deleted_in_aws(deleted_in_aws):
    outcome = deleted_in_aws.command("backfill", "--regions", ",".join(THREE))
    assert outcome.code == 0, outcome.err
    assert [access for _, access in deleted_in_aws.versions("eu-west-1").values()] == ["public"]


# ---- SSM parameters


def parameter(workspace):
    client = workspace.seen.client("ssm", "eu-west-1")
    return client.get_parameter(Name="/nodelayer/12/x86_64/arn")["Parameter"]["Value"].rpartition(":")[2]


def test_prune_keeps_what_a_parameter_names_and_verify_finds_the_parameter(workspace):
    workspace.publish(["eu-west-1"], parameters=True)
    make_layer(workspace.dist, seed=1)
    workspace.publish(["eu-west-1"])
    pruned = workspace.command("prune", "--keep", "1", "--yes")
    assert pruned.code == 0
    assert f"{LAYER}:1 is kept: the SSM parameter /nodelayer/" in pruned.err
    assert set(workspace.versions("eu-west-1")) == {1, 2}
    found = workspace.command("verify")
    assert (found.code, found.out.count("the SSM parameter /nodelayer/12/x86_64/arn names arn:aws:")) == (
        5,
        1,
    )
    assert (workspace.command("verify", "--fix").code, parameter(workspace)) == (0, "2")


# ---- withdraw


@pytest.fixture
def two_builds(workspace):
    """A workspace whose layer was published publicly twice, with different content."""
    for seed in range(2):
        make_layer(workspace.dist, seed=seed)
        workspace.publish(["eu-west-1", "us-east-1"], access=PUBLIC)
    return workspace


def arn(workspace, region, version):
    return f"arn:aws:lambda:{region}:{workspace.account}:layer:{LAYER}:{version}"


def test_withdraw_makes_a_layer_private_and_names_its_successor(two_builds, proxy):
    bad = arn(two_builds, "eu-west-1", 2)
    words = ("withdraw", "--arn", bad, "--reason", "answers are cut", "--yes")
    proxy.rule(Rule(access_denied, region="us-east-1", operation="RemoveLayerVersionPermission"))
    stopped = two_builds.command(*words)
    assert stopped.code == 9
    assert "us-east-1: not allowed: lambda:RemoveLayerVersionPermission" in stopped.err
    assert "--regions us-east-1" in stopped.err
    proxy.clear()
    assert "withdrawn, but still accessible: public" in two_builds.command("verify").out
    assert two_builds.command(*words, "--regions", "us-east-1").code == 0
    for region in ("eu-west-1", "us-east-1"):
        assert [access for _, access in two_builds.versions(region).values()] == ["public", "private"]
    marks = {
        each.version: each.withdrawn
        for layer in two_builds.manifest().layers
        for region, each in layer.live()
        if region == "eu-west-1"
    }
    assert (marks[1], marks[2].reason, marks[2].successor) == (
        None,
        "answers are cut",
        arn(two_builds, "eu-west-1", 1),
    )
    assert two_builds.command("verify").code == 0
    assert two_builds.path.with_suffix(".txt").read_text().count(f"{LAYER}:1\n") == 2
    assert f"{LAYER}:2" not in two_builds.path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("reason", ["", "a\nb", "\x1b[31m", "x" * 501], ids=ascii)
def test_withdraw_refuses_a_reason_that_a_manifest_cannot_hold(reason):
    with pytest.raises(InvalidInputError, match="longer than 500 characters, or has a control character"):
        withdraw.check_reason(reason)


def test_withdrawn_layer_is_not_published_again(two_builds):
    (bad,) = [each for each in two_builds.manifest().layers if each.regions["eu-west-1"].version == 2]
    planned = withdraw.plan(
        two_builds.manifest(), two_builds.publisher(["eu-west-1"])[0]._account, [bad], None
    )
    publishing, _ = two_builds.publisher(["eu-west-1"])
    everywhere = frozenset({"eu-west-1", "us-east-1"})
    report = RunReport(Reporter(quiet=True), "withdraw")
    withdraw.withdraw(publishing._account, planned, "bad", two_builds.path, everywhere, report)
    outcome = two_builds.command("publish", "--node", "12", "--regions", "eu-west-1", "--public")
    assert outcome.code == 9
    assert f"{LAYER} was withdrawn: bad" in outcome.err
    assert two_builds.versions("eu-west-1")[2][1] == "private"


def test_prune_deletes_public_versions_only_with_public(two_builds):
    kept = two_builds.command("prune", "--keep", "1", "--yes")
    assert (kept.code, set(two_builds.versions("eu-west-1"))) == (0, {1, 2})
    assert f"{LAYER}:1 is kept: it is public; to delete public layer versions, use --public" in kept.err
    assert two_builds.command("prune", "--keep", "1", "--yes", "--public").code == 0
    assert set(two_builds.versions("eu-west-1")) == {2}


@pytest.mark.parametrize("words", [("--node", "12.16.1"), ("--arn", "arn:aws:s3:::x")])
def test_withdraw_refuses_incomplete_flags(workspace, proxy, words):
    outcome = workspace.command("withdraw", *words, "--reason", "bad")
    assert (outcome.code, len(outcome.lines), proxy.calls) == (2, 1, [])


# ---- prune


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


def test_prune_deletes_functions_that_a_killed_canary_left(workspace, proxy):
    workspace.publish(["eu-west-1"])
    client = workspace.lambda_("eu-west-1")
    for name in ("nodelayer-canary-old", "nodelayer-canary-new", "other"):
        client.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Role="arn:aws:iam::123456789012:role/nodelayer-canary",
            Code={"ZipFile": workspace.artifacts()[0].path.read_bytes()},
            Handler="function.handler",
        )
    listed = client.list_functions()["Functions"]
    (old,) = (each for each in listed if each["FunctionName"].endswith("-old"))
    old["LastModified"] = "2026-01-02T03:04:05.000+0000"
    proxy.rule(Rule(answer({"Functions": listed}), operation="ListFunctions"))
    planned = workspace.command("prune", "--keep", "1", "--dry-run")
    assert planned.out == "eu-west-1  nodelayer-canary-old  function  delete\n"
    as_json = workspace.command("prune", "--keep", "1", "--dry-run", "--json")
    assert json.loads(as_json.out) == [{"region": "eu-west-1", "function": "nodelayer-canary-old"}]
    asked = workspace.command("prune", "--keep", "1")
    assert "Delete 0 layer versions and 1 functions of a canary? [no terminal]" in asked.err
    assert len(client.list_functions()["Functions"]) == 3
    done = workspace.command("prune", "--keep", "1", "--yes")
    assert (done.code, "eu-west-1: function nodelayer-canary-old deleted" in done.err) == (0, True)
    kept = {each["FunctionName"] for each in client.list_functions()["Functions"]}
    assert kept == {"nodelayer-canary-new", "other"}
    proxy.rule(Rule(access_denied, operation="DeleteFunction"))
    failed = workspace.command("prune", "--keep", "1", "--yes")
    assert (failed.code, "not allowed: lambda:DeleteFunction" in failed.err) == (9, True)


@pytest.mark.parametrize("used", [True, False], ids=["with a canary", "never with a canary"])
def test_prune_needs_the_right_to_list_functions_only_if_a_canary_was_used(three_versions, proxy, used):
    if used:
        raw = json.loads(three_versions.path.read_text())
        raw["layers"][0]["canary"] = CANARY
        three_versions.path.write_text(json.dumps(raw))
    proxy.rule(Rule(access_denied, operation="ListFunctions"))
    outcome = three_versions.command("prune", "--keep", "1", "--yes")
    assert outcome.code == 0
    words = "Functions that a canary left are not deleted in eu-west-1, us-east-1: not allowed: lambda:List"
    assert (words in outcome.err, "ListFunctions" in outcome.err) == (used, used)
    assert set(three_versions.versions("us-east-1")) == {3}


@pytest.mark.parametrize(
    ("keep", "words"),
    [("0", "--keep is missing or less than 1"), ("x", "--keep takes a whole number, not 'x'")],
)
def test_prune_refuses_an_invalid_keep_number(workspace, keep, words):
    outcome = workspace.command("prune", "--keep", keep)
    assert (outcome.code, len(outcome.lines), words in outcome.err) == (2, 1, True)
