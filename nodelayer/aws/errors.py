"""Translate errors of AWS to NodelayerErrors: one line that says what failed and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import boto3.exceptions
from botocore import exceptions as boto

from nodelayer.errors import InvalidInputError, MachineError, NodelayerError, RefusedError, UnreachableError
from nodelayer.project_paths import PROGRAM

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
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled"})
_THROTTLED = frozenset(
    {"TooManyRequestsException", "Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown"}
)
NOT_FOUND = frozenset(
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
_MISSING_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:\w+)")
_UNREADABLE = re.compile(r"denied by S3.* permission to GetObject for (\S+)\. ")


class NotEnabledError(RefusedError):
    """The region rejects the credentials: it is not enabled for the account, or they are wrong."""


class ExpiredError(RefusedError):
    """The credentials have expired."""


class ArchitecturesError(RefusedError):
    """The region does not support CompatibleArchitectures yet."""


class MissingError(NodelayerError):
    """The resource does not exist."""


@contextmanager
def translate_errors(action: str, what: str, region: str) -> Iterator[None]:
    """Translate errors that boto3 raises to NodelayerErrors. `action` is the call's name in IAM."""
    where = f"{region} {what}".strip()
    try:
        yield
    except boto.ClientError as error:
        _raise_translated(error, action, where)
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise MachineError(
            f"no AWS credentials ({str(error).rstrip('.').lower()})",
            todo="run `aws sso login` or `aws configure`, or name a profile with --profile",
        ) from error
    except (boto.TokenRetrievalError, boto.SSOError) as error:
        raise ExpiredError("the AWS sign-in has expired", todo="run `aws sso login`") from error
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.SSLError) as error:
        raise UnreachableError(
            f"AWS cannot be reached for {action} ({type(error).__name__})",
            where=where,
            todo="check the network",
        ) from error
    except (boto.HTTPClientError, boto.IncompleteReadError, boto.ResponseStreamingError) as error:
        raise UnreachableError(
            f"the connection broke during {action} ({type(error).__name__})", where=where, todo="try again"
        ) from error
    except (boto.BotoCoreError, boto3.exceptions.Boto3Error) as error:
        if isinstance(error.__context__, boto.ClientError):  # s3transfer wraps it
            _raise_translated(error.__context__, action, where)
        raise RefusedError(
            f"{action} cannot be sent ({error})", where=where, todo="check the flags and the AWS profile"
        ) from error
    except ValueError as error:  # botocore raises it for an endpoint without https://
        raise InvalidInputError(
            f"{action} cannot be sent ({error})", where=where, todo="correct AWS_ENDPOINT_URL or the profile"
        ) from error


def _raise_translated(error: boto.ClientError, action: str, where: str) -> NoReturn:
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = str(error.response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    if code in _THROTTLED:
        raise UnreachableError(
            f"AWS throttled {action} repeatedly", where=where, todo="try again in some minutes"
        ) from error
    if code in _EXPIRED:
        raise ExpiredError(
            "the AWS credentials have expired",
            where=where,
            todo="sign in again, for example with `aws sso login`, and run the command again",
        ) from error
    if code in _NOT_ENABLED:
        raise NotEnabledError(
            "the region does not accept these credentials",
            where=where,
            todo="enable the region for the account or leave it out; if it is enabled, check the credentials",
        ) from error
    if code in DENIED or (code == "403" and status == 403):  # noqa: PLR2004 - forbidden
        raise RefusedError(
            f"not allowed: {_missing_action(message) or action}",
            where=where,
            todo="allow this action in the role's policy (docs/publishing.md)",
        ) from error
    if code in NOT_FOUND:
        raise MissingError(
            f"{action} failed: the resource does not exist", where=where, todo="check its name and the region"
        ) from error
    if code == "CodeStorageExceededException":
        raise RefusedError(
            "the account's code storage in this region is full",
            where=where,
            todo=f"delete old layer versions with {PROGRAM} prune, or ask AWS for a higher quota",
        ) from error
    if status >= _SERVER_ERROR:
        raise UnreachableError(
            f"AWS answered {action} with HTTP status {status} ({code})", where=where, todo="try again later"
        ) from error
    if "CompatibleArchitectures are not supported" in message:
        raise ArchitecturesError(
            "the region does not support layers for this architecture yet", where=where, todo="leave it out"
        ) from error
    raise RefusedError(f"AWS rejected {action}: {code}: {message}", where=where) from error


def _missing_action(message: str) -> str:
    """Return the action that AWS's message says is missing, if any: one call may need several actions."""
    if found := _MISSING_ACTION.search(message):
        return found[1]
    return f"s3:GetObject of {found[1]}" if (found := _UNREADABLE.search(f"{message} ")) else ""


def error_code(error: boto.ClientError) -> str:
    """Return the code of an error of AWS, such as `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", ""))
