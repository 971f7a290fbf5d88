"""Customer-managed runtimes of Lambda: the runtime, its versions, its aliases and its resource policy.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-customer-managed.html. Names are unique, so a create can
be sent again: if it was carried out before, Lambda answers with a conflict, and the resource is read instead.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from nodelayer.aws.errors import DENIED, MissingError, NoApiError, error_code
from nodelayer.errors import NotFoundError, RefusedError, UnreachableError
from nodelayer.util.json_text import loads

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

    from nodelayer.aws.clients import RegionClients

MOST_POLICY = 20_480
"""Most characters of a resource policy."""
RECOVERY_DAYS = (7, 30)
"""The shortest and the longest time in which a deleted resource can be restored."""
ALIAS_S = 120.0
"""Longest time until an alias is active: that of boto3's waiter."""

_ACTIVE = "ACTIVE"
_LEAVING = frozenset({"PENDING_DELETION", "DELETING"})
_POLLS_S = (0.2, 0.5, 1.0, 2.0)
_LAG_S = 15.0
"""Longest time until a read has what was written before."""
_NOT_FOUND = "ResourceNotFoundException"
_NO_ROUTE = "unable to determine service/operation name"
_T = TypeVar("_T", "Runtime", "RuntimeVersion", "Alias")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Lifecycle:
    """A release lifecycle: the state is PREVIEW, GA or DEPRECATED; dates are ISO 8601, empty for none."""

    state: str
    deprecation: str = ""
    create_block: str = ""
    update_block: str = ""

    def members(self) -> dict[str, str]:
        """Return the ReleaseLifecycle of a request."""
        return {name: value for name, value in zip(_LIFECYCLE, vars(self).values(), strict=True) if value}


_LIFECYCLE = ("ReleaseState", "DeprecationDate", "FunctionCreateBlockDate", "FunctionUpdateBlockDate")
NO_LIFECYCLE = Lifecycle("")


class _Deletable:
    state: str

    @property
    def leaving(self) -> bool:
        """Whether it is scheduled for deletion, or being deleted."""
        return self.state in _LEAVING


@dataclass(frozen=True)
class Runtime(_Deletable):
    """A runtime. `deletion` is the time of its deletion in UTC, as in the manifest, if that is scheduled."""

    name: str
    arn: str
    state: str
    description: str = ""
    license: str = ""
    lifecycle: Lifecycle = NO_LIFECYCLE
    deletion: str = ""


@dataclass(frozen=True)
class RuntimeVersion(_Deletable):
    """A runtime version. `resolved_uri` is its image by digest; times are UTC, as in the manifest.

    `digests` are those of the images by architecture; a list of versions does not have them.
    """

    runtime: str
    name: str
    arn: str
    state: str
    resolved_uri: str
    created: str
    architectures: tuple[str, ...] = ()
    digests: Mapping[str, str] | None = None
    notes: str = ""
    deletion: str = ""

    @property
    def digest(self) -> str:
        """The digest of the image that the version was created from; empty if Lambda names none."""
        return self.resolved_uri.rpartition("@")[2] if "@" in self.resolved_uri else ""


@dataclass(frozen=True)
class Alias(_Deletable):
    """An alias: a name that points to a runtime version. `lifecycle` may be inherited from the runtime."""

    runtime: str
    name: str
    arn: str
    version: str
    state: str
    description: str = ""
    lifecycle: Lifecycle = NO_LIFECYCLE
    deletion: str = ""


@dataclass(frozen=True)
class ResourcePolicy:
    """A resource policy: the document, and the revision that a change of it has to name."""

    document: Mapping[str, Any]
    revision: str


