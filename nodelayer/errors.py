"""Errors of nodelayer: each is one line that says what failed and what to do next."""

import errno
from pathlib import Path

_CONTROLS = (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0))  # all but the tab
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_UNPRINTABLE = {code: f"\\u{code:04x}" for code in (*_CONTROLS, *_DIRECTIONS, *range(0xD800, 0xE000))}
_UNPRINTABLE_IN_LINES = {code: escaped for code, escaped in _UNPRINTABLE.items() if code != ord("\n")}

_MOST_PART = 1_000  # characters; an error has three parts


def printable(text: str, *, lines: bool = False) -> str:
    r"""Escape characters that a terminal would obey, as `\u001b`; with `lines`, keep newlines.

    These are control characters, and those that change the direction of text or end a line. Lone surrogates,
    as in file names that are not UTF-8, cannot be printed at all. The escapes keep the meaning of JSON.
    """
    return text.translate(_UNPRINTABLE_IN_LINES if lines else _UNPRINTABLE)


def _line(text: str) -> str:
    """Return a text of foreign origin in one line of limited length."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MOST_PART else f"{line[:_MOST_PART]}…"


class NodelayerError(Exception):
    """A failure in one line: `what [where]: todo`. `code` is the exit code."""

    code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what = what
        self.where = where
        self.todo = todo
        super().__init__(str(self))

    def __str__(self) -> str:
        what, where, todo = (_line(part) for part in (self.what, self.where, self.todo))
        line = f"{what} [{where}]" if where else what
        return f"{line}: {todo}" if todo else line


class InvalidInputError(NodelayerError):
    """The input is invalid: a flag, a version, a configuration file or an event."""

    code = 2


class NotFoundError(NodelayerError):
    """The input is valid, but what it names does not exist."""

    code = 3


class UnreachableError(NodelayerError):
    """A host, a daemon or a client program does not answer."""

    code = 4


class NotVerifiedError(NodelayerError):
    """A file does not match its checksum, its signature or the expected content."""

    code = 5


class IncompatibleError(NodelayerError):
    """The layer would not start on the requested runtime, or Lambda would reject it."""

    code = 6


class MachineError(NodelayerError):
    """This machine lacks disk space, a permission or a program."""

    code = 7


class FunctionError(NodelayerError):
    """The function failed or did not answer."""

    code = 8


class RefusedError(NodelayerError):
    """AWS or GitHub rejected the request: a missing permission, a quota, a wrong account."""

    code = 9


def machine_error(error: OSError, path: Path, flag: str) -> MachineError:
    """Return the error for an OSError of the file system; `flag` is the option for another location."""
    where = str(error.filename or path)
    places = flag if flag == "TMPDIR" else f"{flag} (and TMPDIR)"
    space = f"free some space, or choose another location with {places}"
    todo = {
        errno.ENOSPC: space,
        errno.EDQUOT: space,
        errno.EACCES: f"change the permissions, or choose another location with {flag}",
        errno.EPERM: f"change the permissions, or choose another location with {flag}",
    }.get(error.errno or 0, f"choose another location with {flag}")
    return MachineError((error.strerror or str(error)).lower(), where=where, todo=todo)
