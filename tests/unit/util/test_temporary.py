"""Temporary files, and what is said if they cannot be written."""

import errno

import pytest

from nodelayer.errors import MachineError
from nodelayer.util.temporary import temporary_folder


def test_a_folder_is_gone_afterwards():
    with temporary_folder("nodelayer-test-") as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_a_full_disk_is_one_line_that_names_tmpdir():
    with pytest.raises(MachineError, match=r"no space left.*TMPDIR"), temporary_folder("nodelayer-test-"):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/file")  # noqa: S108 - a name
