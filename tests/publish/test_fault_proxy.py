"""The emulators and the proxy do what the tests of publishing rely on, as boto3 sees it."""

import socket
import time
from contextlib import suppress

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from publish import emulators, faults
from publish.faults import Rule

pytestmark = pytest.mark.network

NAME = "nodejs-12-16-1-x86_64"
HOME, OTHER = "eu-central-1", "eu-west-1"
FOREIGN = "210987654321"
ONCE = {"retries": {"mode": "standard", "total_max_attempts": 1}}
STANDARD = {"retries": {"mode": "standard", "total_max_attempts": 3}}
BOTH = pytest.mark.parametrize("emulator", ["ministack", "moto_server"], indirect=True)


@pytest.fixture
def layer(layer_zip, tmp_path):
    return layer_zip(tmp_path / "dist")


@pytest.fixture
def emulator(request):
    running = request.getfixturevalue(request.param)
    running.reset()
    return running


@pytest.fixture
def client(proxy):
    """Of the home region, through the proxy; it tries once."""
    return proxy.client("lambda", HOME, **ONCE)


def publish(client, layer, **changes):
    content = {"ZipFile": layer.zip.read_bytes()}
    return client.publish_layer_version(**{"LayerName": NAME, "Content": content, **changes})


def versions(client):
    return [each["Version"] for each in client.list_layer_versions(LayerName=NAME)["LayerVersions"]]


def permit(client, version, statement="public"):
    return client.add_layer_version_permission(
        LayerName=NAME,
        VersionNumber=version,
        StatementId=statement,
        Principal="*",
        Action="lambda:GetLayerVersion",
    )


def refused(call, *arguments, **named):
    """The status and the error code that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def connected(proxy):
    host, port = proxy.endpoint.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def head(method, path, length=0):
    """The head of a request to Lambda in the home region, as bytes."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: lambda\r\nContent-Length: {length}\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={emulators.ACCOUNT}/20261124/{HOME}/lambda/aws4_request,"
        " SignedHeaders=host, Signature=0\r\n\r\n"
    ).encode()


class TestEmulators:
    @BOTH
    def test_the_sha256_of_a_version_is_that_of_the_build_record(self, emulator, layer):
        content = publish(emulator.client("lambda", HOME), layer)["Content"]
        assert (content["CodeSha256"], content["CodeSize"]) == (layer.record.code_sha256, layer.record.size)

    @BOTH
    def test_the_number_of_a_deleted_version_is_not_used_again(self, emulator, layer):
        client = emulator.client("lambda", HOME)
        publish(client, layer)
        client.delete_layer_version(LayerName=NAME, VersionNumber=1)
        assert publish(client, layer)["Version"] == 2

    def test_another_account_is_denied_until_it_is_permitted_in_ministack(self, ministack, layer):
        ministack.reset()
        client = ministack.client("lambda", HOME)
        foreign = ministack.client("lambda", HOME, account=FOREIGN)
        arn = publish(client, layer)["LayerVersionArn"]
        assert refused(foreign.get_layer_version_by_arn, Arn=arn) == (403, "AccessDeniedException")
        permit(client, 1)
        assert foreign.get_layer_version_by_arn(Arn=arn)["Version"] == 1

    def test_variables_leave_this_machines_certificates_and_take_its_identity(self, ministack, monkeypatch):
        monkeypatch.setenv("AWS_CA_BUNDLE", "/some/bundle")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTPS_PROXY", "AWS_ENDPOINT_URL_LAMBDA"):
            monkeypatch.setenv(name, "mine")
        given = ministack.environ(FOREIGN, AWS_MAX_ATTEMPTS=7, AWS_DEFAULT_REGION=None)
        assert "mine" not in given.values()
        assert given["AWS_CA_BUNDLE"] == "/some/bundle"
        assert given["AWS_ACCESS_KEY_ID"] == FOREIGN
        assert given["AWS_MAX_ATTEMPTS"] == "7"
        assert "AWS_DEFAULT_REGION" not in given


