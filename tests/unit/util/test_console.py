"""Progress is shown in rows on a terminal and in lines in a pipe."""

import re
import subprocess
import sys

import pytest
import terminal
from support import environment

WORK = """
import sys
from nodelayer.util.console import Reporter

def draw():
    if reporter._rows:
        reporter._rows.refresh()

reporter, names = Reporter(), [f"region-{number}" for number in range(int(sys.argv[1]))]
with reporter.rows(names):
    for name in names[:4]:
        reporter.show(name, "uploading 40 % " + "." * 100, 0.4)
    draw()
    for name in names[:2]:
        reporter.end(name)
    reporter.fail("region-2: refused")
    reporter.end("region-2", "failed")
    reporter.end("region-2", "done")
    draw()
    with reporter.row("region-3"), reporter.transfer("node.tar.xz", 4_000_000) as done:
        done(1_000_000)
        reporter.say("Executed")
        draw()
print("result")
"""
RED = b"\x1b[31m"
TERMINAL = {"TERM": "xterm-256color", "NO_COLOR": None}


def command(rows):
    return [sys.executable, "-c", WORK, str(rows)]


def test_rows_show_progress_and_disappear_but_failures_stay():
    session = terminal.run(command(6), columns=60, lines=20, env=environment(**TERMINAL))
    assert session.code == 0
    started = next(screen for screen in session.screens if len(screen) == 7 and "uploading" in screen[0])
    assert re.fullmatch(r"region-0 ━{7}╸?.+ uploading 40 % \.+…", started[0])
    assert started[4].endswith(" waiting")
    assert re.fullmatch(r"0 of 6 done, 4 active, 2 waiting, \d+ s", started[6])
    later = next(screen for screen in session.screens if screen and screen[-1].startswith("2 of 6 done, 1 "))
    assert later[0] == "region-2: refused"
    assert [line.split()[-1] for line in later[1:4]] == ["done", "done", "failed"]
    assert any(line.endswith("Executed") for screen in session.screens for line in screen)
    assert session.last == ["region-2: refused", "result"]
    assert RED in session.written
    assert not session.cursor_hidden


def test_a_terminal_with_fewer_lines_than_rows_shows_the_active_rows_and_a_counter():
    session = terminal.run(command(34), columns=60, lines=8, env=environment(**TERMINAL))
    started = next(screen for screen in session.screens if len(screen) == 5)
    assert [line.split()[0] for line in started] == [*(f"region-{number}" for number in range(4)), "0"]
    assert started[-1].startswith("0 of 34 done, 4 active, 30 waiting, ")
    assert session.last == ["region-2: refused", "result"]


def test_no_color_is_respected_on_a_terminal():
    session = terminal.run(command(6), columns=60, lines=20, env=environment(**TERMINAL | {"NO_COLOR": "1"}))
    assert any("uploading 40 %" in line for screen in session.screens for line in screen)
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", session.written)


@pytest.mark.parametrize("changes", [{"TERM": "dumb"}, {"TTY_INTERACTIVE": "0"}])
def test_terminal_without_cursor_movement_gets_lines(changes):
    session = terminal.run(command(6), columns=60, lines=20, env=environment(**TERMINAL | changes))
    assert session.last == ["region-2: refused", "Executed", "result"]
    assert b"\x1b[1A" not in session.written


def test_results_go_to_their_file_while_rows_are_shown(tmp_path):
    script = WORK.replace("    draw()\n", "    print('meanwhile')\n    draw()\n", 1)
    with (tmp_path / "results").open("w") as results:
        session = terminal.run(
            [sys.executable, "-c", script, "6"], stdout=results, env=environment(**TERMINAL)
        )
    assert session.last == ["region-2: refused"]
    assert (tmp_path / "results").read_text().split() == ["meanwhile", "result"]


@pytest.mark.parametrize("changes", [{}, {"FORCE_COLOR": "1", "NO_COLOR": None}])
def test_a_pipe_gets_a_line_for_each_event(changes):
    done = subprocess.run(
        command(6), capture_output=True, text=True, env=environment(**changes), check=True, timeout=60
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr)
    assert (plain.splitlines(), done.stdout) == (["region-2: refused", "Executed"], "result\n")
    if not changes:
        assert plain == done.stderr


HOSTILE = """
import sys
from nodelayer.errors import NodelayerError
from nodelayer.util.console import Reporter, escaped_output
from nodelayer.util.tables import columns

text = "\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\r\\u202e\\ud800\\x7f\\u2028"
forged = text + "\\nnodelayer: forged"
with escaped_output():
    reporter = Reporter()
    reporter.say(forged), reporter.warn(forged), reporter.fail(forged)
    with reporter.work(forged), reporter.transfer("[/b]" + forged, 10) as done:
        done(1)
    with reporter.rows([text]):
        reporter.show(text, forged)
        print(text)
        reporter.fail(forged)
    print(columns([[forged, "b"]]), end="")
    print(NodelayerError(forged, where=forged))
    print(text, file=sys.stderr)
"""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def test_text_from_outside_cannot_control_a_pipe_or_forge_a_line():
    command = [sys.executable, "-c", HOSTILE]
    done = subprocess.run(command, env=environment(), capture_output=True, check=True, timeout=60)
    shown = (done.stdout + done.stderr).decode()
    assert len(shown.splitlines()) == 8
    assert all(r"\u001b]0;title\u0007\u001b[2J\u009b31m" in line for line in shown.splitlines())
    assert not CONTROL.search(shown)


def test_text_from_outside_cannot_control_a_terminal_or_forge_a_line():
    session = terminal.run([sys.executable, "-c", HOSTILE], lines=20, env=environment(**TERMINAL))
    assert session.code == 0
    assert not re.search(rb"\x1b\]|\x1b\[2J|\x07|\xc2\x9b|\xe2\x80[\xa8-\xae]|\xed\xa0", session.written)
    assert not any(line.startswith("nodelayer: forged") for screen in session.screens for line in screen)
    assert rb"\u001b]0;title" in session.written
