"""GitHub's REST API through its own program, `gh`: signed in as a job or a person is, by no HTTP of ours.

https://cli.github.com/manual/gh_api · https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
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
"""Between one try and the next, where GitHub or the way to it fails."""
LIMITED_S = 60.0
"""The least to wait after a secondary rate limit that does not say how long; doubled each time."""

_MOST_WAIT_S = 900.0
_CALL_S = 120.0
_UPLOAD_S = 3600.0
_JSON = "application/vnd.github+json"
_VERSION = "2022-11-28"
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_NEXT = re.compile(r'<([^>]+)>; *rel="next"')
_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
_CHANGING = ("GH_DEBUG", "DEBUG", "GH_FORCE_TTY", "CLICOLOR_FORCE", "GH_REPO")
"""Variables that would change what gh prints, or whom it speaks of."""
_SIGN_IN = "`gh auth login`; in a job: env: GH_TOKEN: ${{ github.token }}"

T = TypeVar("T")


class UncertainError(UnreachableError):
    """A request that makes something broke off: whether GitHub has done it is not known."""


@dataclass(frozen=True)
class Answer:
    """What GitHub sent: a status (0 where nothing came), headers by their lower-case name, the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, printed: bytes) -> "Answer":
        """Of what `gh api --include` prints."""
        head, _, body = printed.partition(b"\r\n\r\n")
        first, _, rest = head.decode(errors="replace").partition("\n")
        words = first.split()
        if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():  # noqa: PLR2004
            return cls(0, {}, b"")
        pairs = (line.partition(":") for line in rest.splitlines())
        return cls(int(words[1]), {name.lower(): value.strip() for name, _, value in pairs}, body)

    @property
    def message(self) -> str:
        """GitHub's own words, and those of each error in its list."""
        try:
            told = json.loads(self.body)
        except ValueError:
            return HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else "no reason given"
        if not isinstance(told, dict):
            return "no reason given"
        errors = told.get("errors")
        more = [
            str(each.get("message") or f"{each.get('field')} {each.get('code')}")
            if isinstance(each, dict)
            else str(each)
            for each in (errors if isinstance(errors, list) else [])
        ]
        return ", ".join([str(told.get("message", "no reason given")), *more])

    @property
    def limited(self) -> bool:
        """Whether GitHub has done nothing, and asks for patience.

        https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
        """
        return self.status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS} and (
            "retry-after" in self.headers
            or self.headers.get("x-ratelimit-remaining") == "0"
            or "rate limit" in self.message.lower()
        )

    def patience(self, now: float, tries: int) -> float:
        """Seconds to wait after a limit, as the page above says."""
        if (after := self.headers.get("retry-after", "")).isdecimal():
            return float(after)
        reset = self.headers.get("x-ratelimit-reset", "")
        if self.headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
            return max(float(reset) - now, 1.0)
        return LIMITED_S * (1 << tries)


