"""Run git, signed in through `gh`; no token is written to a file or passed as an argument.

https://git-scm.com/docs/gitcredentials · https://cli.github.com/manual/gh_auth_setup-git
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nodelayer.errors import MachineError, NodelayerError, RefusedError, UnreachableError

BOT = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")
"""Name and email of the account that GitHub's own jobs commit with."""

_OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
_STDERR = 2
_KEPT_OUT = re.compile(r"(?<=//)[^/@\s]+@")
_DENIED = re.compile(
    r"Authentication failed|could not read Username|Permission denied|error: 40[13]|Permission to .* denied"
)


@dataclass(frozen=True)
class Tried:
    """The exit code and the output of a git command."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The line of git's output that says why it failed, without credentials."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"fatal:|error:| ! \[|remote: error", line)]
        line = " ".join((errors or lines or ["no reason given"])[0].split())
        return _KEPT_OUT.sub("", line.removeprefix("fatal: ").removeprefix("error: "))


@dataclass(frozen=True)
class Git:
    """A folder of a repository, and the environment variables that git runs with."""

    folder: Path
    environ: Mapping[str, str]

    def attempt(self, *words: str, sent: str = "", seconds: float | None = None) -> Tried:
        """Run git and return how it ended, whatever its exit code; a timeout has code 124.

        Raises:
            MachineError: Git cannot be started.
        """
        try:
            done = subprocess.run(
                self._line(words),
                cwd=self.folder,
                env=self.environ,
                input=sent.encode(errors="surrogateescape"),
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except OSError as error:
            raise self._not_started(error) from error
        except subprocess.TimeoutExpired:
            return Tried(124, "", f"no answer within {seconds:.0f} s")
        return Tried(done.returncode, _text(done.stdout), _text(done.stderr))

    def run(self, *words: str, sent: str = "") -> str:
        """Run git and return its output without the final newline.

        Raises:
            RefusedError: Git failed.
        """
        tried = self.attempt(*words, sent=sent)
        if tried.code:
            raise RefusedError(
                f"git {words[0]} failed ({tried.reason})",
                where=str(self.folder),
                todo="fix the cause that git names, then run the command again",
            )
        return tried.out.removesuffix("\n")

    def answer(self, *words: str) -> str | None:
        """Run git and return its output without the final newline, or None if it failed."""
        tried = self.attempt(*words)
        return None if tried.code else tried.out.removesuffix("\n")

    def shown(self, *words: str) -> int:
        """Run git with its output on stderr and return the exit code; if interrupted, wait for git to end."""
        try:
            running = subprocess.Popen(
                self._line(words),
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,
            )
        except OSError as error:
            raise self._not_started(error) from error
        try:
            return running.wait()
        except BaseException:
            running.terminate()
            running.wait()
            raise

    def set(self, **variables: str) -> "Git":
        """Return a copy with these environment variables added."""
        return replace(self, environ={**self.environ, **variables})

    def address(self, remote: str) -> str:
        """Return the URL of a remote. Other text stays as it is, but a path that exists becomes absolute."""
        address = self.answer("remote", "get-url", "--push", remote) or remote
        local = self.folder / address
        return str(local.resolve()) if local.exists() else address

    def tip(self, remote: str, branch: str) -> str:
        """Return the commit of a remote's branch; empty if the branch does not exist.

        Raises:
            RefusedError: The remote denies access.
            UnreachableError: The remote does not answer.
        """
        tried = self.attempt("ls-remote", "--", remote, f"refs/heads/{branch}")
        if tried.code:
            raise failed(tried, remote)
        return tried.out.split("\t")[0].strip()

    def identity(self) -> dict[str, str]:
        """Return the variables of author and committer: from git's configuration, else GitHub's bot."""
        name, mail = (self.answer("config", "--get", f"user.{word}") for word in ("name", "email"))
        if not (name and mail):
            name, mail = BOT
        return {
            f"GIT_{role}_{word}": value
            for role in ("AUTHOR", "COMMITTER")
            for word, value in (("NAME", name), ("EMAIL", mail))
        }

    def _line(self, words: tuple[str, ...]) -> list[str]:
        return ["git", *_credentials(self.environ), *words]

    def _not_started(self, error: OSError) -> MachineError:
        return MachineError(
            f"git cannot be started ({error.strerror})", where=str(self.folder), todo="install git again"
        )


def open_git(folder: Path, environ: Mapping[str, str]) -> Git:
    """Return git for a folder: without prompts or optional locks, and with English output.

    Raises:
        MachineError: Git is not installed.
    """
    if not shutil.which("git", path=environ.get("PATH", os.defpath)):
        raise MachineError("git is not installed", todo="install it: https://git-scm.com/downloads")
    kept = {name: value for name, value in environ.items() if name not in _OF_ANOTHER}
    set_here = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8", "LANGUAGE": ""}
    return Git(folder, kept | set_here)


@contextmanager
def scratch(git: Git) -> Iterator[Git]:
    """Create a temporary empty bare repository with the same variables and committer."""
    with TemporaryDirectory(prefix="nodelayer-git-") as folder:
        made = replace(git, folder=Path(folder)).set(**git.identity())
        made.run("init", "--quiet", "--bare", ".")
        yield made


def failed(tried: Tried, remote: str) -> NodelayerError:
    """Return the error for a git command that failed to read from or push to a remote."""
    where = _KEPT_OUT.sub("", remote)
    if _DENIED.search(tried.err):
        return RefusedError(
            f"the remote denies access ({tried.reason})",
            where=where,
            todo="run `gh auth login`; in a job, set GH_TOKEN: ${{ github.token }} "
            "and permissions: contents: write",
        )
    if " ! [" in tried.err:
        return RefusedError(
            f"the remote rejected the push ({tried.reason})",
            where=where,
            todo="if a rule protects this branch, allow the workflow to push to it",
        )
    return UnreachableError(
        f"the remote does not answer ({tried.reason})", where=where, todo="check --remote and the network"
    )


def _text(data: bytes) -> str:
    """Decode output without changing bytes or line ends, because it may be a patch."""
    return data.decode(errors="surrogateescape")


def _credentials(environ: Mapping[str, str]) -> list[str]:
    """Make `gh` the credential helper: the only one if a token is set, else the last one."""
    program = shutil.which("gh", path=environ.get("PATH", os.defpath))
    if not program:
        return []
    given = environ.get("GH_TOKEN") or environ.get("GITHUB_TOKEN")
    only = ["-c", "credential.helper="] if given else []
    return [*only, "-c", f"credential.helper=!{shlex.quote(program)} auth git-credential"]
