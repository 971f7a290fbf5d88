"""How responses of the emulator are classified, and errors of programs that are no emulator."""

import pytest

from nodelayer.emulation import invoke, rie
from nodelayer.errors import FunctionError, InvalidInputError, MachineError


@pytest.mark.parametrize(
    ("payload", "status", "error"),
    [
        (b'{"a": 1}', 200, None),
        (b"null", 200, None),
        (b'"Task timed out after 3.00 seconds"', 200, None),
        (b'{"errorType": "only that"}', 200, None),
        (b'{"errorType": "TypeError", "errorMessage": "no"}', 200, "TypeError"),
        (b'{"errorType": "Runtime.ExitError", "errorMessage": "gone"}', 502, "Runtime.ExitError"),
        (b"Task timed out after 3.00 seconds", 200, "Sandbox.Timedout"),
        (b"<html>", 200, "Runtime.InvalidAnswer"),
        (b"{}", 500, "HTTP 500"),
    ],
)
def test_an_error_is_distinguished_from_a_response(payload, status, error):
    assert rie._error_type(payload, status) == error


@pytest.fixture
def sandbox(tmp_path):
    (tmp_path / "layer").mkdir()
    (tmp_path / "function").mkdir()
    return rie.Sandbox(tmp_path / "layer", tmp_path / "function", "function.handler", 1)


def program(folder, text):
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_missing_function_folder_is_reported(sandbox, tmp_path):
    wrong = rie.Sandbox(sandbox.layer, tmp_path / "nowhere", "function.handler", 1)
    with pytest.raises(InvalidInputError, match="the folder of the function does not exist"):
        rie.invoke_once(wrong, b"{}", rie=tmp_path / "none")


def test_an_emulator_that_cannot_be_executed_is_reported(sandbox, tmp_path):
    with pytest.raises(MachineError, match="cannot be started"):
        rie.invoke_once(sandbox, b"{}", rie=tmp_path / "none")


def test_an_emulator_that_ends_at_once_is_reported_with_its_last_line(sandbox, tmp_path):
    with pytest.raises(MachineError, match="does not start: some reason"):
        rie.invoke_once(sandbox, b"{}", rie=program(tmp_path, "echo some reason >&2; exit 1"))


def test_an_emulator_that_closes_the_connection_means_no_response(sandbox, tmp_path):
    # Listens at the given address, accepts the connection and exits.
    listen = (
        "exec python3 -c 'import socket, sys; "
        'host, port = sys.argv[2].split(":"); '
        's = socket.create_server((host, int(port))); s.accept(); s.accept()\' "$@"'
    )
    with pytest.raises(FunctionError, match="the Runtime Interface Emulator"):
        rie.invoke_once(sandbox, b"{}", rie=program(tmp_path, listen))


@pytest.mark.parametrize(
    ("pairs", "lines", "expected"),
    [
        (["A=b", "C=d=e"], "", {"A": "b", "C": "d=e"}),
        (["A=c"], "# comment\n\nA=b\nB= x \n", {"A": "c", "B": " x "}),
        (["A="], "", {"A": ""}),
    ],
)
def test_environment_variables_are_read_from_flags_and_a_file(tmp_path, pairs, lines, expected):
    file = tmp_path / "variables"
    file.write_text(lines)
    assert invoke.variables(pairs, str(file)) == expected


@pytest.mark.parametrize("pair", ["secret", "=secret", "1A=secret", "A B=secret", "A=secret\0"])
def test_a_wrong_environment_variable_is_refused_without_its_value(pair):
    with pytest.raises(InvalidInputError, match="not NAME=value") as caught:
        invoke.variables([pair], "")
    assert "secret" not in str(caught.value)
