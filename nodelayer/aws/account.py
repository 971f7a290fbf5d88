"""One AWS account: its credentials, its ID, and clients for each region.

botocore retries calls that are safe to repeat (adaptive mode: throttling, 5xx, resets, timeouts).
"""

import threading
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from nodelayer.aws.clients import TRIES, RegionClients
from nodelayer.aws.ecr import Repositories
from nodelayer.aws.errors import NotEnabledError, read
from nodelayer.aws.functions import Functions
from nodelayer.aws.layers import Layers
from nodelayer.aws.managed_runtimes import ManagedRuntimes
from nodelayer.aws.regions import Partition, check_known, partition_of, regions_of
from nodelayer.aws.s3 import StagingBuckets
from nodelayer.aws.ssm import Parameters
from nodelayer.aws.stacks import Stacks
from nodelayer.errors import InvalidInputError, NodelayerError, UnreachableError
from nodelayer.version import __version__

_CONNECT_S = 10
_READ_S = 10  # these answers take less than a second
_PUBLISH_S = 60  # Lambda unpacks the zip before it answers; then the layer version is looked up
_HOME = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


class Account:
    """One account in one partition, reached with one set of credentials. Safe to share between threads."""

    def __init__(self, session: boto3.Session, account: str, partition: Partition, home: str) -> None:
        self.id = account
        self.partition = partition
        self._session = session
        self._home = home
        self._lock = threading.Lock()  # boto3 sessions are not thread-safe, clients are
        self._regions: dict[str, Region] = {}

    @property
    def main_region(self) -> str | None:
        """The region that every account of the partition has, if it is known."""
        region = _HOME.get(self.partition.name)
        return region if region in self.partition.regions else None

    def statuses(self) -> Mapping[str, str] | None:
        """Return the status of each region, as AWS reports it; None if the credentials may not ask."""
        client = self.client("account", self._home)

        def ask() -> dict[str, str]:
            pages = client.get_paginator("list_regions").paginate()
            return {each["RegionName"]: each["RegionOptStatus"] for page in pages for each in page["Regions"]}

        try:
            return read("account:ListRegions", "", self._home, ask)
        except NodelayerError:
            return None

    def region(self, name: str) -> "Region":
        """Return the account in one region."""
        with self._lock:
            return self._regions.setdefault(name, self.open_region(name))

    def open_region(self, name: str) -> "Region":
        """Return the account in one region, with clients for a thread of its own."""
        return Region(RegionClients(name, self.id, self.client))

    def client(self, service: str, region: str, *, once: bool = False) -> Any:  # noqa: ANN401 - any service's
        """Return a boto3 client; with `once`, one that never retries a call."""
        config = Config(
            region_name=region,
            connect_timeout=_CONNECT_S,
            read_timeout=_PUBLISH_S if once else _READ_S,
            retries={
                "mode": "standard" if once else "adaptive",
                "total_max_attempts": 1 if once else TRIES,
            },
            tcp_keepalive=True,
            user_agent_extra=f"nodelayer/{__version__}",
        )
        with self._lock:
            return self._session.client(service, config=config)  # type: ignore[call-overload]


class Region:
    """One account in one region: its services. Threads may share it."""

    def __init__(self, clients: RegionClients) -> None:
        self.name = clients.region
        self.account_id = clients.account_id
        self._clients = clients

    @cached_property
    def layers(self) -> Layers:
        """The layer versions."""
        return Layers(self._clients)

    @cached_property
    def runtimes(self) -> ManagedRuntimes:
        """The customer-managed runtimes."""
        return ManagedRuntimes(self._clients)

    @cached_property
    def repositories(self) -> Repositories:
        """The repositories for images."""
        return Repositories(self._clients)

    @cached_property
    def buckets(self) -> StagingBuckets:
        """The staging buckets."""
        return StagingBuckets(self._clients)

    @cached_property
    def parameters(self) -> Parameters:
        """The SSM parameters."""
        return Parameters(self._clients)

    @cached_property
    def functions(self) -> Functions:
        """The functions."""
        return Functions(self._clients)

    @cached_property
    def stacks(self) -> Stacks:
        """The CloudFormation stacks."""
        return Stacks(self._clients)


def open_account(*, profile: str | None, wanted: tuple[str, ...] | None) -> Account:
    """Return the account of the credentials.

    Its partition is that of the `wanted` regions, or that of the profile's region if `wanted` is None.

    Raises:
        InvalidInputError: The regions belong to several partitions, or the profile does not exist.
        NodelayerError: There are no valid credentials, or AWS cannot be reached.
    """
    session = open_session(profile)
    name = _partition(session.region_name, wanted)
    known = Partition(
        name,
        regions_of(name),
        frozenset(session.get_available_regions("lambda", partition_name=name)),
    )
    check_known(wanted or (), known)
    home = session.region_name or ""
    if home not in known.regions:
        home = _HOME.get(name) or known.regions[0]
    asked = home if wanted is None or home in wanted else wanted[0]
    try:
        return Account(session, _identity(session, asked, wanted), known, home)
    except (NotEnabledError, UnreachableError) as error:  # the region may be disabled or down; others may not
        if asked == home:
            raise
        try:
            return Account(session, _identity(session, home, wanted), known, home)
        except UnreachableError:
            raise error from None


def _identity(session: boto3.Session, region: str, named: Collection[str] | None) -> str:
    """Return the ID of the account. Errors contain the region only if the user named it."""
    config = Config(
        region_name=region, connect_timeout=_CONNECT_S, read_timeout=_READ_S, retries={"mode": "standard"}
    )
    try:
        return read(
            "sts:GetCallerIdentity",
            "",
            region if region in (named or ()) else "",
            lambda: str(session.client("sts", config=config).get_caller_identity()["Account"]),
        )
    except NotEnabledError as error:
        raise NotEnabledError(
            "AWS does not accept the credentials", todo="check the access key and the profile"
        ) from error


def configured_region(profile: str | None) -> str | None:
    """Return the region of the environment or the profile, if there is one.

    Raises:
        InvalidInputError: The profile does not exist.
    """
    return open_session(profile).region_name


def open_session(profile: str | None) -> boto3.Session:
    """Return the boto3 session of a profile, or of the environment.

    Raises:
        InvalidInputError: The profile does not exist.
    """
    try:
        return boto3.Session(profile_name=profile)
    except boto.BotoCoreError as error:
        raise InvalidInputError(
            str(error), where="--profile", todo="to see the profiles, run `aws configure list-profiles`"
        ) from error


def _partition(configured: str | None, wanted: tuple[str, ...] | None) -> str:
    if wanted is None:
        return partition_of(configured) if configured else "aws"
    found = {partition_of(region) for region in wanted}
    if len(found) > 1:
        raise InvalidInputError(
            f"the regions belong to several partitions: {', '.join(sorted(found))}",
            where="--regions",
            todo="run the command once for each partition, with credentials for that partition",
        )
    return found.pop()
