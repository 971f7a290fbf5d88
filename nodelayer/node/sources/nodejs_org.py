"""Node.js from nodejs.org or a mirror of it: index.json, and each release's archives and signed checksums.

A checksum is believed once the release team's signature of the list it stands in is verified. Everything that
was fetched is kept, so that a second build needs no network, and is verified again whenever it is used.
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
from nodelayer.node.tarball import WANTED, check_binary, members
from nodelayer.node.versions import Release, is_version, nearest
from nodelayer.util.http import Web, shown

HOME = "https://nodejs.org/dist"
KEYS = "https://raw.githubusercontent.com/nodejs/release-keys/HEAD"
MIRROR_VARIABLES = ("NVM_NODEJS_ORG_MIRROR", "NODEJS_ORG_MIRROR", "npm_config_disturl", "NPM_CONFIG_DISTURL")
KEYS_VARIABLE = "NODELAYER_RELEASE_KEYS_URL"

_MEGABYTE = 1_000_000
_MOST_INDEX = 20 * _MEGABYTE
_MOST_SUMS = 1 * _MEGABYTE
_MOST_KEY = 1 * _MEGABYTE
_MOST_ARCHIVE = 500 * _MEGABYTE
_TRIES = 5  # of a download that is cut again and again
_CHUNK = 1 << 14  # what a cut may cost: requests hands on whole pieces only
_TODO = f"check the network and HTTPS_PROXY, name a mirror in {MIRROR_VARIABLES[1]}, or use --source npm"
_TODO_KEYS = (
    f"check the network, name a copy of the keys in {KEYS_VARIABLE}, use --source npm, "
    "or pass --no-signature to trust the checksum alone"
)
_TODO_AGAIN = "try again; if it stays so, do not trust this host"
_SUM = re.compile(r"([0-9a-fA-F]{64}) [ *](\S+)")


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A release in index.json, with the fields that are used here. `lts` is false or a code name."""

    version: str
    date: str | None = None
    files: list[str]
    lts: bool | str = False


@dataclass(frozen=True)
class _Checksums:
    """The verified list: sha256 in hex by file name, and what was verified of it."""

    sums: Mapping[str, str]
    signature: str
    notes: tuple[str, ...]
    documents: Mapping[str, bytes]


