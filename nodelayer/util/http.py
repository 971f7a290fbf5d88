"""HTTP as this project needs it: bounded, patient with a busy host, quick where there is none."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError
from urllib3.util import Retry

from nodelayer.errors import UnreachableError
from nodelayer.version import __version__

TIMEOUTS = (10, 60)
"""Seconds to connect, and between two pieces of an answer."""

_BUSY = (502, 503, 504)
_TRIES_AGAIN = 2
_BACKOFF = 0.3  # seconds, doubled each time
_CHUNK = 1 << 16
_USUAL = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_FOUND)
_STREAMED = (
    HTTPStatus.OK,
    HTTPStatus.PARTIAL_CONTENT,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
)


@dataclass(frozen=True)
class Answer:
    """A status of 200, 304 or 404, the whole body, and the entity tag where the host gave one."""

    status: int
    data: bytes
    etag: str | None


class Web:
    """GET requests through the proxies that the environment names. `todo` ends each failure's line."""

    def __init__(self, *, todo: str) -> None:
        self._todo = todo
        self._session = _Session()
        self._session.headers["User-Agent"] = f"nodelayer/{__version__}"
        patience = _Patience(
            total=_TRIES_AGAIN,
            backoff_factor=_BACKOFF,
            status_forcelist=_BUSY,
            allowed_methods=("GET",),
            raise_on_status=False,
            respect_retry_after_header=False,  # a host may ask for an hour
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=patience))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, url: str, *, most: int, etag: str | None = None) -> Answer:
        """The answer, of at most so many bytes; 304 where it still has this entity tag.

        Raises UnreachableError.
        """
        headers = {"If-None-Match": etag} if etag else {}
        try:
            with self._open(url, headers, _USUAL) as response:
                data = bytearray()
                for chunk in response.iter_content(_CHUNK):
                    data += chunk
                    if len(data) > most:
                        raise self._failed(f"{_host(url)} sends more than {most} bytes", url)
                return Answer(response.status_code, bytes(data), response.headers.get("ETag"))
        except requests.RequestException as error:
            raise self._failed(_reason(error, url), url) from error

    @contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str], *, also: tuple[HTTPStatus, ...] = ()
    ) -> Iterator[requests.Response]:
        """An open answer of status 200, 206, 404, 416 or one of `also`, not compressed on its way.

        Raises UnreachableError; reading on may raise requests.RequestException.
        """
        try:
            response = self._open(url, {"Accept-Encoding": "identity", **headers}, _STREAMED + also)
        except requests.RequestException as error:
            raise self._failed(_reason(error, url), url) from error
        with response:
            yield response

    def _open(self, url: str, headers: Mapping[str, str], usual: tuple[HTTPStatus, ...]) -> requests.Response:
        response = self._session.get(url, headers=dict(headers), stream=True, timeout=TIMEOUTS)
        if response.status_code not in usual:
            response.close()
            raise self._failed(f"{_host(url)} answers {response.status_code}", url)
        return response

    def _failed(self, what: str, url: str) -> UnreachableError:
        return UnreachableError(what, where=shown(url), todo=self._todo)


def shown(url: str) -> str:
    """An address as it may be printed and recorded: without the secrets it may hold.

    These are a name and password, and the query, which signs a URL of S3.
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """As requests has it, but never from https to http."""
        target = super().get_redirect_target(resp)
        if target is not None and resp.url.startswith("https:") and target.lower().startswith("http:"):
            raise requests.exceptions.InvalidSchema("it leads from https to http")
        return target


class _Patience(Retry):
    """Tries again, but not where the name is unknown: that is an answer, and a quick one."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,  # noqa: ANN401 - urllib3's own classes
        error: Exception | None = None,
        _pool: Any = None,  # noqa: ANN401
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, NameResolutionError):
            raise MaxRetryError(_pool, url or "", error) from error
        return super().increment(method, url, response, error, _pool, _stacktrace)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _reason(error: requests.RequestException, url: str) -> str:
    """The failure in a few words; its own text names objects in memory, and maybe a password."""
    causes = list(_causes(error))
    table: tuple[tuple[type[BaseException], str], ...] = (
        (requests.exceptions.ProxyError, "the proxy does not let us through"),
        (requests.exceptions.SSLError, "its certificate is not trusted: see REQUESTS_CA_BUNDLE"),
        (NameResolutionError, "its name is not known"),
        (requests.exceptions.ConnectTimeout, f"no answer within {TIMEOUTS[0]} s"),
        (requests.exceptions.ReadTimeout, f"silent for {TIMEOUTS[1]} s"),
        (ConnectionRefusedError, "connection refused"),
        (NewConnectionError, "no route, or nobody there"),
        (requests.exceptions.TooManyRedirects, "it redirects without end"),
        (requests.exceptions.InvalidSchema, "it leads from https to http"),
        (requests.exceptions.InvalidURL, "that is no address"),
    )
    for kind, words in table:
        if any(isinstance(cause, kind) for cause in causes):
            return f"{_host(url)} cannot be reached ({words})"
    return f"{_host(url)} cannot be reached (the connection broke)"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseException) or any(each is other for other in seen):
            continue
        seen.append(each)
        yield each
        waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
