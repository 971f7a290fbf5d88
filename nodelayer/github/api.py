"""GitHub's REST API through the program `gh`, which finds the credentials of a job or of a person.

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
from nodelayer.util.json_text import loads

WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries if GitHub, or the network to it, fails."""
RATE_LIMIT_WAIT_S = 60.0
"""Shortest wait after a secondary rate limit:
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"""

_CALL_S = 900.0
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_OF_THE_REMOTE = "{owner}/{repo}"
"""gh replaces this with the repository of the git remote."""
_STATUS = re.compile(r"\(HTTP (\d{3})\)")
SIGN_IN = "run `gh auth login`; in a job set env: GH_TOKEN: ${{ github.token }}"


class UncertainError(UnreachableError):
    """The connection failed during a POST, so it is unknown whether GitHub carried it out."""


class RateLimitError(UnreachableError):
    """GitHub refused a request because of a rate limit."""


@dataclass(frozen=True)
class GitHub:
    """One repository. Paths are below `repos/owner/name/`, or complete URLs that GitHub returned.

    Every call raises UnreachableError, RefusedError or NotFoundError. Calls are retried, except a POST that
    may have been carried out: it raises UncertainError.
    """

    repository: str
    program: Path
    environ: Mapping[str, str]
    reporter: Reporter
    pause: Callable[[float], None] = time.sleep

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON at a path."""
        return self._call("GET", path)

    def find(self, path: str) -> Any | None:  # noqa: ANN401
        """Return the JSON at a path, None if it does not exist."""
        try:
            return self.get(path)
        except NotFoundError:
            return None

    def every(self, path: str) -> list[Any]:
        """Return the entries of all pages of a list."""
        pages = self._call("GET", f"{path}?per_page=100", "--paginate", "--slurp")
        return [each for page in pages for each in page]

    def post(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401
        """Send JSON by POST, and return the answer."""
        return self._call("POST", path, body=body)

    def patch(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401
        """Send JSON by PATCH, and return the answer."""
        return self._call("PATCH", path, body=body)

    def delete(self, path: str) -> None:
        """Delete an object; it is no error if the object does not exist, since the call may be a retry."""
        with suppress(NotFoundError):
            self._call("DELETE", path)

    def upload(self, url: str, file: Path) -> None:
        """Send the content of a file by POST."""
        kind = guess_type(file.name)[0] or "application/octet-stream"
        self._call("POST", url, "--header", f"Content-Type: {kind}", "--input", str(file))

    def _call(self, method: str, path: str, *flags: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
        """Send a request, and retry it if GitHub or the network fails."""
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
        self.reporter.say(f"{error.what}; retrying in {wait:.0f} s")
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
                f"gh does not start ({error.strerror})", where=line[0], todo="reinstall it"
            ) from error
        if done.returncode:
            raise _error(line, done.stderr.decode(errors="replace"))
        try:
            return loads(done.stdout) if done.stdout.strip() else None
        except ValueError as error:
            raise UnreachableError(
                "the answer is not JSON, so it is not from GitHub", where=line[4], todo="check the proxy"
            ) from error


def _error(line: list[str], reason: str) -> NodelayerError:
    """Return the error of a call, for the reason that gh prints."""
    method, url = line[3:5]
    where = f"{method} {urlsplit(url).path.lstrip('/')}"
    reason = " ".join(reason.split())
    found = _STATUS.search(reason)
    status = int(found[1]) if found else 0
    if "rate limit" in reason:
        return RateLimitError(
            f"GitHub limits the requests ({reason})", where=where, todo="run it again later"
        )
    if "gh auth login" in reason or status == HTTPStatus.UNAUTHORIZED:
        return RefusedError(f"GitHub does not accept the credentials ({reason})", where=where, todo=SIGN_IN)
    if not status or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = UncertainError if method == "POST" else UnreachableError
        return kind(
            f"GitHub cannot be reached ({reason})",
            where=where,
            todo="check the network and https://githubstatus.com, then run it again",
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(
            "GitHub does not find it, or the token may not read it",
            where=where,
            todo="check the name, and the permissions of the job",
        )
    return RefusedError(
        f"GitHub refuses the request ({reason})",
        where=where,
        todo="check the permissions of the job, then run it again",
    )


def open_github(environ: Mapping[str, str], reporter: Reporter, repository: str = "") -> GitHub:
    """Open the named repository, else that of $GITHUB_REPOSITORY, else that of the git remote.

    Raises MachineError if gh is missing, InvalidInputError for a malformed name.
    """
    program = shutil.which("gh", path=environ.get("PATH", os.defpath))
    if not program:
        raise MachineError(
            "gh is not installed",
            where="PATH",
            todo="install it from https://cli.github.com (GitHub's runners have it)",
        )
    name = repository or environ.get("GITHUB_REPOSITORY", "")
    if name and not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} is not a GitHub repository", where="--repository", todo="use OWNER/NAME"
        )
    plain = {"GH_PROMPT_DISABLED": "1", "NO_COLOR": "1", "GH_DEBUG": "", "DEBUG": ""}
    return GitHub(name or _OF_THE_REMOTE, Path(program), {**environ, **plain}, reporter)
