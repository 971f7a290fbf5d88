"""Layer versions of Lambda: list, read, publish, grant access, delete.

botocore never retries PublishLayerVersion, because a retry could publish a second layer version.
"""

import base64
import hashlib
import json
import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from nodelayer.aws.errors import DENIED, NOT_FOUND, ExpiredError, MissingError, NotEnabledError, error_code
from nodelayer.errors import RefusedError, UnreachableError

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient
    from types_boto3_lambda.type_defs import LayerVersionContentInputTypeDef

    from nodelayer.aws.clients import RegionClients

_ACCOUNT = re.compile(r"\b\d{12}\b", re.ASCII)
_BASE64_CHUNK = 3 << 20  # bytes; a multiple of 3, so that the encoded chunks can be joined
_PIECE = 1 << 20  # bytes


@dataclass(frozen=True)
class Access:
    """Who may use a layer version besides its account."""

    public: bool = False
    organizations: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()

    def __sub__(self, other: "Access") -> "Access":
        return Access(
            self.public and not other.public,
            self.organizations - other.organizations,
            self.accounts - other.accounts,
        )

    def __or__(self, other: "Access") -> "Access":
        return Access(
            self.public or other.public,
            self.organizations | other.organizations,
            self.accounts | other.accounts,
        )

    def __bool__(self) -> bool:
        return self.public or bool(self.organizations or self.accounts)

    def __str__(self) -> str:
        parts = [
            *(["public"] if self.public else []),
            *sorted(self.organizations),
            *(f"account {each}" for each in sorted(self.accounts)),
        ]
        return ", ".join(parts) or "private"


PRIVATE = Access()
"""Only the owning account may use the layer version."""


@dataclass(frozen=True)
class LayerVersionSummary:
    """A layer version in a list, without its content. `created` is UTC, as in the manifest."""

    version: int
    arn: str
    description: str
    created: str


@dataclass(frozen=True)
class Content:
    """The content of a layer version: sha256 in base64, size in bytes, URL of the zip (valid ten minutes).

    `runtimes` and `architectures` are the compatible ones; empty means that its publisher named none.
    `created` is UTC, as in the manifest.
    """

    version: int
    arn: str
    code_sha256: str
    size: int
    location: str
    created: str
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    description: str = ""
    license: str = ""


@dataclass(frozen=True)
class LayerMetadata:
    """The parameters of PublishLayerVersion, except the content."""

    name: str
    description: str
    license: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]


@dataclass(frozen=True)
class Payload:
    """The body of a PublishLayerVersion request in a mapped file; `sha256` in hex is what SigV4 signs.

    All regions send the same file: 34 copies of 50 MB would not fit into memory.
    """

    body: memoryview
    sha256: str


@dataclass(frozen=True)
class Storage:
    """The code storage of an account in a region, in bytes: the quota and the use."""

    limit: int
    used: int


