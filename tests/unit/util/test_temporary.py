"""Temporary files, and the error if they cannot be written."""

import errno

import pytest

from nodelayer.errors import MachineError
from nodelayer.util.temporary import temporary_folder


def test_temporary_folder_is_deleted_afterwards():
    with temporary_folder("nodelayer-test-") as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_error_for_a_full_disk_names_tmpdir_in_one_line():
    with pytest.raises(MachineError, match=r"no space left.*TMPDIR"), temporary_folder("nodelayer-test-"):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/file")  # noqa: S108 - a name
