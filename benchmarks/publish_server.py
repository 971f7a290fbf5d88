"""A fast server, in a process of its own, with the AWS API calls that publishing a layer needs.

It answers calls of STS, the Account API and Lambda over HTTP, for one account. It delays each answer by the
latency of the region, after the whole request has arrived, and allows 15 requests per second in each region,
as Lambda does. It checks no signature, encrypts nothing and unpacks nothing. A layer version must have the
size of the zip and begin with its content; the kernel drops the rest of the body, to save time.

As a program, it reads a `Command` from each line of standard input, and answers each with a `Report`.
"""

import base64
import hashlib
import json
import random
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodelayer.aws.quotas import REQUESTS_A_SECOND
from nodelayer.errors import NodelayerError

ACCOUNT = "123456789012"
LATENCIES_S = (0.05, 0.3)
"""Shortest and longest latency of a region."""
_SEED = 15
_FRONT = 1 << 12
"""Length of the start of a request body in bytes, in which the zip begins."""
_PIECE = 4 << 20
"""Bytes to drop at once."""
_TICK_S = 0.02
"""Seconds between two reads of a connection whose bandwidth is limited."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SCOPE = re.compile(rb"Credential=[^/]+/\d+/([^/]+)/([^/]+)/")
_LAYERS = re.compile(r"/2018-10-31/layers/([^/?]+)/versions(?:/(\d+))?(/policy)?/?(?:\?.*)?")
IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)
_SETTINGS = {"AccountLimit": {"TotalCodeSize": 1 << 38}, "AccountUsage": {"TotalCodeSize": 0}}
_OPERATIONS = {
    ("POST", False, False): "PublishLayerVersion",
    ("GET", False, False): "ListLayerVersions",
    ("GET", True, False): "GetLayerVersion",
    ("POST", True, True): "AddLayerVersionPermission",
    ("GET", True, True): "GetLayerVersionPolicy",
}
"""Operations by method, and whether the path has a version number and a policy."""

Reply = tuple[int, Any]


def latencies(regions: Sequence[str]) -> dict[str, float]:
    """Return the latency of each region in seconds, the same in each run."""
    chance = random.Random(_SEED)  # noqa: S311 - no secret
    return {region: chance.uniform(*LATENCIES_S) for region in sorted(regions)}


@dataclass(frozen=True)
class Command:
    """Delete all layer versions if `forget`. `bandwidth`: bytes per second and connection, 0 is unlimited."""

    bandwidth: int = 0
    forget: bool = True


@dataclass(frozen=True)
class Report:
    """The public layer versions, and since the last command the requests by operation and by region.

    `seconds` is the longest time from the first to the last of a region, `throttled` the number of requests
    above the quota. `wrong` has the unexpected requests.
    """

    published: int
    operations: Mapping[str, int]
    regions: Mapping[str, int]
    seconds: float
    throttled: int
    wrong: Sequence[str]


class Quota:
    """Requests per second; an unused second's worth may be sent at once. Used under a lock."""

    def __init__(self) -> None:
        """Start with a second's worth."""
        self._left, self._at = float(REQUESTS_A_SECOND), time.monotonic()

    def allows(self) -> bool:
        """Count a request."""
        now = time.monotonic()
        self._left = min(REQUESTS_A_SECOND, self._left + (now - self._at) * REQUESTS_A_SECOND)
        self._at = now
        allowed = self._left >= 1
        self._left -= allowed
        return allowed


