"""Time to publish a runtime to every region, compared with the slowest region alone.

`invoke publish-runtime` runs as a process, so the time includes its start and the manifest. A server on this
machine replaces AWS: STS, the Account API, ECR with its registry, and Lambda. It waits 80 ms before each
answer, in the first row 240 ms in the slowest region. A connection has 20 MB/s, and a runtime version is
CREATING for 5 s. The server has no TLS and no throttling, checks no digest, and uses the same processors as
the publisher. The image has two architectures and random layers.
"""

import argparse
import json
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import measure
from measure import Rounds, Table
from publish_server import ACCOUNT, IDENTITY

from nodelayer.architecture import parse
from nodelayer.emulation import ministack
from nodelayer.errors import NodelayerError
from nodelayer.image import oci
from nodelayer.image.oci import Descriptor, Index, Manifest, Platform
from nodelayer.image.record import SUFFIX, ImageRecord, PlatformRecord, layout_name, stem
from nodelayer.version import __version__

NODE = "24.1.0"
BANDWIDTH = 20_000_000
SLOWEST, ALL = "the slowest region", "all regions"
LIMITS = {SLOWEST: 1.3}
_PIECE = 1 << 18
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/")
_RUNTIME = re.compile(
    r"/2026-10-01/runtimes(?:/(?P<name>[^/]+))?(?:/(?P<kind>versions|aliases)(?:/(?P<item>.+))?)?"
)
_REGISTRY = re.compile(r"\d+\.dkr\.ecr\.([^.]+)\.")
_NOT_FOUND = {
    "DescribeRepositories": "RepositoryNotFoundException",
    "GetRepositoryPolicy": "RepositoryPolicyNotFoundException",
    "GetLifecyclePolicy": "LifecyclePolicyNotFoundException",
}

Reply = tuple[int, dict[str, Any], str]