class ManagedRuntimes:
    """The customer-managed runtimes of one account in one region. Used by one thread at a time.

    Every method raises NoApiError if the region has no such API.
    """

    def __init__(self, clients: "RegionClients") -> None:
        self.region = clients.region
        self._clients = clients
        self._client: Any = clients.client("lambda-core")  # types-boto3 does not have it yet

    def runtime(self, name: str) -> Runtime | None:
        """Return a runtime; None if it does not exist."""

        def ask() -> Runtime:
            return _runtime(self._client.get_runtime(RuntimeName=name))

        return self._find("lambda:GetRuntime", name, ask)

    def create_runtime(
        self,
        name: str,
        description: str,
        license_info: str,
        lifecycle: Lifecycle,
        tags: Mapping[str, str],
    ) -> Runtime:
        """Create a runtime. If it exists by then, return it as it is.

        Raises:
            RefusedError: It is scheduled for deletion, or a quota is exceeded.
        """

        def create() -> Runtime:
            answer = self._client.create_runtime(
                Name=name,
                Description=description,
                LicenseInfo=license_info,
                ReleaseLifecycle=lifecycle.members(),
                Tags=dict(tags),
            )
            return _runtime(answer)

        return self._create("lambda:CreateRuntime", name, create, lambda: self.runtime(name))

    def update_runtime(self, name: str, description: str, license_info: str, lifecycle: Lifecycle) -> Runtime:
        """Set description, license and lifecycle of a runtime."""
        with self._errors("lambda:UpdateRuntime", name):
            answer = self._client.update_runtime(
                RuntimeName=name,
                Description=description,
                LicenseInfo=license_info,
                ReleaseLifecycle=lifecycle.members(),
            )
            return _runtime(answer)

    def versions(self, name: str) -> list[RuntimeVersion]:
        """Return the versions of a runtime, oldest first; none if the runtime does not exist."""

        def ask() -> list[RuntimeVersion]:
            pages = self._client.get_paginator("list_runtime_versions").paginate(RuntimeName=name)
            found = [_version(name, item) for page in pages for item in page["Items"]]
            return sorted(found, key=lambda each: (each.created, each.name))

        return self._find("lambda:ListRuntimeVersions", name, ask) or []

    def version(self, name: str, version: str) -> RuntimeVersion | None:
        """Return a runtime version; None if it does not exist."""

        def ask() -> RuntimeVersion:
            return _version(name, self._client.get_runtime_version(RuntimeName=name, Name=version))

        return self._find("lambda:GetRuntimeVersion", f"{name} {version}", ask)

    def create_version(
        self, name: str, version: str, image_uri: str, notes: str, *, dry_run: bool = False
    ) -> RuntimeVersion:
        """Create a runtime version. If one of this name exists by then, return it: its image may be another.

        With `dry_run`, Lambda checks the request and creates nothing.

        Raises:
            RefusedError: It is scheduled for deletion, Lambda rejects the image, or a quota is exceeded.
        """

        def create() -> RuntimeVersion:
            answer = self._client.create_runtime_version(
                RuntimeName=name,
                Name=version,
                ImageUri=image_uri,
                ReleaseNotes=notes,
                **({"DryRun": True} if dry_run else {}),
            )
            return _version(name, answer)

        return self._create(
            "lambda:CreateRuntimeVersion",
            f"{name} {version}",
            create,
            lambda: self.version(name, version),
        )

    def wait_active(self, name: str, version: str, within_s: float) -> RuntimeVersion:
        """Wait until a runtime version is active, and return it.

        Raises:
            RefusedError: It cannot become active.
            UnreachableError: It is not active after `within_s` seconds.
        """
        return self._wait(f"{name} {version}", lambda: self.version(name, version), within_s)

    def aliases(self, name: str) -> list[Alias]:
        """Return the aliases of a runtime by name; none if the runtime does not exist."""

        def ask() -> list[Alias]:
            pages = self._client.get_paginator("list_runtime_aliases").paginate(RuntimeName=name)
            found = [_alias(name, item) for page in pages for item in page["Items"]]
            return sorted(found, key=lambda each: each.name)

        return self._find("lambda:ListRuntimeAliases", name, ask) or []

    def alias(self, name: str, alias: str) -> Alias | None:
        """Return an alias; None if it does not exist."""

        def ask() -> Alias:
            return _alias(name, self._client.get_runtime_alias(RuntimeName=name, Name=alias))

        return self._find("lambda:GetRuntimeAlias", f"{name} {alias}", ask)

    def put_alias(self, name: str, alias: str, version: str, description: str, lifecycle: Lifecycle) -> Alias:
        """Create an alias or change it, and wait until it is active with these values.

        Raises:
            RefusedError: It is scheduled for deletion, or the version is not active.
            UnreachableError: It is not active after ALIAS_S seconds, or another process changes it.
        """
        what = f"{name} {alias}"
        wanted = (version, description, lifecycle)
        members = {
            "RuntimeName": name,
            "Name": alias,
            "RuntimeVersion": version,
            "Description": description,
            "ReleaseLifecycle": lifecycle.members(),  # Lambda removes it if a request leaves it out
        }

        def create() -> Alias:
            return _alias(name, self._client.create_runtime_alias(**members))

        def settled() -> Alias:
            return self._wait(
                what, lambda: self.alias(name, alias), ALIAS_S, lambda found: _values(found) == wanted
            )

        found = self.alias(name, alias)
        if found is None:
            self._create("lambda:CreateRuntimeAlias", what, create, lambda: self.alias(name, alias))
            found = settled()
        elif found.state != _ACTIVE:
            found = self._wait(what, lambda: self.alias(name, alias), ALIAS_S)
        if _values(found) == wanted:
            return found
        try:
            with self._errors("lambda:UpdateRuntimeAlias", what):
                self._client.update_runtime_alias(**members)
        except UnreachableError:
            if _values(found := settled()) == wanted:  # only the answer was lost
                return found
            raise
        if _values(found := settled()) != wanted:
            raise UnreachableError(
                f"the alias has {_values(found)} after it was set to {wanted}",
                where=f"{self.region} {what}",
                todo="another process changes it: run the command again when that has ended",
            )
        return found

    def delete_version(self, name: str, version: str, recovery_days: int) -> None:
        """Schedule the deletion of a runtime version, if it exists and its deletion is not scheduled.

        Raises:
            UnreachableError: An alias names it, or another process changes it.
        """
        try:
            with self._errors("lambda:DeleteRuntimeVersion", f"{name} {version}"):
                self._client.delete_runtime_version(
                    RuntimeName=name, Name=version, RecoveryWindowInDays=recovery_days
                )
        except MissingError:
            return
        except UnreachableError:
            if (found := self.version(name, version)) is not None and not found.leaving:
                raise

    def restore(self, name: str, version: str | None = None, alias: str | None = None) -> None:
        """Cancel the scheduled deletion of a runtime, or of one of its versions or aliases.

        Raises:
            MissingError: It does not exist, or is deleted.
            UnreachableError: Its deletion has begun.
        """
        part = {"RuntimeVersion": version} if version else {"RuntimeAlias": alias} if alias else {}
        with self._errors("lambda:RestoreRuntime", " ".join(filter(None, (name, version or alias)))):
            self._client.restore_runtime(RuntimeName=name, **part)

    def policy(self, arn: str) -> ResourcePolicy | None:
        """Return the resource policy of a runtime; None if it has none."""

        def ask() -> ResourcePolicy:
            answer = self._lambda.get_resource_policy(ResourceArn=arn)
            return ResourcePolicy(loads(answer["Policy"]), answer.get("RevisionId", ""))

        return self._find("lambda:GetResourcePolicy", arn, ask)

    def put_policy(self, arn: str, document: Mapping[str, Any], revision: str = "") -> None:
        """Replace the resource policy of a runtime; with `revision`, only if that is still its revision.

        Raises:
            UnreachableError: The policy has another revision by now.
        """
        with self._errors("lambda:PutResourcePolicy", arn):
            self._lambda.put_resource_policy(
                ResourceArn=arn,
                Policy=json.dumps(document, separators=(",", ":")),
                **({"RevisionId": revision} if revision else {}),
            )

    @cached_property
    def _lambda(self) -> "LambdaClient":
        client: LambdaClient = self._clients.client("lambda")
        return client

    def _find(self, action: str, what: str, ask: Callable[[], _Found]) -> _Found | None:
        """Return what `ask` reads; None if Lambda says that the resource does not exist."""

        def asked() -> _Found | None:
            with _detected(self.region):
                try:
                    return ask()
                except ClientError as error:
                    if error_code(error) == _NOT_FOUND:
                        return None
                    raise

        return self._clients.read(action, what, asked)

    @contextmanager
    def _errors(self, action: str, what: str) -> Iterator[None]:
        with self._clients.translate_errors(action, what), _detected(self.region):
            yield

    def _create(self, action: str, what: str, create: Callable[[], _T], find: Callable[[], _T | None]) -> _T:
        try:
            with self._errors(action, what):
                return create()
        except UnreachableError:  # an earlier attempt, whose answer was lost, or another process created it
            if (found := find()) is None:
                raise
        self._check_stays(what, found)
        return found

    def _check_stays(self, what: str, found: Runtime | RuntimeVersion | Alias) -> None:
        if found.leaving:
            raise RefusedError(
                f"it is scheduled for deletion at {found.deletion or 'an unknown time'}",
                where=f"{self.region} {what}",
                todo="restore it with restore-runtime; Lambda keeps the name until it is deleted",
            )

    def _wait(
        self,
        what: str,
        find: Callable[[], _T | None],
        within_s: float,
        ready: Callable[[_T], bool] = lambda _found: True,
    ) -> _T:
        """Wait until a resource is active. What was just written may not be read at once."""
        began = time.monotonic()
        polls = iter(_POLLS_S)
        where = f"{self.region} {what}"
        while True:
            found = find()
            passed = time.monotonic() - began
            if found is None and passed > _LAG_S:
                raise NotFoundError("it does not exist", where=where, todo="another process deleted it")
            if found is not None:
                self._check_stays(what, found)
                if found.state == _ACTIVE and (ready(found) or passed > _LAG_S):
                    return found
                if found.state == "FAILED":
                    raise RefusedError(
                        "Lambda could not create it (FAILED), and gives no reason",
                        where=where,
                        todo="check that the image runs (run --image) and that the policy of the ECR "
                        "repository lets Lambda read it; prune-runtimes deletes it",
                    )
            if passed > within_s:
                raise UnreachableError(
                    f"it is still {found.state if found else 'not found'} after {within_s:.0f} s",
                    where=where,
                    todo="run the command again, which waits for it",
                )
            time.sleep(next(polls, _POLLS_S[-1]))


