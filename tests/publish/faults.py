"""A proxy in front of an emulator of AWS that makes the trouble an emulator does not.

    with FaultProxy(emulator.endpoint) as proxy:
        proxy.rule(Rule(region="eu-west-1", operation="PublishLayerVersion", times=1, do=error_after))
        ...
        assert [call.operation for call in proxy.calls if call.region == "eu-west-1"] == [...]

Bodies pass through in pieces. Each request has an upstream connection of its own, so what one region does
holds up no other. A layer's Content.Location names the emulator, as AWS's names S3: its download does not
pass here.
"""

import asyncio
import json
import random
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from publish import aws_wire
from publish.emulators import Endpoint

LAMBDA_REQUEST_LIMIT = 70_167_211
"""Bytes of a request that Lambda's control plane takes: the JSON around a zip of 50 MB in base64."""

_PIECE = 1 << 18
_BUFFER = 1 << 20
_WINDOW_S = 1.0
_OF_THE_HOP = {"connection", "keep-alive", "proxy-connection", "expect"}
_NO_BODY = {204, 304}


@dataclass(frozen=True)
class Action:
    """What a rule does. Made by the functions below."""

    name: str
    seconds: float = 0.0
    limit: int = 0
    refusal: aws_wire.Refusal | aws_wire.Answer | None = None


def throttle():
    """Refuses as a service does that is asked too often: Lambda 429 TooManyRequestsException."""
    return Action("throttle")


def status(code, error_type, message="", **headers):
    """Refuses with this error; the work is not done. Headers of Lambda's only: Retry_After is Retry-After."""
    named = tuple((name.replace("_", "-"), str(value)) for name, value in headers.items())
    return Action("status", refusal=aws_wire.Refusal(code, error_type, message or error_type, headers=named))


def error_after():
    """The work is done, and the answer is 500 ServiceException."""
    return Action("error_after")


def cut_request():
    """Takes half of the request's body, then resets the connection; the work is not done."""
    return Action("cut_request")


def cut_response():
    """The work is done; the connection is reset in the middle of the answer."""
    return Action("cut_response")


def delay(seconds):
    """Lets the request wait, then go on, to the next rule that matches too."""
    return Action("delay", seconds=seconds)


def hang():
    """Takes the request and never answers; the work is not done."""
    return Action("hang")


def dead():
    """Resets the connection once the request's head says what it is for; the work is not done."""
    return Action("dead")


def not_enabled():
    """Refuses as a region does that the account has not opted in to."""
    return Action("not_enabled")


def expired():
    """Refuses credentials whose time is over."""
    return Action("expired")


def access_denied():
    """Refuses as IAM does."""
    return Action("access_denied")


def storage_exceeded():
    """Refuses as Lambda does when the account's code storage in the region is full."""
    return Action("storage_exceeded")


def answer(document, code=200):
    """Answers with this document as JSON; the emulator is not asked."""
    return Action("answer", refusal=aws_wire.Answer(code, document))


def regions(enabled, disabled=()):
    """Answers account ListRegions: who has opted in to what, as AWS tells it."""
    listed = dict.fromkeys(enabled, "ENABLED_BY_DEFAULT") | dict.fromkeys(disabled, "DISABLED")
    return answer(
        {"Regions": [{"RegionName": name, "RegionOptStatus": told} for name, told in listed.items()]}
    )


def too_large(limit=LAMBDA_REQUEST_LIMIT):
    """Refuses requests with a body of more bytes with 413; matches no other."""
    return Action("too_large", limit=limit)


@dataclass(frozen=True)
class Rule:
    """What happens to which requests: None is any; of several rules the first that matches is taken.

    `do` is an action, or a function that makes one. `skip` requests that match pass first, then `times` are
    hit (None: all), each with `probability`, by a random of its own with this `seed`.
    """

    do: Action | Callable[[], Action]
    region: str | None = None
    service: str | None = None
    operation: str | None = None
    account: str | None = None
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    seed: int = 0


