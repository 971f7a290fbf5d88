"""GitHub's REST API through GitHub's own program `gh`, which knows how a job or a person is signed in.

https://cli.github.com/manual/gh_api
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from nodelayer.util.console import Reporter

WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries if GitHub, or the network to it, fails."""
RATE_LIMIT_WAIT_S = 60.0
"""The least to wait after a secondary rate limit, as
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api says."""

_CALL_S = 900.0
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_OF_THE_REMOTE = "{owner}/{repo}"
"""gh puts in the repository of git's remote."""
_STATUS = re.compile(r"\(HTTP (\d{3})\)")
_SIGN_IN = "`gh auth login`; in a job: env: GH_TOKEN: ${{ github.token }}"


class UncertainError(UnreachableError):
    """A POST failed on its way: whether GitHub has carried it out is unknown."""


class RateLimitError(UnreachableError):
    """GitHub has done nothing, and asks to slow down."""


@dataclass(frozen=True)
class GitHub:
    """One repository. Paths are below `repos/owner/name/`, or whole URLs that GitHub gave.

    Every call raises UnreachableError, RefusedError or NotFoundError. Calls are retried, except a POST that
    may have been carried out: it raises UncertainError.
    """

    repository: str
    program: Path
    environ: Mapping[str, str]
    reporter: Reporter
    pause: Callable[[float], None] = time.sleep

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self._call("GET", path)

    def find(self, path: str) -> Any | None:  # noqa: ANN401
        """As `get`; None if GitHub has no such thing."""
        try:
            return self.get(path)
        except NotFoundError:
            return None

    def every(self, path: str) -> list[Any]:
        """All pages of a list."""
        pages = self._call("GET", f"{path}?per_page=100", "--paginate", "--slurp")
        return [each for page in pages for each in page]

    def post(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401
        return self._call("POST", path, body=body)

    def patch(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401
        return self._call("PATCH", path, body=body)

    def delete(self, path: str) -> None:
        """Delete something; a retried call may find it deleted already."""
        with suppress(NotFoundError):
            self._call("DELETE", path)

    def upload(self, url: str, file: Path) -> None:
        """Send a file's bytes by POST."""
        kind = guess_type(file.name)[0] or "application/octet-stream"
        self._call("POST", url, "--header", f"Content-Type: {kind}", "--input", str(file))

    def _call(self, method: str, path: str, *flags: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
        """Send one request, again if GitHub or the network fails."""
        url = path if "://" in path else f"repos/{self.repository}/{path}"
        line = [str(self.program), "api", "--method", method, url, *flags]
        line += [] if body is None else ["--input", "-"]
        sent = b"" if body is None else json.dumps(body).encode()
        for wait in WAITS_S:
            try:
                return self._try(line, sent)
            except UncertainError:
                raise
            except RateLimitError as error:
                self._pause(error, RATE_LIMIT_WAIT_S)
            except UnreachableError as error:
                self._pause(error, wait)
        return self._try(line, sent)

    def _pause(self, error: NodelayerError, wait: float) -> None:
        self.reporter.say(f"{error.what}; again in {wait:.0f} s")
        self.pause(wait)

    def _try(self, line: list[str], sent: bytes) -> Any:  # noqa: ANN401
        try:
            done = subprocess.run(
                line, input=sent, env=self.environ, capture_output=True, timeout=_CALL_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise _error(line, f"no answer within {_CALL_S:.0f} s") from None
        except OSError as error:
            raise MachineError(
                "gh does not start", where=line[0], todo=f"install it anew ({error.strerror})"
            ) from error
        if done.returncode:
            raise _error(line, done.stderr.decode(errors="replace"))
        try:
            return json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError as error:
            raise UnreachableError(
                "what came is not GitHub's answer", where=line[4], todo="check the proxy in between"
            ) from error


def _error(line: list[str], told: str) -> NodelayerError:
    """The error of a call, from what gh says of it."""
    method, url = line[3:5]
    where = f"{method} {urlsplit(url).path.lstrip('/')}"
    told = " ".join(told.split())
    found = _STATUS.search(told)
    status = int(found[1]) if found else 0
    if "rate limit" in told:
        return RateLimitError(f"GitHub asks to slow down ({told})", where=where, todo="run it again later")
    if "gh auth login" in told or status == HTTPStatus.UNAUTHORIZED:
        return RefusedError(f"GitHub does not accept the sign-in ({told})", where=where, todo=_SIGN_IN)
    if not status or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = UncertainError if method == "POST" else UnreachableError
        return kind(
            f"GitHub cannot be reached ({told})",
            where=where,
            todo="check the network and https://githubstatus.com, then run it again",
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(
            "GitHub has no such thing, or does not show it to this token",
            where=where,
            todo="check the name, and the job's permissions",
        )
    return RefusedError(
        f"GitHub refuses it ({told})", where=where, todo="check the job's permissions, then run it again"
    )


def open_github(environ: Mapping[str, str], reporter: Reporter, repository: str = "") -> GitHub:
    """Open the named repository, or else $GITHUB_REPOSITORY, or else that of git's remote.

    Raises MachineError if gh is missing, InvalidInputError for a malformed name.
    """
    program = shutil.which("gh", path=environ.get("PATH", os.defpath))
    if not program:
        raise MachineError(
            "gh is not installed",
            where="PATH",
            todo="install GitHub's command line: https://cli.github.com (GitHub's runners have it)",
        )
    name = repository or environ.get("GITHUB_REPOSITORY", "")
    if name and not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} is no repository of GitHub", where="--repository", todo="write OWNER/NAME"
        )
    plain = {"GH_PROMPT_DISABLED": "1", "NO_COLOR": "1", "GH_DEBUG": "", "DEBUG": ""}
    return GitHub(name or _OF_THE_REMOTE, Path(program), {**environ, **plain}, reporter)
