# ruff: noqa: N802, N803, PLR0913, PLR0917 - methods and arguments have the names of AWS's operations and members
"""A server that answers as Lambda does for customer-managed runtimes, and for functions that use one.

    with LambdaCore() as server:
        server.fail("CreateRuntimeVersion", region="eu-west-1", error="lost answer")
        ...  # AWS_ENDPOINT_URL_LAMBDA_CORE and AWS_ENDPOINT_URL_LAMBDA name it, if another has ECR
        assert [call.operation for call in server.calls if call.region == "eu-west-1"] == [...]

Everything that botocore's models say comes from there (service_model.py). Written by hand is what they only
describe: states and their times, names that stay reserved until a deletion is over, conflicts, quotas, the
rule for dates of a lifecycle. It also answers sts GetCallerIdentity and account ListRegions. What Lambda does
where its documents say nothing is a guess, and marked so.

    python tests/publish/lambda_core.py STATE

starts it as a process of its own, and prints its address; the file STATE survives it.
"""

import base64
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parents[2])]

from publish.aws_wire import scope
from publish.emulators import Endpoint
from publish.publish_fixtures import sample_answer
from publish.service_model import Refusal, Service

NO_ROUTE = "Unable to determine service/operation name to be authorized"
LEAVING = {"PENDING_DELETION", "DELETING"}
_DAYS = 30
_ENCODED = re.compile(r"(?P<repository>[^@]+?)(?::(?P<tag>[^/@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


@dataclass(frozen=True)
class Call:
    """A request that was answered. `status` is 0 if its answer was lost, `members` are those of the model."""

    service: str
    operation: str
    region: str
    account: str
    status: int
    members: dict
    when: float


@dataclass
class Fault:
    """What happens to the next requests that match. `hits` counts them."""

    operation: str
    region: str | None
    error: str | None
    delay: float
    times: int | None
    skip: int
    message: str
    headers: dict
    hits: int = 0
    seen: int = 0

    def takes(self, service, operation, region):
        any_runtime = self.operation == "*" and service == "lambda-core"
        if not any_runtime and self.operation != operation:
            return False
        if self.region not in {None, region} or (self.times is not None and self.hits >= self.times):
            return False
        self.seen += 1
        if self.seen <= self.skip:
            return False
        self.hits += 1
        return True


def resolve_anything(_account, _region, uri):
    """Take every image URI; its digest, or that of its text, stands for an image of both architectures."""
    found = _ENCODED.fullmatch(uri)
    digest = found["digest"] or f"sha256:{hashlib.sha256(uri.encode()).hexdigest()}"
    return digest, {
        name: f"sha256:{hashlib.sha256(f'{digest} {name}'.encode()).hexdigest()}"
        for name in ("arm64", "x86_64")
    }


def answer_with_version(function, event, version):
    """Answer as the sample function does on the Node.js version that the runtime version names."""
    (architecture,) = function.get("Architectures", ["x86_64"])
    arch = {"x86_64": "x64"}.get(architecture, architecture)
    streamed = function.get("Handler") == "streaming.handler"
    answer = sample_answer(event, streamed=streamed, node=version.partition("_")[0], arch=arch)
    return answer.payload, answer.failed


@dataclass
class Settings:
    """What the server does beside the model, to be changed at any time.

    `creating_s`, `updating_s`: how long a version or alias is CREATING, or an alias UPDATING. `lag_s`: how
    long an alias is read as it was before a change. `failing`: the versions that end as FAILED. `quotas`: how
    many runtimes of a region, versions or aliases of a runtime there may be. `page`: the size of a page if a
    request names none. `resolve`: account, region and image URI to digest and digests by architecture, or
    None for an image that Lambda cannot read. `invoke`: function, event and runtime version to payload and
    whether the function failed. `regions`: those of ListRegions with their status.
    """

    creating_s: float = 0.0
    updating_s: float = 0.0
    lag_s: float = 0.0
    failing: set = field(default_factory=set)
    quotas: dict = field(default_factory=dict)
    page: int = 50
    resolve: object = resolve_anything
    invoke: object = answer_with_version
    regions: dict = field(default_factory=lambda: {"eu-west-1": "ENABLED", "us-east-1": "ENABLED_BY_DEFAULT"})


class LambdaCore(Endpoint):
    """Listens on a free port of 127.0.0.1; a context manager. Everything public may be used by any thread.

    `path`: a file that holds the state; without it, the state ends with the server.
    """

    def __init__(self, path=None):
        self.settings = Settings()
        self.state = {}
        self._path = Path(path) if path else None
        self._lock = threading.RLock()
        self._calls = []
        self._faults = []
        self._later = timedelta()
        self._services = _services()
        if self._path and self._path.exists():
            self.state.update(json.loads(self._path.read_text()))

    def __enter__(self):
        server = _Server(("127.0.0.1", 0), _Handler)
        server.core = self
        self._server = server
        super().__init__(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    # what a test says and sees

    @property
    def calls(self):
        """The requests that were answered, in that order."""
        with self._lock:
            return list(self._calls)

    def count(self):
        """How many requests there were, by operation and region."""
        return Counter((call.operation, call.region) for call in self.calls)

    def fail(self, operation, region=None, error=None, *, delay=0.0, times=1, skip=0, message="", **headers):
        """Make requests fail; returns the fault with its count of hits.

        `operation`: its name, or * for every operation of customer-managed runtimes. `error`: the code of an
        error; "lost answer": the work is done and the connection is reset; "lost request": the connection is
        reset and nothing is done; None: nothing but the delay. `times`: how many requests (None: all), after
        `skip` that pass. Headers: Retry_After is Retry-After.
        """
        fault = Fault(operation, region, error, delay, times, skip, message, headers)
        with self._lock:
            self._faults.append(fault)
        return fault

    def without_api(self, region, error="UnknownOperationException"):
        """Answer as a region does that has no customer-managed runtimes."""
        self.fail("*", region, error, times=None, message=NO_ROUTE)

    def clear(self):
        """Forget the faults and the calls; the state stays."""
        with self._lock:
            self._faults.clear()
            self._calls.clear()

    def pass_days(self, days):
        """Let the server's clock go on."""
        with self._lock:
            self._later += timedelta(days=days)

    def home(self, region, account="123456789012"):
        """The state of an account in a region: runtimes and functions by name."""
        with self._lock:
            return self.state.setdefault(f"{account} {region}", {"runtimes": {}, "functions": {}})

    def runtime(self, region, name, account="123456789012"):
        """A runtime as its users see it: versions with their state, aliases with their version."""
        with self._lock:
            found = self._runtimes(self.home(region, account))[name]
            return (
                {each: self._state(version) for each, version in found["versions"].items()},
                {each: alias["RuntimeVersion"] for each, alias in found["aliases"].items()},
            )

    def do(self, operation, region, account="123456789012", **members):
        """Carry out an operation without a request, and return its answer: quicker than by a client."""
        service = next(each for each in self._services["lambda"] if operation in each.model.operation_names)
        _, _, data = self._done(service, service.model.operation_model(operation), members, account, region)
        return json.loads(data or b"{}")

    # requests

    def answer(self, method, target, headers, body):
        """Status, headers and body of the answer; None if it is lost."""
        account, region, signed = scope(target, headers)
        if signed == "sts":
            return 200, {"Content-Type": "text/xml"}, _IDENTITY.format(account=account).encode()
        service, operation, variables = self._find(signed, method, target)
        if operation is None:
            shown = {"Content-Type": "application/json", "x-amzn-ErrorType": "UnknownOperationException"}
            return 404, shown, b"{}"
        fault = self._fault(service.name, operation.name, region)
        if fault and fault.delay:
            time.sleep(fault.delay)
        lost = fault.error if fault and fault.error in _QUIET else None
        members = {}
        status, shown, data = 0, {}, b""
        try:
            self._refuse(fault)
            members = service.read(operation, variables, target, headers, body)
            if lost != "lost request":
                status, shown, data = self._done(service, operation, members, account, region)
        except Refusal as refusal:
            status, shown, data = service.refuse(operation, refusal)
        self._note(service, operation, region, account, 0 if lost else status, members)
        return None if lost else (status, shown, data)

    def _find(self, signed, method, target):
        for service in self._services.get(signed, ()):
            if found := service.find(method, target):
                return service, *found
        return None, None, None

    def _fault(self, service, operation, region):
        with self._lock:
            return next((each for each in self._faults if each.takes(service, operation, region)), None)

    def _refuse(self, fault):
        if fault and fault.error not in _QUIET:
            raise Refusal(fault.error, fault.message, **fault.headers)

    def _note(self, service, operation, region, account, status, members):
        shown = {name: value for name, value in members.items() if name not in {"Code", "Payload"}}
        call = Call(service.name, operation.name, region, account, status, shown, time.time())
        with self._lock:
            self._calls.append(call)

    def _done(self, service, operation, members, account, region):
        work = getattr(self, f"_{operation.name}", None)
        if work is None:
            raise Refusal("UnknownOperationException", f"this server has no {operation.name}")
        with self._lock:
            home = self.home(region, account)
            self._purge(home)
            place = _Place(account, region, home)
            result = work(place, **members)
            result = {} if result is None else result
            if isinstance(result, tuple):
                return result
            if service.lists(operation):
                result = service.page(operation, members, result, self.settings.page)
            answer = service.answer(operation, result)
            self._save()
            return answer

    def _save(self):
        if self._path:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(self.state))
            fresh.replace(self._path)

    # time and states

    def _now(self):
        return datetime.now(UTC) + self._later

    def _time(self):
        return f"{self._now():%Y-%m-%dT%H:%M:%S.%f+0000}"

    def _purge(self, home):
        """Remove what was scheduled for deletion, and the time has come."""
        now = self._time()
        parts = [each[kind] for each in home["runtimes"].values() for kind in ("versions", "aliases")]
        for items in (*parts, home["runtimes"]):
            for name, each in list(items.items()):
                if each.get("PendingDeletionAt", "9999") <= now:
                    del items[name]

    def _runtimes(self, home):
        self._purge(home)
        return home["runtimes"]

    def _state(self, item):
        if item.get("PendingDeletionAt"):
            return "PENDING_DELETION"
        if item.get("ready", 0.0) > time.time():
            return item["unready"]
        return item.get("ends", "ACTIVE")

    def _shown(self, item):
        """An item as it is answered: without the members that only this server knows."""
        shown = {name: value for name, value in item.items() if name not in _HIDDEN and value is not None}
        shown["State"] = self._state(item)
        if lifecycle := shown.get("ReleaseLifecycle"):
            today = f"{self._now():%Y-%m-%d}"
            passed = lifecycle.get("DeprecationDate", "9999") <= today
            shown["ReleaseLifecycle"] = lifecycle | ({"ReleaseState": "DEPRECATED"} if passed else {})
        return shown

    def _check_lifecycle(self, lifecycle):
        state, today = (lifecycle or {}).get("ReleaseState"), f"{self._now():%Y-%m-%d}"
        date = (lifecycle or {}).get("DeprecationDate")
        if state == "DEPRECATED" and not (date and date <= today):
            raise Refusal(_INVALID, "DEPRECATED requires a DeprecationDate on or before today (UTC)")
        if state in {"PREVIEW", "GA"} and date and date <= today:
            raise Refusal(_INVALID, f"{state} requires a later DeprecationDate, or none")

    def _check_quota(self, kind, items):
        if len(items) >= self.settings.quotas.get(kind, 1_000_000):
            raise Refusal("ServiceQuotaExceededException", f"The quota for {kind} is exceeded")

    def _leave(self, item, days):
        if self._state(item) in LEAVING:
            raise Refusal(_CONFLICT, f"{item['Name']} is in state PENDING_DELETION")
        gone = self._now() + timedelta(days=days or _DAYS)
        item["PendingDeletionAt"] = f"{gone:%Y-%m-%dT%H:%M:%S.%f+0000}"

    # runtimes

    def _CreateRuntime(self, place, Name, **members):
        if Name in place.home["runtimes"]:
            raise Refusal(_CONFLICT, f"Runtime {Name} already exists")
        self._check_quota("runtimes", place.home["runtimes"])
        self._check_lifecycle(members.get("ReleaseLifecycle"))
        now = self._time()
        runtime = {"Name": Name, "Arn": place.arn(Name), "Created": now, "LastModified": now, **members}
        place.home["runtimes"][Name] = runtime | {
            "versions": {},
            "aliases": {},
            "policy": None,
            "revision": 0,
        }
        return self._brief(runtime)

    def _GetRuntime(self, place, RuntimeName):
        return self._shown(place.runtime(RuntimeName))

    def _ListRuntimes(self, place, **_page):
        return [self._shown(each) for _, each in sorted(place.home["runtimes"].items())]

    def _UpdateRuntime(self, place, RuntimeName, **members):
        runtime = place.runtime(RuntimeName)
        self._check_stays(runtime)
        self._check_lifecycle(members.get("ReleaseLifecycle"))
        for name in ("Description", "LicenseInfo"):
            runtime[name] = members.get(name, runtime.get(name))
        runtime["ReleaseLifecycle"] = members.get("ReleaseLifecycle") or None
        runtime["LastModified"] = self._time()
        return self._brief(runtime)

    def _DeleteRuntime(self, place, RuntimeName, RecoveryWindowInDays=_DAYS):
        runtime = place.runtime(RuntimeName)
        if any(self._state(each) not in LEAVING for each in _children(runtime)):
            raise Refusal(_CONFLICT, "Delete its versions and aliases first")
        self._leave(runtime, RecoveryWindowInDays)

    def _RestoreRuntime(self, place, RuntimeName, RuntimeVersion=None, RuntimeAlias=None):
        if RuntimeVersion and RuntimeAlias:
            raise Refusal(_INVALID, "RuntimeVersion and RuntimeAlias are mutually exclusive")
        item = runtime = place.runtime(RuntimeName)
        if RuntimeVersion or RuntimeAlias:
            self._check_stays(runtime)
            item = (
                place.version(runtime, RuntimeVersion)
                if RuntimeVersion
                else place.alias(runtime, RuntimeAlias)
            )
        item.pop("PendingDeletionAt", None)
        item["LastModified"] = self._time()
        named = {"RuntimeVersion": RuntimeVersion, "RuntimeAlias": RuntimeAlias}
        return {
            "RuntimeName": runtime["Name"],
            "Arn": item["Arn"],
            "State": "ACTIVE",
            "LastModified": item["LastModified"],
            **{name: value for name, value in named.items() if value},
        }

    # versions

    def _CreateRuntimeVersion(self, place, RuntimeName, Name, ImageUri, ReleaseNotes=None, DryRun=False):  # noqa: FBT002
        runtime = place.runtime(RuntimeName)
        self._check_stays(runtime)
        if Name in runtime["versions"]:
            raise Refusal(_CONFLICT, f"Runtime version {Name} already exists")
        self._check_quota("versions", runtime["versions"])
        resolved = self.settings.resolve(place.account, place.region, ImageUri)
        if resolved is None:
            raise Refusal(_INVALID, f"Lambda cannot read the image {ImageUri}")
        digest, platforms = resolved
        now = self._time()
        version = {
            "Name": Name,
            "Arn": f"{runtime['Arn']}/version/{Name}",
            "ResolvedUri": f"{_ENCODED.fullmatch(ImageUri)['repository']}@{digest}",
            "ReleaseNotes": ReleaseNotes,
            "Platforms": [
                {"Architecture": name, "Os": "linux", "Digest": each} for name, each in platforms.items()
            ],
            "Compatibility": {
                "IntegrationModels": ["RuntimeAPI"],
                "Architectures": sorted(platforms),
                "ManagedInstances": "NotSupported",
            },
            "Created": now,
            "LastModified": now,
            "ready": time.time() + self.settings.creating_s,
            "unready": "CREATING",
            "ends": "FAILED" if Name in self.settings.failing else "ACTIVE",
        }
        if not DryRun:
            runtime["versions"][Name] = version
        return self._shown(version)

    def _GetRuntimeVersion(self, place, RuntimeName, Name):
        return self._shown(place.version(place.runtime(RuntimeName), Name))

    def _ListRuntimeVersions(self, place, RuntimeName, **_page):
        found = place.runtime(RuntimeName)["versions"]
        return [_without(self._shown(each), "Platforms") for _, each in sorted(found.items())]

    def _UpdateRuntimeVersion(self, place, RuntimeName, Name, ReleaseNotes):
        version = place.version(place.runtime(RuntimeName), Name)
        self._check_active(version)
        version |= {"ReleaseNotes": ReleaseNotes, "LastModified": self._time()}
        return self._shown(version)

    def _DeleteRuntimeVersion(self, place, RuntimeName, Name, RecoveryWindowInDays=_DAYS):
        runtime = place.runtime(RuntimeName)
        version = place.version(runtime, Name)
        for alias in runtime["aliases"].values():
            if alias["RuntimeVersion"] == Name and self._state(alias) not in LEAVING:
                raise Refusal(_CONFLICT, f"The alias {alias['Name']} points to the version {Name}")
        self._leave(version, RecoveryWindowInDays)

    # aliases

    def _CreateRuntimeAlias(self, place, RuntimeName, Name, RuntimeVersion, **members):
        runtime = place.runtime(RuntimeName)
        self._check_stays(runtime)
        if Name in runtime["aliases"]:
            raise Refusal(_CONFLICT, f"Runtime alias {Name} already exists")
        self._check_quota("aliases", runtime["aliases"])
        now = self._time()
        alias = {"Name": Name, "Arn": f"{runtime['Arn']}/alias/{Name}", "Created": now}
        self._point(runtime, alias, RuntimeVersion, members, "CREATING", self.settings.creating_s)
        runtime["aliases"][Name] = alias
        return _without(self._alias(runtime, alias), "Compatibility")

    def _GetRuntimeAlias(self, place, RuntimeName, Name):
        runtime = place.runtime(RuntimeName)
        alias = place.alias(runtime, Name)
        if alias.get("read", 0.0) > time.time():
            alias = alias["before"]
        if not alias:
            raise Refusal("ResourceNotFoundException", f"Runtime alias {Name} does not exist")
        return self._alias(runtime, alias)

    def _ListRuntimeAliases(self, place, RuntimeName, **_page):
        runtime = place.runtime(RuntimeName)
        return [self._alias(runtime, each) for _, each in sorted(runtime["aliases"].items())]

    def _UpdateRuntimeAlias(self, place, RuntimeName, Name, RuntimeVersion, **members):
        runtime = place.runtime(RuntimeName)
        alias = place.alias(runtime, Name)
        self._check_active(alias)
        kept = {"Description": alias.get("Description"), **members}
        self._point(runtime, alias, RuntimeVersion, kept, "UPDATING", self.settings.updating_s)
        return self._alias(runtime, alias) | {"RuntimeName": runtime["Name"]}

    def _DeleteRuntimeAlias(self, place, RuntimeName, Name, RecoveryWindowInDays=_DAYS):
        self._leave(place.alias(place.runtime(RuntimeName), Name), RecoveryWindowInDays)

    def _point(self, runtime, alias, version, members, unready, seconds):
        if version not in runtime["versions"]:
            raise Refusal("ResourceNotFoundException", f"Runtime version {version} does not exist")
        self._check_active(runtime["versions"][version])
        self._check_lifecycle(members.get("ReleaseLifecycle"))
        before = _without(alias, "before") if "RuntimeVersion" in alias else None
        alias.update(
            before=before,
            read=time.time() + self.settings.lag_s,
            RuntimeVersion=version,
            RuntimeVersionArn=f"{runtime['Arn']}/version/{version}",
            Description=members.get("Description"),
            ReleaseLifecycle=members.get("ReleaseLifecycle") or None,
            LastModified=self._time(),
            ready=time.time() + seconds,
            unready=unready,
        )

    def _alias(self, runtime, alias):
        inherited = {"ReleaseLifecycle": runtime.get("ReleaseLifecycle")}
        own = {name: value for name, value in alias.items() if value is not None}
        shown = self._shown({**inherited, **own})
        version = runtime["versions"].get(alias["RuntimeVersion"])
        return shown | ({"Compatibility": version["Compatibility"]} if version else {})

    def _brief(self, runtime):
        return _without(self._shown(runtime), "State", "PendingDeletionAt")

    def _check_stays(self, item):
        if self._state(item) in LEAVING:
            raise Refusal(_CONFLICT, f"{item['Name']} is in state PENDING_DELETION")

    def _check_active(self, item):
        if self._state(item) != "ACTIVE":
            raise Refusal(_CONFLICT, f"{item['Name']} is in state {self._state(item)}, not ACTIVE")

    # the resource policy

    def _GetResourcePolicy(self, place, ResourceArn):
        runtime = place.runtime(ResourceArn)
        if runtime["policy"] is None:
            raise Refusal("ResourceNotFoundException", "The resource has no policy")
        return {"Policy": runtime["policy"], "RevisionId": _revision(runtime)}

    def _PutResourcePolicy(self, place, ResourceArn, Policy, RevisionId=None):
        runtime = place.runtime(ResourceArn)
        if RevisionId not in {None, _revision(runtime)}:
            raise Refusal("PreconditionFailedException", "The RevisionId provided does not match the latest")
        try:
            statements = json.loads(Policy)["Statement"]
        except (ValueError, LookupError, TypeError):
            raise Refusal(_INVALID, "The policy is not a policy document") from None
        for each in statements:
            if (
                each["Effect"] == "Allow"
                and each["Principal"] in ("*", {"AWS": "*"})
                and "Condition" not in each
            ):
                raise Refusal("PublicPolicyException", "The policy grants public access")
        runtime |= {"policy": Policy, "revision": runtime["revision"] + 1}
        return {"Policy": Policy, "RevisionId": _revision(runtime)}

    def _DeleteResourcePolicy(self, place, ResourceArn, **_revision):
        place.runtime(ResourceArn).update(policy=None)

    # functions

    def _CreateFunction(self, place, FunctionName, Code, Runtime, RuntimeConfig=None, Tags=None, **members):  # noqa: ARG002
        if FunctionName in place.home["functions"]:
            raise Refusal(_CONFLICT, f"Function already exist: {FunctionName}")
        if (Runtime == "custom") != (RuntimeConfig is not None):
            raise Refusal(_INVALID, "RuntimeConfig is required with Runtime custom, and with no other")
        if RuntimeConfig:
            self._used(place, RuntimeConfig)
        function = {
            "FunctionName": FunctionName,
            "FunctionArn": place.arn(FunctionName, "function:"),
            "Runtime": Runtime,
            "LastModified": f"{self._now():%Y-%m-%dT%H:%M:%S.000+0000}",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "CodeSize": len(base64.b64decode(Code.get("ZipFile", ""))),
            **({"RuntimeConfig": RuntimeConfig} if RuntimeConfig else {}),
            **{name: members[name] for name in _KEPT if name in members},
        }
        place.home["functions"][FunctionName] = function
        return function

    def _GetFunctionConfiguration(self, place, FunctionName):
        return place.function(FunctionName)

    def _UpdateFunctionConfiguration(self, place, FunctionName, **members):
        function = place.function(FunctionName)
        if config := members.get("RuntimeConfig"):
            self._used(place, config)
        if "Environment" in members:
            members["Environment"] = {"Variables": members["Environment"].get("Variables", {})}
        function.update(members)
        return function

    def _ListFunctions(self, place, **_page):
        return [each for _, each in sorted(place.home["functions"].items())]

    def _DeleteFunction(self, place, FunctionName):
        place.function(FunctionName)
        del place.home["functions"][FunctionName]
        return {"StatusCode": 204}

    def _Invoke(self, place, FunctionName, Payload=b"{}", **_how):
        function = place.function(FunctionName)
        alias, version = self._used(place, function["RuntimeConfig"])
        if self._state(alias) in LEAVING:
            raise Refusal("RuntimeAliasDeletedException", "The runtime alias is no longer available")
        if self._state(version) in LEAVING:
            raise Refusal("RuntimeVersionDeletedException", "The runtime version is no longer available")
        payload, failed = self.settings.invoke(function, Payload, version["Name"])
        log = base64.b64encode(b"REPORT RequestId: 1 Init Duration: 118.20 ms\n").decode()
        error = {"FunctionError": "Unhandled"} if failed else {}
        return {"StatusCode": 200, "Payload": payload, "LogResult": log, **error}

    def _InvokeWithResponseStream(self, place, **members):
        answer = self._Invoke(place, **members)
        done = {
            "LogResult": answer["LogResult"],
            **({"ErrorCode": "Unhandled"} if "FunctionError" in answer else {}),
        }
        body = _event("PayloadChunk", answer["Payload"]) + _event("InvokeComplete", json.dumps(done).encode())
        return 200, {"Content-Type": "application/vnd.amazon.eventstream"}, body

    def _used(self, place, config):
        try:
            runtime = place.runtime(config["RuntimeArn"])
            alias = place.alias(runtime, config["RuntimeAlias"])
            return alias, place.version(runtime, alias["RuntimeVersion"])
        except Refusal as refusal:
            raise Refusal(_INVALID, refusal.message) from None

    def _ListRegions(self, _place, **_page):
        return [
            {"RegionName": name, "RegionOptStatus": status} for name, status in self.settings.regions.items()
        ]


_HIDDEN = {"Tags", "before", "read", "ready", "unready", "ends", "versions", "aliases", "policy", "revision"}
_QUIET = {"lost answer", "lost request", None}
_CONFLICT = "ResourceConflictException"
_INVALID = "InvalidParameterValueException"
_KEPT = ("Role", "Handler", "Timeout", "MemorySize", "Architectures", "Description")
_IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    "<Arn>arn:aws:iam::{account}:user/nodelayer</Arn><UserId>AIDA</UserId><Account>{account}</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
    "</GetCallerIdentityResponse>"
)


