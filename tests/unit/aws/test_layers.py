"""What AWS answers about a layer version."""

import pytest

from nodelayer.aws.layers import _content
from nodelayer.errors import RefusedError

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


@pytest.mark.parametrize("field", ANSWER)
def test_a_missing_field_is_an_error_that_names_it(field):
    with pytest.raises(RefusedError, match=f"lacks {field}"):
        _content({name: value for name, value in ANSWER.items() if name != field})
