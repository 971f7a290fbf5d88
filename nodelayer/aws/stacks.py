"""CloudFormation stacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from nodelayer.aws.clients import RegionClients

_BEGINS = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"})


@dataclass(frozen=True)
class Stack:
    """A CloudFormation stack. `status` is CloudFormation's, such as `CREATE_COMPLETE`.

    `resources` are logical IDs.
    """

    name: str
    status: str
    description: str
    resources: frozenset[str]
    outputs: Mapping[str, str]


class Stacks:
    """The stacks of one account in one region."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client = clients.client("cloudformation")

    def get(self, name: str) -> Stack | None:
        """Return a CloudFormation stack; None if it does not exist."""
        with self._clients.translate_errors("cloudformation:DescribeStacks", name):
            try:
                answer = self._client.describe_stacks(StackName=name)
            except ClientError as error:
                if "does not exist" in str(error):  # the code, ValidationError, is also that of a bad name
                    return None
                raise
        found = answer["Stacks"][0]
        description = ""
        if found["StackStatus"] != "REVIEW_IN_PROGRESS":  # such a stack has no template yet
            with self._clients.translate_errors("cloudformation:GetTemplateSummary", name):
                description = self._client.get_template_summary(StackName=name).get("Description", "")
        with self._clients.translate_errors("cloudformation:ListStackResources", name):
            pages = self._client.get_paginator("list_stack_resources").paginate(StackName=name)
            resources = frozenset(
                each["LogicalResourceId"] for page in pages for each in page["StackResourceSummaries"]
            )
        return Stack(
            found["StackName"],
            found["StackStatus"],
            description,
            resources,
            {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
        )

    def failure(self, name: str) -> str:
        """Return why a stack's last operation failed: the first failed resource and its reason, if any."""
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
