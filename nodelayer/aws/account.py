"""AWS as this project needs it: one facade, the only module that knows boto3 and botocore.

Errors of AWS come out as NodelayerError. Calls that may be repeated are repeated by botocore (adaptive mode:
throttling, 5xx, resets, timeouts); PublishLayerVersion is sent once each time it is asked for, since a
repetition would publish a second layer version.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import exceptions as boto
from botocore.config import Config
from botocore.loaders import create_loader

from nodelayer.aws.quotas import REQUESTS_A_SECOND
from nodelayer.aws.regions import Partition
from nodelayer.errors import InvalidInputError, MachineError, NodelayerError, RefusedError, UnreachableError
from nodelayer.version import __version__

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient
    from types_boto3_lambda.type_defs import LayerVersionContentInputTypeDef
    from types_boto3_s3 import S3Client
    from types_boto3_ssm import SSMClient

_CONNECT_S = 10
_BASE64_CHUNK = 3 << 20  # bytes; of three each, so that the pieces join
_READ_S = 20
_PUBLISH_S = 180  # Lambda unpacks the zip before it answers
_TRIES = 5
_HOME = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
_NOT_ENABLED = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "AuthFailure",
        "OptInRequired",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidToken"})
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled"})
_THROTTLED = frozenset(
    {"TooManyRequestsException", "Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown"}
)
_NOT_FOUND = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchLifecycleConfiguration",
        "NotFound",
        "ResourceNotFoundException",
    }
)
_SERVER_ERROR = 500
_LACKING = re.compile(r"not authorized to perform: ([a-z0-9-]+:\w+)")
_UNREAD = re.compile(r"denied by S3.* permission to GetObject for (\S+)\. ")
_BEGINS = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"})


class NotEnabledError(RefusedError):
    """The region does not know this account's credentials: it is not enabled, or they are wrong."""


class ExpiredError(RefusedError):
    """The credentials were good once."""


class ArchitecturesError(RefusedError):
    """The region knows no architectures of layers: a new one may not, for a while."""


class ThrottledError(UnreachableError):
    """Too many requests; nothing was done."""


class AmbiguousError(UnreachableError):
    """The call broke after it was sent: what was asked for may have been done."""


@dataclass(frozen=True)
class Access:
    """Who may use a layer version besides its account."""

    public: bool = False
    organizations: frozenset[str] = frozenset()

    def __sub__(self, other: "Access") -> "Access":
        return Access(self.public and not other.public, self.organizations - other.organizations)

    def __or__(self, other: "Access") -> "Access":
        return Access(self.public or other.public, self.organizations | other.organizations)

    def __bool__(self) -> bool:
        return self.public or bool(self.organizations)

    def __str__(self) -> str:
        parts = [*(["public"] if self.public else []), *sorted(self.organizations)]
        return ", ".join(parts) or "private"


PRIVATE = Access()
"""Nobody besides its account."""


@dataclass(frozen=True)
class LayerVersionSummary:
    """A layer version as a list shows it: not what it holds. `created` is UTC, as in the manifest."""

    version: int
    arn: str
    description: str
    created: str
    license: str = ""


@dataclass(frozen=True)
class Content:
    """What a layer version holds: sha256 in base64, bytes, and a URL that gives the zip for ten minutes."""

    version: int
    arn: str
    code_sha256: str
    size: int
    location: str
    created: str


@dataclass(frozen=True)
class LayerMetadata:
    """What a layer version is published with, besides its content."""

    name: str
    description: str
    license: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]


@dataclass(frozen=True)
class Payload:
    """The body of a PublishLayerVersion, in a file that every region's request is read from.

    It says nothing of the region, so that one serves all: 34 of 50 MB each would not fit into memory. `size`
    is bytes, `sha256` in hex is what SigV4 signs.
    """

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Storage:
    """Bytes of code that an account may keep in a region, and keeps."""

    limit: int
    used: int


@dataclass(frozen=True)
class Stack:
    """A CloudFormation stack: its status in AWS's words, its tags and outputs."""

    name: str
    status: str
    tags: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Invocation:
    """What a function answered; `failed` where that is its error. `logs` are the last 4 KB of this call."""

    payload: bytes
    failed: bool
    logs: str


