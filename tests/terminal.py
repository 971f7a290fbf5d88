"""A command on a terminal, and what its screen shows."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from dataclasses import dataclass

import pyte

_DRAWN_AGAIN = re.compile(rb"(?=\r\x1b\[2K)")
"""Where rich begins to draw its rows and bars again."""


@dataclass(frozen=True)
class Session:
    """How a command ended: its code, each different screen on the way, and the bytes that it wrote.

    A screen is its lines without blanks at their ends; the last one has the lines that scrolled away too.
    """

    code: int
    screens: list[list[str]]
    written: bytes
    cursor_hidden: bool

    @property
    def last(self):
        return self.screens[-1]


def run(command, *, env, columns=100, lines=40, watch=lambda _screen: None, **options):
    """Run a command whose input, output and errors are a terminal of this size.

    `watch` is called with pyte's screen whenever the command has written.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES"}}
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "env": env} | options
    screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1)
    stream = pyte.ByteStream(screen)
    screens, written = [], b""
    with subprocess.Popen(command, **streams) as child:
        os.close(theirs)
        while data := _read(ours):
            written += data
            for drawn in _DRAWN_AGAIN.split(data):  # a busy machine reads several screens at once
                stream.feed(drawn)
                watch(screen)
                shown = _text(screen.display)
                if shown not in screens[-1:]:
                    screens.append(shown)
    os.close(ours)
    above = ["".join(line[at].data for at in range(columns)) for line in screen.history.top]
    screens.append(_text([*above, *screen.display]))
    return Session(child.returncode, screens, written, screen.cursor.hidden)


def _read(ours):
    try:
        return os.read(ours, 1 << 16)
    except OSError:  # EIO: nobody has the other side open
        return b""


def _text(lines):
    return "\n".join(line.rstrip() for line in lines).rstrip().splitlines()
