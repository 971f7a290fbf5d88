"""A denied call names the right that is missing, also where that is not the call's own."""

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
def test_a_bucket_that_cannot_be_made_names_iam_s_action_and_not_the_operation(
    proxy, region, operation, action
):
    proxy.rule(Rule(faults.access_denied, operation=operation))
    with pytest.raises(RefusedError, match=rf"^not allowed: {action} \[eu-west-1 nodelayer-1\]: add it"):
        region.buckets.make("nodelayer-1")


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_an_upload_that_is_denied_names_the_right_to_put_also_for_a_part(
    proxy, region, layer_zip, tmp_path, operation
):
    region.buckets.make("nodelayer-1")
    zipped = layer_zip(tmp_path, size=(1 << 12) if operation == "PutObject" else 9 << 20).zip
    proxy.rule(Rule(faults.access_denied, operation=operation))
    with pytest.raises(RefusedError, match=r"^not allowed: s3:PutObject \[eu-west-1 nodelayer-1/x\.zip\]"):
        region.buckets.upload(zipped, "nodelayer-1", "x.zip", print)


def denied(proxy, operation, message):
    proxy.rule(Rule(faults.status(403, "AccessDenied", message), operation=operation))


def test_the_action_that_aws_names_is_told_instead_of_the_call_s_own(proxy, region):
    action = "s3:PutBucketOwnershipControls"
    denied(proxy, "CreateBucket", f"{USER} is not authorized to perform: {action} on resource: *")
    with pytest.raises(RefusedError, match=rf"^not allowed: {action} \[eu-west-1 nodelayer-1\]: add it"):
        region.buckets.make("nodelayer-1")


def test_a_zip_that_lambda_may_not_read_names_the_right_to_read_it(proxy, region, layer_zip, tmp_path):
    layer_zip(tmp_path)
    wanted = metadata.for_artifact(artifact.built("12.16.1", ["x86_64"], tmp_path)[0])
    rule = Rule(faults.status(403, "AccessDeniedException", BY_S3), operation="PublishLayerVersion")
    proxy.rule(rule)
    with pytest.raises(RefusedError, match=r"^not allowed: s3:GetObject of nodelayer-1/x\.zip \["):
        region.layers.publish(wanted, ("nodelayer-1", "x.zip"), print)