class Aws:
    """State of the account: the policy statements of each layer version, by region and layer."""

    def __init__(self, zips: Mapping[str, bytes], regions: Sequence[str]) -> None:
        """Accept only these zips, by layer name, as the content of a layer version."""
        self.latencies = latencies(regions)
        self.bandwidth = 0
        self.wrong: list[str] = []
        self.encoded = {name: base64.b64encode(data) for name, data in zips.items()}
        self._contents = {
            name: {
                "CodeSha256": base64.b64encode(hashlib.sha256(data).digest()).decode(),
                "CodeSize": len(data),
                "Location": "http://127.0.0.1/",
            }
            for name, data in zips.items()
        }
        on = [{"RegionName": each, "RegionOptStatus": "ENABLED_BY_DEFAULT"} for each in regions]
        self._identity = {"sts": IDENTITY, "account": {"Regions": on}}
        self._layers: dict[tuple[str, str], list[list[dict[str, Any]]]] = {}
        self._lock = threading.Lock()
        self._start(Command())

    def obey(self, command: Command) -> Report:
        """Return the report until now, then start again."""
        with self._lock:
            public = sum(bool(policy) for versions in self._layers.values() for policy in versions)
            counts = dict(self._operations), dict(self._by_region)
            seconds = max((last - first for first, last in self._times.values()), default=0.0)
            report = Report(public, *counts, seconds, self._throttled, self.wrong[:5])
            self._start(command)
        return report

    def _start(self, command: Command) -> None:
        self.bandwidth = command.bandwidth
        if command.forget:
            self._layers = {}
        self._operations: Counter[str] = Counter()
        self._by_region: Counter[str] = Counter()
        self._times: dict[str, tuple[float, float]] = {}
        self._throttled = 0
        self._quotas = {region: Quota() for region in self.latencies}

    def answer(self, method: str, path: str, region: str, service: str, body: bytes) -> Reply:
        """Return status and body of a request for a region and service."""
        with self._lock:
            if service in self._identity:
                self._operations[service] += 1
                return 200, self._identity[service]
            self._by_region[region] += 1
            now = time.monotonic()
            self._times[region] = (self._times.get(region, (now, now))[0], now)
            if not self._quotas[region].allows():
                self._throttled += 1
                return 429, {"Reason": "CallerRateLimitExceeded", "message": "Rate exceeded"}
            if "/account-settings" in path:
                self._operations["GetAccountSettings"] += 1
                return 200, _SETTINGS
            return self._of_layer(method, path, region, body)

    def _of_layer(self, method: str, path: str, region: str, body: bytes) -> Reply:
        asked = _LAYERS.fullmatch(path)
        operation = asked and _OPERATIONS.get((method, bool(asked[2]), bool(asked[3])))
        if asked is None or not operation or asked[1] not in self.encoded:
            self.wrong.append(f"{method} {path}")
            return 404, {"message": "not found"}
        self._operations[operation] += 1
        name, number = asked[1], int(asked[2] or 0)
        versions = self._layers.setdefault((region, name), [])
        if operation == "ListLayerVersions":
            every = range(len(versions), 0, -1)
            return 200, {"LayerVersions": [self._version(region, name, each) for each in every]}
        if asked[3]:
            return _of_policy(method, versions[number - 1], self._version(region, name, number), body)
        if operation == "PublishLayerVersion":
            versions.append([])
        return 201 if method == "POST" else 200, self._version(region, name, number or len(versions))

    def _version(self, region: str, name: str, number: int) -> dict[str, Any]:
        arn = f"arn:aws:lambda:{region}:{ACCOUNT}:layer:{name}"
        return {
            "LayerArn": arn,
            "LayerVersionArn": f"{arn}:{number}",
            "Version": number,
            "CreatedDate": "2026-01-01T00:00:00.000+0000",
            "Description": "",
            "Content": self._contents[name],
        }


def _of_policy(method: str, statements: list[dict[str, Any]], of: Mapping[str, Any], body: bytes) -> Reply:
    if method == "POST":
        wanted = json.loads(body)
        statement = {"Sid": wanted["StatementId"], "Effect": "Allow", "Principal": wanted["Principal"]}
        statements.append({**statement, "Action": wanted["Action"], "Resource": of["LayerVersionArn"]})
        return 201, {"Statement": json.dumps(statements[-1]), "RevisionId": "1"}
    if not statements:
        return 404, {"message": "no policy"}
    document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return 200, {"Policy": json.dumps(document), "RevisionId": "1"}


