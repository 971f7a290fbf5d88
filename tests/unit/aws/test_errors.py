"""Every error of AWS becomes one line with a next step."""

import base64

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session

from nodelayer.aws import errors
from nodelayer.errors import MachineError, NodelayerError, RefusedError, UnreachableError

CALLS = {
    "lambda": (
        "AddLayerVersionPermission",
        "CreateFunction",
        "DeleteFunction",
        "DeleteLayerVersion",
        "GetAccountSettings",
        "GetFunctionConfiguration",
        "GetLayerVersion",
        "GetLayerVersionByArn",
        "GetLayerVersionPolicy",
        "Invoke",
        "InvokeWithResponseStream",
        "ListFunctions",
        "ListLayerVersions",
        "PublishLayerVersion",
        "RemoveLayerVersionPermission",
        "UpdateFunctionConfiguration",
    ),
    "s3": (
        "CompleteMultipartUpload",
        "CreateBucket",
        "CreateMultipartUpload",
        "GetBucketLifecycleConfiguration",
        "HeadObject",
        "PutBucketEncryption",
        "PutBucketLifecycleConfiguration",
        "PutObject",
        "PutPublicAccessBlock",
        "UploadPart",
    ),
    "ssm": ("GetParameters", "PutParameter"),
    "sts": ("GetCallerIdentity",),
    "account": ("ListRegions",),
}
SCP = "service control policy"


def translated(code, message="", status=400, action="lambda:PublishLayerVersion"):
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    with pytest.raises(NodelayerError) as raised, errors.translate_errors(action, "x", "eu-west-1"):
        raise ClientError(response, "Call")
    return raised.value


def test_every_declared_error_has_a_next_step_and_keeps_the_words_of_aws():
    session = Session()
    codes = {
        shape.metadata.get("error", {}).get("code", shape.name)
        for service, operations in CALLS.items()
        for model in [session.get_service_model(service)]
        for operation in operations
        for shape in model.operation_model(operation).error_shapes
    }
    assert len(codes) > 25
    for code in codes:
        error = translated(code, "words of AWS")
        assert error.todo, code
        if "AWS rejected" in error.what:
            assert "words of AWS" in error.what, code


@pytest.mark.parametrize(
    ("message", "why", "todo"),
    [
        (f"with an explicit deny in a {SCP}: arn:x", f"(with an explicit deny in a {SCP})", "administrator"),
        (f"because no {SCP} allows the lambda:P action", f"because no {SCP} allows", "administrator"),
        ("because no permissions boundary allows the lambda:P action", "boundary", "permissions boundary"),
        ("with an explicit deny in an identity-based policy", "explicit deny", "remove the deny"),
        ("with an explicit deny in a VPC endpoint policy", "VPC endpoint", "change the VPC endpoint policy"),
        ("because no identity-based policy allows the lambda:P action", "", "allow this action in the role"),
        ("", "", "allow this action in the role's policy (docs/publishing.md)"),
    ],
)
def test_denied_call_names_the_kind_of_policy(message, why, todo):
    error = translated(
        "AccessDeniedException",
        f"User: arn:x is not authorized to perform: lambda:Publish on resource: y {message}",
        403,
    )
    assert isinstance(error, RefusedError)
    assert error.what.startswith("not allowed: lambda:Publish")
    assert why in error.what
    assert todo in error.todo
    assert ("(" in error.what) == bool(why)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidSignatureException", "Signature expired: 1 is now earlier than 2 (3 - 5 min.)"),
        ("SignatureDoesNotMatch", "Signature not yet current: 2 is still later than 1"),
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        ("RequestExpired", "Request has expired."),
    ],
)
def test_wrong_clock_is_not_reported_as_expired_credentials(code, message):
    error = translated(code, message, 403)
    assert (type(error), error.todo) == (MachineError, "set the clock")


def test_wrong_secret_key_is_not_reported_as_a_wrong_clock():
    error = translated("InvalidSignatureException", "The request signature we calculated does not match", 403)
    assert error.todo == "check the secret access key"


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        ("NoSuchBucket", "", "does not exist"),
        ("PermanentRedirect", "", "lies in another region"),
        ("301", "Moved Permanently", "lies in another region"),
        ("AuthorizationHeaderMalformed", "expecting 'us-east-1'", "lies in another region (expecting 'us-e"),
        ("InvalidParameterValueException", "S3 Error Code: NoSuchBucket. S3", "does not exist"),
        ("InvalidParameterValueException", "S3 Error Code: NoSuchKey. S3", "the zip is no longer in"),
        ("InvalidParameterValueException", "S3 Error Code: PermanentRedirect. S3", "lies in another region"),
    ],
)
def test_unusable_staging_bucket_has_a_next_step(code, message, words):
    error = translated(code, message)
    assert words in error.what
    assert "run the command again" in error.todo


def test_read_repeats_a_call_whose_answer_is_not_valid(monkeypatch):
    monkeypatch.setattr(errors, "_PAUSES", (0, 0))
    answers = [{}, {}, {"Policy": "x"}]
    assert errors.read("lambda:Get", "", "eu-west-1", lambda: answers.pop(0)["Policy"]) == "x"


def test_read_fails_in_one_line_if_no_answer_is_valid(monkeypatch):
    monkeypatch.setattr(errors, "_PAUSES", (0, 0))
    with pytest.raises(
        UnreachableError, match=r"AWS's answer to lambda:Get is not valid \(KeyError: 'Policy'\)"
    ):
        errors.read("lambda:Get", "", "eu-west-1", lambda: {}["Policy"])


def test_log_that_is_not_base64_is_an_answer_that_is_not_valid():
    with (
        pytest.raises(UnreachableError, match="AWS's answer to lambda:InvokeFunction is not valid"),
        errors.translate_errors("lambda:InvokeFunction", "x", "eu-west-1"),
    ):
        base64.b64decode("x")


def test_runtime_that_lambda_refuses_is_told_from_other_invalid_parameters():
    action, code = "lambda:CreateFunction", "InvalidParameterValueException"
    retired = translated(code, "The runtime parameter of nodejs12.x is no longer supported.", action=action)
    role = translated(code, "The role defined for the function cannot be assumed by Lambda.", action=action)
    assert (type(retired), type(role)) == (errors.RuntimeRefusedError, RefusedError)
    assert "(The runtime parameter of nodejs12.x is no longer supported)" in retired.what
