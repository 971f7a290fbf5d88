"""The sandbox of programs that somebody else built, attacked; tests/integration/test_run.py has the rest."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from nodelayer.util import confined

pytestmark = pytest.mark.skipif(bool(confined.available()), reason="no user namespaces")

ATTACKS = Path(__file__).with_name("confined_attacks.py")
PYTHON = "/usr/bin/python3"
OTHER_USER = 54_321
ROOT = os.geteuid() == 0
CLOSED = {
    "file_outside": "ENOENT",
    "write_to_read_only_file": "EROFS",
    "write_to_system": "EROFS",
    "network_of_this_machine": "ECONNREFUSED",
    "network_outside": "ENETUNREACH",
    "abstract_unix_socket": "ECONNREFUSED",
    "unix_socket_by_path": "ENOENT",
    "docker_socket": "ENOENT",
    "see_processes": False,
    "signal_process": "ESRCH",
    "trace_process": "ESRCH",
    "keys_of_session": "ENOKEY",
    "keys_of_user": "ENOKEY",
    "user_namespace": "ENOSPC",
    "mount": "EPERM",
    "kernel_settings": "EACCES",
    "permissions_of_device": "EROFS",
    "new_device": "EPERM",
    "type_into_terminal": "EPERM",
    "take_terminal": "EPERM",
    "inherited_descriptor": "EBADF",
    "fork_bomb": "EAGAIN",
    "processes": 4096,
    "disk": [512, True, True],
    "size_of_file": 512,
    "output": ["below", "folder", "link", "pipe"],
}


@pytest.fixture(scope="module", params=["this user", "another user"])
def attacked(request):
    """Run every attack in the sandbox, as root and as another user; return the results, and the folder."""
    if request.param == "another user" and not ROOT:
        pytest.skip("not root: it cannot run programs as another user")
    if not Path(PYTHON).exists():
        pytest.skip(f"no {PYTHON}")
    user = OTHER_USER if request.param == "another user" else os.geteuid()
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        yield user, run_attacks(folder, user), folder


def run_attacks(folder, user):
    """Start the sandbox as its users do, but with a terminal and an inherited descriptor."""
    script, own = (shutil.copy(each, folder) for each in (ATTACKS, confined.__file__))
    setuid = shutil.copy("/usr/bin/id", folder)
    secret = folder / "secret"
    secret.write_text("secret")
    scratch = folder / "scratch"
    (scratch / "home").mkdir(parents=True)
    terminal, side = os.openpty()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as by_path,
        secret.open("rb") as inherited,
    ):
        abstract.bind(f"\0{folder}")
        abstract.listen()
        by_path.bind(str(folder / "socket"))
        by_path.listen()
        given = {
            "secret": str(secret),
            "read_only": script,
            "port": server.getsockname()[1],
            "abstract": str(folder),
            "socket": str(folder / "socket"),
            "pid": os.getpid(),
            "setuid": setuid,
            "descriptor": inherited.fileno(),
            "home": str(scratch / "home"),
            "keys": [],
        }
        words = [PYTHON, "-I", script, json.dumps(given)]
        line = confined.command(
            words, scratch=scratch, read_only=[Path(script), Path(setuid)], output="output"
        )
        line[0], line[line.index(confined.__file__)] = PYTHON, own
        for path in (scratch, *scratch.iterdir()):
            os.chown(path, user, user)
        Path(setuid).chmod(0o4755)
        Path(script).chmod(0o666)
        done = subprocess.run(
            [PYTHON, script, json.dumps({**given, "keys": line})],
            env={"PATH": os.defpath},
            stdin=side,
            stdout=subprocess.PIPE,
            stderr=side,
            pass_fds=[inherited.fileno()],
            user=user,
            group=user,
            extra_groups=[] if ROOT else None,
            start_new_session=True,
            text=True,
            check=False,
            timeout=60,
        )
    os.set_blocking(terminal, False)
    os.close(side)
    assert done.returncode == 0, os.read(terminal, 10_000)
    os.close(terminal)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CLOSED)
def test_attack_fails(attacked, name):
    _, results, _ = attacked
    assert results[name] == CLOSED[name]


def test_every_attack_is_checked(attacked):
    assert attacked[1].keys() == CLOSED.keys() | {"setuid_program", "user_of_root"}


def test_program_stays_the_same_user(attacked):
    user, results, _ = attacked
    assert results["setuid_program"] == str(user or 65_534)
    assert results["user_of_root"] == ("EINVAL" if user else "EPERM")


def test_only_regular_files_of_the_output_are_kept(attacked):
    kept = attacked[2] / "scratch" / "home"
    assert [path.relative_to(kept) for path in sorted(kept.rglob("*")) if not path.is_dir()] == [
        Path("output/below/file")
    ]
    assert (kept / "output/below/file").read_text() == "result"
    assert not any(path.is_symlink() for path in kept.rglob("*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: mounts need it")
def test_mount_below_a_shown_folder_is_read_only(tmp_path):
    shown, scratch = tmp_path / "shown folder", tmp_path / "scratch"
    (shown / "sub").mkdir(parents=True)
    scratch.mkdir()
    files = (shown / "top", shown / "sub" / "written", scratch / "home" / "own")
    shown.chmod(0o777)
    write = "; ".join([*(f"echo a >'{file}'" for file in files), f"ls '{shown}/sub'; cat '{files[2]}'"])
    line = confined.command(["/bin/sh", "-c", write], scratch=scratch, read_only=[shown])
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
    assert done.stdout == "a\n"
    assert done.stderr.count("Read-only file system") == 2


def test_program_has_no_terminal_and_limited_files(tmp_path):
    tell = "readlink /proc/self/fd/0; ulimit -f"
    line = confined.command(["/bin/sh", "-c", tell], scratch=tmp_path)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["/dev/null", str(512 * 1024 * 1024 // 512)]  # blocks of 512 bytes
