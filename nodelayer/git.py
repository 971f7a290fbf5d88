"""git in one folder: what it says, and whether it could do something."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from nodelayer.errors import MachineError

_STDERR = 2


@dataclass(frozen=True)
class Git:
    """The git on PATH, at work in a folder. It is never asked for what it would write in passing."""

    folder: Path

    def run(self, *words: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        """How it ended. Raises MachineError where there is no git; past its time it ends with code 124."""
        try:
            return subprocess.run(
                self._line(words),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError as error:
            raise _no_git() from error
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 124, "", f"no answer within {seconds:.0f} s")

    def answer(self, *words: str) -> str | None:
        """What it prints, without the last newline; None where it fails."""
        done = self.run(*words)
        return done.stdout.removesuffix("\n") if done.returncode == 0 else None

    def shown(self, *words: str) -> int:
        """Its exit code; what it and its hooks say goes to standard error. Stopped, it tidies up first."""
        try:
            running = subprocess.Popen(
                self._line(words), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=_STDERR
            )
        except FileNotFoundError as error:
            raise _no_git() from error
        try:
            return running.wait()
        except BaseException:
            running.terminate()
            running.wait()
            raise

    @staticmethod
    def _line(words: tuple[str, ...]) -> list[str]:
        return ["git", "--no-optional-locks", *words]


def last_line(said: str) -> str:
    """The last line of what git said: its reason."""
    lines = said.strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


def _no_git() -> MachineError:
    return MachineError("git is not installed", todo="install it")