class Account:
    """One account in one partition, reached with one set of credentials. Safe to share between threads."""

    def __init__(self, session: boto3.Session, account: str, partition: Partition, home: str) -> None:
        self.id = account
        self.partition = partition
        self._session = session
        self._home = home
        self._lock = threading.Lock()  # sessions are not made to be shared, clients are
        self._regions: dict[str, Region] = {}

    def statuses(self) -> Mapping[str, str] | None:
        """By region whether it is enabled, in AWS's words; None where the account cannot be asked."""
        client = self._client("account", self._home)
        try:
            pages = client.get_paginator("list_regions").paginate()
            found = [region for page in pages for region in page["Regions"]]
        except (boto.ClientError, boto.BotoCoreError):
            return None
        return {region["RegionName"]: region["RegionOptStatus"] for region in found}

    def region(self, name: str) -> "Region":
        """The account's Lambda, S3 and SSM in one region."""
        with self._lock:
            if name not in self._regions:
                self._regions[name] = Region(self, name)
            return self._regions[name]

    def client(self, service: str, region: str, *, tries: int = _TRIES) -> Any:  # noqa: ANN401 - any service's
        """A client of boto3, made by one thread at a time."""
        with self._lock:
            return self._client(service, region, tries=tries)

    def _client(self, service: str, region: str, *, tries: int = _TRIES) -> Any:  # noqa: ANN401
        config = Config(
            region_name=region,
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S if tries > 1 else _PUBLISH_S,
            retries={"mode": "adaptive" if tries > 1 else "standard", "total_max_attempts": tries},
            tcp_keepalive=True,
            user_agent_extra=f"nodelayer/{__version__}",
        )
        return self._session.client(service, config=config)  # type: ignore[call-overload]


