"""HTTP requests with a size limit, timeouts and a few retries."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError, NewConnectionError
from urllib3.util import Retry, parse_url

from nodelayer.errors import UnreachableError
from nodelayer.version import __version__

TIMEOUTS = (10, 60)
"""Seconds to wait for a connection, and for the next bytes of a response."""

_BUSY = (502, 503, 504)
_RETRIES = 2
_BACKOFF = 0.3  # seconds, doubled each time
_CHUNK = 1 << 16
_REDIRECTS = 10
_FAILURES = (requests.RequestException, HTTPError, ValueError)
"""What requests raises; urllib3's errors and UnicodeError come from malformed headers."""
_USUAL = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_FOUND)
_STREAMED = (
    HTTPStatus.OK,
    HTTPStatus.PARTIAL_CONTENT,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
)


@dataclass(frozen=True)
class Answer:
    """A response: status 200, 304 or 404, the whole body, and the entity tag if the host sent one."""

    status: int
    data: bytes
    etag: str | None


class Web:
    """Requests through the proxies that the environment names. `todo` is the advice in every error."""

    def __init__(self, *, todo: str) -> None:
        self._todo = todo
        self._session = _Session()
        self._session.headers["User-Agent"] = f"nodelayer/{__version__}"
        patience = _Patience(
            total=_RETRIES,
            backoff_factor=_BACKOFF,
            status_forcelist=_BUSY,
            allowed_methods=("GET", "HEAD"),
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
        """Send a GET request and read a body of at most `most` bytes; 304 if `etag` is still current.

        Raises:
            UnreachableError: The host cannot be reached, or answers with another status or a larger body.
        """
        headers = {"If-None-Match": etag} if etag else {}
        try:
            with self._open(url, headers, _USUAL) as response:
                data = bytearray()
                for chunk in response.iter_content(_CHUNK):
                    data += chunk
                    if len(data) > most:
                        raise self._failed(f"{_host(url)} sent more than {most} bytes", url)
                return Answer(response.status_code, bytes(data), response.headers.get("ETag"))
        except _FAILURES as error:
            raise self._failed(_reason(error, url), url) from error

    @contextmanager
    def stream(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        also: tuple[HTTPStatus, ...] = (),
        method: str = "GET",
        data: bytes | IO[bytes] | None = None,
    ) -> Iterator[requests.Response]:
        """Open an uncompressed response of status 200, 206, 404, 416 or one of `also`.

        Redirects are followed for GET and HEAD only.

        Raises:
            UnreachableError: The host cannot be reached, or answers with another status.
            requests.RequestException: The connection is interrupted while the body is read.
        """
        try:
            identity = {"Accept-Encoding": "identity", **headers}
            response = self._open(url, identity, _STREAMED + also, method, data)
        except _FAILURES as error:
            raise self._failed(_reason(error, url), url) from error
        with response:
            yield response

    def _open(
        self,
        url: str,
        headers: Mapping[str, str],
        usual: tuple[HTTPStatus, ...],
        method: str = "GET",
        data: bytes | IO[bytes] | None = None,
    ) -> requests.Response:
        response = self._session.request(
            method,
            url,
            headers=dict(headers),
            data=data,
            stream=True,
            timeout=TIMEOUTS,
            allow_redirects=method in {"GET", "HEAD"},
        )
        if response.status_code not in usual:
            response.close()
            raise self._failed(f"{_host(url)} answered with HTTP status {response.status_code}", url)
        return response

    def _failed(self, what: str, url: str) -> UnreachableError:
        return UnreachableError(what, where=shown(url), todo=self._todo)


def shown(url: str) -> str:
    """Return a URL that is safe to print: without credentials, query (S3 signs it) and fragment."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


class _RedirectError(requests.RequestException):
    """The target of a redirect is refused."""


class _Session(requests.Session):
    """Follows redirects to http and https only, never from https to http, and sends them no credentials.

    urllib3, which opens the connection, parses the target too, so both see the same scheme and host.
    """

    max_redirects = _REDIRECTS

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the absolute target. Raises _RedirectError."""
        if not resp.is_redirect:
            return None
        try:
            return _target(resp.url, resp.headers["location"])
        except _RedirectError:
            resp.close()
            raise

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Remove the credentials if the host changes, and look up no others in .netrc."""
        if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def _target(base: str, location: str) -> str:
    """Return the absolute address of a redirect, without credentials. Raises _RedirectError."""
    if not (location.isascii() and location.isprintable()):
        raise _RedirectError("it redirects to an invalid address")
    try:
        target = parse_url(urljoin(base, location))
    except (HTTPError, ValueError) as error:
        raise _RedirectError("it redirects to an invalid address") from error
    if target.scheme not in ("http", "https") or not target.host:
        raise _RedirectError("it redirects to something else than a web address")
    if target.scheme == "http" and parse_url(base).scheme == "https":
        raise _RedirectError("it redirects from https to http")
    return target._replace(auth=None).url


class _Patience(Retry):
    """Retries that end at once if the host name cannot be resolved."""

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


def _reason(error: Exception, url: str) -> str:
    """Return the reason in a few words; the exception's own text may contain a password."""
    if isinstance(error, _RedirectError):
        return f"{_host(url)} cannot be reached ({error})"
    causes = list(_causes(error))
    table: tuple[tuple[type[BaseException], str], ...] = (
        (requests.exceptions.ProxyError, "the proxy rejects the connection"),
        (
            requests.exceptions.SSLError,
            "its certificate is not trusted: set REQUESTS_CA_BUNDLE to the certificate file of your CA",
        ),
        (NameResolutionError, "its name cannot be resolved"),
        (requests.exceptions.ConnectTimeout, f"no answer within {TIMEOUTS[0]} s"),
        (requests.exceptions.ReadTimeout, f"no data for {TIMEOUTS[1]} s"),
        (ConnectionRefusedError, "connection refused"),
        (NewConnectionError, "no connection"),
        (requests.exceptions.TooManyRedirects, "too many redirects"),
        (requests.exceptions.InvalidURL, "the URL is not valid"),
    )
    for kind, words in table:
        if any(isinstance(cause, kind) for cause in causes):
            return f"{_host(url)} cannot be reached ({words})"
    return f"{_host(url)} cannot be reached (the connection was interrupted)"


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
