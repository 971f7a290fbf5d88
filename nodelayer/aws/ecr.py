"""Repositories of Amazon ECR, in which runtime images are stored."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from nodelayer.aws.errors import error_code
from nodelayer.errors import NotFoundError
from nodelayer.util.json_text import loads

if TYPE_CHECKING:
    from nodelayer.aws.clients import RegionClients

_PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_STATEMENT = "NodelayerLambdaPull"
_UNTAGGED_DAYS = 14
LIFECYCLE_RULES = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "description": "nodelayer: delete what interrupted pushes left",
                "selection": {
                    "tagStatus": "untagged",  # ECR keeps an untagged image that an image index contains
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": _UNTAGGED_DAYS,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)
"""The lifecycle policy of a repository."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_T = TypeVar("_T")


@dataclass(frozen=True)
class RepositoryState:
    """A repository: its URI, and what is set. `policy` are the statements of its policy."""

    name: str
    uri: str
    immutable: bool
    policy: tuple[Mapping[str, Any], ...]
    lifecycle: bool


@dataclass(frozen=True)
class Login:
    """The registry of an account in a region, and credentials for it, which are valid for twelve hours.

    Requests go to `endpoint` with `host` in their Host header.
    """

    endpoint: str
    host: str
    user: str
    password: str


def lambda_statement(partition: str, region: str, account: str) -> Mapping[str, Any]:
    """Return the policy statement that lets Lambda pull images for resources of the account."""
    return {
        "Sid": _STATEMENT,
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": list(_PULL),
        "Condition": {"StringLike": {"aws:SourceArn": f"arn:{partition}:lambda:{region}:{account}:*"}},
    }


def with_statement(
    policy: Sequence[Mapping[str, Any]], statement: Mapping[str, Any]
) -> tuple[Mapping[str, Any], ...]:
    """Return the statements of a policy with one added, or replaced if its ID is the same."""
    return (*(each for each in policy if each.get("Sid") != statement["Sid"]), statement)


class Repositories:
    """The repositories of one account in one region. Used by one thread at a time."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client: Any = clients.client("ecr")

    def find(self, name: str) -> RepositoryState | None:
        """Return a repository; None if it does not exist."""
        found = self._read(
            "ecr:DescribeRepositories",
            name,
            lambda: self._client.describe_repositories(repositoryNames=[name])["repositories"][0],
        )
        if found is None:
            return None
        policy = self._read(
            "ecr:GetRepositoryPolicy",
            name,
            lambda: loads(self._client.get_repository_policy(repositoryName=name)["policyText"]),
        )
        lifecycle = self._read(
            "ecr:GetLifecyclePolicy",
            name,
            lambda: self._client.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"],
        )
        return RepositoryState(
            name=name,
            uri=found["repositoryUri"],
            immutable=found["imageTagMutability"].startswith("IMMUTABLE"),
            policy=tuple(policy["Statement"]) if policy else (),
            lifecycle=lifecycle is not None,
        )

    def names(self, prefix: str) -> list[str]:
        """Return the repositories whose name has a prefix, sorted."""

        def ask() -> list[str]:
            pages = self._client.get_paginator("describe_repositories").paginate()
            names = (each["repositoryName"] for page in pages for each in page["repositories"])
            return sorted(each for each in names if each.startswith(prefix))

        return self._clients.read("ecr:DescribeRepositories", prefix, ask)

    def digest(self, name: str, tag: str) -> str | None:
        """Return the digest of the image with a tag; None if there is none."""

        def ask() -> str | None:
            answer = self._client.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
            return next((each["imageDigest"] for each in answer["imageDetails"]), None)

        return self._read("ecr:DescribeImages", f"{name}:{tag}", ask)

    def create(self, name: str) -> RepositoryState:
        """Create a repository with immutable tags, unless it exists, and return it.

        Raises:
            NotFoundError: It was created, but ECR does not find it yet.
        """
        with self._clients.translate_errors("ecr:CreateRepository", name):
            try:
                answer = self._client.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
                return RepositoryState(
                    name, answer["repository"]["repositoryUri"], immutable=True, policy=(), lifecycle=False
                )
            except ClientError as error:
                if error_code(error) != "RepositoryAlreadyExistsException":  # an answer was lost
                    raise
        if (found := self.find(name)) is None:
            raise NotFoundError(
                "the repository was created, but ECR does not find it yet",
                where=f"{self._clients.region} {name}",
                todo="run the command again",
            )
        return found

    def make_immutable(self, name: str) -> None:
        """Let no tag of a repository move to another image."""
        with self._clients.translate_errors("ecr:PutImageTagMutability", name):
            self._client.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")

    def set_policy(self, name: str, statements: Sequence[Mapping[str, Any]]) -> None:
        """Replace the policy of a repository."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        with self._clients.translate_errors("ecr:SetRepositoryPolicy", name):
            self._client.set_repository_policy(repositoryName=name, policyText=policy)

    def set_lifecycle(self, name: str) -> None:
        """Delete images without a tag after some days, see LIFECYCLE_RULES."""
        with self._clients.translate_errors("ecr:PutLifecyclePolicy", name):
            self._client.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=LIFECYCLE_RULES)

    def login(self) -> Login:
        """Return the registry with credentials.

        An emulator of ECR on this machine is its own registry, and tells regions apart by the host.
        """

        def ask() -> Login:
            found = self._client.get_authorization_token()["authorizationData"][0]
            user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
            registry, given = urlsplit(found["proxyEndpoint"]), urlsplit(self._client.meta.endpoint_url)
            endpoint = given if given.hostname in _LOOPBACK else registry
            return Login(f"{endpoint.scheme}://{endpoint.netloc}", registry.netloc, user, password)

        return self._clients.read("ecr:GetAuthorizationToken", "", ask)

    def _read(self, action: str, what: str, ask: Callable[[], _T]) -> _T | None:
        """Return the answer of a call that is safe to repeat; None if the resource does not exist."""

        def asked() -> _T | None:
            try:
                return ask()
            except ClientError as error:
                if error_code(error) not in _NOT_FOUND:
                    raise
                return None

        return self._clients.read(action, what, asked)


_NOT_FOUND = frozenset(
    {
        "ImageNotFoundException",
        "LifecyclePolicyNotFoundException",
        "RepositoryNotFoundException",
        "RepositoryPolicyNotFoundException",
    }
)
