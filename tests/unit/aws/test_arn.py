import pytest

from nodelayer.aws.arn import LayerVersionArn, RuntimeVersionArn
from nodelayer.errors import InvalidInputError

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:3"
RUNTIME = "arn:aws:lambda:eu-west-1:123456789012:runtime/nodejs-12/version/12.16.1_1.0.0"


def test_an_arn_is_parsed():
    assert LayerVersionArn.parse(ARN) == LayerVersionArn(
        "aws", "eu-west-1", "123456789012", "nodejs-12-16-1-x86_64", 3
    )


@pytest.mark.parametrize(
    "text",
    [
        ARN,
        "arn:aws-cn:lambda:cn-northwest-1:123456789012:layer:a_b:1",
        "arn:aws-us-gov:lambda:us-gov-east-1:123456789012:layer:a:10",
        "arn:aws-eusc:lambda:eusc-de-east-1:123456789012:layer:a:1",
    ],
)
def test_str_returns_the_parsed_arn(text):
    assert str(LayerVersionArn.parse(text)) == text


def test_layer_is_the_arn_without_its_version():
    assert LayerVersionArn.parse(ARN).layer == ARN.rpartition(":")[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ARN.rpartition(":")[0],
        f"{ARN}:1",
        f" {ARN}",
        f"{ARN}\n",
        ARN.replace(":3", ":0"),
        ARN.replace("123456789012", "1234"),
        ARN.replace("lambda", "s3"),
        ARN.replace("arn:aws:", "arn:azure:"),
        ARN.replace("nodejs-", "nodejs.", 1),
        ARN.replace("eu-west-1", "eu-west-1;x"),
    ],
)
def test_other_text_is_rejected(text):
    with pytest.raises(InvalidInputError, match="is not the ARN of a layer version"):
        LayerVersionArn.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        RUNTIME,
        "arn:aws-eusc:lambda:eusc-de-east-1:123456789012:runtime/a.b_c-1/version/_",
        f"arn:aws-cn:lambda:cn-north-1:123456789012:runtime/{'a' * 128}/version/{'A' * 128}",
    ],
)
def test_str_returns_the_parsed_arn_of_a_runtime_version(text):
    arn = RuntimeVersionArn.parse(text)
    assert str(arn) == text
    assert arn.runtime == text.partition("/version/")[0]
    assert RuntimeVersionArn("aws", "eu-west-1", "123456789012", "nodejs-12", "12.16.1_1.0.0") == (
        RuntimeVersionArn.parse(RUNTIME)
    )


@pytest.mark.parametrize(
    "text",
    [
        ARN,
        RUNTIME.partition("/version/")[0],
        RUNTIME.replace("version", "alias"),
        f"{RUNTIME}\n",
        f"{RUNTIME}/1",
        f"{RUNTIME}.",
        RUNTIME.replace("nodejs", "Nodejs"),
        RUNTIME.replace("nodejs-12", "n"),
        RUNTIME.replace("nodejs-12", "a" * 129),
        RUNTIME.replace("12.16.1_1.0.0", "1" * 129),
        RUNTIME.replace("123456789012", "١٢٣٤٥٦٧٨٩٠١٢"),
    ],
)
def test_other_text_is_not_the_arn_of_a_runtime_version(text):
    with pytest.raises(InvalidInputError, match="is not the ARN of a runtime version"):
        RuntimeVersionArn.parse(text)
