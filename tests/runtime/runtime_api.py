"""A Runtime API for tests: hands out events one after another, and keeps all that a client sends.

What it speaks: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. How it speaks can be told
for each event: in pieces, chunked, late, cut short, with a refusal.
"""

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

PREFIX = "/2018-06-01/runtime"
TAKEN = b'{"status":"OK"}\n'
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:function"
_READ = 1 << 16
_PAUSE_S = 0.001


@dataclass(frozen=True)
class Wire:
    """How a reply goes out.

    `cuts`: shares of the reply (0 to 1) where a TCP segment ends; `chunked`: its body in chunks of so many
    bytes, 0 for Content-Length; `late_s`: seconds until it begins; `dropped_at`: the share after which the
    connection is lost, None for never; 0 loses the request as well; `names`: how header names are written;
    `closing`: it is the connection's last reply, and says so.
    """

    cuts: tuple[float, ...] = ()
    chunked: int = 0
    late_s: float = 0.0
    dropped_at: float | None = None
    names: str = "title"
    closing: bool = False


@dataclass(frozen=True)
class Event:
    """One invocation: its body, headers beside the usual ones (None takes one away), how the API behaves.

    `refusals` are the statuses of the first replies to its response; `asked` is how the replies to GET /next
    go out, the last one for ever, and `answered` the same for the replies to its response.
    """

    body: bytes = b"{}"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    asked: tuple[Wire, ...] = (Wire(),)
    answered: tuple[Wire, ...] = (Wire(),)


@dataclass
class Received:
    """One request, as it came; `whole` once its end has been seen, `status` once it was replied to."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    connection: int
    body: bytearray = field(default_factory=bytearray)
    chunks: list[int] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    whole: bool = False
    early: bool = False
    status: int | None = None

    def header(self, name):
        """The values of a header, joined; None where there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def trailer(self, name):
        values = [value for key, value in self.trailers if key.lower() == name.lower()]
        return values[0] if values else None


class LostError(Exception):
    """The connection ended, or was ended as told."""


def request_id(number):
    """The id of the nth event, as Lambda's look."""
    return f"0000000{number % 10}-0000-4000-8000-{number:012d}"


