"""As much of AWS as publishing a layer needs, for one account, fast enough not to be what is measured.

    python benchmarks/publish_server.py --zip layer.zip --regions eu-west-1,us-east-1 --latency 0.08

Prints its port, then answers STS, the account API and Lambda on it until it is killed. Every answer waits
for the latency, after the request has come whole; nothing is signed, encrypted or unpacked. What is published
must be the zip it was given: windows of the body are compared, or all of it after POST /control
{"check": "all"}; between the windows the kernel throws the bytes away, so that receiving costs the machine
little. POST /control {"bandwidth": 20000000} lets each connection send so many bytes a second (0: any number)
and forgets what was published; GET /control says what was seen.
"""

import argparse
import base64
import hashlib
import json
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACCOUNT = "123456789012"
_HEAD = 1 << 16  # bytes; of a request's head, and of what is read at once
_FRONT = 1 << 12  # bytes of a body in which the zip begins
_WINDOW = 1 << 16  # bytes that are compared
_EVERY = 4 << 20  # bytes from one window to the next
_PIECE = 4 << 20  # bytes thrown away at once
_BUFFER = 1 << 20  # bytes the kernel takes in before they are asked for
_TICK_S = 0.02  # between two reads of a connection whose bandwidth is limited
_CREATED = "2026-01-01T00:00:00.000+0000"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/")
_LAYERS = re.compile(r"/2018-10-31/layers/([^/?]+)/versions(?:/(\d+))?(/policy)?/?(?:\?.*)?")


@dataclass
class Seen:
    """Since the last reset: calls by operation, and seconds of CLOCK_MONOTONIC of the first and the last."""

    calls: dict[str, int] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    wrong: int = 0


@dataclass
class Settings:
    """What a measurement changes."""

    bandwidth: int = 0
    check: str = "windows"


Answer = tuple[str, int, str]
_UNKNOWN: Answer = ("unknown", 404, '{"message": "there is no such thing"}')


class Aws:
    """What the account holds, by region and layer, and the answers to what is asked."""

    def __init__(self, zipped: bytes, regions: list[str], latency: float) -> None:
        self.latency = latency
        self.settings = Settings()
        self.encoded = base64.b64encode(zipped)
        self._content = {
            "CodeSha256": base64.b64encode(hashlib.sha256(zipped).digest()).decode(),
            "CodeSize": len(zipped),
            "Location": "http://127.0.0.1/",
        }
        on = [{"RegionName": each, "RegionOptStatus": "ENABLED_BY_DEFAULT"} for each in regions]
        room = {"AccountLimit": {"TotalCodeSize": 80_530_636_800}, "AccountUsage": {"TotalCodeSize": 0}}
        self._fixed: dict[str, Answer] = {
            "sts": ("GetCallerIdentity", 200, _IDENTITY),
            "account": ("ListRegions", 200, json.dumps({"Regions": on})),
            "settings": ("GetAccountSettings", 200, json.dumps(room)),
        }
        self._lock = threading.Lock()
        self._seen = Seen()
        self._layers: dict[tuple[str, str], list[list[dict[str, Any]]]] = {}

    def control(self, body: bytes) -> dict[str, Any]:
        """Forget what was published and seen where there is a body; say what was seen."""
        with self._lock:
            if body:
                self.settings = Settings(**json.loads(body))
                self._layers, self._seen = {}, Seen()
            return vars(self._seen)

    def wrong(self) -> None:
        """Count a body that was not the zip."""
        with self._lock:
            self._seen.wrong += 1

    def answer(self, head: "Head", body: bytes, began: float) -> tuple[int, bytes]:
        """Status and body. `began` is when the request's head was there."""
        with self._lock:
            operation, status, text = self._answered(head, body)
            self._seen.calls[operation] = self._seen.calls.get(operation, 0) + 1
            self._seen.first = min(self._seen.first or began, began)
        time.sleep(self.latency)
        with self._lock:
            self._seen.last = time.monotonic()
        return status, text.encode()

    def _answered(self, head: "Head", body: bytes) -> Answer:
        """Operation, status and body."""
        region, service = head.scope
        kind = "settings" if "/account-settings" in head.target else service
        asked = _LAYERS.fullmatch(head.target)
        if kind in self._fixed:
            return self._fixed[kind]
        if asked is None:
            return _UNKNOWN
        name, number, policy = asked.groups()
        versions = self._layers.setdefault((region, name), [])
        arn = f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}"
        if number is None:
            return self._of_layer(head.method, versions, arn, body)
        if int(number) > len(versions):
            return _UNKNOWN
        if policy:
            return _of_policy(head.method, versions[int(number) - 1], f"{arn}:{number}", body)
        return "GetLayerVersion", 200, json.dumps(self._version(arn, int(number), content=True))

    def _of_layer(self, method: str, versions: list[list[dict[str, Any]]], arn: str, wrong: bytes) -> Answer:
        if method == "GET":
            listed = [self._version(arn, each + 1, content=False) for each in reversed(range(len(versions)))]
            return "ListLayerVersions", 200, json.dumps({"LayerVersions": listed})
        if wrong:
            return "PublishLayerVersion", 400, '{"message": "this is not the zip"}'
        versions.append([])
        return "PublishLayerVersion", 201, json.dumps(self._version(arn, len(versions), content=True))

    def _version(self, arn: str, number: int, *, content: bool) -> dict[str, Any]:
        found: dict[str, Any] = {
            "LayerVersionArn": f"{arn}:{number}",
            "Version": number,
            "CreatedDate": _CREATED,
            "Description": "",
        }
        return {**found, "LayerArn": arn, "Content": self._content} if content else found