class Layers:
    """The layer versions of one account in one region. Threads may share it, but one publishes at a time."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client: LambdaClient = clients.client("lambda")
        self._body: Payload | None = None
        self._progress: Callable[[float], None] = lambda _share: None

    def versions(self, layer: str) -> list[LayerVersionSummary]:
        """Return the versions of a layer, oldest first."""

        def ask() -> list[LayerVersionSummary]:
            pages = self._client.get_paginator("list_layer_versions").paginate(LayerName=layer)
            return [
                LayerVersionSummary(
                    item["Version"],
                    item["LayerVersionArn"],
                    item.get("Description", ""),
                    _time(item["CreatedDate"]),
                )
                for page in pages
                for item in page["LayerVersions"]
            ]

        found = self._clients.read("lambda:ListLayerVersions", layer, ask)
        return sorted(found, key=lambda each: each.version)

    def content(self, layer: str, version: int) -> Content | None:
        """Return the content of a layer version; None if it does not exist."""

        def ask() -> Content | None:
            try:
                answer = self._client.get_layer_version(LayerName=layer, VersionNumber=version)
            except ClientError as error:
                if error_code(error) in NOT_FOUND:
                    return None
                raise
            return _content(answer)

        return self._clients.read("lambda:GetLayerVersion", f"{layer}:{version}", ask)

    def content_by_arn(self, arn: str) -> Content | None:
        """Return the content of any account's layer version; None if this account cannot read it."""

        def ask() -> Content | None:
            try:
                answer = self._client.get_layer_version_by_arn(Arn=arn)
            except ClientError as error:
                if error_code(error) in NOT_FOUND | DENIED:
                    return None
                raise
            return _content(answer)

        return self._clients.read("lambda:GetLayerVersion", arn, ask)

    def publish(
        self,
        metadata: LayerMetadata,
        payload: Payload | tuple[str, str],
        progress: Callable[[float], None],
    ) -> Content:
        """Publish a layer version with one request. The zip is in a payload, or in S3 as (bucket, key).

        `progress` gets the share of a payload that was sent, from 0 to 1.

        Raises:
            UnreachableError: The layer version may or may not have been published.
        """
        content: LayerVersionContentInputTypeDef = {"ZipFile": b""}
        if isinstance(payload, tuple):
            content = {"S3Bucket": payload[0], "S3Key": payload[1]}
        else:
            self._body, self._progress = payload, progress
        try:
            with self._clients.translate_errors("lambda:PublishLayerVersion", metadata.name):
                answer = self._publisher.publish_layer_version(
                    LayerName=metadata.name, Content=content, **_metadata(metadata)
                )
                return _content(answer)
        finally:
            self._body = None

    def get_ready(self) -> None:
        """Create the client that publishes before it is needed, because that takes long."""
        _ = self._publisher

    def access(self, layer: str, version: int) -> Access:
        """Return who may use a layer version."""

        def ask() -> Access:
            try:
                answer = self._client.get_layer_version_policy(LayerName=layer, VersionNumber=version)
            except ClientError as error:
                if error_code(error) in NOT_FOUND:
                    return PRIVATE
                raise
            return _access(answer["Policy"])

        return self._clients.read("lambda:GetLayerVersionPolicy", f"{layer}:{version}", ask)

    def permit(self, layer: str, version: int, access: Access) -> None:
        """Add permissions to a layer version; existing ones stay."""
        statements: list[tuple[str, dict[str, str]]] = [
            *([("public", {"Principal": "*"})] if access.public else []),
            *(
                (f"organization-{each}", {"Principal": "*", "OrganizationId": each})
                for each in sorted(access.organizations)
            ),
            *((f"account-{each}", {"Principal": each}) for each in sorted(access.accounts)),
        ]
        for name, who in statements:
            with self._clients.translate_errors("lambda:AddLayerVersionPermission", f"{layer}:{version}"):
                try:
                    self._client.add_layer_version_permission(
                        LayerName=layer,
                        VersionNumber=version,
                        StatementId=name,
                        Action="lambda:GetLayerVersion",
                        **who,
                    )
                except ClientError as error:
                    if error_code(error) != "ResourceConflictException":  # the permission already exists
                        raise

    def forbid(self, layer: str, version: int) -> None:
        """Remove every permission of a layer version: only its account may use it."""
        what = f"{layer}:{version}"

        def ask() -> list[str]:
            try:
                answer = self._client.get_layer_version_policy(LayerName=layer, VersionNumber=version)
            except ClientError as error:
                if error_code(error) in NOT_FOUND:
                    return []
                raise
            return [each.sid for each in _statements(answer["Policy"])]

        for statement in self._clients.read("lambda:GetLayerVersionPolicy", what, ask):
            with self._clients.translate_errors("lambda:RemoveLayerVersionPermission", what):
                try:
                    self._client.remove_layer_version_permission(
                        LayerName=layer, VersionNumber=version, StatementId=statement
                    )
                except ClientError as error:
                    if error_code(error) not in NOT_FOUND:  # another run removed it
                        raise

    def delete(self, layer: str, version: int) -> None:
        """Delete a layer version if it exists."""
        with self._clients.translate_errors("lambda:DeleteLayerVersion", f"{layer}:{version}"):
            self._client.delete_layer_version(LayerName=layer, VersionNumber=version)

    def storage(self) -> Storage | None:
        """Return the quota and use of code storage; None if the credentials may not ask."""

        def ask() -> Storage:
            answer = self._client.get_account_settings()
            return Storage(answer["AccountLimit"]["TotalCodeSize"], answer["AccountUsage"]["TotalCodeSize"])

        try:
            return self._clients.read("lambda:GetAccountSettings", "", ask)
        except (NotEnabledError, ExpiredError):
            raise
        except (RefusedError, MissingError):
            return None

    @cached_property
    def _publisher(self) -> "LambdaClient":
        client: LambdaClient = self._clients.client("lambda", once=True)
        client.meta.events.register("before-call.lambda.PublishLayerVersion", self._put_body)
        return client

    def _put_body(self, params: dict[str, Any], **_more: object) -> None:
        """Replace the body that botocore serialized with the prepared one, read from its file."""
        if self._body is None:
            return
        params["body"] = _Upload(self._body.body, self._progress)
        params["headers"]["X-Amz-Content-SHA256"] = self._body.sha256


