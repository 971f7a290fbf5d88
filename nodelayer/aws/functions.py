"""Lambda functions: create, invoke, delete."""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from nodelayer.aws.clients import wait_if_throttled
from nodelayer.aws.errors import NOT_FOUND, error_code
from nodelayer.errors import FunctionError

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

    from nodelayer.aws.clients import RegionClients

_POLL_S = 1.0


@dataclass(frozen=True)
class FunctionSpec:
    """The parameters of a function. `zipped` is its code; `layers` are ARNs.

    With the runtime `custom`, `managed` is the ARN of a customer-managed runtime, and an alias of it.
    """

    name: str
    runtime: str
    architecture: str
    handler: str
    role: str
    zipped: bytes
    layers: tuple[str, ...]
    memory_mb: int
    timeout_s: int
    tags: tuple[tuple[str, str], ...] = ()
    managed: tuple[str, str] | None = None


@dataclass(frozen=True)
class Invocation:
    """The response of a function; `failed` if it is an error. `logs` are the last 4 KB of its log."""

    payload: bytes
    failed: bool
    logs: str


class Functions:
    """The functions of one account in one region. Used by one thread at a time."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client: LambdaClient = clients.client("lambda")
        self._once: LambdaClient = clients.client("lambda", once=True)
        for operation in ("CreateFunction", "Invoke", "InvokeWithResponseStream"):
            self._once.meta.events.register(f"needs-retry.lambda.{operation}", wait_if_throttled)

    def knows(self, runtime: str) -> bool:
        """Return whether the AWS SDK knows a runtime; Lambda may reject new functions for it."""
        return runtime in self._client.meta.service_model.shape_for("Runtime").enum  # type: ignore[attr-defined]

    def create(self, spec: FunctionSpec, within_s: float) -> None:
        """Create a function, and wait until it is active.

        Raises:
            FunctionError: It is not active after `within_s` seconds, or cannot become active.
        """
        config = dict(zip(("RuntimeArn", "RuntimeAlias"), spec.managed, strict=True)) if spec.managed else {}
        managed: Any = {"RuntimeConfig": config} if config else {}
        with self._clients.translate_errors("lambda:CreateFunction", spec.name):
            self._once.create_function(
                FunctionName=spec.name,
                Runtime=spec.runtime,  # type: ignore[arg-type]
                Architectures=[spec.architecture],  # type: ignore[list-item]
                Handler=spec.handler,
                Role=spec.role,
                Code={"ZipFile": spec.zipped},
                Layers=list(spec.layers),
                MemorySize=spec.memory_mb,
                Timeout=spec.timeout_s,
                Tags=dict(spec.tags),
                **managed,
            )
        self._wait(spec.name, within_s)

    def restart(self, spec: FunctionSpec, mark: str, within_s: float) -> None:
        """Change an environment variable, so that the next invocation is a cold start of the spec's handler.

        Raises:
            FunctionError: The change fails, or does not end within `within_s` seconds.
        """
        with self._clients.translate_errors("lambda:UpdateFunctionConfiguration", spec.name):
            self._client.update_function_configuration(
                FunctionName=spec.name,
                Handler=spec.handler,
                Environment={"Variables": {"NODELAYER_START": mark}},
            )
        self._wait(spec.name, within_s)

    def invoke(self, name: str, event: bytes) -> Invocation:
        """Invoke a function, and wait for its response. Only a request that Lambda throttles is repeated."""
        with self._clients.translate_errors("lambda:InvokeFunction", name):
            answer = self._once.invoke(FunctionName=name, Payload=event, LogType="Tail")
            return Invocation(
                answer["Payload"].read(), "FunctionError" in answer, _log(answer.get("LogResult"))
            )

    def invoke_streaming(self, name: str, event: bytes) -> Invocation:
        """Invoke a function as `invoke` does, and join the parts of its streamed response."""
        with self._clients.translate_errors("lambda:InvokeFunction", name):
            answer = self._once.invoke_with_response_stream(FunctionName=name, Payload=event, LogType="Tail")
            payload, failed, logs = b"", False, ""
            for each in answer["EventStream"]:
                payload += each.get("PayloadChunk", {}).get("Payload", b"")
                if done := each.get("InvokeComplete"):
                    failed = bool(done.get("ErrorCode"))
                    logs = _log(done.get("LogResult"))
            return Invocation(payload, failed, logs)

    def delete(self, name: str) -> None:
        """Delete a function if it exists."""
        with self._clients.translate_errors("lambda:DeleteFunction", name):
            try:
                self._client.delete_function(FunctionName=name)
            except ClientError as error:
                if error_code(error) not in NOT_FOUND:
                    raise

    def names(self, prefix: str) -> Sequence[tuple[str, str]]:
        """Return the functions whose name has a prefix, each with the time of its last change in ISO 8601."""

        def ask() -> list[tuple[str, str]]:
            pages = self._client.get_paginator("list_functions").paginate()
            return [
                (each["FunctionName"], each["LastModified"])
                for page in pages
                for each in page["Functions"]
                if each["FunctionName"].startswith(prefix)
            ]

        return self._clients.read("lambda:ListFunctions", prefix, ask)

    def _wait(self, name: str, within_s: float) -> None:
        """Wait until a function is active and its last update has ended.

        botocore's waiters count attempts instead of seconds, and their errors do not contain AWS's reason.
        """

        def ask() -> tuple[str, str]:
            found = self._client.get_function_configuration(FunctionName=name)
            state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
            if state != "Active":
                return f"the function is {state}", found.get("StateReason", "")
            if update != "Successful":
                return f"the update of the function is {update}", found.get("LastUpdateStatusReason", "")
            return "", ""

        began = time.monotonic()
        while True:
            status, reason = self._clients.read("lambda:GetFunctionConfiguration", name, ask)
            waited = time.monotonic() - began
            if not status:
                return
            if status.endswith("Failed") or waited > within_s:
                why = f" ({reason.rstrip('.')})" if reason else ""
                raise FunctionError(
                    f"{status} after {waited:.0f} s{why}",
                    where=f"{self._clients.region} {name}",
                    todo="run the command again; if it fails again, correct what AWS names",
                )
            time.sleep(_POLL_S)


def _log(tail: str | None) -> str:
    """Return the end of the log, which Lambda sends in base64."""
    return base64.b64decode(tail or "").decode(errors="replace")
