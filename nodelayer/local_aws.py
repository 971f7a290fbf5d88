"""AWS on this machine: the emulator MiniStack, a process of its own that ends with us."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from nodelayer import programs
from nodelayer.cache import DownloadCache
from nodelayer.errors import MachineError
from nodelayer.progress import Reporter

REQUIREMENT = "ministack[full]==1.5.33"
ACCOUNT = "123456789012"
_START_S = 60


@contextmanager
def ministack(cache: DownloadCache, reporter: Reporter) -> Iterator[Mapping[str, str]]:
    """MiniStack, started and ready; yields the variables that lead a client of AWS to it and nowhere else.

    Raises UnreachableError where pip cannot install it, MachineError where it does not start.
    """
    place, _ = programs.environment(REQUIREMENT, cache=cache, reporter=reporter)
    with tempfile.TemporaryDirectory(prefix="nodelayer-aws-", ignore_cleanup_errors=True) as folder:
        port = _free_port()
        endpoint = f"http://127.0.0.1:{port}"
        log = Path(folder) / "log"
        with log.open("wb") as printed:
            process = subprocess.Popen(
                [place / "bin" / "python", "-m", "ministack"],
                cwd=folder,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "HOME": folder,
                    "TMPDIR": folder,
                    "BIND_HOST": "127.0.0.1",  # it would listen on every interface
                    "MINISTACK_HOST": "127.0.0.1",
                    "GATEWAY_PORT": str(port),
                    "DOCKER_HOST": "unix:///dev/null/none",  # it would remove another MiniStack's containers
                    "IOT_MTLS_ENABLED": "0",  # a fixed port, and so the next
                    "SFTP_ENABLED": "0",
                    "LOG_LEVEL": "WARNING",
                },
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(process, f"{endpoint}/_ministack/health", log)
            yield {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": ACCOUNT,  # twelve digits are the account
                "AWS_SECRET_ACCESS_KEY": "not-asked-for",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            }
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # nothing it has is worth an orderly end
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + _START_S
    with requests.Session() as session:
        session.trust_env = False  # a proxy would be asked for 127.0.0.1
        while process.poll() is None and time.monotonic() < end:
            try:
                session.get(url, timeout=5)
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return
    told = log.read_text(errors="replace").strip().splitlines()
    raise MachineError(
        f"the emulator of AWS does not start ({told[-1] if told else 'it says nothing'})", todo="run it again"
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