@contextmanager
def _detected(region: str) -> Iterator[None]:
    """Raise NoApiError for the answers of a region whose Lambda does not know these operations."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, message = error_code(error), str(error.response.get("Error", {}).get("Message", ""))
        unknown = code.startswith("UnknownOperation") or (status == 404 and code != _NOT_FOUND)  # noqa: PLR2004
        if unknown or (code in DENIED and _NO_ROUTE in message.lower()):
            raise NoApiError(
                f"Lambda has no customer-managed runtimes here yet (it answers {code})",
                where=region,
                todo="leave the region out, or use a layer there",
            ) from error
        raise


def _time(text: str) -> str:
    """Return a time of an answer, a string in ISO 8601, in UTC and to the second."""
    try:
        return text and f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    except ValueError as error:
        raise TypeError(f"{text!r} is not a time") from error  # an answer that is not valid


def _values(alias: Alias) -> tuple[str, str, Lifecycle]:
    return alias.version, alias.description, alias.lifecycle


def _lifecycle(answer: Mapping[str, Any]) -> Lifecycle:
    found = answer.get("ReleaseLifecycle") or {}
    return Lifecycle(*(found.get(name, "") for name in _LIFECYCLE))


def _runtime(answer: Mapping[str, Any]) -> Runtime:
    return Runtime(
        answer["Name"],
        answer["Arn"],
        answer.get("State", _ACTIVE),  # the answer to a create or an update has none
        answer.get("Description", ""),
        answer.get("LicenseInfo", ""),
        _lifecycle(answer),
        _time(answer.get("PendingDeletionAt", "")),
    )


def _version(runtime: str, answer: Mapping[str, Any]) -> RuntimeVersion:
    platforms = answer.get("Platforms")
    return RuntimeVersion(
        runtime,
        answer["Name"],
        answer["Arn"],
        answer["State"],
        answer["ResolvedUri"],
        _time(answer["Created"]),
        tuple(sorted(answer.get("Compatibility", {}).get("Architectures", ()))),
        None if platforms is None else {each["Architecture"]: each["Digest"] for each in platforms},
        answer.get("ReleaseNotes", ""),
        _time(answer.get("PendingDeletionAt", "")),
    )


def _alias(runtime: str, answer: Mapping[str, Any]) -> Alias:
    return Alias(
        runtime,
        answer["Name"],
        answer["Arn"],
        answer["RuntimeVersion"],
        answer["State"],
        answer.get("Description", ""),
        _lifecycle(answer),
        _time(answer.get("PendingDeletionAt", "")),
    )
