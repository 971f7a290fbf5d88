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
import socket
import urllib.error
import urllib.request
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import docker
from botocore.config import Config
from docker.errors import DockerException

from nodelayer.emulation import ministack as local_aws
from nodelayer.emulation.ministack import ACCOUNT, MINISTACK, REGION, Program
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

MOTO = Program(
    "moto",
    "moto[server]==5.2.5",
    ("-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"),
    ready="/moto-api/data.json",
)
_RESET = {MINISTACK.name: "/_ministack/reset", MOTO.name: "/moto-api/reset"}


def _with_functions():
    """MiniStack that runs functions in containers of this machine's Docker."""
    variables = {name: value for name, value in MINISTACK.variables.items() if name != "DOCKER_HOST"}
    if "DOCKER_HOST" in os.environ:
        variables["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
    return replace(MINISTACK, variables=variables | {"LAMBDA_EXECUTOR": "docker"})


@dataclass(frozen=True)
class Endpoint:
    """Where AWS's services answer, and what a client needs in order to ask there."""

    endpoint: str

    def environ(self, account=ACCOUNT, **changes):
        """This machine's variables, pointed at the endpoint; a change of None takes a variable away."""
        given = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
        kept = local_aws.environ(self.endpoint, given, account)
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

    def reset(self):
        """Empty it: every account, region and service. POST /_ministack/reset, /moto-api/reset."""
        with _DIRECT.open(self.endpoint + _RESET[self.name], data=b"", timeout=30) as answer:
            assert answer.status == 200


def ministack(cache_root):
    """MiniStack, started and ready; `cache_root` None is this user's download cache."""
    return running(MINISTACK, cache_root)


@contextmanager
def ministack_with_functions(cache_root):
    """MiniStack that really runs functions; its containers are gone afterwards."""
    with running(_with_functions(), cache_root) as emulator:
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
    with local_aws.running(program, DownloadCache(cache_root), Reporter(quiet=True)) as found:
        yield Emulator(found.endpoint, program.name, found.pid, found.log)