@dataclass(frozen=True)
class GitHub:
    """One repository, by `gh`. Paths are below `repos/owner/name/`, or whole URLs that GitHub gave.

    Every call raises UnreachableError, RefusedError or NotFoundError; what fails on the way is tried again a
    few times. A POST is not, since it may have been done: UncertainError, for `persist`.
    """

    repository: str
    program: Path
    environ: Mapping[str, str]
    reporter: Reporter
    pause: Callable[[float], None] = time.sleep

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self._call("GET", path)

    def find(self, path: str) -> Any | None:  # noqa: ANN401
        """As `get`; None where there is nothing."""
        try:
            return self.get(path)
        except NotFoundError:
            return None

    def every(self, path: str, key: str = "") -> list[Any]:
        """All pages of a list, 100 to a page; of the list under `key` in each, if one is named."""
        found: list[Any] = []
        url = f"{path}{'&' if '?' in path else '?'}per_page=100"
        while url:
            answer = self._answer("GET", url)
            page = _json(answer)
            found += page[key] if key else page
            link = _NEXT.search(answer.headers.get("link", ""))
            url = link[1] if link else ""
        return found

    def post(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401
        return self._call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401
        return self._call("PATCH", path, body)

    def delete(self, path: str) -> None:
        """What is not there any more is deleted."""
        try:
            self._call("DELETE", path)
        except NotFoundError:
            return

    def upload(self, url: str, file: Path, content_type: str) -> Any:  # noqa: ANN401
        """Send a file's bytes by POST; UncertainError as for `post`."""
        return _json(self._answer("POST", url, file=file, content_type=content_type))

    def persist(self, step: Callable[[], T]) -> T:
        """Do a step that looks before it acts, again where it is not known what became of it."""
        for wait in WAITS_S:
            try:
                return step()
            except UncertainError as error:
                self._say_again(str(error.what), wait)
        return step()

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
        return _json(self._answer(method, path, body))

    def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        file: Path | None = None,
        content_type: str = "",
    ) -> Answer:
        """The answer, if it is a good one."""
        line = [str(self.program), "api", "--include", "--method", method]
        line += ["--header", f"Accept: {_JSON}", "--header", f"X-GitHub-Api-Version: {_VERSION}"]
        line += ["--header", f"Content-Type: {content_type}"] if content_type else []
        line += ["--input", str(file or "-")] if file or body is not None else []
        line.append(path if "://" in path else f"repos/{self.repository}/{path}".rstrip("/"))
        sent = json.dumps(body).encode() if body is not None else b""
        where = f"{method} {urlsplit(line[-1]).path.lstrip('/')}"
        tries = 0
        while True:
            answer, said = _run(line, sent, self.environ, _UPLOAD_S if file else _CALL_S)
            if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                return answer
            error = self._error(answer, said, where, uncertain=method == "POST")
            wait = WAITS_S[min(tries, len(WAITS_S) - 1)]
            if answer.limited:
                wait = answer.patience(time.time(), tries)
            elif not isinstance(error, UnreachableError) or isinstance(error, UncertainError):
                raise error
            if tries == len(WAITS_S) or wait > _MOST_WAIT_S:
                raise error
            tries += 1
            self._say_again(error.what, wait)

    def _say_again(self, what: str, wait: float) -> None:
        self.reporter.say(f"{what}; again in {wait:.0f} s")
        self.pause(wait)

    def _error(  # noqa: PLR0911 - one for each kind of answer
        self, answer: Answer, said: str, where: str, *, uncertain: bool
    ) -> NodelayerError:
        kind = UncertainError if uncertain else UnreachableError
        if not answer.status:
            if "gh auth login" in said:
                return RefusedError("gh is not signed in", where=where, todo=_SIGN_IN)
            return kind(
                f"GitHub cannot be reached ({self._without_token(said)})",
                where=where,
                todo="check the network and https://githubstatus.com, then run it again",
            )
        message = self._without_token(answer.message)
        if answer.limited:
            return RefusedError(
                f"GitHub asks to slow down: {message}", where=where, todo="run it again later"
            )
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return kind(
                f"GitHub answers {answer.status} ({message})",
                where=where,
                todo="see https://githubstatus.com, then run it again",
            )
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return RefusedError("GitHub does not accept the token", where=where, todo=_SIGN_IN)
        if answer.status == HTTPStatus.FORBIDDEN:
            return RefusedError(
                f"GitHub does not allow it: {message}",
                where=where,
                todo="give the job that permission, or sign in as somebody who has it",
            )
        if answer.status == HTTPStatus.NOT_FOUND:
            return NotFoundError(
                "GitHub has no such thing, or does not show it to this token",
                where=where,
                todo="check the name, and the job's permissions",
            )
        return RefusedError(f"GitHub refuses it: {message}", where=where, todo="mend that, then run it again")

    def _without_token(self, text: str) -> str:
        for name in _TOKENS:
            if token := self.environ.get(name):
                text = text.replace(token, "***")
        return " ".join(text.split())


def find_program(environ: Mapping[str, str]) -> Path:
    """`gh` as PATH has it. Raises MachineError."""
    found = shutil.which("gh", path=environ.get("PATH", os.defpath))
    if not found:
        raise MachineError(
            "gh is not installed",
            where="PATH",
            todo="install GitHub's command line: https://cli.github.com (GitHub's runners have it)",
        )
    return Path(found)


def open_github(environ: Mapping[str, str], reporter: Reporter, repository: str = "") -> GitHub:
    """The repository that is named, or else $GITHUB_REPOSITORY, or else that of git's remote, as gh finds it.

    Raises MachineError where there is no gh, InvalidInputError for a name that is none, NotFoundError where
    nothing names one.
    """
    program = find_program(environ)
    kept = {name: value for name, value in environ.items() if name not in _CHANGING}
    kept |= {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
    name = repository or environ.get("GITHUB_REPOSITORY", "")
    if not name:
        answer, said = _run([str(program), "api", "--include", "repos/{owner}/{repo}"], b"", kept, _CALL_S)
        if answer.status != HTTPStatus.OK:
            raise NotFoundError(
                "which repository of GitHub?",
                where=" ".join((said or answer.message).split()),
                todo="name it: --repository OWNER/NAME",
            )
        name = str(_json(answer)["full_name"])
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} is no repository of GitHub", where="--repository", todo="write OWNER/NAME"
        )
    return GitHub(name, program, kept, reporter)


def _run(line: list[str], sent: bytes, environ: Mapping[str, str], most_s: float) -> tuple[Answer, str]:
    """What came, and what gh says of it."""
    try:
        done = subprocess.run(
            line, input=sent, env=dict(environ), capture_output=True, timeout=most_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(0, {}, b""), f"no answer within {most_s:.0f} s"
    except OSError as error:
        raise MachineError(
            "gh does not start", where=line[0], todo=f"install it anew ({error.strerror})"
        ) from error
    return Answer.parse(done.stdout), done.stderr.decode(errors="replace")


def _json(answer: Answer) -> Any:  # noqa: ANN401
    """The body; None where there is none. Raises UnreachableError for what is no JSON: a proxy's page."""
    if not answer.body.strip():
        return None
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise UnreachableError(
            "what came is not GitHub's answer", where="gh api", todo="a proxy in between? check its sign-in"
        ) from error