class TestProxy:
    def test_it_names_each_call(self, proxy, client, layer):
        publish(client, layer)
        versions(client)
        client.get_layer_version(LayerName=NAME, VersionNumber=1)
        client.get_layer_version_by_arn(Arn=client.list_layers()["Layers"][0]["LayerArn"] + ":1")
        permit(client, 1)
        client.get_layer_version_policy(LayerName=NAME, VersionNumber=1)
        client.remove_layer_version_permission(LayerName=NAME, VersionNumber=1, StatementId="public")
        client.delete_layer_version(LayerName=NAME, VersionNumber=1)
        client.get_account_settings()
        proxy.client("sts").get_caller_identity()
        proxy.client("account").list_regions()
        proxy.client("ssm", OTHER).put_parameter(Name="/nodelayer/x", Value="v", Type="String")
        bucket = proxy.client("s3", HOME)
        bucket.create_bucket(Bucket="stage", CreateBucketConfiguration={"LocationConstraint": HOME})
        bucket.put_public_access_block(
            Bucket="stage", PublicAccessBlockConfiguration={"BlockPublicAcls": True}
        )
        bucket.get_bucket_encryption(Bucket="stage")
        bucket.head_bucket(Bucket="stage")
        bucket.upload_file(str(layer.zip), "stage", "layer.zip")
        bucket.head_object(Bucket="stage", Key="layer.zip")
        bucket.list_objects_v2(Bucket="stage")
        bucket.delete_object(Bucket="stage", Key="layer.zip")
        bucket.delete_bucket(Bucket="stage")
        assert [(call.service, call.operation) for call in proxy.calls] == [
            ("lambda", "PublishLayerVersion"),
            ("lambda", "ListLayerVersions"),
            ("lambda", "GetLayerVersion"),
            ("lambda", "ListLayers"),
            ("lambda", "GetLayerVersionByArn"),
            ("lambda", "AddLayerVersionPermission"),
            ("lambda", "GetLayerVersionPolicy"),
            ("lambda", "RemoveLayerVersionPermission"),
            ("lambda", "DeleteLayerVersion"),
            ("lambda", "GetAccountSettings"),
            ("sts", "GetCallerIdentity"),
            ("account", "ListRegions"),
            ("ssm", "PutParameter"),
            ("s3", "CreateBucket"),
            ("s3", "PutPublicAccessBlock"),
            ("s3", "GetBucketEncryption"),
            ("s3", "HeadBucket"),
            ("s3", "PutObject"),
            ("s3", "HeadObject"),
            ("s3", "ListObjectsV2"),
            ("s3", "DeleteObject"),
            ("s3", "DeleteBucket"),
        ]

    def test_a_call_has_its_region_account_status_and_size(self, proxy, layer):
        publish(proxy.client("lambda", OTHER, account=FOREIGN), layer)
        call = proxy.calls[0]
        assert (call.region, call.account, call.status, call.reached) == (OTHER, FOREIGN, 201, True)
        assert call.size > layer.record.size
        assert call.duration > 0

    def test_a_client_that_dies_within_its_request_has_published_nothing(self, proxy, client):
        with connected(proxy) as dying:
            dying.sendall(head("POST", f"/2018-10-31/layers/{NAME}/versions", 1000) + b'{"Content":')
        while not proxy.calls:
            time.sleep(0.01)
        call = proxy.calls[0]
        assert (call.operation, call.status, call.fault) == ("PublishLayerVersion", 0, "client gone")
        assert not call.reached
        assert versions(client) == []