class Aws:
    """State of the account: what each region has; `counts` are the requests by kind."""

    def __init__(self, regions: Sequence[str], usual_s: float, creating_s: float) -> None:
        self.usual_s = usual_s
        self.creating_s = creating_s
        self.latency: dict[str, float] = {}
        self._enabled = [{"RegionName": each, "RegionOptStatus": "ENABLED"} for each in regions]
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Delete everything."""
        self.counts: Counter[str] = Counter()
        self.items: dict[tuple[str, ...], dict[str, Any]] = {}

    def latest(self) -> int:
        """Return in how many regions the alias latest is set."""
        return sum(key[-1] == "latest" for key in self.items)

    def ecr(self, region: str, operation: str, asked: dict[str, Any]) -> Reply:
        """Answer a request to ECR."""
        self.counts[operation] += 1
        if operation == "GetAuthorizationToken":
            registry = f"https://{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"
            token = {"authorizationToken": "QVdTOng=", "proxyEndpoint": registry, "expiresAt": 2e9}
            return 200, {"authorizationData": [token]}, ""
        named = asked.get("repositoryName") or "".join(asked.get("repositoryNames", []))
        if operation == "CreateRepository":
            uri = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/{named}"
            made = {"repositoryName": named, "repositoryUri": uri, "imageTagMutability": "IMMUTABLE"}
            self.items[region, named] = made
            return 200, {"repository": made}, ""
        if operation == "DescribeRepositories" and (not named or (region, named) in self.items):
            found = [self.items[region, named]] if named else []
            return 200, {"repositories": found}, ""
        if operation in _NOT_FOUND:
            return 400, {"__type": _NOT_FOUND[operation]}, ""
        return 200, {"imageDetails": []}, ""

    def registry(self, method: str, path: str, host: str) -> Reply:
        """Answer a request to the registry."""
        what = re.sub(r".*/(blobs/uploads|blobs|manifests)/.*", r"\1", path)
        self.counts[f"{method} {what}"] += 1
        key = ("registry", host, path.rpartition("/")[2])
        if method == "HEAD":
            digest = self.items.get(key, {}).get("digest")
            return (200, {"Docker-Content-Digest": digest}, "") if digest else (404, {}, "")
        return (202 if method == "POST" else 201), {"Location": "/v2/x/blobs/uploads/1"}, ""

    def runtimes(self, region: str, method: str, path: str, asked: dict[str, Any]) -> Reply:
        """Answer a request for customer-managed runtimes."""
        found = _RUNTIME.fullmatch(path.partition("?")[0])
        if found is None:
            raise NodelayerError(f"unexpected request: {method} {path}")
        kind, item = (
            found["kind"] or "runtimes",
            found["item"] or (found["name"] if not found["kind"] else None),
        )
        self.counts[f"{method} {kind}" + (" (DryRun)" if asked.get("DryRun") else "")] += 1
        arn = f"arn:aws:lambda:{region}:{ACCOUNT}:runtime/nodejs-24"
        if method == "POST":
            name = asked["Name"]
            made = {
                "Name": name,
                "Arn": f"{arn}/{kind.rstrip('s')}/{name}" if found["kind"] else arn,
                "State": "ACTIVE",
                "ResolvedUri": asked.get("ImageUri", ""),
                "Created": "2026-11-27T00:00:00.000000Z",
                "ready": time.monotonic() + (self.creating_s if kind == "versions" else 0),
                **asked,
            }
            if not asked.get("DryRun"):
                self.items[region, kind, name] = made
            return 201, made, ""
        if item is None:
            listed = [each for key, each in self.items.items() if key[:2] == (region, kind)]
            return 200, {"Items": listed}, ""
        one = self.items.get((region, kind, item))
        if one is None:
            return 404, {"Message": "none"}, "ResourceNotFoundException"
        ready = time.monotonic() >= one["ready"]
        return 200, {**one, "State": "ACTIVE" if ready else "CREATING"}, ""

    def answer(self, method: str, path: str, headers: Message, body: bytes) -> tuple[float, Reply]:
        """Return the latency of the answer, and the answer."""
        scope = _SCOPE.search(headers.get("Authorization", ""))
        host = headers.get("Host", "")
        registry = _REGISTRY.match(host)
        region, service = (scope[1], scope[2]) if scope else (registry[1] if registry else "", "")
        asked = json.loads(body) if body and service in {"ecr", "lambda"} else {}
        with self._lock:
            if service == "sts":
                reply: Reply = 200, {"": IDENTITY}, ""
            elif service == "account":
                reply = 200, {"Regions": self._enabled}, ""
            elif service == "ecr":
                reply = self.ecr(region, headers["X-Amz-Target"].rpartition(".")[2], asked)
            elif service == "lambda":
                reply = self.runtimes(region, method, path, asked)
            else:
                reply = self.registry(method, path, host)
                if method == "PUT" and "/manifests/" in path:
                    self.items["registry", host, path.rpartition("/")[2]] = {"digest": oci.digest(body)}
        return self.latency.get(region, self.usual_s), reply


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 0  # the kernel keeps the body until it is read
    disable_nagle_algorithm = True
    aws: Aws
    connection: socket.socket

    def handle_one(self) -> None:
        """Read the request, wait for the latency, and answer."""
        length = int(self.headers.get("Content-Length") or 0)
        body = b""
        if "/blobs/uploads/" in self.path:
            self._drop(length)
        elif length:
            body = self.connection.recv(length, socket.MSG_WAITALL)
        latency, (status, reply, error) = self.aws.answer(self.command, self.path, self.headers, body)
        time.sleep(latency)
        text = reply[""].encode() if "" in reply else json.dumps(reply).encode()
        self.send_response(status)
        for name in ("Location", "Docker-Content-Digest"):
            if reply.get(name):
                self.send_header(name, reply[name])
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_HEAD = handle_one  # noqa: N815

    def _drop(self, length: int) -> None:
        """Drop the bytes of a blob at the pace of the bandwidth."""
        buffer, began, at = bytearray(_PIECE), time.monotonic(), 0
        while at < length:
            if (ahead := at / BANDWIDTH - (time.monotonic() - began)) > 0:
                time.sleep(max(ahead, 0.02))
            got = self.connection.recv_into(buffer, min(length - at, _PIECE), socket.MSG_TRUNC)
            if not got:
                raise ConnectionError("the request ended early")
            at += got

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""


@contextmanager
def serve(aws: Aws) -> Iterator[str]:
    """Start the server, and yield its endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"aws": aws}))
    server.socket.listen(256)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def write_image(folder: Path, megabytes: float) -> None:
    """Write an image as build-image does: for each architecture a base layer and ours, both random."""
    blobs = folder / layout_name(NODE) / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(data: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
        digest = oci.digest(data)
        (blobs / digest.partition(":")[2]).write_bytes(data)
        return Descriptor(media_type=media_type, digest=digest, size=len(data), platform=platform)

    children, platforms = [], []
    for name in ("x86_64", "arm64"):
        platform = Platform.of(parse(name)[0])
        layers = [os.urandom(int(megabytes * 250_000)) for _ in range(2)]
        manifest = Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            config=add(oci.encode({"architecture": platform.architecture, "os": "linux"}), oci.CONFIG),
            layers=[add(layer, oci.LAYER_GZIP) for layer in layers],
        )
        children.append(add(oci.encode(manifest), oci.MANIFEST, platform))
        digest = manifest.layers[1].digest
        platforms.append(
            PlatformRecord(
                architecture=name,
                manifest=children[-1].digest,
                config=manifest.config.digest,
                layer=digest,
                diff_id=digest,
                size=sum(map(len, layers)),
                base=manifest.layers[0].digest,
                zip=f"{stem(NODE)}-{name}.zip",
                zip_sha256="0" * 64,
            )
        )
    index = add(oci.encode(Index(schema_version=2, media_type=oci.INDEX, manifests=children)), oci.INDEX)
    layout = folder / layout_name(NODE)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_bytes(oci.encode(Index(schema_version=2, manifests=[index])))
    record = ImageRecord(
        node_version=NODE,
        nodelayer_version=__version__,
        digest=index.digest,
        layout=layout.name,
        base="random",
        platforms=platforms,
    )
    (folder / f"{stem(NODE)}{SUFFIX}").write_text(record.json_text())