_ERRORS = {404: "ResourceNotFoundException", 429: "TooManyRequestsException"}


class _Handler(socketserver.BaseRequestHandler):
    """A connection. It parses only what it needs of HTTP, and leaves bodies in the kernel."""

    aws: Aws
    request: socket.socket

    def handle(self) -> None:
        """Answer each request of the connection."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while True:
            while b"\r\n\r\n" not in received:
                more = self.request.recv(_FRONT)
                if not more:
                    return
                received += more
            head, _, received = received.partition(b"\r\n\r\n")
            method, path, _version = head.partition(b"\r\n")[0].decode().split()
            found = _LENGTH.search(head)
            length = int(found[1]) if found else 0
            body = received[:length]
            received = received[length:]
            if length > len(body):
                rest = max(0, min(length, _FRONT) - len(body))
                body += self.request.recv(rest, socket.MSG_WAITALL) if rest else b""
            if length > len(body):
                self._drop_zip(path, body, length)
            self._answer(method, path, head, body)

    def _answer(self, method: str, path: str, head: bytes, body: bytes) -> None:
        found = _SCOPE.search(head)
        region, service = (found[1].decode(), found[2].decode()) if found else ("", "")
        status, reply = self.aws.answer(method, path, region, service, body)
        time.sleep(self.aws.latencies.get(region, 0))
        text = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
        kind = f"x-amzn-ErrorType: {_ERRORS[status]}\r\n" if status in _ERRORS else ""
        front = f"HTTP/1.1 {status} x\r\nContent-Length: {len(text)}\r\n{kind}\r\n"
        self.request.sendall(front.encode() + text)

    def _drop_zip(self, path: str, front: bytes, length: int) -> None:
        began = time.monotonic()
        _, mark, content = front.partition(b'"ZipFile": "')
        asked = _LAYERS.fullmatch(path)
        encoded = self.aws.encoded.get(asked[1], b"") if asked else b""
        if not mark or not encoded.startswith(content) or not len(encoded) < length < len(encoded) + _FRONT:
            self.aws.wrong.append(f"{path} with another zip")
        buffer, at, pace = bytearray(_PIECE), len(front), self.aws.bandwidth
        while at < length:
            if pace and (ahead := at / pace - (time.monotonic() - began)) > 0:
                time.sleep(max(ahead, _TICK_S))
            most = min(length - at, int(pace * _TICK_S * 2) if pace else _PIECE)
            got = self.request.recv_into(buffer, most, socket.MSG_TRUNC)
            if not got:
                raise ConnectionError("the request ended early")
            at += got


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 512


@dataclass(frozen=True)
class Remote:
    """The server in its own process."""

    endpoint: str
    _process: "subprocess.Popen[str]"

    def obey(self, command: Command) -> Report:
        """Return the report until now, then start again.

        Raises:
            NodelayerError: The server got an unexpected request, or ended.

        """
        assert self._process.stdin  # noqa: S101 - it is a pipe
        assert self._process.stdout  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps(vars(command)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise NodelayerError("the server ended")
        report = Report(**json.loads(line))
        if report.wrong:
            raise NodelayerError(f"unexpected requests: {', '.join(report.wrong)}")
        return report


@contextmanager
def serve(zips: Mapping[str, Path], regions: Sequence[str]) -> Iterator[Remote]:
    """Start the server in a process of its own; `zips` are accepted, by layer name."""
    named = json.dumps({name: str(path) for name, path in zips.items()})
    line = [sys.executable, __file__, named, *regions]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout  # noqa: S101 - it is a pipe
        try:
            yield Remote(process.stdout.readline().strip(), process)
        finally:
            process.terminate()


def _run(zips: Mapping[str, str], regions: Sequence[str]) -> None:
    aws = Aws({name: Path(path).read_bytes() for name, path in zips.items()}, regions)
    with _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"aws": aws})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        for line in sys.stdin:
            print(json.dumps(vars(aws.obey(Command(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    _run(json.loads(sys.argv[1]), sys.argv[2:])
