"""A client for repositories of container registries: reads and writes blobs and manifests.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md and
https://distribution.github.io/distribution/spec/auth/token/. The Python packages for it, oras and python-dxf,
check neither the size of what they download nor the target of a redirect.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import requests
import stamina
import stamina.instrumentation
from requests.utils import parse_dict_header

from nodelayer.errors import (
    InvalidInputError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    UnreachableError,
)
from nodelayer.image import oci
from nodelayer.image.oci import Blob, Descriptor, ImageManifest
from nodelayer.util.http import Web, shown
from nodelayer.util.json_text import loads

_REFERENCE = re.compile(
    r"(?P<host>[^/@]+)/(?P<name>[a-z0-9][a-z0-9._/-]*)(?::(?P<tag>\w[\w.-]*))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_TRIES = 6
_FIRST_WAIT_S = 0.5
_MOST_WAIT_S = 20.0
_CHUNK = 1 << 20
_BUSY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_ACCEPT = {"Accept": ", ".join((*oci.INDEXES, *oci.MANIFESTS))}
_TODO = "check the network and the proxy"

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class ImageReference:
    """An image of a registry, by tag, digest or both."""

    host: str
    name: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse host/name:tag, host/name@sha256:… or host/name:tag@sha256:…. Raises InvalidInputError."""
        found = _REFERENCE.fullmatch(text)
        if not found or not (found["tag"] or found["digest"]):
            raise InvalidInputError("not an image reference", where=text, todo="use host/name:tag@sha256:…")
        return cls(**found.groupdict())

    @property
    def tagged(self) -> str:
        """The reference without the digest."""
        return f"{self.host}/{self.name}:{self.tag}"


class _BusyError(UnreachableError):
    """The registry asks to try again, or a connection broke. `after_s` are seconds, 0 if it names none."""

    after_s = 0.0


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    data: bytes


def _wait(error: Exception) -> bool | float:
    return isinstance(error, _BusyError) and (min(error.after_s, _MOST_WAIT_S) or True)


