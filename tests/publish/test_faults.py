"""Publishing with failing calls: no duplicates, no silent failures, independent regions."""

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from publish.conftest import make_layer
from publish.faults import (
    Rule,
    access_denied,
    answer,
    cut_request,
    cut_response,
    dead,
    error_after,
    expired,
    hang,
    not_enabled,
    status,
    storage_exceeded,
    throttle,
)
from publish.publish_fixtures import LAYER, PUBLIC, THREE

from nodelayer.aws import account, errors, layers
from nodelayer.errors import MachineError, UnreachableError
from nodelayer.layer.record import code_sha256
from nodelayer.publish.layers import publisher, region_worker
from nodelayer.publish.layers.plan import PublishOptions

pytestmark = [pytest.mark.network, pytest.mark.full]

READ_ONLY = "/sys/layers.json"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(region_worker, "_PAUSES", (0.05,) * 5)
    monkeypatch.setattr(errors, "_PAUSES", (0.05,) * 2)


@pytest.mark.parametrize(
    "fault", [throttle, error_after, cut_request, cut_response, lambda: status(503, "ServiceException")]
)
@pytest.mark.parametrize("times", [1, 3])
def test_publish_that_fails_temporarily_creates_one_version(workspace, proxy, fault, times):
    armed = proxy.rule(Rule(fault, operation="PublishLayerVersion", region="eu-west-1", times=times))
    result = workspace.publish(access=PUBLIC)
    assert result.failures == ()
    assert armed.hits >= 1
    assert [list(workspace.versions(region)) for region in THREE] == [[1]] * 3
    assert workspace.recorded() == dict.fromkeys(THREE, 1)


def test_after_a_lost_response_publish_looks_for_the_version_first(workspace, proxy, monkeypatch):
    monkeypatch.setattr(account, "_PUBLISH_S", 1)
    proxy.rule(Rule(hang, operation="PublishLayerVersion", region="eu-west-1", times=1))
    assert workspace.publish(access=PUBLIC).failures == ()
    assert list(workspace.versions("eu-west-1")) == [1]


def test_an_ambiguous_publish_is_sent_once(workspace, proxy):
    proxy.rule(Rule(error_after, operation="PublishLayerVersion", region="eu-west-1", times=1))
    workspace.publish(["eu-west-1"])
    assert [call.operation for call in proxy.calls].count("PublishLayerVersion") == 1


@pytest.mark.parametrize(
    "operation",
    ["ListLayerVersions", "GetLayerVersion", "AddLayerVersionPermission", "GetLayerVersionPolicy"],
)
@pytest.mark.parametrize("fault", [throttle, cut_response, lambda: status(500, "ServiceException")])
def test_every_other_call_is_retried(workspace, proxy, operation, fault):
    armed = proxy.rule(Rule(fault, operation=operation, region="eu-west-1", times=1))
    result = workspace.publish(["eu-west-1"], access=PUBLIC)
    assert (result.failures, armed.hits) == ((), 1)
    assert [access for _, access in workspace.versions("eu-west-1").values()] == ["public"]


def test_retry_after_of_a_throttled_call_is_honoured(workspace, proxy):
    told = status(429, "TooManyRequestsException", "Rate exceeded", Retry_After=2)
    proxy.rule(Rule(told, operation="ListLayerVersions", region="eu-west-1", times=1))
    assert workspace.publish(["eu-west-1"]).failures == ()
    first, second = [call.when for call in proxy.calls if call.operation == "ListLayerVersions"][:2]
    assert 1.9 < second - first < 4


@pytest.mark.parametrize(
    "operation", ["GetCallerIdentity", "ListRegions", "GetLayerVersion", "PublishLayerVersion"]
)
def test_an_answer_that_is_not_valid_is_asked_for_again(workspace, proxy, operation):
    armed = proxy.rule(Rule(answer({}), operation=operation, times=1))
    assert workspace.publish(["eu-west-1"], access=PUBLIC).failures == ()
    assert armed.hits == 1
    assert [access for _, access in workspace.versions("eu-west-1").values()] == ["public"]


