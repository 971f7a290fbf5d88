"""The sandbox of programs that somebody else built; tests/integration/test_run.py has the rest."""

import os
import subprocess

import pytest

from nodelayer.util import confined

pytestmark = pytest.mark.skipif(bool(confined.available()), reason="no user namespaces")


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: mounts need it")
def test_mount_below_a_shown_folder_is_read_only(tmp_path):
    shown, scratch = tmp_path / "shown folder", tmp_path / "scratch"
    (shown / "sub").mkdir(parents=True)
    scratch.mkdir()
    files = (shown / "top", shown / "sub" / "written", scratch / "home" / "own")
    write = "; ".join([*(f"echo a >'{file}'" for file in files), f"ls '{shown}/sub'"])
    line = confined.command(["/bin/sh", "-c", write], scratch=scratch, read=[shown])
    mounted = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs test "$1/sub"; shift; exec "$@"',
        "sh",
        shown,
    ]
    done = subprocess.run([*mounted, *line], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.stderr.count("Read-only file system") == 2
    assert (scratch / "home" / "own").read_text() == "a\n"


def test_program_has_no_terminal_and_limited_files(tmp_path):
    tell = "readlink /proc/self/fd/0; ulimit -f"
    line = confined.command(["/bin/sh", "-c", tell], scratch=tmp_path)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["/dev/null", str(512 * 1024 * 1024 // 512)]  # blocks of 512 bytes