@dataclass(frozen=True)
class _Place:
    """An account in a region."""

    account: str
    region: str
    home: dict

    def arn(self, name, kind="runtime/"):
        partition = {"cn": "aws-cn", "us-gov": "aws-us-gov", "eusc": "aws-eusc"}
        found = next(
            (each for begin, each in partition.items() if self.region.startswith(f"{begin}-")), "aws"
        )
        return f"arn:{found}:lambda:{self.region}:{self.account}:{kind}{name}"

    def runtime(self, name):
        name = name.rpartition("runtime/")[2]
        if name not in self.home["runtimes"]:
            raise Refusal("ResourceNotFoundException", f"Runtime {name} does not exist")
        return self.home["runtimes"][name]

    def version(self, runtime, name):
        if name not in runtime["versions"]:
            raise Refusal("ResourceNotFoundException", f"Runtime version {name} does not exist")
        return runtime["versions"][name]

    def alias(self, runtime, name):
        if name not in runtime["aliases"]:
            raise Refusal("ResourceNotFoundException", f"Runtime alias {name} does not exist")
        return runtime["aliases"][name]

    def function(self, name):
        name = name.rpartition("function:")[2]
        if name not in self.home["functions"]:
            raise Refusal("ResourceNotFoundException", f"Function not found: {name}")
        return self.home["functions"][name]


def _event(kind, payload):
    """An event of a stream: https://smithy.io/2.0/aws/amazon-eventstream.html."""
    words = {":event-type": kind, ":message-type": "event", ":content-type": "application/octet-stream"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in words.items()
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


@cache
def _services():
    """The services by the name that requests are signed with; their models take long to load."""
    account = Service("account", "ValidationException")
    return {"lambda": [Service("lambda-core"), Service("lambda")], "account": [account]}


def _children(runtime):
    return [*runtime["versions"].values(), *runtime["aliases"].values()]


def _revision(runtime):
    return f"00000000-0000-0000-0000-{runtime['revision']:012}"


def _without(members, *names):
    return {name: value for name, value in members.items() if name not in names}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    core = None

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):  # the client was killed
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client ended within its request")
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.core.answer(self.command, self.path, headers, body)
        if answer is None:
            with suppress(OSError):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        status, shown, data = answer
        self.send_response(status)
        for name, value in shown.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815


def main():
    with LambdaCore(sys.argv[1]) as server:
        print(server.endpoint, flush=True)  # noqa: T201
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
