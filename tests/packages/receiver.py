"""A local server for the data of agents: OTLP, Sentry, APM and prices over HTTP, X-Ray segments over UDP."""

import gzip
import json
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRICE = 7


def answers(raw):
    """Return what the callers got: responses, or the types of errors."""
    result = []
    for each in raw.api.received:
        if each.path.endswith("/response"):
            result.append(json.loads(bytes(each.body)))
        elif each.path.endswith("/error"):
            result.append(json.loads(bytes(each.body))["errorType"])
    return result


@dataclass(frozen=True)
class Received:
    """A request of an agent, with its body decompressed."""

    path: str
    body: str

    def lines(self):
        """Return the body as JSON lines."""
        return [json.loads(line) for line in self.body.splitlines() if line]


class Receiver:
    """Records what agents send, and serves `GET /price`, which the function calls."""

    def __init__(self):
        self.requests = []
        self.segments = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._read_segments, daemon=True),
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._udp.sendto(b"", self._udp.getsockname())
        for thread in self._threads:
            thread.join(10)
        self._udp.close()

    @property
    def address(self):
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self):
        return f"http://{self.address}"

    @property
    def udp(self):
        return "{}:{}".format(*self._udp.getsockname())

    def sent(self, path):
        """Return the requests whose path contains a text."""
        return [request for request in self.requests if path in request.path]

    def _read_segments(self):
        while data := self._udp.recv(1 << 16):
            self.segments.append(json.loads(data.decode().partition("\n")[2]))

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._reply(200, json.dumps({"price": PRICE}) if self.path == "/price" else "{}")

            def do_POST(self):
                body = self._body()
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.requests.append(Received(self.path, body.decode("utf-8", "replace")))
                self._reply(202 if "/intake/" in self.path else 200, "{}")

            def _body(self):
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def _reply(self, status, text):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        return Handler
