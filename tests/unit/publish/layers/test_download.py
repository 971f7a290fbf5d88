"""The download of a published layer version over a failing connection."""

import hashlib
import socket
import threading
from contextlib import contextmanager

import pytest

from nodelayer.aws.layers import Content
from nodelayer.errors import UnreachableError
from nodelayer.layer.record import code_sha256
from nodelayer.publish.layers import download

SECRET = "X-Amz-Security-Token=IQoJb3JpZ2lu&X-Amz-Signature=0123abcd"  # noqa: S105 - not a real token
ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:1"


@contextmanager
def answering(raw):
    """Serve these bytes to each request and close; yield a presigned URL on that host."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(raw)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/snapshots/layer?{SECRET}"


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def content(location):
    return Content(1, ARN, code_sha256(hashlib.sha256(b"").digest()), 100, location, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    ],
)
def test_error_of_a_failed_download_does_not_contain_the_signature(tmp_path, raw):
    with answering(raw) as url, pytest.raises(UnreachableError) as caught:
        download.download(content(url), tmp_path / "layer.zip")
    assert "X-Amz" not in str(caught.value)