class Armed:
    """A rule that is in force. `hits` counts what it has done."""

    def __init__(self, rule):
        self.rule = rule
        self.action = rule.do if isinstance(rule.do, Action) else rule.do()
        self.hits = 0
        self._seen = 0
        self._random = random.Random(rule.seed)

    def takes(self, request):
        """Whether it hits this request, which then counts."""
        rule = self.rule
        for name in ("region", "service", "operation", "account"):
            if getattr(rule, name) not in {None, getattr(request, name)}:
                return False
        if self.action.name == "too_large" and request.size <= self.action.limit:
            return False
        if rule.times is not None and self.hits >= rule.times:
            return False
        self._seen += 1
        if self._seen <= rule.skip or self._random.random() >= rule.probability:
            return False
        self.hits += 1
        return True


@dataclass(frozen=True)
class Call:
    """A request that has ended.

    `status`: what the client was told, 0 for nothing; `when`: seconds since the epoch; `duration`: seconds;
    `size`: bytes of its body; `fault`: the action that hit it, `rate_limit`, `client gone` or empty;
    `reached`: whether the emulator got all of it; `resources`: what it was about, as an ARN ends.
    """

    region: str
    service: str
    operation: str
    status: int
    account: str
    when: float
    duration: float
    size: int = 0
    fault: str = ""
    reached: bool = False
    resources: tuple[str, ...] = ()


