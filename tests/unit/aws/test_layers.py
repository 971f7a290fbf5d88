"""What AWS answers about a layer version."""

from nodelayer.aws.layers import _content

ARN = "arn:aws:lambda:eu-west-1:210987654321:layer:other:1"
ANSWER = {
    "Content": {"CodeSha256": "A" * 43 + "=", "CodeSize": 1},
    "LayerVersionArn": ARN,
    "CreatedDate": "2026-11-24T21:12:37.020+0000",
    "Version": 1,
}


def test_runtimes_architectures_and_location_may_be_missing():
    found = _content(ANSWER)
    assert (found.runtimes, found.architectures, found.location) == ((), (), "")