@pytest.mark.parametrize("operation", ["ListLayerVersions", "GetLayerVersionPolicy"])
def test_answers_that_are_never_valid_are_one_failure_of_the_region(workspace, proxy, operation):
    proxy.rule(Rule(answer({}), operation=operation, region="eu-west-1"))
    result = workspace.publish(["eu-west-1", "us-east-1"], access=PUBLIC)
    (failure,) = result.failures
    assert (failure.region, failure.error.code) == ("eu-west-1", 4)
    assert f"AWS's answer to lambda:{operation} is not valid" in failure.error.what
    assert [access for _, access in workspace.versions("us-east-1").values()] == ["public"]


def test_an_answer_about_the_account_that_is_never_valid_is_one_error(workspace, proxy):
    proxy.rule(Rule(answer({}), operation="GetCallerIdentity"))
    with pytest.raises(UnreachableError, match="AWS's answer to sts:GetCallerIdentity is not valid"):
        workspace.publisher(["eu-west-1"])


NONE_LISTED = Rule(answer({"LayerVersions": []}), operation="ListLayerVersions")


def test_recorded_version_that_the_list_lacks_is_not_published_again(workspace, proxy):
    workspace.publish(["eu-west-1"], access=PUBLIC)
    proxy.rule(NONE_LISTED)
    assert [each.new for each in workspace.publish(["eu-west-1"], access=PUBLIC).done] == [False]
    assert list(workspace.versions("eu-west-1")) == [1]


def test_lost_answer_and_a_list_that_lags_leave_one_version(workspace, proxy):
    proxy.rule(NONE_LISTED)
    proxy.rule(Rule(error_after, operation="PublishLayerVersion", times=1))
    assert workspace.publish(["eu-west-1"], access=PUBLIC).failures == ()
    assert [access for _, access in workspace.versions("eu-west-1").values()] == ["public"]


def test_public_version_of_another_publisher_that_the_list_lacks_is_kept(workspace, proxy):
    workspace.publish(["eu-west-1"], access=PUBLIC)
    workspace.path.unlink()
    proxy.rule(NONE_LISTED)
    result = workspace.publish(["eu-west-1"], access=PUBLIC)
    assert (result.failures, [each.published.version for each in result.done]) == ((), [1])
    assert [access for _, access in workspace.versions("eu-west-1").values()] == ["public"]


def test_regions_that_are_planned_do_not_wait_for_one_that_hangs(workspace, proxy, monkeypatch):
    monkeypatch.setattr(account, "_READ_S", 1)
    monkeypatch.setattr(publisher, "_PATIENCE_S", 0.5)
    proxy.rule(Rule(hang, region="eu-west-1", operation="ListLayerVersions", times=2))
    publishing, selection = workspace.publisher()
    planned = publishing.plan(workspace.artifacts(), selection, PublishOptions(), whole=False)
    assert (planned.regions, planned.pending) == (["ap-south-1", "us-east-1"], ("eu-west-1",))
    result = publishing.run(workspace.artifacts(), selection, PublishOptions(), planned)
    assert (result.failures, workspace.recorded()) == ((), dict.fromkeys(THREE, 1))
    order = [call.region for call in proxy.calls if call.operation == "PublishLayerVersion"]
    assert order[-1] == "eu-west-1"


def test_full_disk_is_found_before_the_first_upload(workspace, proxy, mounted):
    small = mounted(workspace.folder / "small", "-t", "tmpfs", "-o", "size=12k", "tmpfs")
    (small / "other").write_bytes(bytes(4096))
    workspace.path = small / "layers.json"
    with pytest.raises(MachineError, match="no space left on device"):
        workspace.publish(None)
    assert "PublishLayerVersion" not in {call.operation for call in proxy.calls}