class NodejsOrg:
    """The nodejs.org source. A subclass with its own `name` and `home` is a source of its own.

    `home` is the address of a folder with index.json and a folder for each release. `mirror_variables` are
    the environment variables that name another address. `pinned` are the fingerprints of the trusted keys.

    Raises:
        InvalidInputError: An environment variable names a mirror, and its value is no http(s) address.

    """

    name = "nodejs.org"
    home = HOME
    mirror_variables: Sequence[str] = MIRROR_VARIABLES

    def __init__(self, context: SourceContext, *, pinned: Sequence[str] | None = None) -> None:
        self._cache = context.cache
        self._reporter = context.reporter
        self._verify_signature = context.verify_signature
        self._pinned = tuple(pinned) if pinned is not None else openpgp.pinned_fingerprints()
        self._base = _address(context.environ, self.mirror_variables, self.home)
        self._keys = _address(context.environ, (KEYS_VARIABLE,), KEYS)
        # A mirror may list other releases, so each address has a cache folder of its own.
        folder = "dist" if self._base == HOME else hashlib.sha256(self._base.encode()).hexdigest()[:16]
        self._cache_folder = f"nodejs.org/{folder}"
        self._host = urlsplit(self._base).hostname or self._base

    def releases(self, architecture: Architecture) -> Sequence[Release]:
        """List the releases with files for this architecture; the last list seen if the host is unreachable.

        Raises NodelayerError.
        """
        document = f"{self._cache_folder}/index.json"
        try:
            with Web(todo=_TODO) as web:
                data = web.get(f"{self._base}/index.json", most=_MOST_INDEX).data
            releases = self._listed(data, architecture)
        except UnreachableError as error:
            kept = self._cache.read_document(document)
            if kept is None:
                raise
            self._reporter.say(f"{error.what}; using the list of releases seen last")
            return self._listed(kept, architecture)
        self._cache.write_document(document, data)
        return releases

    def cached(self, version: str, architecture: Architecture) -> NodeFiles | None:
        """A release that was fetched before, verified again without the network, or None.

        Raises NodelayerError.
        """
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
        """A release, from the cache or the host, its checksum and the signature verified.

        Raises NodelayerError.
        """
        with self._cache.lock(f"node-v{version}-linux-{architecture.node}", self._reporter):
            files = self.cached(version, architecture)
            if files is not None:
                return files
            with Web(todo=_TODO) as web:
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
                f"the list of releases of {self._host} cannot be read",
                where=shown(f"{self._base}/index.json"),
                todo=_TODO,
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
        """The verified checksums of a release; None where the host knows nothing of it."""
        documents = self._signed_list(web, version)
        if not documents:
            return None
        kept = self._kept_keys()
        try:
            return self._checked(version, documents, kept)
        except NotVerifiedError as refused:
            if not self._verify_signature:
                raise
            # The key that signed is not kept yet, or has got a new subkey or a longer life since it was.
            detached = documents.get("SHASUMS256.txt.sig")
            named = openpgp.signer_among(detached, self._pinned) if detached is not None else None
            try:
                return self._checked(version, documents, self._fetched_keys(named))
            except UnreachableError:
                if detached is not None and openpgp.is_of(detached, kept):
                    raise refused from None
                raise

    def _signed_list(self, web: Web, version: str) -> dict[str, bytes]:
        """SHASUMS256.txt and its signature, by name; nothing where the host knows nothing of the release."""
        folder = f"{self._base}/v{version}"
        sums = web.get(f"{folder}/SHASUMS256.txt", most=_MOST_SUMS)
        if sums.status != HTTPStatus.OK:
            return {}
        found = {"SHASUMS256.txt": sums.data}
        if not self._verify_signature:
            return found
        # A detached signature is what GnuPG's users check; where there is none, the signed text stands in.
        for name in ("SHASUMS256.txt.sig", "SHASUMS256.txt.asc"):
            answer = web.get(f"{folder}/{name}", most=_MOST_SUMS)
            if answer.status == HTTPStatus.OK:
                return {**found, name: answer.data}
        raise NotVerifiedError(
            f"{self._host} has no OpenPGP signature of this release's checksums",
            where=shown(f"{folder}/"),
            todo="pass --no-signature to trust the checksum alone",
        )

    def _checked(
        self, version: str, documents: Mapping[str, bytes], keys: Sequence[openpgp.Key]
    ) -> _Checksums | None:
        """What these documents prove with these keys; None where one is missing. Raises NotVerifiedError."""
        text = documents.get("SHASUMS256.txt")
        where = shown(f"{self._base}/v{version}/SHASUMS256.txt")
        if text is None:
            return None
        if not self._verify_signature:
            return _Checksums(_sums(text, where), NOT_CHECKED, (), documents)
        detached, signed = documents.get("SHASUMS256.txt.sig"), documents.get("SHASUMS256.txt.asc")
        if detached is not None:
            verified = openpgp.verify_detached(text, detached, keys, where=where)
        elif signed is not None:
            text, verified = openpgp.verify_cleartext(signed, keys, where=where)
        else:
            return None
        notes = (verified.note,) if verified.note else ()
        return _Checksums(_sums(text, where), f"verified by {verified.fingerprint}", notes, documents)

    def _kept_keys(self) -> list[openpgp.Key]:
        """The release team's keys that were fetched before."""
        found: list[openpgp.Key] = []
        for fingerprint in self._pinned if self._verify_signature else ():
            data = self._cache.read_document(_key_document(fingerprint))
            if data is None:
                continue
            try:
                found.append(openpgp.load_key(data, fingerprint))
            except NotVerifiedError:
                self._cache.drop_document(_key_document(fingerprint))
        return found

    def _fetched_keys(self, named: str | None) -> list[openpgp.Key]:
        """The key that the signature names, or every one where it names a subkey; kept for the next time."""
        found: list[openpgp.Key] = []
        with Web(todo=_TODO_KEYS) as web:
            for fingerprint in (named,) if named else self._pinned:
                url = f"{self._keys}/keys/{fingerprint}.asc"
                try:
                    answer = web.get(url, most=_MOST_KEY)
                except UnreachableError as error:
                    raise UnreachableError(
                        f"the release team's keys cannot be fetched: {error.what}",
                        where=error.where,
                        todo=error.todo,
                    ) from error
                if answer.status == HTTPStatus.OK:
                    found.append(openpgp.load_key(answer.data, fingerprint))
                    self._cache.write_document(_key_document(fingerprint), answer.data)
        if not found:
            raise UnreachableError(
                "the release team's keys cannot be fetched: they are not there",
                where=shown(self._keys),
                todo=_TODO_KEYS,
            )
        return found

    def _download(self, web: Web, version: str, name: str, sha256: str) -> bytes:
        """The archive with this checksum, going on with what an earlier try left behind."""
        url = f"{self._base}/v{version}/{name}"
        partial = self._cache.partial(f"{sha256[:16]}-{name}")
        etag_document = f"{self._cache_folder}/partial/{sha256[:16]}.etag"
        for left in reversed(range(_TRIES)):
            resumed, cut = self._transfer(web, url, partial, etag_document)
            with self._cache.guard():
                archive = partial.read_bytes() if partial.is_file() else b""
            if hashlib.sha256(archive).hexdigest() == sha256:
                self._cache.add(partial)
                self._cache.drop_document(etag_document)
                return archive
            if cut is not None and left:
                continue
            if cut is not None:
                raise UnreachableError(
                    f"the download from {self._host} was cut {_TRIES} times",
                    where=shown(url),
                    todo="run it again: it goes on where it stopped",
                ) from cut
            with self._cache.guard():
                partial.unlink(missing_ok=True)
            self._cache.drop_document(etag_document)
            if not resumed:
                break
        raise NotVerifiedError(
            "what came is not what the release's SHASUMS256.txt says", where=shown(url), todo=_TODO_AGAIN
        )

    def _transfer(
        self, web: Web, url: str, partial: Path, etag_document: str
    ) -> tuple[bool, requests.RequestException | None]:
        """Add to the partial file what is missing; whether it was resumed, and what cut it, if anything."""
        with self._cache.guard():
            start = partial.stat().st_size if partial.is_file() else 0
        etag = (self._cache.read_document(etag_document) or b"").decode("latin-1")
        headers = {}
        if start:
            headers["Range"] = f"bytes={start}-"
            # only a strong tag may stand here (RFC 9110, 13.1.5)
            headers.update({"If-Range": etag} if etag.startswith('"') else {})
        with web.stream(url, headers) as response:
            if response.status_code == HTTPStatus.NOT_FOUND:
                raise NotFoundError(
                    f"{self._host} lists this file and does not have it", where=shown(url), todo=_TODO
                )
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return True, None  # nothing is missing, so what is there is wrong
            # Where the rest starts elsewhere than asked for, the checksum says so, and all is fetched anew.
            goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT
            start = start if goes_on else 0
            self._cache.write_document(
                etag_document, response.headers.get("ETag", "").encode("latin-1", "ignore")
            )
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else None
            if total is not None and total > _MOST_ARCHIVE:
                raise self._too_large(url)
            name = url.rpartition("/")[2]
            with self._reporter.transfer(name, total) as done:
                cut = self._write(response, partial, start, url, done)
            return goes_on, cut

    def _write(
        self, response: requests.Response, partial: Path, start: int, url: str, done: Callable[[int], None]
    ) -> requests.RequestException | None:
        """Write the answer from `start` on; returns what cut it. Raises UnreachableError if it has no end."""
        size = start
        with self._cache.guard(), partial.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            for piece in _pieces(response):
                if isinstance(piece, requests.RequestException):
                    return piece
                size += len(piece)
                if size > _MOST_ARCHIVE:
                    stream.truncate(0)
                    raise self._too_large(url)
                stream.write(piece)
                done(size)
        return None

    def _too_large(self, url: str) -> UnreachableError:
        return UnreachableError(
            f"{self._host} sends more than the {_MOST_ARCHIVE // _MEGABYTE} MB any release has",
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


def _address(environ: Mapping[str, str], names: Sequence[str], default: str) -> str:
    """The first address the environment names, without a slash at its end. Raises InvalidInputError."""
    for name in names:
        text = environ.get(name, "").strip().rstrip("/")
        if not text:
            continue
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            good = False
        if not good:
            raise InvalidInputError(
                "not an http(s) address", where=name, todo=f"write one like {default}, or unset it"
            )
        return text
    return default


def _key_document(fingerprint: str) -> str:
    return f"nodejs.org/keys/{fingerprint}.asc"


def _sums(text: bytes, where: str) -> dict[str, str]:
    """The sha256 in hex of each file a SHASUMS256.txt lists. Raises NotVerifiedError where it lists none."""
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        match = _SUM.fullmatch(line.rstrip())
        if match is not None:
            found[match[2]] = match[1].lower()
    if not found:
        raise NotVerifiedError("what came is no list of checksums", where=where, todo=_TODO_AGAIN)
    return found


def _choose(sums: Mapping[str, str], version: str, architecture: Architecture) -> str | None:
    """The archive to take: .tar.xz, which is the smaller one, else .tar.gz, else None."""
    stem = f"node-v{version}-linux-{architecture.node}"
    return next((name for name in (f"{stem}.tar.xz", f"{stem}.tar.gz") if name in sums), None)


def _pieces(response: requests.Response) -> Iterator[bytes | requests.RequestException]:
    """The body piece by piece; at the end what cut it, if anything: it is an OSError, and not the disk's."""
    try:
        yield from response.iter_content(_CHUNK)
    except requests.RequestException as error:
        yield error
