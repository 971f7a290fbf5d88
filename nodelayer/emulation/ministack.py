"""Run an emulator of AWS as a process on this machine."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from nodelayer.emulation.loopback import free_ports
from nodelayer.errors import MachineError
from nodelayer.util import venv
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

ACCOUNT = "123456789012"
REGION = "us-east-1"
_START_S = 60
_MOST_OUTPUT = 4000  # characters of the emulator's output in the note of an error
_CREDENTIAL_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ROLE",
    "AWS_WEB_IDENTITY",
    "AWS_CONTAINER",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)


@dataclass(frozen=True)
class Program:
    """An emulator: its package, its command line with {port}, and the path that answers when it is ready."""

    name: str
    requirement: str
    line: tuple[str, ...]
    ready: str
    variables: Mapping[str, str] = field(default_factory=dict)


MINISTACK = Program(
    "ministack",
    "ministack[full]==1.5.33",
    ("-m", "ministack"),
    ready="/_ministack/health",
    variables={
        "BIND_HOST": "127.0.0.1",  # by default it listens on every interface
        "MINISTACK_HOST": "127.0.0.1",  # the host in Content.Location of a layer
        "GATEWAY_PORT": "{port}",
        "DOCKER_HOST": "unix:///dev/null/none",  # it would remove the containers of another MiniStack
        "IOT_MTLS_ENABLED": "0",  # it uses a fixed port
        "SFTP_ENABLED": "0",  # it uses a fixed port
        "STATE_DIR": "{folder}",
        "LOG_LEVEL": "WARNING",
    },
)


@dataclass(frozen=True)
class Running:
    """A running emulator: its endpoint, its process, and the file with its output."""

    endpoint: str
    pid: int
    log: Path


@contextmanager
def running(program: Program, cache: DownloadCache, reporter: Reporter) -> Iterator[Running]:
    """Start an emulator, wait until it is ready, and end it afterwards.

    Raises:
        UnreachableError: Pip cannot install it.
        MachineError: It does not start.
    """
    place, _ = venv.environment(program.requirement, cache=cache, reporter=reporter)
    with tempfile.TemporaryDirectory(
        prefix=f"nodelayer-{program.name}-", ignore_cleanup_errors=True
    ) as folder:
        (port,) = free_ports(1)
        endpoint = f"http://127.0.0.1:{port}"
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [place / "bin" / "python", *(part.format(port=port) for part in program.line)],
                cwd=folder,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "HOME": folder,
                    "TMPDIR": folder,
                    **{
                        name: value.format(port=port, folder=folder)
                        for name, value in program.variables.items()
                    },
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(process, f"{endpoint}{program.ready}", log)
            yield Running(endpoint, process.pid, log)
        except BaseException as error:
            error.add_note(f"{program.name} printed:\n{log.read_text(errors='replace')[-_MOST_OUTPUT:]}")
            raise
        finally:
            # SIGKILL to the whole group: its state is not needed, and its child processes must end too
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environ(endpoint: str, given: Mapping[str, str], account: str = ACCOUNT) -> dict[str, str]:
    """Return a copy of the variables that sends AWS requests to the emulator, with its account's credentials.

    The access key is the account's number. A proxy stays in effect for npm and pip, but not for the emulator.
    """
    kept = {name: value for name, value in given.items() if not name.startswith(_CREDENTIAL_VARIABLES)}
    return {
        **kept,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "not-asked-for",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + _START_S
    with requests.Session() as session:
        session.trust_env = False  # no proxy for 127.0.0.1
        while process.poll() is None and time.monotonic() < end:
            try:
                session.get(url, timeout=5)
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return
    lines = log.read_text(errors="replace").strip().splitlines()
    raise MachineError(
        f"the emulator of AWS does not start ({lines[-1] if lines else 'no output'})",
        todo="run the same command again; if it fails again, report it as a bug",
    )
