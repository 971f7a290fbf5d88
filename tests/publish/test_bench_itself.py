"""The emulators and the proxy do what the tests of publishing rely on, as boto3 sees it."""

import pytest
from botocore.exceptions import (
    ClientError,
)
from publish import faults
from publish.faults import Rule

from nodelayer import record

pytestmark = pytest.mark.network

NAME = "nodejs-12-16-1-x86_64"
ONCE = {"retries": {"mode": "standard", "total_max_attempts": 1}}
STANDARD = {"retries": {"mode": "standard", "total_max_attempts": 3}}
HOME = "eu-central-1"
OTHER = "eu-west-1"


@pytest.fixture
def layer(layer_zip, tmp_path):
    return layer_zip(tmp_path / "dist")


def publish(client, layer):
    return client.publish_layer_version(
        LayerName=NAME, Content={"ZipFile": layer.zip.read_bytes()}, CompatibleRuntimes=["provided.al2023"]
    )


def versions(client):
    return [each["Version"] for each in client.list_layer_versions(LayerName=NAME)["LayerVersions"]]


def refused(call):
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_a_published_layer_has_the_sha256_of_the_build_record(proxy, layer):
    answer = publish(proxy.client("lambda", HOME), layer)
    assert answer["Content"]["CodeSha256"] == record.load(layer.record_path).code_sha256


def test_throttle_is_retried_by_botocore(proxy, layer):
    rule = proxy.rule(Rule(faults.throttle, operation="PublishLayerVersion", times=2))
    answer = publish(proxy.client("lambda", HOME, **STANDARD), layer)
    assert answer["ResponseMetadata"]["RetryAttempts"] == rule.hits == 2
    assert [call.status for call in proxy.calls] == [429, 429, 201]


def test_error_after_leaves_a_version_behind_a_500(proxy, layer):
    client = proxy.client("lambda", HOME, **ONCE)
    proxy.rule(Rule(faults.error_after, operation="PublishLayerVersion"))
    assert refused(lambda: publish(client, layer)) == (500, "ServiceException")
    assert versions(client) == [1]