def _repeated(
    method: "Callable[Concatenate[Repository, _P], _T]",
) -> "Callable[Concatenate[Repository, _P], _T]":
    """Call a method again while the registry is busy; each method may be repeated."""

    @functools.wraps(method)
    def wrapped(self: "Repository", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        stamina.instrumentation.set_on_retry_hooks([])  # it would print each retry
        for attempt in stamina.retry_context(
            on=_wait,
            attempts=_TRIES,
            timeout=None,
            wait_initial=_FIRST_WAIT_S,
            wait_max=_MOST_WAIT_S,
            wait_jitter=_FIRST_WAIT_S,
        ):
            with attempt:
                return method(self, *args, **kwargs)
        raise AssertionError("the last attempt returns or raises")

    return wrapped


class Repository:
    """A repository of a registry.

    `address` is the registry's host, or an address that begins with https:// (http:// for this machine).
    `credentials` are a user name and a password; without them, the access is anonymous. `host` replaces the
    header Host.

    Every method raises UnreachableError if the registry does not answer, and RefusedError if it refuses the
    request.
    """

    def __init__(
        self, address: str, name: str, *, credentials: tuple[str, str] | None = None, host: str = ""
    ) -> None:
        self._base = _base(address)
        self._host = {"Host": host} if host else {}
        self.name = name
        self._credentials = credentials
        self._authorization = ""
        self._answers = False
        self._web = Web(todo=_TODO)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._web.__exit__(kind, error, trace)

    @_repeated
    def has_blob(self, digest: str) -> bool:
        """Return whether the repository has a blob."""
        return self._send("HEAD", f"blobs/{digest}", absent=True).status == HTTPStatus.OK

    @_repeated
    def push_blob(self, blob: Blob, mount_from: str | None = None) -> bool:
        """Add a blob if the repository lacks it; return whether its bytes were sent.

        `mount_from` names a repository of the same registry that may have the blob, so that nothing is sent.
        """
        if self._send("HEAD", f"blobs/{blob.digest}", absent=True).status == HTTPStatus.OK:
            return False
        query = f"?{urlencode({'mount': blob.digest, 'from': mount_from})}" if mount_from else ""
        begun = self._send("POST", f"blobs/uploads/{query}")
        if begun.status == HTTPStatus.CREATED:
            return False
        location = urljoin(self._url("blobs/uploads/"), begun.headers.get("Location", ""))
        joined = "&" if urlsplit(location).query else "?"
        url = f"{location}{joined}{urlencode({'digest': blob.digest})}"
        self._send("PUT", url, {"Content-Type": "application/octet-stream"}, data=blob.path)
        return True

    @_repeated
    def manifest_digest(self, reference: str) -> str | None:
        """Return the digest of the manifest or index of a tag or digest, None if there is none.

        Raises:
            NotVerifiedError: The registry does not report a digest.
        """
        found = self._send("HEAD", f"manifests/{reference}", _ACCEPT, absent=True)
        if found.status == HTTPStatus.NOT_FOUND:
            return None
        reported = found.headers.get("Docker-Content-Digest", "")
        if not oci.DIGEST.fullmatch(reported):
            raise NotVerifiedError(
                "the registry reports no digest", where=self._shown(reference), todo="use another registry"
            )
        return reported

    @_repeated
    def push_manifest(self, reference: str, manifest: ImageManifest) -> None:
        """Write a manifest or an index under a tag or its digest. The registry must have what it names.

        Raises:
            NotVerifiedError: The registry reports another digest.
        """
        headers = {"Content-Type": manifest.media_type}
        written = self._send("PUT", f"manifests/{reference}", headers, data=manifest.data)
        if written.headers.get("Docker-Content-Digest", manifest.digest) != manifest.digest:
            raise NotVerifiedError(
                "the registry reports another digest for the written manifest",
                where=self._shown(reference),
                todo="use another registry",
            )

    @_repeated
    def read_manifest(self, reference: str) -> ImageManifest:
        """Return the manifest or index of a tag or digest.

        Raises:
            NotFoundError: There is none.
            NotVerifiedError: Its digest is not the one that was asked for, or that the registry reports.
        """
        found = self._send("GET", f"manifests/{reference}", _ACCEPT)
        digest = oci.digest(found.data)
        asked = reference if oci.DIGEST.fullmatch(reference) else found.headers.get("Docker-Content-Digest")
        if asked != digest:
            raise NotVerifiedError(
                "the answer does not have the digest that was asked for or that the registry reports",
                where=self._shown(reference),
                todo=_TODO,
            )
        kind = found.headers.get("Content-Type", "").partition(";")[0].strip()
        return ImageManifest(digest, oci.media_type(found.data) or kind, found.data)

    @_repeated
    def read_blob(self, descriptor: Descriptor, path: Path) -> None:
        """Write a blob to a file.

        Raises:
            NotFoundError: The repository does not have it.
            NotVerifiedError: It does not have the size and the digest of the descriptor.
        """
        content, size = hashlib.sha256(), 0
        with ExitStack() as failed:
            failed.callback(path.unlink, missing_ok=True)
            with (
                self._opened("GET", f"blobs/{descriptor.digest}", {}, b"", absent=False) as response,
                path.open("wb") as stream,
            ):
                for chunk in self._chunks(response, descriptor.size):
                    size += len(chunk)
                    content.update(chunk)
                    stream.write(chunk)
            if size != descriptor.size or f"sha256:{content.hexdigest()}" != descriptor.digest:
                raise NotVerifiedError(
                    "a blob does not have the size and the digest of its descriptor",
                    where=self._shown(descriptor.digest),
                    todo="use another image",
                )
            failed.pop_all()

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        data: bytes | Path = b"",
        absent: bool = False,
    ) -> _Answer:
        with self._opened(method, path, headers or {}, data, absent=absent) as response:
            body = b"".join(self._chunks(response, oci.MOST_DOCUMENT))
            return _Answer(response.status_code, response.headers, body)

    @contextmanager
    def _opened(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes | Path, *, absent: bool
    ) -> Iterator[requests.Response]:
        """Send a request, with a token if the registry asks for one; `absent` allows status 404."""
        url = path if "://" in path else self._url(path)
        if not self._authorization and self._credentials:
            self._authorization = _basic(self._credentials)
        with self._requested(method, url, headers, data) as response:
            challenge = response.headers.get("WWW-Authenticate", "")
            if response.status_code != HTTPStatus.UNAUTHORIZED or not challenge:
                yield self._checked(response, path, absent=absent)
                return
        self._authorization = self._authorized(challenge)
        with self._requested(method, url, headers, data) as response:
            yield self._checked(response, path, absent=absent)

    @contextmanager
    def _requested(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | Path
    ) -> Iterator[requests.Response]:
        ours = urlsplit(url)[:2] == urlsplit(self._base)[:2]
        if not ours and not url.startswith("https://"):
            raise UnreachableError(
                "the registry names an address without https", where=shown(url), todo=_TODO
            )
        signed = {"Authorization": self._authorization} if self._authorization and ours else {}
        signed |= self._host if ours else {}
        with ExitStack() as stack:
            body = stack.enter_context(data.open("rb")) if isinstance(data, Path) else data or None
            request = self._web.stream(
                url, {**headers, **signed}, also=tuple(HTTPStatus), method=method, data=body
            )
            try:
                response = stack.enter_context(request)
            except UnreachableError as error:
                if not self._answers:
                    raise
                raise _BusyError(error.what, where=error.where, todo=error.todo) from error
            self._answers = True
            yield response

    def _chunks(self, response: requests.Response, most: int) -> Iterator[bytes]:
        size = 0
        try:
            for chunk in response.iter_content(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise NotVerifiedError(
                        f"the registry sent more than {most} bytes", where=shown(response.url), todo=_TODO
                    )
                yield chunk
        except requests.RequestException as error:
            raise _BusyError(
                "the connection was interrupted", where=shown(response.url), todo=_TODO
            ) from error

    def _checked(self, response: requests.Response, path: str, *, absent: bool) -> requests.Response:
        """Return a response of success."""
        status = response.status_code
        if status < HTTPStatus.MULTIPLE_CHOICES or (absent and status == HTTPStatus.NOT_FOUND):
            return response
        where = self._shown(path)
        why = _message(b"".join(self._chunks(response, oci.MOST_DOCUMENT)))
        if status in _BUSY:
            busy = _BusyError(f"the registry answers {status}{why}", where=where, todo="try again later")
            after = response.headers.get("Retry-After", "")
            busy.after_s = float(after) if after.isdecimal() else 0.0
            raise busy
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(f"the registry does not have it{why}", where=where, todo="correct the name")
        denied = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        what = "denies the access" if denied else f"refuses the request with status {status}"
        todo = "check the credentials and their permissions" if denied else "correct the request"
        raise RefusedError(f"the registry {what}{why}", where=where, todo=todo)

    def _authorized(self, challenge: str) -> str:
        """Return the value of the header Authorization that the registry asks for."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._credentials:
            return _basic(self._credentials)
        if scheme.lower() != "bearer":
            raise RefusedError(
                "the registry asks for credentials", where=self._shown(), todo="use a public image"
            )
        asked: dict[str, str | None] = parse_dict_header(rest)  # type: ignore[no-untyped-call]
        realm = asked.get("realm") or ""
        if not realm.startswith(("https://", f"{urlsplit(self._base).scheme}://")):
            raise UnreachableError("the registry names no token service", where=self._shown(), todo=_TODO)
        query = urlencode({key: asked[key] for key in ("service", "scope") if asked.get(key)})
        headers = {"Authorization": _basic(self._credentials)} if self._credentials else {}
        joined = "&" if urlsplit(realm).query else "?"
        with self._web.stream(f"{realm}{joined}{query}", headers, also=tuple(HTTPStatus)) as response:
            self._checked(response, shown(realm), absent=False)
            data = b"".join(self._chunks(response, oci.MOST_DOCUMENT))
        try:
            given = loads(data)
            return f"Bearer {given.get('token') or given['access_token']}"
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise UnreachableError(
                "the token service gives no token", where=shown(realm), todo=_TODO
            ) from error

    def _url(self, path: str) -> str:
        return f"{self._base}/v2/{self.name}/{path}"

    def _shown(self, path: str = "") -> str:
        return shown(path if "://" in path else self._url(path)).rstrip("/")


def _base(address: str) -> str:
    """Return the registry's address; only this machine's own may lack https."""
    written = address if "://" in address else f"//{address}"
    parts = urlsplit(written)
    scheme = parts.scheme or ("http" if parts.hostname in _LOOPBACK else "https")
    if scheme != "https" and not (scheme == "http" and parts.hostname in _LOOPBACK):
        raise InvalidInputError("a registry needs https", where=shown(written), todo="use https")
    return f"{scheme}://{parts.netloc}"


def _basic(credentials: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(credentials).encode()).decode()}"


def _message(body: bytes) -> str:
    """Return the text of the registry's first error, in brackets."""
    try:
        error = loads(body)["errors"][0]
        return f" ({error['code']}: {error.get('message', '')})"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
