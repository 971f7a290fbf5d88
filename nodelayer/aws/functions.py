"""Temporary Lambda functions: create, invoke, delete."""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from nodelayer.aws.errors import NOT_FOUND, error_code
from nodelayer.aws.stacks import Invocation
from nodelayer.errors import FunctionError

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

    from nodelayer.aws.clients import RegionClients

_POLL_S = 1.0


@dataclass(frozen=True)
class FunctionSpec:
    """The parameters of a function. `zipped` is its code; `layers` are ARNs."""

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


class Functions:
    """The functions of one account in one region. Used by one thread at a time."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client: LambdaClient = clients.client("lambda")
        self._once: LambdaClient = clients.client("lambda", once=True)

    def create(self, spec: FunctionSpec, within_s: float) -> None:
        """Create a function, and wait until it is active.

        Raises:
            FunctionError: It is not active after `within_s` seconds, or cannot become active.
        """
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
            )
        self._wait(spec.name, within_s)

    def restart(self, name: str, mark: str, within_s: float) -> None:
        """Change an environment variable, so that the next invocation is a cold start.

        Raises:
            FunctionError: The change does not end within `within_s` seconds.
        """
        with self._clients.translate_errors("lambda:UpdateFunctionConfiguration", name):
            self._client.update_function_configuration(
                FunctionName=name, Environment={"Variables": {"NODELAYER_START": mark}}
            )
        self._wait(name, within_s)

    def invoke(self, name: str, event: bytes) -> Invocation:
        """Invoke a function with one request, and wait for its response."""

        def ask() -> Invocation:
            answer = self._once.invoke(FunctionName=name, Payload=event, LogType="Tail")
            logs = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
            return Invocation(answer["Payload"].read(), "FunctionError" in answer, logs)

        return self._clients.read("lambda:InvokeFunction", name, ask)

    def invoke_streaming(self, name: str, event: bytes) -> Invocation:
        """Invoke a function with one request, and join the parts of its streamed response."""

        def ask() -> Invocation:
            answer = self._once.invoke_with_response_stream(FunctionName=name, Payload=event, LogType="Tail")
            payload, failed, logs = b"", False, ""
            for each in answer["EventStream"]:
                payload += each.get("PayloadChunk", {}).get("Payload", b"")
                if done := each.get("InvokeComplete"):
                    failed = bool(done.get("ErrorCode"))
                    logs = base64.b64decode(done.get("LogResult", "")).decode(errors="replace")
            return Invocation(payload, failed, logs)

        return self._clients.read("lambda:InvokeFunction", name, ask)

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
        def ask() -> tuple[str, str, str]:
            found = self._client.get_function_configuration(FunctionName=name)
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or ""
            return found.get("State", "Active"), found.get("LastUpdateStatus", "Successful"), reason

        deadline = time.monotonic() + within_s
        while True:
            state, update, reason = self._clients.read("lambda:GetFunctionConfiguration", name, ask)
            if state == "Active" and update == "Successful":
                return
            if "Failed" in {state, update} or time.monotonic() > deadline:
                raise FunctionError(
                    f"the function is {state} after {within_s:.0f} s {reason}".rstrip(),
                    where=f"{self._clients.region} {name}",
                    todo="run the command again; if it fails again, look at the function in the AWS console",
                )
            time.sleep(_POLL_S)
