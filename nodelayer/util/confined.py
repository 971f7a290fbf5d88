"""Run a program without network, and without files outside of the folders that it needs, on Linux.

It runs in namespaces of its own (user, mount, network, process, IPC), as bubblewrap does, without a
privilege: root's programs run as nobody. Some kernels and containers forbid them: `available` tells. This
file is also the script that creates the namespaces; it uses the standard library only.
https://man7.org/linux/man-pages/man7/user_namespaces.7.html

Not limited: the sum of the memory of its processes (the kernel ends them first if there is none left), the
processor, and system calls.
"""

import ctypes
import errno
import fcntl
import functools
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

NOT_STARTED = 125
"""The exit code if the program cannot be started."""

_NEW_USER, _NEW_MOUNTS, _NEW_NETWORK, _NEW_PROCESSES, _NEW_IPC = (1 << bit for bit in (28, 17, 30, 29, 27))
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXECUTION = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE, _DETACH = 1 << 5, 1 << 12, 1 << 14, 1 << 18, 2
_RELATIVE_TIMES = 1 << 21
_SET_DEATH_SIGNAL, _DROP_CAPABILITY, _NO_NEW_PRIVILEGES = 1, 24, 38
_CAPABILITIES = 64
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_KEYCTL, _JOIN_SESSION_KEYRING = {"x86_64": 250, "aarch64": 219}, 1
_SET_FLAGS, _UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/nsswitch.conf"),
    *("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/localtime", "/etc/os-release"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_KERNEL = ("sys", "sysrq-trigger", "irq", "bus", "fs")  # in /proc: settings of the whole machine
_NOBODY = 65534
_CHUNK = 1 << 16
_PROBE_S = 60
_MOST_BYTES = 512 * 1024 * 1024  # of a file, and of all files in /tmp and `home`, which are in memory
_MOST_FILES = 100_000
_MOST_PROCESSES = 4_096  # Linux before 5.14 counts all processes of the user
_MOST_OUTPUT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Ended:
    """The exit code of a program, and the first 4 MB of its stdout and of its stderr."""

    code: int
    stdout: str
    stderr: str


def command(  # noqa: PLR0913 - each is a right
    words: Sequence[str],
    *,
    scratch: Path,
    read_only: Sequence[Path] = (),
    bind_mounts: Mapping[str, Path] | None = None,
    output: str = "",
    port: int = 0,
    sockets: Sequence[int] = (),
) -> list[str]:
    """Return the command that runs `words` confined.

    It sees the system's programs and libraries, the files and folders of `read_only`, and those of
    `bind_mounts`, whose keys are the paths at which it sees them. As on Lambda, files have to be readable for
    all users. It may write only to a copy of the folder `home` in `scratch`, and to a /tmp of its own;
    nothing of them is kept but the regular files of the folder `output` in `home`. With `port` and two
    inherited `sockets`, each connection to the first, which listens, is passed on to that port of the
    confined program; the second gets a byte when the port is open.
    """
    for name in ("root", "memory", "home"):
        (scratch / name).mkdir(exist_ok=True)
    settings = {
        "command": list(words),
        "scratch": str(scratch.resolve()),
        "bind_mounts": {str(path.resolve()): str(path.resolve()) for path in read_only}
        | {target: str(path.resolve()) for target, path in (bind_mounts or {}).items()},
        "output": output,
        "port": port,
        "sockets": list(sockets),
    }
    return [sys.executable, "-I", "-S", __file__, json.dumps(settings)]


def run(line: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, timeout: float) -> Ended:
    """Run a command to its end. Its output goes to files, whose size a confined program cannot exceed.

    Raises:
        OSError: It cannot be started.
        subprocess.TimeoutExpired: It did not end within `timeout` seconds.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        code = subprocess.run(
            line,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            timeout=timeout,
            check=False,
        ).returncode
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read(_MOST_OUTPUT).decode(errors="replace"))
    return Ended(code, *texts)


@functools.cache
def available() -> str:
    """Return why programs cannot be confined here; empty if they can."""
    from nodelayer.util.temporary import temporary_folder  # noqa: PLC0415 - the script does not have it

    if not sys.platform.startswith("linux"):
        return "only Linux has namespaces"
    with temporary_folder("nodelayer-") as scratch:
        try:
            done = run(command(["/bin/true"], scratch=scratch), env={}, timeout=_PROBE_S)
        except subprocess.TimeoutExpired:
            return f"/bin/true did not end within {_PROBE_S} s"
    return (done.stderr.strip().splitlines() or [f"exit code {done.code}"])[-1] if done.code else ""


_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        limited = (name, number) == ("unshare", errno.ENOSPC)
        reason = "user.max_user_namespaces allows no more" if limited else os.strerror(number)
        raise OSError(number, f"{name}: {reason}")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())


def _bind(root: str, path: str, below: str = "", *, writable: bool = False) -> None:
    """Mount a file or folder below the new root, at its own path or at another."""
    target = root + (below or path)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if os.path.islink(path):  # noqa: PTH114 - as in the rest of this function
        if not os.path.lexists(target):
            Path(target).symlink_to(os.readlink(path))  # noqa: PTH115
        return
    if os.path.isdir(path):  # noqa: PTH112
        Path(target).mkdir(exist_ok=True)
    elif os.path.exists(path):  # noqa: PTH110
        Path(target).touch()
    else:
        return
    _mount(path, target, "", _BIND | _RECURSIVE)
    if writable:
        return
    for point in (target, *_mounts_below(target)):
        # A mount keeps the flags that it has in the parent's namespace.
        has = os.statvfs(point).f_flag
        kept = has & (_NO_SETUID | _NO_DEVICES | _NO_EXECUTION | 1024 | 2048)
        times = _RELATIVE_TIMES if has & 4096 else 0
        _mount("", point, "", _REMOUNT | _BIND | _READ_ONLY | kept | times)


def _mounts_below(folder: str) -> list[str]:
    """Return the mount points below a folder (https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = [
        re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), line.split()[4]) for line in lines
    ]
    return [os.fsdecode(point) for point in points if point.startswith(os.fsencode(folder) + b"/")]


