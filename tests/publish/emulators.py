"""MiniStack and moto's server, each a process of its own from an environment of its own.

They pin boto3, so each is installed apart from nodelayer, once, below the download cache.

Both answer as AWS does in what publishing rests on: CodeSha256 and CodeSize, newest version first, numbers
that are not used again after a delete, a delete of what is not there, 404 for a version or a policy that is
missing, a layer named by its ARN, SSM parameters by region with ParameterAlreadyExists and the reserved
/aws, a bucket that needs its LocationConstraint.

They accept what AWS refuses: a zip over 50 MB sent directly, a layer name with a dot or of 141 characters, a
description of 257, an unknown runtime, an object that is not in the bucket (CodeSize 0), ExpectedBucketOwner
of another account, requests to a bucket from another region. They throttle nobody and let an account have
every region.

MiniStack 1.5.33, beside that:
- the access key id is the account where it has 12 digits, else the account is 000000000000
- pages and filters of ListLayerVersions work; the marker is the last version number, AWS's is opaque
- a statement id given twice: 409 ResourceConflictException, as on AWS
- another account gets 403 until a statement permits it, then may get the layer by ARN; that it lists the
  layer by ARN is answered with an empty list, where AWS denies it
- Content.Location can be downloaded, names MiniStack itself, is not signed and never expires
- a publish that is refused for its zip uses up a version number; on AWS it does not
- a zip that is none, or unpacks to more than 262144000 bytes: 400 InvalidParameterValueException
- more than 15 runtimes are refused; a bucket of another region is refused with AWS's words
- every ARN begins with arn:aws:, in China, GovCloud and the European partition too
- account ListRegions: 31 regions in one page, whatever MaxResults; ENABLED_BY_DEFAULT or ENABLED, nothing
  DISABLED; without ap-east-2, ap-southeast-6 and ap-southeast-7, which botocore has for Lambda
- GetAccountSettings answers with AWS's defaults; layers do not count in TotalCodeSize
- no public SSM parameters of Lambda's regions

moto 5.2.5, beside that:
- one account, 123456789012, whatever the key: another account sees everything
- ListLayerVersions gives all in one page and does not filter
- a statement id given twice is taken twice; OrganizationId becomes a member of the statement, no Condition
- Content.Location is `s3://`; a zip that is none, is empty or unpacks to too much is taken
- GetLayerVersionByArn: 500; GetAccountSettings and everything of account: 404, in HTML
- a region that does not exist: 500 on publish
- ARNs of all partitions are right
- a layer from a bucket of another region is taken; a new bucket has no encryption
- 39 Lambda regions in the public SSM parameters of us-east-1
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import docker
from botocore.config import Config
from docker.errors import DockerException

from nodelayer.cache import DownloadCache
from nodelayer.progress import Reporter

ACCOUNT = "123456789012"
REGION = "us-east-1"
_START_S = 60
_INSTALL_S = 500
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NOWHERE = os.devnull


@dataclass(frozen=True)
class Program:
    """What is installed, how it is started on a port, and where it says that it is ready and is emptied."""

    name: str
    requirement: str
    line: tuple[str, ...]
    ready: str
    reset: str
    variables: Mapping[str, str] = field(default_factory=dict)


MINISTACK = Program(
    "ministack",
    "ministack[full]==1.5.33",
    ("-m", "ministack"),
    ready="/_ministack/health",
    reset="/_ministack/reset",
    variables={
        "BIND_HOST": "127.0.0.1",  # it would listen on every interface
        "MINISTACK_HOST": "127.0.0.1",  # what Content.Location of a layer begins with
        "GATEWAY_PORT": "{port}",
        "DOCKER_HOST": "unix:///dev/null/none",  # it would remove the containers of another MiniStack
        "IOT_MTLS_ENABLED": "0",  # a fixed port
        "SFTP_ENABLED": "0",  # the same
        "LOG_LEVEL": "WARNING",
    },
)
MOTO = Program(
    "moto",
    "moto[server]==5.2.5",
    ("-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"),
    ready="/moto-api/data.json",
    reset="/moto-api/reset",
)


def _with_functions(handler):
    """MiniStack that runs functions in containers of this machine's Docker, which is told their handler.

    It gives `bootstrap` where Lambda gives the handler; the stand-in image takes this variable instead.
    """
    variables = {name: value for name, value in MINISTACK.variables.items() if name != "DOCKER_HOST"}
    if "DOCKER_HOST" in os.environ:
        variables["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
    variables |= {"LAMBDA_EXECUTOR": "docker", "LAMBDA_DOCKER_FLAGS": f"-e HANDLER_OVERRIDE={handler}"}
    return replace(MINISTACK, variables=variables)


@dataclass(frozen=True)
class Endpoint:
    """Where AWS's services answer, and what a client needs in order to ask there."""

    endpoint: str

    def environ(self, account=ACCOUNT, **changes):
        """This machine's variables, pointed at the endpoint; a change of None takes a variable away."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.lower() not in _PROXIES and not _is_of_aws(name)
        }
        kept |= {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": _NOWHERE,
            "AWS_SHARED_CREDENTIALS_FILE": _NOWHERE,
        }
        kept |= {name: str(value) for name, value in changes.items() if value is not None}
        return {name: value for name, value in kept.items() if changes.get(name, "") is not None}

    def client(self, service, region=REGION, account=ACCOUNT, **config):
        """A boto3 client of the account in the region; `config` goes into botocore's Config."""
        return boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=account,
            aws_secret_access_key="secret",  # noqa: S106 - the emulators do not ask for it
            aws_session_token=None,
            config=Config(**{"proxies": {}, **config}),
        )


