"""CloudFormation stacks, and the functions in them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from nodelayer.aws.clients import RegionClients

_BEGINS = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"})


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


class Stacks:
    """The stacks of one account in one region."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client = clients.client("cloudformation")

    def get(self, name: str) -> Stack | None:
        """A CloudFormation stack; None where there is none of that name."""
        with self._clients.translate_errors("cloudformation:DescribeStacks", name):
            try:
                answer = self._client.describe_stacks(StackName=name)
            except ClientError as error:
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

    def failure(self, name: str) -> str:
        """Why a stack's last operation failed: the first resource that did, in AWS's words; or empty."""
        with self._clients.translate_errors("cloudformation:DescribeStackEvents", name):
            events = self._client.describe_stack_events(StackName=name)["StackEvents"]
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
        with self._clients.translate_errors("lambda:InvokeFunction", function):
            answer = self._clients.client("lambda", once=True).invoke(
                FunctionName=function, Payload=event, LogType="Tail"
            )
            payload = answer["Payload"].read()
        logs = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        return Invocation(payload, "FunctionError" in answer, logs)
