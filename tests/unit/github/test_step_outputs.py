"""Step outputs in the format of GitHub's runner."""

import pytest

from nodelayer.errors import MachineError
from nodelayer.github import step_outputs


def read(text):
    """Read the file like the runner does: `name=value`, or `name<<end`, lines, `end`."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        if "<<" in line.partition("=")[0]:
            name, _, end = line.partition("<<")
            value = []
            for each in lines:
                if each == end:
                    break
                value.append(each)
            found[name] = "\n".join(value)
        else:
            name, _, found[name] = line.partition("=")
    return found


def test_write_appends_to_the_existing_outputs(tmp_path):
    file = tmp_path / "outputs"
    file.write_text("before=1\n")
    step_outputs.write(str(file), {"zip": "dist/a=b.zip", "any": "true"})
    assert read(file.read_text()) == {"before": "1", "zip": "dist/a=b.zip", "any": "true"}


@pytest.mark.parametrize("value", ["a\nb", "a\nzip=evil\nEOF\n", "a<<b\nc", "\r\n"])
def test_a_value_with_several_lines_cannot_add_an_output(tmp_path, value):
    file = tmp_path / "outputs"
    step_outputs.write(str(file), {"zip": value, "after": "x<<y"})
    assert set(read(file.read_text())) == {"zip", "after"}
    assert read(file.read_text())["zip"] == "\n".join(
        value.splitlines() + ([""] if value.endswith("\n") else [])
    )


def test_write_without_a_file_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    step_outputs.write("", {"zip": "x"})
    assert list(tmp_path.iterdir()) == []


def test_write_fails_if_the_file_cannot_be_written(tmp_path):
    with pytest.raises(MachineError, match="--outputs"):
        step_outputs.write(str(tmp_path), {"zip": "x"})
