"""Git by its own program, signed in as `gh` is; no word of a token in a file or an argument.

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
"""GitHub's own name for what its jobs do."""

_OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
_STDERR = 2
_KEPT_OUT = re.compile(r"(?<=//)[^/@\s]+@")
_DENIED = re.compile(
    r"Authentication failed|could not read Username|Permission denied|error: 40[13]|Permission to .* denied"
)


@dataclass(frozen=True)
class Tried:
    """How a git command ended."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The line of what git printed that says why; no user or token of an address."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        told = [line for line in lines if re.match(r"fatal:|error:| ! \[|remote: error", line)]
        line = " ".join((told or lines or ["no reason given"])[0].split())
        return _KEPT_OUT.sub("", line.removeprefix("fatal: ").removeprefix("error: "))


@dataclass(frozen=True)
class Git:
    """A repository's folder, and the variables that git runs with."""

    folder: Path
    environ: Mapping[str, str]

    def attempt(self, *words: str, sent: str = "", seconds: float | None = None) -> Tried:
        """Run git; its end is the caller's to judge, past its time with code 124. Raises MachineError."""
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
        """What git prints, without the last line's end. Raises RefusedError."""
        tried = self.attempt(*words, sent=sent)
        if tried.code:
            raise RefusedError(
                f"git {words[0]} failed ({tried.reason})", where=str(self.folder), todo="mend that"
            )
        return tried.out.removesuffix("\n")

    def answer(self, *words: str) -> str | None:
        """What git prints, without the last line's end; None where it fails."""
        tried = self.attempt(*words)
        return None if tried.code else tried.out.removesuffix("\n")

    def shown(self, *words: str) -> int:
        """Git's exit code; what it and its hooks say goes to standard error. Stopped, it tidies up first."""
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
        """The same with these variables."""
        return replace(self, environ={**self.environ, **variables})

    def address(self, remote: str) -> str:
        """The URL that a remote's name stands for; what is no name is an address itself."""
        address = self.answer("remote", "get-url", "--push", remote) or remote
        local = self.folder / address
        return str(local.resolve()) if local.exists() else address

    def tip(self, remote: str, branch: str) -> str:
        """The commit of a branch of a remote; empty where it has no such branch. Raises NodelayerError."""
        tried = self.attempt("ls-remote", "--", remote, f"refs/heads/{branch}")
        if tried.code:
            raise failed(tried, remote)
        return tried.out.split("\t")[0].strip()

    def identity(self) -> dict[str, str]:
        """Who commits: as git is configured, or else GitHub's bot."""
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
            f"git does not start ({error.strerror})", where=str(self.folder), todo="install git"
        )


def open_git(folder: Path, environ: Mapping[str, str]) -> Git:
    """Git in that folder: it asks nobody, writes nothing in passing, speaks English. Raises MachineError."""
    if not shutil.which("git", path=environ.get("PATH", os.defpath)):
        raise MachineError("git is not installed", todo="install it")
    kept = {name: value for name, value in environ.items() if name not in _OF_ANOTHER}
    set_here = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8", "LANGUAGE": ""}
    return Git(folder, kept | set_here)


@contextmanager
def scratch(git: Git) -> Iterator[Git]:
    """An empty bare repository that is gone afterwards, with the same variables and the same committer."""
    with TemporaryDirectory(prefix="nodelayer-git-") as folder:
        made = replace(git, folder=Path(folder)).set(**git.identity())
        made.run("init", "--quiet", "--bare", ".")
        yield made


def failed(tried: Tried, remote: str) -> NodelayerError:
    """What went wrong between here and a remote."""
    where = _KEPT_OUT.sub("", remote)
    if _DENIED.search(tried.err):
        return RefusedError(
            f"git is not let in ({tried.reason})",
            where=where,
            todo="`gh auth login`; in a job: GH_TOKEN: ${{ github.token }} and permissions: contents: write",
        )
    if " ! [" in tried.err:
        return RefusedError(
            f"the remote refuses the push ({tried.reason})",
            where=where,
            todo="a rule for this branch? let the workflow push it",
        )
    return UnreachableError(
        f"the remote does not answer ({tried.reason})", where=where, todo="check --remote and the network"
    )


def _text(data: bytes) -> str:
    """As it is, line ends too: a patch is one."""
    return data.decode(errors="surrogateescape")


def _credentials(environ: Mapping[str, str]) -> list[str]:
    """The helper that is gh: the only one where a token is given, the last where a person has others."""
    program = shutil.which("gh", path=environ.get("PATH", os.defpath))
    if not program:
        return []
    given = environ.get("GH_TOKEN") or environ.get("GITHUB_TOKEN")
    only = ["-c", "credential.helper="] if given else []
    return [*only, "-c", f"credential.helper=!{shlex.quote(program)} auth git-credential"]