class TestRules:
    def test_throttling_is_retried_by_botocore(self, proxy, layer):
        rule = proxy.rule(Rule(faults.throttle, operation="PublishLayerVersion", times=2))
        client = proxy.client("lambda", HOME, **STANDARD)
        assert publish(client, layer)["ResponseMetadata"]["RetryAttempts"] == rule.hits == 2
        assert [(call.status, call.fault) for call in proxy.calls] == [
            (429, "throttle"),
            (429, "throttle"),
            (201, ""),
        ]
        assert versions(client) == [1]

    def test_error_after_leaves_one_version_behind_a_500(self, proxy, client, layer):
        proxy.rule(Rule(faults.error_after, operation="PublishLayerVersion"))
        assert refused(publish, client, layer) == (500, "ServiceException")
        assert versions(client) == [1]
        assert proxy.calls[0].reached

    def test_a_cut_request_has_not_been_done(self, proxy, client, layer):
        proxy.rule(Rule(faults.cut_request, operation="PublishLayerVersion"))
        with pytest.raises(HTTPClientError):
            publish(client, layer)
        assert versions(client) == []
        assert (proxy.calls[0].status, proxy.calls[0].reached) == (0, False)

    def test_a_cut_response_has_been_done(self, proxy, client, layer):
        proxy.rule(Rule(faults.cut_response, operation="PublishLayerVersion"))
        with pytest.raises((HTTPClientError, ResponseStreamingError)):
            publish(client, layer)
        assert versions(client) == [1]
        assert (proxy.calls[0].status, proxy.calls[0].reached) == (0, True)

    def test_a_request_that_hangs_is_not_answered_and_not_done(self, proxy, layer):
        proxy.rule(Rule(faults.hang, operation="PublishLayerVersion"))
        client = proxy.client("lambda", HOME, read_timeout=1, **ONCE)
        with pytest.raises(ReadTimeoutError):
            publish(client, layer)
        assert versions(client) == []

    def test_a_dead_region_is_dead_and_the_others_are_not(self, proxy, client):
        proxy.rule(Rule(faults.dead, region=OTHER))
        with pytest.raises(ConnectionClosedError):
            versions(proxy.client("lambda", OTHER, **ONCE))
        assert versions(client) == []

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            (faults.not_enabled, (403, "UnrecognizedClientException")),
            (faults.expired, (403, "ExpiredTokenException")),
            (faults.access_denied, (403, "AccessDeniedException")),
            (faults.storage_exceeded, (400, "CodeStorageExceededException")),
            (faults.status(418, "TeapotException", "short and stout"), (418, "TeapotException")),
        ],
    )
    def test_lambda_refuses_before_the_work(self, proxy, client, layer, action, expected):
        proxy.rule(Rule(action, operation="PublishLayerVersion"))
        assert refused(publish, client, layer) == expected
        assert versions(client) == []

    @pytest.mark.parametrize(
        ("action", "sts", "ssm", "s3"),
        [
            (
                faults.throttle,
                (400, "Throttling"),
                (400, "ThrottlingException"),
                (503, "SlowDown"),
            ),
            (
                faults.not_enabled,
                (403, "InvalidClientTokenId"),
                (400, "UnrecognizedClientException"),
                (403, "InvalidAccessKeyId"),
            ),
            (
                faults.expired,
                (403, "ExpiredToken"),
                (400, "ExpiredTokenException"),
                (400, "ExpiredToken"),
            ),
            (
                faults.access_denied,
                (403, "AccessDenied"),
                (400, "AccessDeniedException"),
                (403, "AccessDenied"),
            ),
            (
                faults.error_after,
                (500, "InternalFailure"),
                (500, "InternalServerError"),
                (500, "InternalError"),
            ),
        ],
    )
    def test_each_service_refuses_in_its_own_words(self, proxy, action, sts, ssm, s3):
        proxy.rule(Rule(action))
        assert refused(proxy.client("sts", **ONCE).get_caller_identity) == sts
        assert refused(proxy.client("ssm", **ONCE).get_parameter, Name="/nodelayer/x") == ssm
        assert refused(proxy.client("s3", **ONCE).list_buckets) == s3

    @pytest.mark.parametrize(
        ("where", "hit"),
        [
            ({"region": HOME}, True),
            ({"region": OTHER}, False),
            ({"service": "lambda"}, True),
            ({"service": "s3"}, False),
            ({"operation": "ListLayerVersions"}, True),
            ({"operation": "PublishLayerVersion"}, False),
            ({"account": emulators.ACCOUNT}, True),
            ({"account": FOREIGN}, False),
            ({}, True),
        ],
    )
    def test_a_rule_hits_only_what_it_names(self, proxy, client, where, hit):
        rule = proxy.rule(Rule(faults.access_denied, **where))
        with suppress(ClientError):
            versions(client)
        assert rule.hits == hit
        assert [call.fault for call in proxy.calls] == ["access_denied" if hit else ""]

    def test_a_rule_hits_so_often_after_so_many(self, proxy, client):
        proxy.rule(Rule(faults.access_denied, skip=1, times=2))
        for _ in range(5):
            with suppress(ClientError):
                versions(client)
        assert [call.status for call in proxy.calls] == [200, 403, 403, 200, 200]

    def test_chance_is_the_same_for_the_same_seed(self, proxy, client):
        hit = []
        for seed in (1, 1, 2):
            proxy.clear()
            proxy.rule(Rule(faults.access_denied, probability=0.5, seed=seed))
            for _ in range(20):
                with suppress(ClientError):
                    versions(client)
            hit.append([call.status for call in proxy.calls])
        assert hit[0] == hit[1] != hit[2]
        assert set(hit[0]) == {200, 403}


class TestRateLimit:
    def test_what_goes_over_it_is_throttled(self, proxy, client):
        proxy.rate_limit = 3
        codes = []
        for _ in range(40):
            try:
                versions(client)
            except client.exceptions.TooManyRequestsException as error:
                codes.append(error.response["Reason"])
        assert set(codes) == {"CallerRateLimitExceeded"}
        assert {call.status for call in proxy.calls if call.fault == "rate_limit"} == {429}

    def test_each_region_and_account_has_its_own(self, proxy):
        proxy.rate_limit = 2
        for account in (emulators.ACCOUNT, FOREIGN):
            for region in (HOME, OTHER):
                client = proxy.client("lambda", region, account=account, **ONCE)
                versions(client)
                versions(client)
        assert [call.status for call in proxy.calls] == [200] * 8
        assert len(proxy.peak_rate) == 4