def test_random_faults_end_in_one_version_in_each_region(workspace, proxy):
    for seed, fault in enumerate([throttle, error_after, cut_request, cut_response]):
        proxy.rule(Rule(fault, probability=0.05, seed=seed, service="lambda"))
    for _ in range(4):
        if not workspace.publish(access=PUBLIC).failures:
            break
    proxy.clear()
    assert workspace.publish(access=PUBLIC).failures == ()
    assert [[access for _, access in workspace.versions(region).values()] for region in THREE] == [
        ["public"]
    ] * 3


def test_publish_continues_if_one_region_is_dead_and_prints_the_retry_command(workspace, proxy):
    proxy.rule(Rule(dead, region="eu-west-1"))
    words = ("publish", "--node", "12", "--public", "--regions", ",".join(THREE))
    outcome = workspace.command(*words)
    assert outcome.code == 4
    assert "eu-west-1: the connection broke during lambda:ListLayerVersions" in outcome.err
    retry = "invoke publish --node 12 --public --regions eu-west-1"
    assert f"Not done: eu-west-1. To retry only these regions, run: {retry}" in outcome.err
    assert workspace.recorded() == {"ap-south-1": 1, "us-east-1": 1}
    proxy.clear()
    again = workspace.command(*retry.split()[1:])
    assert again.code == 0, again.err
    assert workspace.recorded() == dict.fromkeys(THREE, 1)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (access_denied, 9, "not allowed: lambda:PublishLayerVersion"),
        (storage_exceeded, 9, "the account's code storage in this region is full"),
        (expired, 9, "the AWS credentials have expired"),
        (lambda: status(400, "InvalidParameterValueException", "no such runtime"), 9, "no such runtime"),
        (lambda: status(413, "RequestEntityTooLargeException", "too large"), 9, "too large"),
    ],
)
def test_refused_publish_is_not_retried(workspace, proxy, fault, code, words):
    armed = proxy.rule(Rule(fault, operation="PublishLayerVersion", region="eu-west-1"))
    result = workspace.publish()
    assert [(each.region, each.error.code, words in str(each.error)) for each in result.failures] == [
        ("eu-west-1", code, True)
    ]
    assert armed.hits == 1
    assert workspace.recorded() == {"ap-south-1": 1, "us-east-1": 1}


def test_publish_fails_in_a_named_region_that_is_not_enabled(workspace, proxy):
    proxy.rule(Rule(not_enabled, region="ap-south-1"))
    result = workspace.publish()
    assert [(each.region, str(each.error)) for each in result.failures] == [
        (
            "ap-south-1",
            (
                f"the region does not accept these credentials [ap-south-1 {LAYER}]: "
                "enable the region for the account or leave it out; if it is enabled, check the credentials"
            ),
        )
    ]


def test_all_skips_a_region_that_rejects_the_credentials_if_the_account_has_no_list(workspace, proxy):
    proxy.rule(Rule(access_denied, operation="ListRegions"))
    proxy.rule(Rule(not_enabled, region="me-south-1"))
    planned = workspace.plan(None)
    assert (planned.skipped, planned.failures) == ({"me-south-1": "not enabled in this account"}, ())
    assert len(planned.steps) == 35


def test_all_fails_in_a_recorded_region_that_is_not_enabled(workspace, proxy):
    workspace.publish(["eu-west-1"])
    proxy.rule(Rule(access_denied, operation="ListRegions"))
    proxy.rule(Rule(not_enabled, region="eu-west-1"))
    outcome = workspace.command("publish", "--node", "12", "--regions", "all", "--dry-run")
    assert outcome.code == 9
    assert "eu-west-1: the region does not accept these credentials" in outcome.err


def test_publish_fails_if_no_region_of_all_accepts_the_credentials(workspace, proxy):
    proxy.rule(Rule(access_denied, operation="ListRegions"))
    proxy.rule(Rule(not_enabled, service="lambda"))
    outcome = workspace.command("publish", "--node", "12", "--regions", "all")
    assert outcome.code == 9
    assert "no region is left: 36 are skipped: check the credentials" in outcome.err


