"""A denied call names the missing permission, also if it differs from the name of the call."""

import pytest
from publish import faults
from publish.emulators import ACCOUNT
from publish.faults import Rule

from nodelayer.aws.account import open_account
from nodelayer.errors import RefusedError
from nodelayer.layer import artifact
from nodelayer.publish.layers import metadata

pytestmark = pytest.mark.network

REGION = "eu-west-1"
USER = "User: arn:aws:sts::123456789012:assumed-role/nodelayer-publisher/GitHubActions"
BY_S3 = (
    "Your access has been denied by S3, please make sure your request credentials have permission to "
    "GetObject for nodelayer-1/x.zip. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
)


@pytest.fixture
def region(proxy, monkeypatch):
    for name, value in proxy.environ().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    account = open_account(profile=None, wanted=(REGION,))
    assert account.id == ACCOUNT
    return account.region(REGION)


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
        ("CreateBucket", "s3:CreateBucket"),
        ("PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
        ("PutBucketEncryption", "s3:PutEncryptionConfiguration"),
        ("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
    ],
)
def test_a_denied_bucket_creation_names_the_iam_action(proxy, region, operation, action):
    proxy.rule(Rule(faults.access_denied, operation=operation))
    with pytest.raises(
        RefusedError, match=rf"^not allowed: {action} \[eu-west-1 nodelayer-1\]: allow this action"
    ):
        region.buckets.make("nodelayer-1")


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_a_denied_upload_names_s3_put_object(proxy, region, layer_zip, tmp_path, operation):
    region.buckets.make("nodelayer-1")
    zipped = layer_zip(tmp_path, size=(1 << 12) if operation == "PutObject" else 9 << 20).zip
    proxy.rule(Rule(faults.access_denied, operation=operation))
    with pytest.raises(RefusedError, match=r"^not allowed: s3:PutObject \[eu-west-1 nodelayer-1/x\.zip\]"):
        region.buckets.upload(zipped, "nodelayer-1", "x.zip", print)


def denied(proxy, operation, message):
    proxy.rule(Rule(faults.status(403, "AccessDenied", message), operation=operation))


def test_error_names_the_action_from_the_message_of_aws(proxy, region):
    action = "s3:PutBucketOwnershipControls"
    denied(proxy, "CreateBucket", f"{USER} is not authorized to perform: {action} on resource: *")
    with pytest.raises(
        RefusedError, match=rf"^not allowed: {action} \[eu-west-1 nodelayer-1\]: allow this action"
    ):
        region.buckets.make("nodelayer-1")


def test_the_error_names_s3_get_object_if_lambda_cannot_read_the_zip(proxy, region, layer_zip, tmp_path):
    layer_zip(tmp_path)
    wanted = metadata.for_artifact(artifact.built("12.16.1", ["x86_64"], tmp_path)[0])
    rule = Rule(faults.status(403, "AccessDeniedException", BY_S3), operation="PublishLayerVersion")
    proxy.rule(rule)
    with pytest.raises(RefusedError, match=r"^not allowed: s3:GetObject of nodelayer-1/x\.zip \["):
        region.layers.publish(wanted, ("nodelayer-1", "x.zip"), print)
