"""Temporary files, and the error if they cannot be written."""

import errno
import os
import signal
import tempfile

import pytest

from nodelayer.errors import MachineError
from nodelayer.util.temporary import temporary_folder


def test_temporary_folder_is_deleted_afterwards():
    with temporary_folder("nodelayer-test-") as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_folder_of_a_killed_program_is_removed_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    child = os.fork()
    if not child:
        with temporary_folder("nodelayer-test-"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with temporary_folder("nodelayer-test-") as used:
        assert [each.name for each in tmp_path.iterdir()] == [used.parent.name]
        with temporary_folder("nodelayer-test-"):
            assert used.is_dir()  # its program still runs
    assert list(tmp_path.iterdir()) == []


def test_error_for_a_full_disk_names_tmpdir_in_one_line():
    with pytest.raises(MachineError, match=r"no space left.*TMPDIR"), temporary_folder("nodelayer-test-"):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/file")  # noqa: S108 - a name
