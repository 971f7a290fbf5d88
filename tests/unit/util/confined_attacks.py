"""Attacks from inside the sandbox: `python confined_attacks.py JSON` prints what each of them reached.

Runs with the system's Python, in the sandbox and outside of it. A result is a value, or the name of the
error. An attack that a result could hide from the next one runs in a process of its own.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import socket
import subprocess
import sys

CALLS = {"x86_64": {"add_key": 248, "keyctl": 250}, "aarch64": {"add_key": 217, "keyctl": 219}}
libc = ctypes.CDLL(None, use_errno=True)
given = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
ATTACKS = []


def attack(function):
    ATTACKS.append(function)
    return function


def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, name)
    return "done"


def system_call(name, *arguments):
    return call("syscall", CALLS[os.uname().machine][name], *arguments)


def add_keys():
    """Add a key to the session keyring and to that of the user, as a login or a mount does."""
    for keyring in (-3, -4):
        system_call("add_key", b"user", b"secret", b"value", 5, keyring)


def connect(family, address):
    with socket.socket(family) as client:
        client.settimeout(2)
        client.connect(address)
    return "connected"


def write(path):
    with open(path, "r+") as file:
        text = file.read()
        file.seek(0)
        file.write(text)
    return "written"


@attack
def file_outside():
    with open(given["secret"]) as file:
        return file.read()


@attack
def write_to_read_only_file():
    return write(given["read_only"])


@attack
def write_to_system():
    with open("/usr/nodelayer-test", "w"):
        return "written"


@attack
def network_of_this_machine():
    return connect(socket.AF_INET, ("127.0.0.1", given["port"]))


@attack
def network_outside():
    return connect(socket.AF_INET, ("192.0.2.1", 9))


@attack
def abstract_unix_socket():
    return connect(socket.AF_UNIX, "\0" + given["abstract"])


@attack
def unix_socket_by_path():
    return connect(socket.AF_UNIX, given["socket"])


@attack
def docker_socket():
    return connect(socket.AF_UNIX, "/var/run/docker.sock")


@attack
def see_processes():
    return os.path.exists(f"/proc/{given['pid']}/environ")


@attack
def signal_process():
    os.kill(given["pid"], 0)
    return "sent"


@attack
def trace_process():
    return call("ptrace", 16, given["pid"], 0, 0)


@attack
def keys_of_session():
    return system_call("keyctl", 10, -3, b"user", b"secret", 0)


@attack
def keys_of_user():
    return system_call("keyctl", 10, -4, b"user", b"secret", 0)


@attack
def setuid_program():
    done = subprocess.run([given["setuid"], "-u"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@attack
def user_of_root():
    os.setresuid(0, 0, 0)
    return "done"


@attack
def user_namespace():
    return call("unshare", 1 << 28)


@attack
def mount():
    return call("mount", b"x", b"/tmp", b"tmpfs", 0, b"")


@attack
def kernel_settings():
    return write("/proc/sys/kernel/core_pattern")


@attack
def permissions_of_device():
    os.chmod("/dev/null", 0o666)
    return "changed"


@attack
def new_device():
    os.mknod("/tmp/device", 0o600 | 0o020000, os.makedev(1, 1))
    return "created"


@attack
def type_into_terminal():
    fcntl.ioctl(2, 0x5412, b"x")
    return "typed"


@attack
def take_terminal():
    fcntl.ioctl(2, 0x540E, 0)
    fcntl.ioctl(2, 0x5412, b"x")
    return "typed"


@attack
def inherited_descriptor():
    return os.pread(given["descriptor"], 6, 0).decode()


@attack
def fork_bomb():
    """The same limit with a smaller number, which the kernel checks for every user but root."""
    resource.setrlimit(resource.RLIMIT_NPROC, (10, 10))
    children = []
    try:
        while len(children) < 20:
            children.append(subprocess.Popen(["/bin/sleep", "5"]))
    finally:
        for each in children:
            each.kill()
            each.wait()
    return "started"


@attack
def processes():
    return resource.getrlimit(resource.RLIMIT_NPROC)[1]


@attack
def disk():
    """Return the bytes that fit into the two folders that are writable, if that is one limit for both."""
    found = [os.statvfs(folder) for folder in ("/tmp", given["home"])]
    same = os.stat("/tmp").st_dev == os.stat(given["home"]).st_dev
    return [found[0].f_blocks * found[0].f_frsize >> 20, same, found[0].f_files <= 100_000]


@attack
def size_of_file():
    return resource.getrlimit(resource.RLIMIT_FSIZE)[1] >> 20


@attack
def output():
    """Leave links, a pipe and a file in the folder whose files are kept."""
    folder = f"{given['home']}/output"
    os.makedirs(f"{folder}/below", exist_ok=True)
    os.symlink(given["secret"], f"{folder}/link")
    os.symlink(os.path.dirname(given["secret"]), f"{folder}/folder")
    os.mkfifo(f"{folder}/pipe")
    with open(f"{folder}/below/file", "w") as file:
        file.write("result")
    return sorted(os.listdir(folder))


def result(function):
    read_end, write_end = os.pipe()
    if not (child := os.fork()):
        try:
            found = function()
        except OSError as error:
            found = errno.errorcode.get(error.errno, str(error))
        os.write(write_end, json.dumps(found).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    return json.loads(data)


if __name__ == "__main__":
    if given["keys"]:  # outside of the sandbox, before it starts
        add_keys()
        os.execv(given["keys"][0], given["keys"])
    sys.stdout.write(json.dumps({each.__name__: result(each) for each in ATTACKS}))