def _confine(settings: dict[str, object]) -> None:
    """Change to a root folder with the given paths only, and give up every capability."""
    scratch = str(settings["scratch"])
    root, memory, home = (f"{scratch}/{name}" for name in ("root", "memory", "home"))
    machine = os.uname().machine
    _call("unshare", _NEW_MOUNTS)
    _mount("tmpfs", root, "tmpfs", _NO_SETUID | _NO_DEVICES, "mode=755,size=16m")
    for folder in ("proc", "dev"):
        Path(root, folder).mkdir()
    _bind(root, f"{memory}/tmp", "/tmp", writable=True)  # noqa: S108 - of the new root
    with suppress(OSError):  # a container may hide parts of /proc, and then forbids this
        _mount("proc", f"{root}/proc", "proc", _NO_SETUID | _NO_DEVICES | _NO_EXECUTION)
        for name in _KERNEL:
            _bind("", f"{root}/proc/{name}")
    for path in _SYSTEM:
        _bind(root, path)
    for target, path in settings["bind_mounts"].items():  # type: ignore[attr-defined]
        _bind(root, path, target)
    for path in _DEVICES:
        _bind(root, path)  # a device on a read-only mount is writable, but its permissions cannot be changed
    _bind(root, f"{memory}/home", home, writable=True)
    # The program must not create namespaces: in its own it would have every capability.
    Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    os.chdir(root)
    _call("syscall", _PIVOT_ROOT[machine], b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")
    _mount("", "/", "", _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    with suppress(OSError):  # not every kernel has keyrings
        _call("syscall", _KEYCTL[machine], _JOIN_SESSION_KEYRING, None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_BYTES, _MOST_BYTES))  # also of its output
    resource.setrlimit(resource.RLIMIT_NPROC, (_MOST_PROCESSES, _MOST_PROCESSES))
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for capability in range(_CAPABILITIES):
        _libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if settings["as_nobody"]:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _call("prctl", _SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)  # a change of the user removes it


def _has_nobody() -> bool:
    """Check for root that the user nobody exists. In containers where it does not, root is no real root."""
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    starts = [(int(start), int(count)) for start, _, count in map(str.split, lines)]
    return os.getuid() == 0 and any(start <= _NOBODY < start + count for start, count in starts)


def _namespaces(*, as_nobody: bool) -> None:
    """Create a user namespace, and those of network, IPC and mounts that belong to it."""
    user, group = os.getuid(), os.getgid()
    spaces = _NEW_USER | _NEW_NETWORK | _NEW_IPC | _NEW_MOUNTS
    if as_nobody:
        _unshare_with_nobody(spaces)
    else:
        _call("unshare", spaces)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _mount("", "/", "", _RECURSIVE | _PRIVATE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def _unshare_with_nobody(spaces: int) -> None:
    """Create namespaces with the users root and nobody; only a process outside can add the second."""
    target, (read, write) = os.getpid(), os.pipe()
    helper = os.fork()
    if not helper:
        code = 1
        with suppress(OSError):
            os.close(write)
            os.read(read, 1)
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{target}/{name}").write_text(f"0 0 1\n{_NOBODY} {_NOBODY} 1", encoding="ascii")
            code = 0
        os._exit(code)
    os.close(read)
    _call("unshare", spaces)
    os.close(write)
    if os.waitpid(helper, 0)[1]:
        raise OSError(errno.EPERM, "the user nobody cannot be added to a user namespace")


def _make_home(scratch: str, *, as_nobody: bool) -> None:
    """Mount a file system in memory with a copy of `home`, and a folder for /tmp."""
    memory = f"{scratch}/memory"
    options = f"mode=755,size={_MOST_BYTES},nr_inodes={_MOST_FILES}"
    _mount("tmpfs", memory, "tmpfs", _NO_SETUID | _NO_DEVICES, options)
    shutil.copytree(f"{scratch}/home", f"{memory}/home", symlinks=True)
    Path(memory, "tmp").mkdir()
    Path(memory, "tmp").chmod(0o1777)
    if as_nobody:
        for folder, _, names in os.walk(f"{memory}/home"):
            for name in (".", *names):
                os.chown(f"{folder}/{name}", _NOBODY, _NOBODY, follow_symlinks=False)


def _keep_output(scratch: str, output: str) -> None:
    """Copy the regular files of a folder in `home`, after every process that could change them has ended."""
    source = f"{scratch}/memory/home"
    for folder, _, names in os.walk(f"{source}/{output}"):
        target = Path(f"{scratch}/home", os.path.relpath(folder, source))
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                shutil.copyfile(path, target / name)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _pass_on(listener: socket.socket, ready: socket.socket, port: int) -> NoReturn:
    """Pass connections on to a port of this network namespace, as soon as it is open."""
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.005)
    ready.sendall(b"1")
    while True:
        outside, _ = listener.accept()
        inside = socket.create_connection(("127.0.0.1", port))
        for pair in ((outside, inside), (inside, outside)):
            threading.Thread(target=_pump, args=pair, daemon=True).start()


def _main() -> int:
    settings = json.loads(sys.argv[1])  # noqa: TID251
    words, where = settings["command"], os.getcwd()  # noqa: PTH109
    sockets = [socket.socket(fileno=number) for number in settings["sockets"]]
    os.umask(0o022)
    settings["as_nobody"] = as_nobody = _has_nobody()
    _namespaces(as_nobody=as_nobody)
    _make_home(settings["scratch"], as_nobody=as_nobody)
    if sockets and not os.fork():  # before the next namespace: a process cannot have threads after that
        _call("prctl", _SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        _pass_on(sockets[0], sockets[1], settings["port"])
    _call("unshare", _NEW_PROCESSES)
    child = os.fork()
    if not child:
        _call("prctl", _SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        for each in sockets:
            each.close()
        try:
            # Without a terminal: a program could type commands into it.
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            _confine(settings)
            os.chdir(where if os.path.isdir(where) else "/")  # noqa: PTH112
            os.execv(words[0], words)  # noqa: S606
        except OSError as error:
            os.write(2, f"{error.strerror}\n".encode())
            os._exit(NOT_STARTED)
    for each in sockets:
        each.close()
    _, status = os.waitpid(child, 0)
    if settings["output"]:
        _keep_output(settings["scratch"], settings["output"])
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    try:
        code = _main()
    except OSError as error:
        sys.exit(error.strerror)
    os._exit(code if code >= 0 else 128 - code)