class Region:
    """The account in one region. Used by one thread at a time."""

    def __init__(self, account: Account, name: str) -> None:
        self.name = name
        self._account = account
        self._pace = Pace(REQUESTS_A_SECOND)
        self._body: Payload | None = None
        self._stream: BinaryIO | None = None
        self._clients: dict[str, Any] = {}

    def versions(self, layer: str) -> list[LayerVersionSummary]:
        """The layer versions of that name, oldest first; none where there is no such layer."""
        with self._translate_errors("lambda:ListLayerVersions", layer):
            pages = self._lambda.get_paginator("list_layer_versions").paginate(LayerName=layer)
            found = [
                LayerVersionSummary(
                    item["Version"],
                    item["LayerVersionArn"],
                    item.get("Description", ""),
                    _time(item["CreatedDate"]),
                    item.get("LicenseInfo", ""),
                )
                for page in pages
                for item in page["LayerVersions"]
            ]
        return sorted(found, key=lambda each: each.version)

    def content(self, layer: str, version: int) -> Content | None:
        """What a layer version holds; None where there is none."""
        with self._translate_errors("lambda:GetLayerVersion", f"{layer}:{version}"):
            try:
                answer = self._lambda.get_layer_version(LayerName=layer, VersionNumber=version)
            except boto.ClientError as error:
                if _code(error) in _NOT_FOUND:
                    return None
                raise
        return _content(answer)

    def content_by_arn(self, arn: str) -> Content | None:
        """The same for anyone's layer version; None where it is not there for us."""
        with self._translate_errors("lambda:GetLayerVersion", arn):
            try:
                answer = self._lambda.get_layer_version_by_arn(Arn=arn)
            except boto.ClientError as error:
                if _code(error) in _NOT_FOUND | _DENIED:
                    return None
                raise
        return _content(answer)

    def publish(self, metadata: LayerMetadata, payload: Payload | tuple[str, str]) -> Content:
        """A new layer version of the zip in a payload, or in S3 as (bucket, key). Sent once.

        Raises AmbiguousError where nobody knows whether it was published, ThrottledError where it was not.
        """
        content: LayerVersionContentInputTypeDef = {"ZipFile": b""}
        if isinstance(payload, tuple):
            content = {"S3Bucket": payload[0], "S3Key": payload[1]}
        else:
            self._body = payload
        try:
            with self._translate_errors("lambda:PublishLayerVersion", metadata.name, once=True):
                answer = self._publisher.publish_layer_version(
                    LayerName=metadata.name, Content=content, **_metadata(metadata)
                )
        finally:
            self._body = None
            if self._stream is not None:
                self._stream.close()
        return _content(answer)

    def get_ready(self) -> None:
        """Make the client that publishes, which takes a while, before it is needed."""
        _ = self._publisher

    def access(self, layer: str, version: int) -> Access:
        """Who may use a layer version."""
        with self._translate_errors("lambda:GetLayerVersionPolicy", f"{layer}:{version}"):
            try:
                answer = self._lambda.get_layer_version_policy(LayerName=layer, VersionNumber=version)
            except boto.ClientError as error:
                if _code(error) in _NOT_FOUND:
                    return PRIVATE
                raise
        return _access(json.loads(answer["Policy"]))

    def permit(self, layer: str, version: int, access: Access) -> None:
        """Let everyone, or organizations, use a layer version. What is permitted already stays so."""
        for organization in [*([""] if access.public else []), *sorted(access.organizations)]:
            more = {"OrganizationId": organization} if organization else {}
            with self._translate_errors("lambda:AddLayerVersionPermission", f"{layer}:{version}"):
                try:
                    self._lambda.add_layer_version_permission(
                        LayerName=layer,
                        VersionNumber=version,
                        StatementId=f"organization-{organization}" if organization else "public",
                        Action="lambda:GetLayerVersion",
                        Principal="*",
                        **more,
                    )
                except boto.ClientError as error:
                    if _code(error) != "ResourceConflictException":  # a repetition, or another publisher
                        raise

    def delete(self, layer: str, version: int) -> None:
        """Delete a layer version; well where there is none."""
        with self._translate_errors("lambda:DeleteLayerVersion", f"{layer}:{version}"):
            self._lambda.delete_layer_version(LayerName=layer, VersionNumber=version)

    def storage(self) -> Storage | None:
        """How much code the account may keep here, and keeps; None where it may not ask."""
        try:
            with self._translate_errors("lambda:GetAccountSettings", ""):
                answer = self._lambda.get_account_settings()
        except (NotEnabledError, ExpiredError):
            raise
        except (RefusedError, _MissingError):
            return None
        return Storage(answer["AccountLimit"]["TotalCodeSize"], answer["AccountUsage"]["TotalCodeSize"])

    def parameters(self, names: Sequence[str]) -> dict[str, str]:
        """The values of those SSM parameters that exist."""
        found: dict[str, str] = {}
        with self._translate_errors("ssm:GetParameters", ""):
            for start in range(0, len(names), 10):  # so many the API takes
                answer = self._ssm.get_parameters(Names=list(names[start : start + 10]))
                found |= {each["Name"]: each["Value"] for each in answer["Parameters"]}
        return found

    def put_parameter(self, name: str, value: str, description: str) -> None:
        """Write one SSM parameter, new or not."""
        with self._translate_errors("ssm:PutParameter", name):
            self._ssm.put_parameter(
                Name=name,
                Value=value,
                Type="String",
                Overwrite=True,
                Description=description,
                DataType="text",
            )

    def make_bucket(self, bucket: str) -> bool:
        """A private, encrypted bucket whose objects are gone after a day; false where it was there already.

        One whose making was cut short lacks the lifecycle, which is set last, and is finished. Raises
        RefusedError where the name is somebody else's.
        """
        owner = {"Bucket": bucket, "ExpectedBucketOwner": self._account.id}
        try:
            with self._translate_errors("s3:GetLifecycleConfiguration", bucket):
                self._s3.get_bucket_lifecycle_configuration(**owner)
        except _MissingError:
            pass
        else:
            return False
        place = {} if self.name == "us-east-1" else {"LocationConstraint": self.name}
        with self._translate_errors("s3:CreateBucket", bucket):
            try:
                self._s3.create_bucket(
                    Bucket=bucket,
                    ObjectOwnership="BucketOwnerEnforced",
                    **({"CreateBucketConfiguration": place} if place else {}),  # type: ignore[arg-type]
                )
            except boto.ClientError as error:
                if _code(error) != "BucketAlreadyOwnedByYou":
                    raise
        with self._translate_errors("s3:PutBucketPublicAccessBlock", bucket):
            self._s3.put_public_access_block(
                **owner,  # type: ignore[arg-type]
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
        with self._translate_errors("s3:PutEncryptionConfiguration", bucket):
            self._s3.put_bucket_encryption(
                **owner,  # type: ignore[arg-type]
                ServerSideEncryptionConfiguration={
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
            )
        with self._translate_errors("s3:PutLifecycleConfiguration", bucket):
            self._s3.put_bucket_lifecycle_configuration(
                **owner,  # type: ignore[arg-type]
                LifecycleConfiguration={
                    "Rules": [
                        {
                            "ID": "gone-after-a-day",
                            "Status": "Enabled",
                            "Filter": {"Prefix": ""},
                            "Expiration": {"Days": 1},
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                        }
                    ]
                },
            )
        return True

    def upload(self, path: Path, bucket: str, key: str) -> None:
        """A file into a bucket of this account, in parts, each with its checksum; not twice."""
        size = path.stat().st_size
        with self._translate_errors("s3:GetObject", f"{bucket}/{key}"):
            try:
                head = self._s3.head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=self._account.id)
                if head["ContentLength"] == size:
                    return
            except boto.ClientError as error:
                if _code(error) not in _NOT_FOUND | {"403"}:
                    raise
        with self._translate_errors("s3:PutObject", f"{bucket}/{key}"):
            self._s3.upload_file(
                str(path),
                bucket,
                key,
                ExtraArgs={
                    "ChecksumAlgorithm": "SHA256",
                    "ServerSideEncryption": "AES256",
                    "ExpectedBucketOwner": self._account.id,
                },
                Config=TransferConfig(max_concurrency=2, max_io_queue=4),
            )

    def stack(self, name: str) -> Stack | None:
        """A CloudFormation stack; None where there is none of that name."""
        with self._translate_errors("cloudformation:DescribeStacks", name):
            try:
                answer = self._cloudformation.describe_stacks(StackName=name)
            except boto.ClientError as error:
                if "does not exist" in str(error):  # a ValidationError, as a bad name is
                    return None
                raise
        found = answer["Stacks"][0]
        return Stack(
            found["StackName"],
            found["StackStatus"],
            {each["Key"]: each["Value"] for each in found.get("Tags", [])},
            {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
        )

    def stack_failure(self, name: str) -> str:
        """Why a stack's last operation failed: the first resource that did, in AWS's words; or empty."""
        with self._translate_errors("cloudformation:DescribeStackEvents", name):
            events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reason = ""
        for event in events:  # newest first
            status = event.get("ResourceStatus", "")
            if event["LogicalResourceId"] == name and status in _BEGINS:
                break
            if status.endswith("_FAILED") and "cancelled" not in event.get("ResourceStatusReason", ""):
                reason = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', status)}"
        return reason

    def invoke(self, function: str, event: bytes) -> Invocation:
        """Invoke a function and wait for its answer. Sent once."""
        with self._translate_errors("lambda:InvokeFunction", function, once=True):
            answer = self._publisher.invoke(FunctionName=function, Payload=event, LogType="Tail")
            payload = answer["Payload"].read()
        logs = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        return Invocation(payload, "FunctionError" in answer, logs)

    @property
    def _lambda(self) -> "LambdaClient":
        client: LambdaClient = self._get("lambda", "lambda")
        return client

    @property
    def _publisher(self) -> "LambdaClient":
        """The client for what is sent once."""
        new = "publisher" not in self._clients
        client: LambdaClient = self._get("publisher", "lambda", tries=1)
        if new:
            client.meta.events.register("before-call.lambda.PublishLayerVersion", self._put_body)
        return client

    @property
    def _s3(self) -> "S3Client":
        client: S3Client = self._get("s3", "s3")
        return client

    @property
    def _ssm(self) -> "SSMClient":
        client: SSMClient = self._get("ssm", "ssm")
        return client

    @property
    def _cloudformation(self) -> Any:  # noqa: ANN401 - boto3's own client
        return self._get("cloudformation", "cloudformation")

    def _get(self, name: str, service: str, *, tries: int = _TRIES) -> Any:  # noqa: ANN401
        if name not in self._clients:
            client = self._account.client(service, self.name, tries=tries)
            if service == "lambda":
                client.meta.events.register("request-created.lambda", self._pace.wait)
            self._clients[name] = client
        return self._clients[name]

    def _put_body(self, params: dict[str, Any], **_more: object) -> None:
        """The prepared request body, read from its file, in the place of what botocore serialized."""
        if self._body is None:
            return
        self._stream = self._body.path.open("rb")
        params["body"] = self._stream
        params["headers"]["X-Amz-Content-SHA256"] = self._body.sha256

    @contextmanager
    def _translate_errors(self, action: str, what: str, *, once: bool = False) -> Iterator[None]:
        with translate_errors(action, what, self.name, once=once):
            yield


class _MissingError(NodelayerError):
    """What was asked for is not there."""


class Pace:
    """So many requests a second, and as many at once after a rest. `wait` blocks until one may go."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, **_event: object) -> None:
        """Until the next request may be sent; takes and ignores what botocore tells its listeners."""
        with self._lock:
            now = time.monotonic()
            # At most half a second's worth at once: a full one could meet another second's start.
            self._next = max(self._next, now - 0.5) + 1 / self._rate
            pause = self._next - now
        if pause > 0:
            time.sleep(pause)


def open_account(
    *, profile: str | None, wanted: tuple[str, ...] | None, expected: str | None = None, partition: str = ""
) -> Account:
    """The account the credentials belong to, in the partition of the wanted regions.

    Raises RefusedError where it is not the expected one, InvalidInputError where the regions are of several
    partitions, and other NodelayerErrors where there are no credentials or AWS cannot be reached.
    """
    session = _session(profile)
    name = _partition(session, wanted, partition)
    known = Partition(name, tuple(session.get_available_regions("lambda", partition_name=name)))
    home = session.region_name or ""
    if home not in known.regions:
        home = _HOME.get(name) or known.regions[0]
    config = Config(region_name=home, connect_timeout=_CONNECT_S, retries={"mode": "standard"})
    with translate_errors("sts:GetCallerIdentity", "", home):
        identity = session.client("sts", config=config).get_caller_identity()
    if expected and identity["Account"] != expected:
        raise RefusedError(
            f"these credentials are of account {identity['Account']}, not {expected}",
            where="--account",
            todo="use the other profile, or mend --account",
        )
    return Account(session, identity["Account"], known, home)


def configured_region(profile: str | None) -> str | None:
    """The region that the environment or the profile names. Raises InvalidInputError: no such profile."""
    return _session(profile).region_name


def prepare(metadata: LayerMetadata, zipped: Path, path: Path) -> Payload:
    """Write the body that publishes a zip on these terms to `path`, without holding the zip in memory."""
    mark = "ZIP"
    body = json.dumps({**_metadata(metadata), "Content": {"ZipFile": mark}}).encode()
    before, _, after = body.rpartition(mark.encode())
    digest = hashlib.sha256()
    with zipped.open("rb") as source, path.open("wb") as target:

        def write(data: bytes) -> None:
            digest.update(data)
            target.write(data)

        write(before)
        while chunk := source.read(_BASE64_CHUNK):
            write(base64.b64encode(chunk))
        write(after)
    return Payload(path, path.stat().st_size, digest.hexdigest())


def partitions() -> dict[str, str]:
    """The partitions botocore knows, and the pattern of each one's regions."""
    data = create_loader().load_data("partitions")
    return {each["id"]: each["regionRegex"] for each in data["partitions"]}


def region_names() -> dict[str, str]:
    """What AWS calls each region botocore knows: eu-west-1 is Europe (Ireland)."""
    return {
        name: region["description"]
        for each in create_loader().load_data("partitions")["partitions"]
        for name, region in each["regions"].items()
        if "description" in region
    }


def partition_of(region: str) -> str:
    """Which partition a region belongs to. Raises InvalidInputError."""
    for name, pattern in partitions().items():
        if re.fullmatch(pattern.strip("^$"), region):
            return name
    raise InvalidInputError(f"no partition has a region {region}", where="--regions", todo="mend its name")


@contextmanager
def translate_errors(action: str, what: str, region: str, *, once: bool = False) -> Iterator[None]:
    """Turns what boto3 raises into the one line of a NodelayerError. `action` is IAM's word for the call."""
    where = f"{region} {what}".strip()
    try:
        yield
    except boto.ClientError as error:
        _refused(error, action, where, once=once)
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise MachineError(
            f"no AWS credentials ({str(error).rstrip('.').lower()})",
            todo="run `aws sso login` or `aws configure`, or name a profile with --profile",
        ) from error
    except (boto.TokenRetrievalError, boto.SSOError) as error:
        raise ExpiredError("the AWS sign-in has expired", todo="run `aws sso login`") from error
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.SSLError) as error:
        raise UnreachableError(
            f"AWS cannot be reached for {action} ({type(error).__name__})", where=where, todo="try again"
        ) from error
    except (boto.HTTPClientError, boto.IncompleteReadError, boto.ResponseStreamingError) as error:
        kind = AmbiguousError if once else UnreachableError
        raise kind(
            f"the connection broke during {action} ({type(error).__name__})", where=where, todo="try again"
        ) from error
    except (boto.BotoCoreError, boto3.exceptions.Boto3Error) as error:
        if isinstance(error.__context__, boto.ClientError):  # s3transfer wraps it
            _refused(error.__context__, action, where, once=once)
        raise RefusedError(f"{action} cannot be sent ({error})", where=where) from error
    except ValueError as error:  # botocore's for an address without its https://
        raise InvalidInputError(
            f"{action} cannot be sent ({error})", where=where, todo="mend AWS_ENDPOINT_URL or the profile"
        ) from error


def _refused(error: boto.ClientError, action: str, where: str, *, once: bool) -> NoReturn:
    code = _code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = str(error.response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    if code in _THROTTLED:
        raise ThrottledError(
            f"{action} was throttled again and again", where=where, todo="try later"
        ) from error
    if code in _EXPIRED:
        raise ExpiredError(
            "the AWS credentials have expired",
            where=where,
            todo="sign in again, for instance `aws sso login`",
        ) from error
    if code in _NOT_ENABLED:
        raise NotEnabledError(
            "the region does not accept these credentials",
            where=where,
            todo="enable the region for the account, or leave it out",
        ) from error
    if code in _DENIED or (code == "403" and status == 403):  # noqa: PLR2004 - forbidden
        raise RefusedError(
            f"not allowed: {_lacking(message) or action}",
            where=where,
            todo="add it to the role (docs/aws-setup.md)",
        ) from error
    if code in _NOT_FOUND:
        raise _MissingError(f"{action} finds nothing", where=where) from error
    if code == "CodeStorageExceededException":
        raise RefusedError(
            "the account's code storage in this region is full",
            where=where,
            todo="`invoke prune`, or ask AWS for a higher quota",
        ) from error
    if status >= _SERVER_ERROR:
        kind = AmbiguousError if once else UnreachableError
        raise kind(f"AWS answers {status} to {action} ({code})", where=where, todo="try again") from error
    if "CompatibleArchitectures are not supported" in message:
        raise ArchitecturesError(
            "the region takes no layers for this architecture yet", where=where, todo="leave it out for now"
        ) from error
    raise RefusedError(f"AWS refuses {action}: {code}: {message}", where=where) from error


def _lacking(message: str) -> str:
    """The action that AWS itself says is missing: one call may need several. Empty where it does not say."""
    if found := _LACKING.search(message):
        return found[1]
    return f"s3:GetObject of {found[1]}" if (found := _UNREAD.search(f"{message} ")) else ""


def _session(profile: str | None) -> boto3.Session:
    try:
        return boto3.Session(profile_name=profile)
    except boto.BotoCoreError as error:
        raise InvalidInputError(
            str(error), where="--profile", todo="see `aws configure list-profiles`"
        ) from error


def _partition(session: boto3.Session, wanted: tuple[str, ...] | None, named: str) -> str:
    every = partitions()
    if named and named not in every:
        raise InvalidInputError(
            f"no partition {named!r}", where="--partition", todo=f"use {', '.join(sorted(every))}"
        )
    if wanted is None:
        return named or (partition_of(session.region_name) if session.region_name else "aws")
    found = {partition_of(region) for region in wanted} | ({named} if named else set())
    if len(found) > 1:
        raise InvalidInputError(
            f"the regions are of several partitions: {', '.join(sorted(found))}",
            where="--regions",
            todo="publish to each partition on its own: accounts and credentials differ",
        )
    return found.pop()


def _code(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _time(text: str) -> str:
    """Lambda's `2026-11-24T21:12:37.020+0000` to the second."""
    return f"{text[:19]}Z"


def _content(answer: Any) -> Content:  # noqa: ANN401 - two operations' answers, alike
    content = answer["Content"]
    return Content(
        answer["Version"],
        answer["LayerVersionArn"],
        content["CodeSha256"],
        content["CodeSize"],
        content.get("Location", ""),
        _time(answer["CreatedDate"]),
    )


def _metadata(metadata: LayerMetadata) -> dict[str, Any]:
    architectures = (
        {"CompatibleArchitectures": list(metadata.architectures)} if metadata.architectures else {}
    )
    return {
        "Description": metadata.description,
        "LicenseInfo": metadata.license,
        "CompatibleRuntimes": list(metadata.runtimes),
        **architectures,
    }


def _access(policy: Mapping[str, Any]) -> Access:
    """What the statements for everyone and for organizations allow; others are not ours."""
    public = False
    organizations: set[str] = set()
    for statement in policy.get("Statement", []):
        if statement.get("Effect") != "Allow" or statement.get("Principal") not in ("*", {"AWS": "*"}):
            continue
        condition = statement.get("Condition")
        if not condition:
            public = True
            continue
        named = condition.get("StringEquals", {}).get("aws:PrincipalOrgID", [])
        organizations |= set([named] if isinstance(named, str) else named)
    return Access(public, frozenset(organizations))
