"""What can go wrong, in one line a person can act on."""

import errno
from pathlib import Path


class NodelayerError(Exception):
    """A failure told as one line: what failed, where, and what to do next. `code` is the exit code."""

    code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what = what
        self.where = where
        self.todo = todo
        super().__init__(str(self))

    def __str__(self) -> str:
        line = f"{self.what} [{self.where}]" if self.where else self.what
        line = f"{line}: {self.todo}" if self.todo else line
        return " ".join(line.split())


class InvalidInputError(NodelayerError):
    """What the user wrote cannot be meant: a flag, a spec, an event file."""

    code = 2


class NotFoundError(NodelayerError):
    """What was asked for is well formed and does not exist."""

    code = 3


class UnreachableError(NodelayerError):
    """A host, a daemon or a client could not be reached or would not answer."""

    code = 4


class NotVerifiedError(NodelayerError):
    """Something arrived that is not what its publisher says it is."""

    code = 5


class IncompatibleError(NodelayerError):
    """The layer would not run on what it was asked for, or would be refused by Lambda."""

    code = 6


class MachineError(NodelayerError):
    """This machine lacks what the work needs: room, a permission, a program."""

    code = 7


class FunctionError(NodelayerError):
    """The function ran and failed, or never answered."""

    code = 8


class RefusedError(NodelayerError):
    """AWS or GitHub understood and said no: a missing right, a quota, a wrong account, an unfit request."""

    code = 9


def machine_error(error: OSError, path: Path, flag: str) -> MachineError:
    """An error of the file system as one line; `flag` is the one that names another place."""
    where = str(error.filename or path)
    todo = {
        errno.ENOSPC: f"free some space, or name another place with {flag} (and TMPDIR)",
        errno.EDQUOT: f"free some space, or name another place with {flag} (and TMPDIR)",
        errno.EACCES: f"name another place with {flag}, or ask for the permission",
        errno.EPERM: f"name another place with {flag}, or ask for the permission",
    }.get(error.errno or 0, f"name another place with {flag}")
    return MachineError((error.strerror or str(error)).lower(), where=where, todo=todo)
