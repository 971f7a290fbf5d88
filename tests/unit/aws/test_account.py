import pytest

from nodelayer.aws.account import open_account
from nodelayer.errors import UnreachableError


def test_error_for_an_unreachable_aws_names_the_requested_region(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(UnreachableError, match=r"sts:GetCallerIdentity \(\w+\) \[eu-west-1\]"):
        open_account(profile=None, wanted=("eu-west-1",))