class FaultProxy(Endpoint):
    """Listens on a free port of 127.0.0.1; a context manager. Everything public may be used by any thread.

    `latency`: seconds that every call takes longer, half before the work and half after; `rate_limit`: how
    many requests a second Lambda takes of an account in a region, as a bucket that holds as many; `log`: a
    file that gets each call as a line of JSON.
    """

    def __init__(self, upstream, *, latency=0.0, rate_limit=None, log=None):
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self.latency = latency
        self.rate_limit = rate_limit
        self._log = log
        self._lock = threading.Lock()
        self._calls = []
        self._rules = []
        self._in_flight = 0
        self.peak_in_flight = 0
        """The most calls that were under way at one moment."""
        self.peak_rate = Counter()
        """The most requests of one second to Lambda, by (account, region), refused ones among them."""
        self._recent = defaultdict(deque)
        self._buckets = {}
        self._tasks = set()
        self._loop = None

    def __enter__(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        super().__init__(f"http://127.0.0.1:{listener.getsockname()[1]}")
        started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._main(listener, started)], daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def calls(self):
        """The calls that have ended, in that order; one that hangs is among them from then on."""
        with self._lock:
            return list(self._calls)

    def rule(self, rule):
        """Put a rule in force, behind those that are; returns it with its count of hits."""
        armed = Armed(rule)
        with self._lock:
            self._rules.append(armed)
        return armed

    def clear(self):
        """Forget the rules, the calls and the peaks; what is under way goes on."""
        with self._lock:
            self._rules.clear()
            self._calls.clear()
            self.peak_rate.clear()
            self._recent.clear()
            self._buckets.clear()
            self.peak_in_flight = self._in_flight

    async def _main(self, listener, started):
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        listener.setblocking(False)  # noqa: FBT003 - its signature
        self._loop.add_reader(listener, self._accept, listener)
        started.set()
        await self._stopping.wait()
        self._loop.remove_reader(listener)
        listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next round

    def _accept(self, listener):
        try:
            connection, _ = listener.accept()
        except OSError:  # it has gone again
            return
        connection.setblocking(False)  # noqa: FBT003
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: connection.close())

    async def _serve(self, connection):
        reader, writer = await asyncio.open_connection(sock=connection, limit=_BUFFER)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            _reset(writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader, writer):
        """One request of a connection; whether another may follow."""
        head = await _head(reader)
        if head is None:
            return False
        first, headers = head
        method, target, _ = first
        if "100-continue" in headers.get("expect", "").lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _Body(reader, headers)
        read = await body.whole() if aws_wire.tells_in_body(headers) else b""
        request = aws_wire.asked(method, target, headers, read)
        exchange = _Exchange(first, headers, body, writer, request)
        with self._watched(exchange):
            waits, action = self._judged(exchange.request)
            exchange.fault = action.name if action else "delay" if waits else ""
            await asyncio.sleep(waits + self.latency / 2)
            try:
                return await self._answered(exchange, action)
            except (OSError, EOFError):
                exchange.fault = exchange.fault or "client gone"
                raise

    @contextmanager
    def _watched(self, exchange):
        with self._lock:
            self._in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            yield
        finally:
            self._note(exchange)
            self._over(exchange)

    def _over(self, exchange):
        """It is no longer under way."""
        with self._lock:
            self._in_flight -= not exchange.over
            exchange.over = True

    def _note(self, exchange):
        """Put the call down, once: before the client can know that it has ended."""
        if exchange.noted:
            return
        exchange.noted = True
        request = exchange.request
        call = Call(
            request.region,
            request.service,
            request.operation,
            exchange.status,
            request.account,
            exchange.when,
            time.monotonic() - exchange.began,
            request.size,
            exchange.fault,
            exchange.reached,
            request.resources,
        )
        with self._lock:
            self._calls.append(call)
            if self._log is not None:
                with open(self._log, "a", encoding="utf-8") as log:  # noqa: PTH123 - a str will do
                    log.write(json.dumps(asdict(call)) + "\n")

    async def _last(self, exchange, data):
        """The end of an answer goes out."""
        self._note(exchange)
        self._over(exchange)
        exchange.writer.write(data)
        await exchange.writer.drain()

    def _judged(self, request):
        """How long the request has to wait, and the action that hits it, or None."""
        with self._lock:
            if request.service == "lambda" and self._is_too_often(request):
                return 0.0, Action("rate_limit")
            waits = 0.0
            for armed in self._rules:
                if armed.takes(request):
                    if armed.action.name != "delay":
                        return waits, armed.action
                    waits += armed.action.seconds
            return waits, None

    def _is_too_often(self, request):
        now = time.monotonic()
        key = request.account, request.region
        recent = self._recent[key]
        recent.append(now)
        while recent[0] <= now - _WINDOW_S:
            recent.popleft()
        self.peak_rate[key] = max(self.peak_rate[key], len(recent))
        if self.rate_limit is None:
            return False
        tokens, last = self._buckets.get(key, (self.rate_limit, now))
        tokens = min(self.rate_limit, tokens + (now - last) * self.rate_limit)
        self._buckets[key] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens < 1

    async def _answered(self, exchange, action):
        if action is None:
            return await self._forwarded(exchange)
        if action.name == "error_after":
            await self._discarded(exchange)
            return await self._refused(exchange, aws_wire.refusal("error_after", exchange.request))
        if action.name == "cut_response":
            await self._cut_response(exchange)
        if action.name == "cut_request":
            await exchange.body.half()
        if action.name == "hang":
            await exchange.body.drain()
            self._note(exchange)
            await exchange.body.reader.read(1)  # until the client goes, or we do
        if action.name in {"cut_response", "cut_request", "hang", "dead"}:
            self._note(exchange)
            self._over(exchange)
            _reset(exchange.writer)
            return False
        await exchange.body.drain()
        kind = "throttle" if action.name == "rate_limit" else action.name
        refused = action.refusal or aws_wire.refusal(kind, exchange.request, action.limit)
        return await self._refused(exchange, refused)

    async def _refused(self, exchange, refused):
        await asyncio.sleep(self.latency / 2)
        headers, data = aws_wire.encode(refused, exchange.request)
        lines = [f"HTTP/1.1 {refused.status} Told", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        exchange.status = refused.status
        head = "\r\n".join([*lines, "", ""]).encode()
        await self._last(exchange, head if exchange.request.method == "HEAD" else head + data)
        return True

    async def _forwarded(self, exchange):
        async with self._asked_upstream(exchange) as (first, headers, body):
            await asyncio.sleep(self.latency / 2)
            exchange.status = int(first[1])
            data = _head_bytes(first, headers, closing=body.until_eof)
            async for piece in body.pieces():
                exchange.writer.write(data)
                await exchange.writer.drain()
                data = piece
            await self._last(exchange, data)
            return not body.until_eof

    async def _discarded(self, exchange):
        async with self._asked_upstream(exchange) as (_, _, body):
            await body.drain()

    async def _cut_response(self, exchange):
        async with self._asked_upstream(exchange) as (first, headers, body):
            head = _head_bytes(first, headers, closing=body.until_eof)
            data = await body.whole()
        self._note(exchange)
        exchange.writer.write(head + data[: len(data) // 2] if data else head[: len(head) // 2])
        await exchange.writer.drain()

    @asynccontextmanager
    async def _asked_upstream(self, exchange):
        """The request goes to the emulator; gives the answer's first line, its headers and its body."""
        reader, writer = await asyncio.open_connection(*self._upstream, limit=_BUFFER)
        try:
            writer.write(_head_bytes(exchange.first, exchange.headers, closing=True))
            async for piece in exchange.body.pieces():
                writer.write(piece)
                await writer.drain()
            await writer.drain()
            exchange.reached = True
            first, headers = await _head(reader, needed=True)
            while first[1].startswith("1"):
                first, headers = await _head(reader, needed=True)
            bare = exchange.request.method == "HEAD" or int(first[1]) in _NO_BODY
            yield first, headers, _Body(reader, headers, bare=bare, answer=True)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@dataclass
class _Exchange:
    """A request on its way, and what becomes of it."""

    first: list[str]
    headers: dict[str, str]
    body: "_Body"
    writer: asyncio.StreamWriter
    request: aws_wire.Asked
    status: int = 0
    fault: str = ""
    reached: bool = False
    noted: bool = False
    over: bool = False
    when: float = field(default_factory=time.time)
    began: float = field(default_factory=time.monotonic)


class _Body:
    """The body of a request or an answer, as it is on the wire, to be read once."""

    def __init__(self, reader, headers, *, bare=False, answer=False):
        self.reader = reader
        self._chunked = not bare and "chunked" in headers.get("transfer-encoding", "").lower()
        self._length = 0 if bare else int(headers.get("content-length") or 0)
        self.until_eof = answer and not bare and not self._chunked and "content-length" not in headers
        self._read = None

    async def pieces(self):
        if self._read is not None:
            yield self._read
        elif self._chunked:
            async for piece in self._chunks():
                yield piece
        elif self.until_eof:
            while piece := await self.reader.read(_PIECE):
                yield piece
        else:
            async for piece in self._exactly(self._length):
                yield piece

    async def whole(self):
        self._read = b"".join([piece async for piece in self.pieces()])
        return self._read

    async def drain(self):
        async for _ in self.pieces():
            pass

    async def half(self):
        """Reads the first half; of a chunked body the first piece."""
        if not self._chunked:
            self._length //= 2
            await self.drain()
        else:
            await self.reader.read(1)

    async def _exactly(self, length):
        while length:
            piece = await self.reader.read(min(length, _PIECE))
            if not piece:
                raise EOFError
            length -= len(piece)
            yield piece

    async def _chunks(self):
        while True:
            line = await self.reader.readuntil(b"\n")
            yield line
            size = int(line.partition(b";")[0], 16)
            if not size:
                break
            async for piece in self._exactly(size + 2):
                yield piece
        line = b""
        while line not in {b"\r\n", b"\n"}:
            line = await self.reader.readuntil(b"\n")
            yield line


async def _head(reader, *, needed=False):
    """The three parts of the first line, and the headers by lower-case name; None at the connection's end."""
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial or needed:
            raise
        return None
    first, *lines = data.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return [*first.split(" ", 2), ""][:3], {name.strip().lower(): value.strip() for name, _, value in pairs}


def _head_bytes(first, headers, *, closing):
    lines = [" ".join(first)]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in _OF_THE_HOP]
    if closing:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reset(writer):
    """Ends a connection with RST instead of FIN."""
    with suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
