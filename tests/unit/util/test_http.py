"""Redirects and malformed responses: one line each, and no credentials for another host."""

import base64
import gc
import gzip
import io
import socket
import threading
import time
import zlib

import pytest
import requests

from nodelayer.errors import UnreachableError
from nodelayer.util import http


@pytest.fixture(scope="module")
def server():
    """Run a server that sends `server.answers[path]` as it is; `server.requests` has the requests."""

    class Server:
        answers, requests = {}, []

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Server.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        Server.other = f"http://localhost:{listener.getsockname()[1]}"

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = connection.recv(1 << 16)
                    Server.requests.append(request)
                    path = request.split(b" ", 2)[1].decode() if b" " in request else ""
                    try:
                        connection.sendall(
                            Server.answers.get(path, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
                        )
                    except OSError:  # the client has read enough
                        continue

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield Server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def get(server, monkeypatch):
    """Return a function that sends a request whose answer is these bytes."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(http, "_BACKOFF", 0)
    server.requests.clear()

    def send(answer, url="", most=1_000_000):
        server.answers["/asked"] = answer
        with http.Web(todo="do something else") as web:
            return web.get(f"{url or server.base}/asked", most=most)

    return send


def redirect(target):
    return b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n"


def ok(body, *headers):
    head = b"".join(header + b"\r\n" for header in (b"HTTP/1.1 200 OK", *headers))
    return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (b"file:///etc/passwd", "something else than a web address"),
        (b"ftp://127.0.0.1/", "something else than a web address"),
        (b"javascript:alert(1)", "something else than a web address"),
        (b"http://127.0.0.1/\xff\xe9", "an invalid address"),
        (b"http://127.0.0.1/\x1b[2J", "an invalid address"),
        (b"http://127.0.0.1/\x00", "an invalid address"),
        (b"\x0bhttp://127.0.0.1/", "an invalid address"),
        (b"http://[::1", "an invalid address"),
        (b"http://127.0.0.1:99999999/", "an invalid address"),
    ],
)
def test_a_redirect_that_is_no_web_address_is_refused_in_one_line(get, server, target, why):
    with pytest.raises(UnreachableError, match=f"redirects to {why}") as caught:
        get(redirect(target))
    assert str(caught.value).isprintable()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        ("http://nodejs.org/x", True),
        ("HTTP://nodejs.org/x", True),
        (" http://nodejs.org/x", True),
        ("http:nodejs.org/x", True),
        ("https://nodejs.org/x", False),
        ("//other.example/x", False),
        ("/download/x", False),
        ("https:evil.example/x", False),
    ],
)
def test_a_redirect_from_https_to_http_is_refused(target, refused):
    response = requests.Response()
    response.status_code, response.url = 302, "https://nodejs.org/dist/index.json"
    response.headers["location"], response.raw = target, io.BytesIO()
    session = http._Session()
    if refused:
        with pytest.raises(requests.RequestException, match="it redirects"):
            session.get_redirect_target(response)
    else:
        assert session.get_redirect_target(response).startswith("https://")


def test_credentials_stay_with_their_host(get, server, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine localhost login netrc password netrc")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answers["/moved"] = ok(b"here")
    secret = server.base.replace("http://", "http://user:secret@")
    for host, expected in ((server.base, [True, True]), (server.other, [True, False])):
        server.requests.clear()
        target = host.replace("http://", "http://more:words@")
        assert get(redirect(f"{target}/moved".encode()), secret).data == b"here"
        assert [b"\r\nAuthorization: " in request for request in server.requests] == expected
        assert not any(base64.b64encode(b"more:words") in request for request in server.requests)


@pytest.mark.parametrize(
    "answer",
    [
        redirect(b"http://" + b"a" * 80 + b".example/"),
        redirect(b"/asked"),
        b"HTTP/1.1 abc\r\n\r\n",
        b"hello\r\n",
        ok(b"", *[b"A: b"] * 500),
        ok(b"", b"A: " + b"x" * 100_000),
        ok(b"abcd", b"Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_malformed_answer_is_one_line(get, answer):
    with pytest.raises(UnreachableError) as caught:
        get(answer)
    assert str(caught.value).isprintable()
    caught = None
    gc.collect()  # urllib3 leaves the connection of a malformed answer to the garbage collector


def test_a_header_that_is_not_utf8_is_read(get):
    assert get(ok(b"ok", b"X: \xff")).data == b"ok"


def test_a_compressed_bomb_is_not_unpacked(get):
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="more than 1000000 bytes"):
        get(ok(gzip.compress(bomb), b"Content-Encoding: gzip, gzip"))
    assert time.monotonic() - started < 10