def test_plan_fails_if_the_code_storage_of_a_region_is_full(workspace, monkeypatch):
    monkeypatch.setattr(layers.Layers, "storage", lambda _: layers.Storage(limit=1000, used=999))
    planned = workspace.plan(["eu-west-1"])
    assert "not enough code storage: 0.0 MB of 0.0 MB are used" in str(planned.failures[0].error)


def test_expired_credentials_stop_all_layers_of_a_region(workspace, proxy):
    make_layer(workspace.dist, "nodejs-14.0.0-x86_64")
    armed = proxy.rule(Rule(expired, operation="PublishLayerVersion", region="eu-west-1"))
    publisher, selection = workspace.publisher()
    artifacts = [*workspace.artifacts("12"), *workspace.artifacts("14")]
    wanted = PublishOptions()
    result = publisher.run(artifacts, selection, wanted, publisher.plan(artifacts, selection, wanted))
    assert ({each.region for each in result.failures}, armed.hits) == ({"eu-west-1"}, 1)


UNSUPPORTED = "CompatibleArchitectures are not supported in eu-west-1. Please remove the parameter"


def test_publish_omits_architectures_in_a_region_that_does_not_support_them(workspace, proxy):
    refused = Rule(lambda: status(400, "InvalidParameterValueException", UNSUPPORTED), region="eu-west-1")
    armed = proxy.rule(replace(refused, operation="PublishLayerVersion", times=1))
    assert workspace.publish(access=PUBLIC).failures == ()
    assert armed.hits == 1
    assert workspace.recorded() == dict.fromkeys(THREE, 1)
    seen = [
        workspace.lambda_(region)
        .get_layer_version(LayerName=LAYER, VersionNumber=1)
        .get("CompatibleArchitectures")
        for region in THREE
    ]
    assert seen == [["x86_64"], [], ["x86_64"]]


def test_arm64_layer_is_refused_in_a_region_without_architectures(workspace, proxy):
    make_layer(workspace.dist, "nodejs-12.16.1-arm64")
    proxy.rule(
        Rule(
            lambda: status(400, "InvalidParameterValueException", UNSUPPORTED),
            region="eu-west-1",
            operation="PublishLayerVersion",
        )
    )
    outcome = workspace.command("publish", "--node", "12", "--arch", "arm64", "--regions", ",".join(THREE))
    assert outcome.code == 9
    assert "eu-west-1: the region does not support layers for this architecture yet" in outcome.err


def test_a_refused_layer_does_not_stop_the_other(workspace, proxy):
    make_layer(workspace.dist, "nodejs-14.0.0-x86_64")
    proxy.rule(Rule(access_denied, operation="PublishLayerVersion", region="eu-west-1", times=1))
    publisher, selection = workspace.publisher(["eu-west-1"])
    artifacts = [*workspace.artifacts("12"), *workspace.artifacts("14")]
    wanted = PublishOptions()
    result = publisher.run(artifacts, selection, wanted, publisher.plan(artifacts, selection, wanted))
    assert [each.layer for each in result.failures] == [LAYER]
    assert [each.step.artifact.node_version for each in result.done] == ["14.0.0"]


# ---- invalid input


def refused(outcome, code):
    assert (outcome.code, len(outcome.lines)) == (code, 1), outcome.err
    return outcome.err


def test_publish_of_a_version_that_is_not_built_prints_the_build_command(workspace):
    words = refused(workspace.command("publish", "--node", "18"), 3)
    assert "run invoke build-layer --node 18 --arch x86_64; built versions: 12.16.1" in words