@dataclass(frozen=True)
class Emulator(Endpoint):
    """A running emulator. `log` is what it has printed."""

    name: str
    pid: int
    log: Path
    reset_path: str

    def reset(self):
        """Empty it: every account, region and service. POST /_ministack/reset, /moto-api/reset."""
        with _DIRECT.open(self.endpoint + self.reset_path, data=b"", timeout=30) as answer:
            assert answer.status == 200


def ministack(cache_root):
    """MiniStack, started and ready; `cache_root` None is this user's download cache."""
    return running(MINISTACK, cache_root)


@contextmanager
def ministack_with_functions(cache_root, handler):
    """MiniStack that really runs functions, all by one handler; its containers are gone afterwards."""
    with running(_with_functions(handler), cache_root) as emulator:
        try:
            yield emulator
        finally:
            port = emulator.endpoint.rpartition(":")[2]
            mark = f"ministack.instance={socket.gethostname()}:{port}"
            with suppress(DockerException), closing(docker.from_env()) as engine:
                for container in engine.containers.list(all=True, filters={"label": mark}):
                    container.remove(force=True, v=True)


def moto(cache_root):
    """moto's server, started and ready; `cache_root` None is this user's download cache."""
    return running(MOTO, cache_root)


@contextmanager
def running(program, cache_root):
    """A program, started and ready; `cache_root` None is this user's download cache."""
    python = _installed(program, DownloadCache(cache_root))
    with tempfile.TemporaryDirectory(prefix=f"{program.name}-", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        port = _free_port()
        endpoint = f"http://127.0.0.1:{port}"
        variables = {name: value.format(port=port) for name, value in program.variables.items()}
        with log.open("wb") as printed:
            process = subprocess.Popen(
                [python, *(part.format(port=port) for part in program.line)],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, **variables},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_ready(process, endpoint + program.ready, log)
            yield Emulator(endpoint, program.name, process.pid, log, program.reset)
        except BaseException as error:
            error.add_note(f"{program.name} printed:\n{log.read_text(errors='replace')[-4000:]}")
            raise
        finally:
            # nothing it has is worth an orderly end, and whatever it has started goes with it
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _installed(program, cache):
    """The Python of the program's environment, which is made whole or not at all."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"{program.requirement.replace('[', '-').replace(']', '')}-python{version}"
    folder = cache.root / "tests" / name
    with cache.lock(f"tests-{name}", Reporter(quiet=True)):
        if not folder.exists():
            with cache.workspace() as making:
                _install(program.requirement, making)
                folder.parent.mkdir(parents=True, exist_ok=True)
                making.rename(folder)  # its scripts still name the old folder, its Python does not
    return folder / "bin" / "python"


def _install(requirement, folder):
    for line in (
        [sys.executable, "-m", "venv", folder],
        [folder / "bin" / "python", "-m", "pip", "install", "-q", requirement],
    ):
        done = subprocess.run(line, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        assert done.returncode == 0, f"{requirement} cannot be installed: {done.stderr[-2000:]}"


def _wait_until_ready(process, url, log):
    end = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, f"it ended: {log.read_text(errors='replace')[-2000:]}"
        try:
            with _DIRECT.open(url, timeout=5):
                return
        except OSError:  # not there yet; an answer of 4xx or 5xx is one as well
            assert time.monotonic() < end, f"it is not ready after {_START_S} s"
            time.sleep(0.05)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _is_of_aws(name):
    """Whether a variable says who asks AWS, and where; what else there is, as AWS_CA_BUNDLE, stays."""
    return name.startswith(("AWS_ENDPOINT_URL", "AWS_ROLE", "AWS_WEB_IDENTITY", "AWS_CONTAINER")) or name in {
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    }
