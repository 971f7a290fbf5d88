"""Node.js from nodejs.org or a mirror: index.json, archives, and signed checksums.

A checksum is trusted only after the release team's signature of its list is verified. Every downloaded file
is cached, so that a second build needs no network, and is verified again on each use.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import requests

from nodelayer.architecture import Architecture
from nodelayer.errors import (
    InvalidInputError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.node import openpgp
from nodelayer.node.sources.base import NOT_CHECKED, NodeFiles, SourceContext, SourceRecord
from nodelayer.node.tarball import MOST_ARCHIVE, WANTED, check_binary, members
from nodelayer.node.versions import Release, is_version, nearest, release_dates
from nodelayer.util.http import Web, shown

HOME = "https://nodejs.org/dist"
KEYS = "https://raw.githubusercontent.com/nodejs/release-keys/HEAD"
MIRROR_VARIABLES = ("NODEJS_ORG_MIRROR", "NVM_NODEJS_ORG_MIRROR", "npm_config_disturl", "NPM_CONFIG_DISTURL")
KEYS_VARIABLE = "NODELAYER_RELEASE_KEYS_URL"

_MEGABYTE = 1_000_000
_MOST_INDEX = 20 * _MEGABYTE
_MOST_SUMS = 1 * _MEGABYTE
_MOST_KEY = 1 * _MEGABYTE
_TRIES = 5  # of a download that is interrupted
_CHUNK = 1 << 14  # bytes that an interruption may lose: requests returns complete chunks only
_TODO_KEYS = (
    f"check the network, set {KEYS_VARIABLE} to the URL of a copy of the keys, use --source npm, "
    "or pass --no-signature to verify the checksum only"
)
_TODO_AGAIN = "try again; if it fails again, do not use this host"
_STRONG_TAG = re.compile(r'"[!#-~]*"')
_SUM = re.compile(r"([0-9a-fA-F]{64}) [ *](\S+)")


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A release in index.json, with the fields that nodelayer uses. `lts` is false or a codename."""

    version: str
    date: str | None = None
    files: list[str]
    lts: bool | str = False


@dataclass(frozen=True)
class _Checksums:
    """A verified list: sha256 in hex by file name, and how it was verified."""

    sums: Mapping[str, str]
    signature: str
    notes: tuple[str, ...]
    documents: Mapping[str, bytes]


