"""Share a runtime with AWS Organizations and accounts, by its resource policy.

https://docs.aws.amazon.com/lambda/latest/dg/cmr-permissions.html. A put replaces the whole policy,
so nodelayer reads it, changes two statements of its own, and leaves the others as they are. The same access
holds for every version and alias of the runtime.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodelayer.aws.layers import PRIVATE, Access
from nodelayer.aws.managed_runtimes import MOST_POLICY, ManagedRuntimes, ResourcePolicy
from nodelayer.errors import InvalidInputError, NotVerifiedError, RefusedError, UnreachableError

ACTIONS = (
    "lambda:GetRuntime",
    "lambda:GetRuntimeAlias",
    "lambda:GetRuntimeVersion",
    "lambda:ListRuntimeAliases",
    "lambda:ListRuntimeVersions",
)
"""What consumers may do: look up the runtime, and use it for their functions."""

_ORGANIZATIONS, _ACCOUNTS = "NodelayerOrganizations", "NodelayerAccounts"
_ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)", re.ASCII)
_ORGANIZATION_KEY = "aws:PrincipalOrgID"
_TRIES = 4


@dataclass(frozen=True)
class Change:
    """A change of a resource policy: the new document, the revision that it is for, and what it adds."""

    document: Mapping[str, Any]
    revision: str
    added: Access


def check(access: Access) -> None:
    """Check access before a call.

    Raises:
        InvalidInputError: It is public, which Lambda refuses.
    """
    if access.public:
        raise InvalidInputError(
            "a runtime cannot be public: Lambda refuses such a policy",
            where="--public",
            todo="use --organization-id or --account-id, or publish a layer, which can be public",
        )


def access_in(policy: ResourcePolicy | None) -> Access:
    """Return the access that the statements of nodelayer grant."""
    organizations: set[str] = set()
    accounts: set[str] = set()
    for statement in _statements(policy):
        if statement.get("Effect") != "Allow" or not set(ACTIONS) <= set(_words(statement.get("Action"))):
            continue
        if statement.get("Sid") == _ORGANIZATIONS:
            condition = statement.get("Condition", {}).get("StringEquals", {})
            organizations.update(_words(condition.get(_ORGANIZATION_KEY)))
        if statement.get("Sid") == _ACCOUNTS:
            accounts.update(_ACCOUNT.findall(json.dumps(statement.get("Principal"))))
    return Access(organizations=frozenset(organizations), accounts=frozenset(accounts))


def plan(policy: ResourcePolicy | None, arn: str, access: Access) -> Change | None:
    """Return the change that adds access to what a runtime's policy grants; None if it grants it.

    Raises:
        RefusedError: The policy would be too long.
    """
    granted = access_in(policy)
    added = access - granted
    if not added:
        return None
    whole = granted | access
    others = [each for each in _statements(policy) if each.get("Sid") not in {_ORGANIZATIONS, _ACCOUNTS}]
    document = {
        "Version": "2012-10-17",
        **(policy.document if policy else {}),
        "Statement": [*others, *_own(whole, arn)],
    }
    size = len(json.dumps(document, separators=(",", ":")))
    if size > MOST_POLICY:
        raise RefusedError(
            f"the resource policy would have {size} characters; Lambda allows {MOST_POLICY}",
            where=arn,
            todo="share with an organization instead of accounts, or remove statements from the policy",
        )
    return Change(document, policy.revision if policy else "", added)


def share(runtimes: ManagedRuntimes, arn: str, access: Access) -> Access:
    """Grant access to a runtime, and read the policy back. Return what was added.

    Raises:
        InvalidInputError: The access is public.
        RefusedError: The policy would be too long.
        UnreachableError: Other processes change the policy again and again.
        NotVerifiedError: Lambda has another policy afterwards.
    """
    check(access)
    added = PRIVATE
    for left in reversed(range(_TRIES)):
        change = plan(runtimes.policy(arn), arn, access)
        if change is None:
            return added
        try:
            runtimes.put_policy(arn, change.document, change.revision)
        except UnreachableError:  # the answer was lost, or the policy has another revision by now
            if not left:
                raise
        added = change.added
        if not access - access_in(runtimes.policy(arn)):
            return added
    raise NotVerifiedError(
        "Lambda's resource policy does not have what was written", where=arn, todo="run the command again"
    )


def _own(access: Access, arn: str) -> list[dict[str, object]]:
    def statement(sid: str, principal: object) -> dict[str, object]:
        return {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": principal,
            "Action": list(ACTIONS),
            "Resource": [arn, f"{arn}/*"],
        }

    found = []
    if access.organizations:
        condition = {"StringEquals": {_ORGANIZATION_KEY: sorted(access.organizations)}}
        found.append({**statement(_ORGANIZATIONS, "*"), "Condition": condition})
    if access.accounts:
        found.append(statement(_ACCOUNTS, {"AWS": sorted(access.accounts)}))
    return found


def _statements(policy: ResourcePolicy | None) -> Sequence[Mapping[str, Any]]:
    statements = policy.document.get("Statement", []) if policy else []
    return statements if isinstance(statements, list) else [statements]


def _words(value: object) -> list[str]:
    """Return a string or a list of strings of a policy as a list."""
    return [str(each) for each in value] if isinstance(value, list) else [str(value)] if value else []