class RuntimeApi:
    """A server on a free port of this machine, for one client process. A context manager.

    `after_refusal` says what becomes of an invocation whose response was refused: `open`: it takes /error,
    and GET /next is refused (403) until then; `closed`: GET /next gives the next event.
    """

    def __init__(self, events: Sequence[Event], *, deadline_s=30.0, after_refusal="closed", several=False):
        self.events = list(events)
        self.received: list[Received] = []
        self.problems: list[str] = []
        self._deadline_s = deadline_s
        self._after_refusal = after_refusal
        self._several = several
        self._lock = threading.Condition()
        self._next = 0
        self._open = None  # the number of the event that is being worked on
        self._refused = False
        self._posts: dict[int, int] = {}
        self._gets: dict[int, int] = {}
        self._closed: set[int] = set()
        self._waiting = 0
        self._stopped = False
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        self._begin(self._accept)
        return self

    def __exit__(self, *_):
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
        for each in [self._listener, *self._connections]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in [self._listener, *self._connections]:
            each.close()

    def wait_until_done(self, timeout_s):
        """True once the client asks for an event after the last one."""
        with self._lock:
            return self._lock.wait_for(lambda: self._waiting > 0 or self._stopped, timeout_s)

    def done(self):
        with self._lock:
            return self._waiting > 0

    def _begin(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._stopped:
                    connection.close()
                    return
                self._connections.append(connection)
                number = len(self._connections)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin(self._serve, connection, number)

    def _serve(self, connection, number):
        reader = _Reader(connection)
        try:
            while True:
                self._one(connection, reader, number)
        except (LostError, OSError):
            pass
        except ValueError as error:
            self.problems.append(f"connection {number}: {error}")
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _one(self, connection, reader, number):
        request = self._read(reader, number)
        if request.method == "GET" and request.path == f"{PREFIX}/invocation/next":
            return self._give(connection, reader, request)
        parts = request.path.removeprefix(PREFIX).strip("/").split("/")
        if request.method == "POST" and parts == ["init", "error"]:
            return self._reply(connection, request, 202, TAKEN, Wire())
        if request.method == "POST" and len(parts) == 3 and parts[0] == "invocation":
            return self._take(connection, request, parts[1], parts[2])
        self.problems.append(f"asked for {request.method} {request.path}")
        return self._reply(connection, request, 404, b"{}", Wire())

    def _read(self, reader, number):
        method, path, version = reader.line().split(" ")
        if version != "HTTP/1.1":
            raise ValueError(f"a request of {version}")
        request = Received(method, path, reader.fields(), number)
        with self._lock:
            request.early = method == "GET" and self._open is not None and not self._refused
            self.received.append(request)
        if (request.header("transfer-encoding") or "").lower() == "chunked":
            if request.header("content-length") is not None:
                raise ValueError("a request with two lengths")
            while size := int(reader.line().partition(";")[0], 16):
                reader.into(request.body, size)
                request.chunks.append(size)
                if reader.line() != "":
                    raise ValueError("a chunk is longer than it says")
            request.trailers = reader.fields()
        else:
            reader.into(request.body, int(request.header("content-length") or 0))
        request.whole = True
        return request

    def _give(self, connection, reader, request):
        with self._lock:
            if self._refused and self._after_refusal == "open":
                number = None
            elif self._next == len(self.events):
                number = -1
                self._waiting += 1
                self._lock.notify_all()
            else:
                number = self._next
                attempt = self._gets[number] = self._gets.get(number, -1) + 1
                asked = self.events[number].asked
                wire = asked[min(attempt, len(asked) - 1)]
                if wire.dropped_at is None or wire.dropped_at >= 1:
                    self._next += 1
                    self._open = number
                    self._refused = False
        if number is None:
            return self._reply(connection, request, 403, b'{"errorType":"InvalidStateTransition"}', Wire())
        if number < 0:
            try:
                reader.more()  # until the client goes, or we do
            finally:
                with self._lock:
                    self._waiting -= 1
            raise ValueError("more came while GET /next was waiting")
        return self._reply(connection, request, 200, self.events[number].body, wire, self._headers(number))

    def _headers(self, number):
        usual = {
            "Lambda-Runtime-Aws-Request-Id": request_id(number + 1),
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._deadline_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": f"Root=1-00000000-{number + 1:024d};Parent=0000000000000000;Sampled=0",
        }
        merged = {**usual, **self.events[number].headers}
        return {name: value for name, value in merged.items() if value is not None}

    def _take(self, connection, request, named, kind):
        numbers = {request_id(number + 1): number for number in range(len(self.events))}
        number = numbers.get(named)
        if number is None or kind not in {"response", "error"}:
            self.problems.append(f"an answer to {request.path}")
            return self._reply(connection, request, 400, b'{"errorType":"InvalidRequestID"}', Wire())
        event = self.events[number]
        with self._lock:
            attempt = self._posts[number] = self._posts.get(number, -1) + 1
        wire = event.answered[min(attempt, len(event.answered) - 1)]
        if wire.dropped_at == 0:
            request.whole = False
            raise LostError
        with self._lock:
            status = 202
            if number in self._closed or (number != self._open and not self._several):
                status = 400
            elif kind == "response" and attempt < len(event.refusals):
                status = event.refusals[attempt]
                self._refused = True
            else:
                self._closed.add(number)
                self._open = None
                self._refused = False
        body = TAKEN if status == 202 else b'{"errorMessage":"refused","errorType":"Refused"}'
        return self._reply(connection, request, status, body, wire)

    def _reply(self, connection, request, status, body, wire, headers=None):  # noqa: PLR0913, PLR0917 - a reply's parts
        request.status = status
        headers = {"Content-Type": "application/json", **(headers or {})}
        headers |= {"Transfer-Encoding": "chunked"} if wire.chunked else {"Content-Length": str(len(body))}
        if wire.closing:
            headers["Connection"] = "close"
        named = {"title": str, "lower": str.lower, "upper": str.upper}[wire.names]
        head = f"HTTP/1.1 {status} Told\r\n"
        head += "".join(f"{named(name)}: {value}\r\n" for name, value in headers.items())
        data = head.encode() + b"\r\n" + (_chunked(body, wire.chunked) if wire.chunked else body)
        if wire.late_s:
            time.sleep(wire.late_s)
        end = len(data) if wire.dropped_at is None else int(len(data) * wire.dropped_at)
        cuts = sorted({int(len(data) * cut) for cut in wire.cuts if int(len(data) * cut) < end} | {end})
        start = 0
        for cut in cuts:
            connection.sendall(data[start:cut])
            start = cut
            if cut != end:
                time.sleep(_PAUSE_S)
        if wire.dropped_at is not None or wire.closing:
            raise LostError


def _chunked(body, size):
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class _Reader:
    """Lines and bytes of one connection; LostError where it ends."""

    def __init__(self, connection):
        self._connection = connection
        self._kept = b""

    def more(self):
        came = self._connection.recv(_READ)
        if not came:
            raise LostError
        self._kept += came

    def line(self):
        while (end := self._kept.find(b"\n")) < 0:
            self.more()
        line, self._kept = self._kept[:end], self._kept[end + 1 :]
        if not line.endswith(b"\r"):
            raise ValueError(f"a line that ends without CR: {line[:80]!r}")
        return line[:-1].decode("latin-1")

    def fields(self):
        found = []
        while line := self.line():
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ValueError(f"no header: {line[:80]!r}")
            found.append((name, value.strip()))
        return found

    def into(self, body, size):
        while size:
            if not self._kept:
                self.more()
            taken, self._kept = self._kept[:size], self._kept[size:]
            body += taken
            size -= len(taken)