class DistSource:
    """A site with the layout of nodejs.org/dist. A subclass with `name` and `home` is a source.

    `home` is the URL of a folder with index.json and a folder for each release. `mirror_variables` are the
    environment variables that replace it. `pinned` are the trusted keys.

    Raises:
        InvalidInputError: An environment variable for a mirror is not an http or https URL.
    """

    name: str
    home: str
    mirror_variables: Sequence[str] = ()

    def __init__(self, context: SourceContext, *, pinned: Sequence[openpgp.ReleaseKey] | None = None) -> None:
        self._cache = context.cache
        self._reporter = context.reporter
        self._verify_signature = context.verify_signature
        self._active_keys_only = context.active_keys_only
        self._pinned = tuple(pinned) if pinned is not None else openpgp.pinned_keys()
        self._fingerprints = tuple(key.fingerprint for key in self._pinned)
        self._base = _address(context.environ, self.mirror_variables, self.home)
        self._keys = _address(context.environ, (KEYS_VARIABLE,), KEYS)
        # A mirror may list other releases, so each URL has its own cache folder.
        folder = "dist" if self._base == HOME else hashlib.sha256(self._base.encode()).hexdigest()[:16]
        self._cache_folder = f"nodejs.org/{folder}"
        self._host = urlsplit(self._base).hostname or self._base
        mirror = f"set {self.mirror_variables[0]} to a mirror, " if self.mirror_variables else ""
        self._advice = f"check the network and HTTPS_PROXY, {mirror}or use --source npm"

    def releases(self, architecture: Architecture) -> Sequence[Release]:
        """Return the releases for this architecture; the cached list if the host cannot be reached."""
        document = f"{self._cache_folder}/index.json"
        try:
            with Web(todo=self._advice) as web:
                data = web.get(f"{self._base}/index.json", most=_MOST_INDEX).data
            releases = self._listed(data, architecture)
        except UnreachableError as error:
            kept = self._cache.read_document(document)
            if kept is None:
                raise
            self._reporter.say(f"{error.what}; using the cached list of releases")
            return self._listed(kept, architecture)
        self._cache.write_document(document, data)
        return releases

    def cached(self, version: str, architecture: Architecture) -> NodeFiles | None:
        """Return a downloaded release, verified again without network access, or None."""
        documents = {
            name: data
            for name in ("SHASUMS256.txt", "SHASUMS256.txt.sig", "SHASUMS256.txt.asc")
            if (data := self._cache.read_document(f"{self._cache_folder}/v{version}/{name}")) is not None
        }
        try:
            checksums = self._checked(version, documents, self._kept_keys())
        except NotVerifiedError:
            return None
        chosen = _choose(checksums.sums, version, architecture) if checksums else None
        if checksums is None or chosen is None:
            return None
        archive = self._cache.read(checksums.sums[chosen], self._reporter)
        if archive is None:
            return None
        return self._open(archive, version, architecture, chosen, checksums)

    def fetch(self, version: str, architecture: Architecture) -> NodeFiles:
        """Return a release from the cache or the host, with its checksum and signature verified."""
        with self._cache.lock(f"node-v{version}-linux-{architecture.node}", self._reporter):
            files = self.cached(version, architecture)
            if files is not None:
                return files
            with Web(todo=self._advice) as web:
                checksums = self._checksums(web, version)
                chosen = _choose(checksums.sums, version, architecture) if checksums else None
                if checksums is None or chosen is None:
                    raise NotFoundError(
                        f"{self._host} has no Node.js {version} for {architecture}",
                        where=shown(f"{self._base}/v{version}/"),
                        todo=self._nearest(version, architecture),
                    )
                archive = self._cache.read(checksums.sums[chosen], self._reporter)
                if archive is None:
                    archive = self._download(web, version, chosen, checksums.sums[chosen])
            files = self._open(archive, version, architecture, chosen, checksums)
            for name, data in checksums.documents.items():
                self._cache.write_document(f"{self._cache_folder}/v{version}/{name}", data)
            return files

    def _nearest(self, version: str, architecture: Architecture) -> str:
        try:
            return nearest(version, self.releases(architecture))
        except NodelayerError:
            return ""

    def _listed(self, data: bytes, architecture: Architecture) -> list[Release]:
        try:
            listed = msgspec.json.decode(data, type=list[_Listed])
        except (ValueError, RecursionError) as error:
            raise UnreachableError(
                f"the list of releases from {self._host} is not valid",
                where=shown(f"{self._base}/index.json"),
                todo=self._advice,
            ) from error
        wanted = f"linux-{architecture.node}"
        return [
            Release(
                each.version.removeprefix("v"), each.lts if isinstance(each.lts, str) else None, each.date
            )
            for each in listed
            if wanted in each.files and is_version(each.version)
        ]

    def _checksums(self, web: Web, version: str) -> _Checksums | None:
        """Return the verified checksums of a release; None if the host does not have the release."""
        documents = self._signed_list(web, version)
        if not documents:
            return None
        kept = self._kept_keys()
        try:
            return self._checked(version, documents, kept)
        except NotVerifiedError as refused:
            if not self._verify_signature:
                raise
            # The signing key is not cached yet, or the cached copy lacks a new subkey or expiration time.
            detached = documents.get("SHASUMS256.txt.sig")
            signer = openpgp.signer_among(detached, self._fingerprints) if detached is not None else None
            try:
                return self._checked(version, documents, self._fetched_keys(signer))
            except UnreachableError:
                if detached is not None and openpgp.is_of(detached, kept):
                    raise refused from None
                raise

    def _signed_list(self, web: Web, version: str) -> dict[str, bytes]:
        """Download SHASUMS256.txt and its signature; empty if the host does not have the release."""
        folder = f"{self._base}/v{version}"
        sums = web.get(f"{folder}/SHASUMS256.txt", most=_MOST_SUMS)
        if sums.status != HTTPStatus.OK:
            return {}
        found = {"SHASUMS256.txt": sums.data}
        if not self._verify_signature:
            return found
        # The detached signature is preferred, because users of GnuPG verify that one.
        for name in ("SHASUMS256.txt.sig", "SHASUMS256.txt.asc"):
            answer = web.get(f"{folder}/{name}", most=_MOST_SUMS)
            if answer.status == HTTPStatus.OK:
                return {**found, name: answer.data}
        raise NotVerifiedError(
            f"{self._host} has no OpenPGP signature of this release's checksums",
            where=shown(f"{folder}/"),
            todo="pass --no-signature to verify the checksum only",
        )

    def _checked(
        self, version: str, documents: Mapping[str, bytes], keys: Sequence[openpgp.Key]
    ) -> _Checksums | None:
        """Verify documents with these keys; None if a document is missing."""
        text = documents.get("SHASUMS256.txt")
        where = shown(f"{self._base}/v{version}/SHASUMS256.txt")
        if text is None:
            return None
        if not self._verify_signature:
            return _Checksums(_sums(text, where), NOT_CHECKED, (), documents)
        verify: Callable[[Sequence[openpgp.Key]], tuple[bytes, openpgp.Verified]]
        if (detached := documents.get("SHASUMS256.txt.sig")) is not None:
            verify = lambda keys: (text, openpgp.verify_detached(text, detached, keys, where=where))  # noqa: E731
        elif (signed := documents.get("SHASUMS256.txt.asc")) is not None:
            verify = lambda keys: openpgp.verify_cleartext(signed, keys, where=where)  # noqa: E731
        else:
            return None
        trusted = self._trusted(version)
        try:
            sums, verified = verify([key for key in keys if key.fingerprint in trusted])
        except NotVerifiedError as refused:
            try:
                _, verified = verify([key for key in keys if key.fingerprint not in trusted])
            except NotVerifiedError:
                raise refused from None
            raise self._retired(version, verified.fingerprint, where) from refused
        notes = (verified.note,) if verified.note else ()
        return _Checksums(_sums(sums, where), f"verified by {verified.fingerprint}", notes, documents)

    def _trusted(self, version: str) -> set[str]:
        """Return the fingerprints of the keys that may sign a release."""
        date = release_dates().get(version)
        return {
            key.fingerprint
            for key in self._pinned
            if key.retired is None or (key.may_sign(date) and not self._active_keys_only)
        }

    def _retired(self, version: str, fingerprint: str, where: str) -> NotVerifiedError:
        """Return the error for a release with a valid signature by a retired key that may not sign it."""
        (retired,) = [key.retired for key in self._pinned if key.fingerprint == fingerprint]
        signed = (
            f"Node.js {version} is signed by {fingerprint}, a key that the release team retired by {retired}"
        )
        if self._active_keys_only:
            return NotVerifiedError(
                f"{signed}, and --active-keys accepts no retired key",
                where=where,
                todo="check the release, and build it without --active-keys",
            )
        date = release_dates().get(version)
        known = (
            f"the release is of {date}" if date else "nodelayer does not know that this release was out then"
        )
        return NotVerifiedError(
            f"{signed}, and {known}",
            where=where,
            todo="do not use this mirror; if the release is an old one, update nodelayer, or in its "
            "repository run `invoke project.refresh --only release-dates`",
        )

    def _kept_keys(self) -> list[openpgp.Key]:
        found: list[openpgp.Key] = []
        for fingerprint in self._fingerprints if self._verify_signature else ():
            data = self._cache.read_document(_key_document(fingerprint))
            if data is None:
                continue
            try:
                found.append(openpgp.load_key(data, fingerprint))
            except NotVerifiedError:
                self._cache.drop_document(_key_document(fingerprint))
        return found

    def _fetched_keys(self, signer: str | None) -> list[openpgp.Key]:
        """Download and cache the key of `signer`, or every pinned key if the signer is unknown."""
        found: list[openpgp.Key] = []
        with Web(todo=_TODO_KEYS) as web:
            for fingerprint in (signer,) if signer else self._fingerprints:
                url = f"{self._keys}/keys/{fingerprint}.asc"
                try:
                    answer = web.get(url, most=_MOST_KEY)
                except UnreachableError as error:
                    raise UnreachableError(
                        f"cannot download the release team's keys: {error.what}",
                        where=error.where,
                        todo=error.todo,
                    ) from error
                if answer.status == HTTPStatus.OK:
                    found.append(openpgp.load_key(answer.data, fingerprint))
                    self._cache.write_document(_key_document(fingerprint), answer.data)
        if not found:
            raise UnreachableError(
                "cannot download the release team's keys: the server does not have them",
                where=shown(self._keys),
                todo=_TODO_KEYS,
            )
        return found

    def _download(self, web: Web, version: str, name: str, sha256: str) -> bytes:
        """Download an archive, or resume an earlier download of it."""
        url = f"{self._base}/v{version}/{name}"
        partial = self._cache.partial(f"{sha256[:16]}-{name}")
        etag_document = f"{self._cache_folder}/partial/{sha256[:16]}.etag"
        for remaining in reversed(range(_TRIES)):
            resumed, interruption = self._transfer(web, url, partial, etag_document)
            with self._cache.guard():
                archive = partial.read_bytes() if partial.is_file() else b""
            if hashlib.sha256(archive).hexdigest() == sha256:
                self._cache.add(partial)
                self._cache.drop_document(etag_document)
                return archive
            if interruption is not None and remaining:
                continue
            if interruption is not None:
                raise UnreachableError(
                    f"the download from {self._host} was interrupted {_TRIES} times",
                    where=shown(url),
                    todo="run the same command again: the download resumes",
                ) from interruption
            with self._cache.guard():
                partial.unlink(missing_ok=True)
            self._cache.drop_document(etag_document)
            if not resumed:
                break
        raise NotVerifiedError(
            "the download does not match its checksum in SHASUMS256.txt", where=shown(url), todo=_TODO_AGAIN
        )

    def _transfer(
        self, web: Web, url: str, partial: Path, etag_document: str
    ) -> tuple[bool, requests.RequestException | None]:
        """Append the missing bytes; return whether the download was resumed, and what interrupted it."""
        with self._cache.guard():
            start = partial.stat().st_size if partial.is_file() else 0
        etag = (self._cache.read_document(etag_document) or b"").decode("latin-1")
        headers = {}
        if start:
            headers["Range"] = f"bytes={start}-"
            # If-Range requires a strong entity tag (RFC 9110, 13.1.5)
            headers.update({"If-Range": etag} if _STRONG_TAG.fullmatch(etag) else {})
        with web.stream(url, headers) as response:
            if response.status_code == HTTPStatus.NOT_FOUND:
                raise NotFoundError(
                    f"{self._host} lists this file but does not have it", where=shown(url), todo=self._advice
                )
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return True, None  # no byte is missing, so the file is wrong
            # If the host sends another range than requested, the checksum fails and the download restarts.
            resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
            start = start if resumed else 0
            self._cache.write_document(
                etag_document, response.headers.get("ETag", "").encode("latin-1", "ignore")
            )
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None
            if total is not None and total > MOST_ARCHIVE:
                raise self._too_large(url)
            name = url.rpartition("/")[2]
            with self._reporter.transfer(name, total) as done:
                interruption = self._write(response, partial, start, url, done)
            return resumed, interruption

    def _write(
        self, response: requests.Response, partial: Path, start: int, url: str, done: Callable[[int], None]
    ) -> requests.RequestException | None:
        """Write the response from `start` on; return what interrupted it."""
        size = start
        with self._cache.guard(), partial.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            for chunk in _chunks(response):
                if isinstance(chunk, requests.RequestException):
                    return chunk
                size += len(chunk)
                if size > MOST_ARCHIVE:
                    stream.truncate(0)
                    raise self._too_large(url)
                stream.write(chunk)
                done(size)
        return None

    def _too_large(self, url: str) -> UnreachableError:
        return UnreachableError(
            f"{self._host} sent more than {MOST_ARCHIVE // _MEGABYTE} MB, so it is not a release",
            where=shown(url),
            todo="use another mirror, or --source npm",
        )

    def _open(
        self, archive: bytes, version: str, architecture: Architecture, name: str, checksums: _Checksums
    ) -> NodeFiles:
        url = shown(f"{self._base}/v{version}/{name}")
        found = members(archive, WANTED, where=url)
        check_binary(found["bin/node"], architecture, where=url)
        record = SourceRecord(
            name=self.name,
            url=url,
            sha256=hashlib.sha256(archive).hexdigest(),
            signature=checksums.signature,
            notes=list(checksums.notes),
        )
        return NodeFiles(version, architecture, found["bin/node"], found["LICENSE"], record)