def test_publish_refuses_a_zip_that_does_not_match_its_build_record(workspace, proxy):
    path = workspace.artifacts()[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "the zip does not match its build record" in refused(
        workspace.command("publish", "--node", "12"), 5
    )
    assert proxy.calls == []


def test_publish_refuses_only_the_layer_that_was_never_invoked(workspace):
    make_layer(workspace.dist, "nodejs-14.0.0-x86_64", invoked=False)
    outcome = workspace.command("publish", "--built", "--regions", "eu-west-1")
    assert outcome.code == 5
    assert "nodejs-14.0.0-x86_64.zip has never been invoked" in outcome.err
    assert "invoke build-layer --node 14.0.0 --arch x86_64" in outcome.err
    assert [layer.node_version for layer in workspace.manifest().layers] == ["12.16.1"]


def test_publish_refuses_a_file_that_is_not_a_zip(workspace):
    made = make_layer(workspace.dist)
    made.zip.write_bytes(b"not a zip")
    digest = hashlib.sha256(b"not a zip")
    record = msgspec.structs.replace(
        made.record, sha256=digest.hexdigest(), code_sha256=code_sha256(digest.digest()), size=9
    )
    made.record_path.write_text(record.json_text())
    assert "the layer is damaged" in refused(workspace.command("publish", "--node", "12"), 5)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--regions", "eu-west-11"), 2, "did you mean eu-west-1 or"),
        (("--regions", "Frankfurt"), 2, "'Frankfurt' is not a region"),
        (("--regions", "eu-west-1,cn-north-1"), 2, "the regions belong to several partitions: aws, aws-cn"),
        (
            ("--regions", "eu-west-1", "--public", "--organization-id", "o-abcdefghij"),
            2,
            "are mutually exclusive",
        ),
        (("--regions", "eu-west-1", "--organization-id", "everyone"), 2, "is not the ID of an organization"),
        (("--regions", "eu-west-1", "--profile", "nobody"), 2, "nobody"),
        (("--regions", "eu-west-1", "--arch", "riscv"), 2, "use x86_64, arm64 or all"),
    ],
)
def test_an_invalid_flag_is_one_line(workspace, proxy, words, code, message):
    assert message in refused(workspace.command("publish", "--node", "12", *words), code)
    assert not any(call.service == "lambda" for call in proxy.calls)


def test_aws_endpoint_without_a_scheme_gives_a_one_line_error(workspace):
    words = refused(workspace.command("publish", "--node", "12", AWS_ENDPOINT_URL="localhost:4566"), 2)
    assert "Invalid endpoint: localhost:4566" in words


def test_manifest_name_that_publish_uses_for_another_file_is_refused(workspace):
    outcome = workspace.command(
        "publish", "--node", "12", "--regions", "eu-west-1", "--manifest", "layers.txt"
    )
    assert outcome.code == 2
    assert outcome.lines[-1].endswith("use --manifest layers.json")
    assert workspace.versions("eu-west-1") == {}


def test_missing_credentials_give_a_one_line_error(workspace):
    no_credentials = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    words = refused(
        workspace.command("publish", "--node", "12", "--regions", "eu-west-1", **no_credentials), 7
    )
    assert "no AWS credentials" in words
    assert "--profile" in words


def test_publish_fails_before_the_first_upload_if_the_manifest_is_not_writable(workspace, proxy):
    outcome = workspace.command("publish", "--node", "12", "--regions", "eu-west-1", "--manifest", READ_ONLY)
    assert outcome.code == 7
    assert outcome.lines[-1].endswith("change the permissions, or choose another location with --manifest")
    assert "PublishLayerVersion" not in {call.operation for call in proxy.calls}
    assert not Path(READ_ONLY).exists()


def test_a_manifest_of_a_newer_version_is_not_changed(workspace):
    future = '{"schema_version": 99, "layers": []}'
    workspace.path.write_text(future)
    words = refused(workspace.command("publish", "--node", "12", "--regions", "eu-west-1"), 5)
    assert "the manifest has schema version 99, but this nodelayer reads at most 3" in words
    assert workspace.path.read_text() == future