class _Upload:
    """A file object over a body that reports which share of it was read, from 0 to 1.

    A read returns a piece of the mapped file, and more than the 16 KB that urllib3 asks for: with 34 uploads
    at once, copies in small pieces cost three times the processor time.
    """

    def __init__(self, body: memoryview, progress: Callable[[float], None]) -> None:
        self._body = body
        self._progress = progress
        self._at = 0

    def __len__(self) -> int:
        return len(self._body)

    def read(self, _size: int = -1) -> memoryview:
        piece = self._body[self._at : self._at + _PIECE]
        self._at += len(piece)
        self._progress(self._at / len(self._body))
        return piece

    def seek(self, at: int) -> None:
        self._at = at


def prepare(metadata: LayerMetadata, zipped: Path, path: Path) -> Payload:
    """Write the request body that publishes a zip to `path`, without holding the zip in memory."""
    placeholder = "ZIP"
    body = json.dumps({**_metadata(metadata), "Content": {"ZipFile": placeholder}}).encode()
    before, _, after = body.rpartition(placeholder.encode())
    digest = hashlib.sha256()
    with zipped.open("rb") as source, path.open("wb") as target:

        def write(data: bytes) -> None:
            digest.update(data)
            target.write(data)

        write(before)
        while chunk := source.read(_BASE64_CHUNK):
            write(base64.b64encode(chunk))
        write(after)
    with path.open("rb") as written:
        mapped = mmap.mmap(written.fileno(), 0, access=mmap.ACCESS_READ)
    return Payload(memoryview(mapped), digest.hexdigest())


def _time(text: str) -> str:
    """Shorten Lambda's `2026-11-24T21:12:37.020+0000` to the second."""
    return f"{text[:19]}Z"


def _content(answer: Any) -> Content:  # noqa: ANN401 - the responses of two operations
    content = answer["Content"]
    return Content(
        answer["Version"],
        answer["LayerVersionArn"],
        content["CodeSha256"],
        content["CodeSize"],
        content.get("Location", ""),
        _time(answer["CreatedDate"]),
        tuple(answer.get("CompatibleRuntimes", ())),
        tuple(answer.get("CompatibleArchitectures", ())),
        answer.get("Description", ""),
        answer.get("LicenseInfo", ""),
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


class _Statement(msgspec.Struct, rename="pascal"):
    effect: str = ""
    sid: str = ""
    principal: str | dict[str, str | list[str]] = ""
    condition: dict[str, dict[str, str | list[str]]] = {}


class _Policy(msgspec.Struct, rename="pascal"):
    statement: list[_Statement] = []


def _statements(policy: str) -> list[_Statement]:
    """Parse the policy of a layer version. Raises UnreachableError for anything else."""
    try:
        return msgspec.json.decode(policy, type=_Policy).statement
    except (ValueError, RecursionError) as error:
        raise UnreachableError(
            f"the answer is not the policy of a layer version ({error})",
            todo="check AWS_ENDPOINT_URL and the proxy",
        ) from error


def _access(policy: str) -> Access:
    """Return what the statements for everyone, for organizations and for accounts allow."""
    public = False
    organizations: set[str] = set()
    accounts: set[str] = set()
    for statement in _statements(policy):
        if statement.effect != "Allow":
            continue
        if statement.principal not in ("*", {"AWS": "*"}):
            accounts |= set(_ACCOUNT.findall(str(statement.principal)))
            continue
        if not statement.condition:
            public = True
            continue
        named = statement.condition.get("StringEquals", {}).get("aws:PrincipalOrgID", [])
        organizations |= set([named] if isinstance(named, str) else named)
    return Access(public, frozenset(organizations), frozenset(accounts))