class NodejsOrg(DistSource):
    """nodejs.org, or the mirror that an environment variable names."""

    name = "nodejs.org"
    home = HOME
    mirror_variables = MIRROR_VARIABLES


def _address(environ: Mapping[str, str], names: Sequence[str], default: str) -> str:
    """Return the first URL that the environment contains, without a slash at the end."""
    for name in names:
        text = environ.get(name, "").strip().rstrip("/")
        if not text:
            continue
        try:
            parts = urlsplit(text)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            valid = False
        if not valid:
            raise InvalidInputError(
                "the value is not an http or https URL",
                where=name,
                todo=f"set it to a URL such as {default}, or unset it",
            )
        return text
    return default


def _key_document(fingerprint: str) -> str:
    return f"nodejs.org/keys/{fingerprint}.asc"


def _sums(text: bytes, where: str) -> dict[str, str]:
    """Parse SHASUMS256.txt to sha256 in hex by file name."""
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        match = _SUM.fullmatch(line.rstrip())
        if match is not None:
            found[match[2]] = match[1].lower()
    if not found:
        raise NotVerifiedError("the download is not a list of checksums", where=where, todo=_TODO_AGAIN)
    return found


def _choose(sums: Mapping[str, str], version: str, architecture: Architecture) -> str | None:
    """Return the name of the .tar.xz, which is smaller, or else the .tar.gz; None if there is neither."""
    stem = f"node-v{version}-linux-{architecture.node}"
    return next((name for name in (f"{stem}.tar.xz", f"{stem}.tar.gz") if name in sums), None)


def _chunks(response: requests.Response) -> Iterator[bytes | requests.RequestException]:
    """Yield the body in chunks, and an exception that interrupts it.

    RequestException is an OSError: if raised, it would look like an error of the disk.
    """
    try:
        yield from response.iter_content(_CHUNK)
    except requests.RequestException as error:
        yield error