def _of_policy(method: str, statements: list[dict[str, Any]], arn: str, body: bytes) -> Answer:
    if method == "POST":
        wanted = json.loads(body)
        statement = {"Sid": wanted["StatementId"], "Effect": "Allow", "Principal": wanted["Principal"]}
        statements.append({**statement, "Action": wanted["Action"], "Resource": arn})
        text = json.dumps({"Statement": json.dumps(statements[-1]), "RevisionId": "1"})
        return "AddLayerVersionPermission", 201, text
    if not statements:
        return "GetLayerVersionPolicy", 404, json.dumps({"message": "there is no policy"})
    document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return "GetLayerVersionPolicy", 200, json.dumps({"Policy": json.dumps(document), "RevisionId": "1"})


_IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
    "</GetCallerIdentityResponse>"
)


@dataclass(frozen=True)
class Head:
    """A request without its body; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]

    @classmethod
    def parse(cls, raw: bytes) -> "Head":
        first, *rest = raw.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in rest if line)
        return cls(method, target, {name.lower(): value.strip() for name, _, value in pairs})

    @property
    def scope(self) -> tuple[str, str]:
        """Region and service that the request was signed for."""
        found = _SCOPE.search(self.headers.get("authorization", ""))
        return (found[1], found[2]) if found else ("", "")

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", 0))


class Connection:
    """One client's connection: its requests are answered one after the other."""

    def __init__(self, link: socket.socket, aws: Aws) -> None:
        self._link = link
        self._aws = aws
        self._left = b""

    def serve(self) -> None:
        with self._link:
            while head := self._head():
                began = time.monotonic()
                if head.headers.get("expect", "").lower() == "100-continue":
                    self._link.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                if head.target == "/control":
                    status, body = 200, json.dumps(self._aws.control(self._body(head.length))).encode()
                elif head.method == "POST" and head.target.partition("?")[0].rstrip("/").endswith(
                    "/versions"
                ):
                    good = self._zip(head.length)
                    if not good:
                        self._aws.wrong()
                    status, body = self._aws.answer(head, b"" if good else b"wrong", began)
                else:
                    status, body = self._aws.answer(head, self._body(head.length), began)
                kind = "text/xml" if head.scope[1] == "sts" else "application/json"
                more = "x-amzn-ErrorType: ResourceNotFoundException\r\n" if status == 404 else ""  # noqa: PLR2004
                lines = (
                    f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n"
                )
                self._link.sendall(f"{lines}\r\n".encode() + body)

    def _head(self) -> Head | None:
        while b"\r\n\r\n" not in self._left:
            data = self._link.recv(_HEAD)
            if not data:
                return None
            self._left += data
        raw, _, self._left = self._left.partition(b"\r\n\r\n")
        return Head.parse(raw)

    def _body(self, length: int) -> bytes:
        while len(self._left) < length:
            data = self._link.recv(_HEAD)
            if not data:
                raise ConnectionError("the body ends early")
            self._left += data
        body, self._left = self._left[:length], self._left[length:]
        return body

    def _zip(self, length: int) -> bool:
        """Read the body of a PublishLayerVersion, and say whether it holds the zip."""
        encoded, mark = self._aws.encoded, b'"ZipFile": "'
        began = time.monotonic()
        front = self._body(min(length, _FRONT)) + self._left  # the next request comes after the answer
        self._left = b""
        start = front.find(mark) + len(mark)
        at, end = len(front), start + len(encoded)
        good = mark in front and front[start:] == encoded[: len(front) - start] and end < length
        everything = self._aws.settings.check == "all"
        pace = self._aws.settings.bandwidth
        buffer = bytearray(_PIECE)
        while at < length:
            window = at % _EVERY < _WINDOW or at >= end - _WINDOW or everything
            here = min(length, end if window and at < end else length) - at
            if window:
                here = min(here, _PIECE if everything else _WINDOW)
            else:
                here = min(here, _EVERY - at % _EVERY, end - _WINDOW - at)
            if pace:
                ahead = at / pace - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(max(ahead, _TICK_S))
                here = min(here, int(pace * _TICK_S * 2))
            got = self._link.recv_into(buffer, here, 0 if window else socket.MSG_TRUNC)
            if not got:
                raise ConnectionError("the body ends early")
            if window and at < end:
                good = good and buffer[:got] == encoded[at - start : at - start + got]
            at += got
        return good


def serve(aws: Aws) -> None:
    """Answer until killed, each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    print(listener.getsockname()[1], flush=True)
    while True:
        link, _ = listener.accept()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_served, args=(Connection(link, aws),), daemon=True).start()


def _served(connection: Connection) -> None:
    try:
        connection.serve()
    except ConnectionError as error:
        print(error, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="as much of AWS as publishing a layer needs")
    parser.add_argument("--zip", type=Path, required=True, help="what is to be published")
    parser.add_argument("--regions", required=True, help="the account's regions, with commas between")
    parser.add_argument("--latency", type=float, default=0.08, help="seconds before each answer")
    options = parser.parse_args()
    serve(Aws(options.zip.read_bytes(), options.regions.split(","), options.latency))


if __name__ == "__main__":
    main()