def publish(options: argparse.Namespace) -> list[Table]:
    """Measure the slowest region alone, and all regions."""
    regions = options.regions
    with tempfile.TemporaryDirectory(prefix="nodelayer-bench-") as name:
        folder = Path(name)
        write_image(folder / "dist", options.megabytes)
        aws = Aws(regions, options.latency, options.creating)
        with serve(aws) as endpoint:
            environ = ministack.environ(endpoint, {"PATH": "/usr/bin:/bin", "HOME": name}, ACCOUNT)

            def run(slowest_s: float, chosen: Sequence[str]) -> float:
                aws.reset()
                aws.latency[regions[-1]] = slowest_s
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    flags = ("--built", f"--out={folder}/dist", f"--manifest={place}/layers.json")
                    command = measure.invoke("publish-runtime", *flags, f"--regions={','.join(chosen)}")
                    took = measure.seconds(command, environ=environ)
                if aws.latest() != len(chosen):
                    raise NodelayerError(f"only {aws.latest()} of {len(chosen)} regions have a runtime")
                return took

            rows: dict[str, Rounds] = {}
            for slowest_s in (3 * options.latency, options.latency):
                ways = {
                    SLOWEST: partial(run, slowest_s, regions[-1:]),
                    ALL: partial(run, slowest_s, regions),
                }
                row = (
                    f"{slowest_s * 1000:g} ms in the slowest region, {options.latency * 1000:g} ms elsewhere"
                )
                rows[row] = measure.interleave(ways, options.rounds)
            run(options.latency, regions[-1:])
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(aws.counts.items()))
    title = f"Time for an image of {options.megabytes:g} MB and {len(regions)} regions, s"
    note = f"{sum(aws.counts.values())} requests in a region: {counted}."
    return [Table(title, rows, ALL, LIMITS, note)]


if __name__ == "__main__":
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--megabytes", type=float, default=60.0, help="size of the image (default: 60)")
    parser.add_argument(
        "--latency", type=float, default=0.08, help="seconds before an answer (default: 0.08)"
    )
    parser.add_argument("--creating", type=float, default=5.0, help="seconds until a version is active")
    every = boto3.Session().get_available_regions("lambda")
    parser.add_argument("--regions", nargs="+", default=every, help="regions (default: all that have Lambda)")
    sys.exit(measure.main(parser, publish))
