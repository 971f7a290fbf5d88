"""A fast server with the AWS API calls that publishing a layer needs, for one account.

It answers calls of STS, the Account API and Lambda over HTTP. It delays each answer by the latency, after the
whole request has arrived. It checks no signature, encrypts nothing and unpacks nothing. A layer version
must have the size of the zip and begin with its content; the kernel drops the rest of the body, to save time.
"""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nodelayer.errors import NodelayerError

ACCOUNT = "123456789012"
_FRONT = 1 << 12
"""Length of the start of a request body in bytes, in which the zip begins."""
_PIECE = 4 << 20
"""Bytes to drop at once."""
_TICK_S = 0.02
"""Seconds between two reads of a connection whose bandwidth is limited."""
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/")
_LAYERS = re.compile(r"/2018-10-31/layers/([^/?]+)/versions(?:/(\d+))?(/policy)?/?(?:\?.*)?")
_IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)

Reply = tuple[int, Any]


class Aws:
    """State of the account: the policy statements of each layer version, by region and layer."""

    def __init__(self, zipped: bytes, regions: Sequence[str], latency: float) -> None:
        """Accept only `zipped` as the content of a layer version."""
        self.latency = latency
        self.bandwidth = 0
        """Bytes per second of each connection; 0 means unlimited."""
        self.wrong: list[str] = []
        """Unexpected requests."""
        self.encoded = base64.b64encode(zipped)
        self._content = {
            "CodeSha256": base64.b64encode(hashlib.sha256(zipped).digest()).decode(),
            "CodeSize": len(zipped),
            "Location": "http://127.0.0.1/",
        }
        on = [{"RegionName": each, "RegionOptStatus": "ENABLED_BY_DEFAULT"} for each in regions]
        room = {"AccountLimit": {"TotalCodeSize": 1 << 36}, "AccountUsage": {"TotalCodeSize": 0}}
        self._fixed = {"sts": _IDENTITY, "account": {"Regions": on}, "settings": room}
        self._layers: dict[tuple[str, str], list[list[dict[str, Any]]]] = {}
        self._lock = threading.Lock()

    def reset(self, bandwidth: int) -> None:
        """Delete all layer versions and set the bandwidth."""
        with self._lock:
            self._layers, self.bandwidth = {}, bandwidth

    def published(self) -> int:
        """Return the number of layer versions that have a permission.

        Raises:
            NodelayerError: The server got an unexpected request.

        """
        if self.wrong:
            raise NodelayerError(f"unexpected requests: {', '.join(self.wrong[:5])}")
        return sum(bool(statements) for versions in self._layers.values() for statements in versions)

    def answer(self, method: str, path: str, scope: tuple[str, str], body: bytes) -> Reply:
        """Return status and body. `scope` has region and service of the request's signature."""
        region, service = scope
        kind = "settings" if "/account-settings" in path else service
        if kind in self._fixed:
            return 200, self._fixed[kind]
        asked = _LAYERS.fullmatch(path)
        if asked is None:
            self.wrong.append(f"{method} {path}")
            return 404, {"message": "not found"}
        name, number, policy = asked.groups()
        with self._lock:
            versions = self._layers.setdefault((region, name), [])
            arn = f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}"
            if number is None:
                return self._of_layer(method, versions, arn)
            if policy:
                return _of_policy(method, versions[int(number) - 1], f"{arn}:{number}", body)
            return 200, self._version(arn, int(number))

    def _of_layer(self, method: str, versions: list[list[dict[str, Any]]], arn: str) -> Reply:
        if method == "POST":
            versions.append([])
            return 201, self._version(arn, len(versions))
        return 200, {"LayerVersions": [self._version(arn, each) for each in range(len(versions), 0, -1)]}

    def _version(self, arn: str, number: int) -> dict[str, Any]:
        return {
            "LayerArn": arn,
            "LayerVersionArn": f"{arn}:{number}",
            "Version": number,
            "CreatedDate": "2026-01-01T00:00:00.000+0000",
            "Description": "",
            "Content": self._content,
        }


def _of_policy(method: str, statements: list[dict[str, Any]], arn: str, body: bytes) -> Reply:
    if method == "POST":
        wanted = json.loads(body)
        statement = {"Sid": wanted["StatementId"], "Effect": "Allow", "Principal": wanted["Principal"]}
        statements.append({**statement, "Action": wanted["Action"], "Resource": arn})
        return 201, {"Statement": json.dumps(statements[-1]), "RevisionId": "1"}
    if not statements:
        return 404, {"message": "no policy"}
    document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return 200, {"Policy": json.dumps(document), "RevisionId": "1"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 0  # the kernel keeps the body until it is read
    disable_nagle_algorithm = True
    aws: Aws
    connection: socket.socket

    def do_GET(self) -> None:
        """Answer a request without a body."""
        self.do_POST()

    def do_POST(self) -> None:
        """Read the body, wait for the latency, and answer."""
        length = int(self.headers.get("Content-Length", 0))
        body = self._zip(length) if length > _FRONT else self.connection.recv(length, socket.MSG_WAITALL)
        found = _SCOPE.search(self.headers.get("Authorization", ""))
        scope = (found[1], found[2]) if found else ("", "")
        status, reply = self.aws.answer(self.command, self.path, scope, body)
        time.sleep(self.aws.latency)
        text = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 404:  # noqa: PLR2004
            self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
        self.end_headers()
        self.wfile.write(text)

    def _zip(self, length: int) -> bytes:
        began = time.monotonic()
        front = self.connection.recv(_FRONT, socket.MSG_WAITALL)
        _, mark, content = front.partition(b'"ZipFile": "')
        encoded = self.aws.encoded
        if not mark or not encoded.startswith(content) or not len(encoded) < length < len(encoded) + _FRONT:
            self.aws.wrong.append(f"{self.path} with another zip")
        buffer, at, pace = bytearray(_PIECE), len(front), self.aws.bandwidth
        while at < length:
            if pace and (ahead := at / pace - (time.monotonic() - began)) > 0:
                time.sleep(max(ahead, _TICK_S))
            most = min(length - at, int(pace * _TICK_S * 2) if pace else _PIECE)
            got = self.connection.recv_into(buffer, most, socket.MSG_TRUNC)
            if not got:
                raise ConnectionError("the request ended early")
            at += got
        return b""

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""


@contextmanager
def serve(aws: Aws) -> Iterator[str]:
    """Start the server, and yield its endpoint."""
    handler = type("Handler", (_Handler,), {"aws": aws})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket.listen(256)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
