"""Translate errors of AWS to NodelayerErrors: one line that says what failed and what to do."""

import binascii
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import NoReturn, TypeVar

import boto3.exceptions
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NodelayerError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from nodelayer.project_paths import PROGRAM

_NOT_ENABLED = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "InvalidToken",  # a session token of the global STS endpoint, in a region that was opted in to
        "AuthFailure",
        "OptInRequired",
        "RegionDisabledException",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_CLOCK = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_SIGNATURE = frozenset(
    {
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
    }
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled"})
_THROTTLED = frozenset(
    {
        "TooManyRequestsException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "TooManyUpdates",
    }
)
_OVERLAPPING = frozenset({"OperationAborted", "ResourceConflictException", "PreconditionFailedException"})
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
_OTHER_REGION = frozenset(
    {
        "301",
        "307",
        "AuthorizationHeaderMalformed",
        "BucketRegionError",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
    }
)
_QUOTA = "ask AWS for a higher quota"
_OVERWRITE = "delete the parameter if no other program uses it, and run the command again"
_TODO = {
    "BucketAlreadyExists": "another account has a bucket of this name: ask AWS Support, or publish a zip of "
    "at most 50 MB, which needs no bucket",
    "AccountProblem": "open the AWS console: the account needs attention",
    "HierarchyLevelLimitExceededException": _OVERWRITE,
    "HierarchyTypeMismatchException": _OVERWRITE,
    "InvalidAllowedPatternException": _OVERWRITE,
    "LimitExceededException": _QUOTA,
    "NotSignedUp": "open the AWS console: the account is not activated",
    "ParameterLimitExceeded": _QUOTA,
    "ParameterMaxVersionLimitExceeded": "remove the labels from its oldest version",
    "ParameterPatternMismatchException": _OVERWRITE,
    "PolicyLengthExceededException": "delete statements of the policy of that layer version",
    "ServiceQuotaExceededException": _QUOTA,
    "TooManyBuckets": _QUOTA,
    "UnsupportedParameterType": _OVERWRITE,
}
"""What to do about the error codes that Lambda, S3, SSM, STS and the Account Management API declare."""
_SERVER_ERROR = 500
_PAUSES = (0.5, 2.0)
"""Seconds before a call is repeated whose answer was not valid."""
_T = TypeVar("_T")
_MISSING_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:\w+)")
_REASON = re.compile(
    r"(?:with an explicit deny in|because no) (?:an? )?"
    r"(?P<policy>[\w -]+? policy|permissions boundary)(?: allows\b.*)?"
)
_ORGANIZATION = "ask the administrator of the AWS Organization to allow this action, or leave the region out"
_POLICIES = {
    "identity-based policy": "allow this action in the role's policy (docs/publishing.md)",
    "permissions boundary": "allow this action in the permissions boundary of the role",
    "session policy": "allow this action in the session policy of the sign-in",
    "service control policy": _ORGANIZATION,
    "resource control policy": _ORGANIZATION,
}
_BY_S3 = re.compile(r"S3 Error Code: (\w+)")
_UNREADABLE = re.compile(r"denied by S3.* permission to GetObject for (\S+)\. ")


class NotEnabledError(RefusedError):
    """The region rejects the credentials: it is not enabled for the account, or they are wrong."""


class ExpiredError(RefusedError):
    """The credentials have expired."""


class ArchitecturesError(RefusedError):
    """The region does not support CompatibleArchitectures yet."""


class RuntimeRefusedError(RefusedError):
    """Lambda creates no functions for the runtime."""


class MissingError(NotFoundError):
    """The resource does not exist."""


class NoEndpointError(UnreachableError):
    """The service has no endpoint in the region, or its name cannot be resolved."""


class NoApiError(RefusedError):
    """The service does not have this operation in the region yet."""


class MalformedError(UnreachableError):
    """The answer is not what the service's protocol says. The request may have been carried out."""


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
        kind = NoEndpointError if isinstance(error, boto.EndpointConnectionError) else UnreachableError
        raise kind(
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
    except (
        ResponseParserError,
        JSONDecodeError,
        UnicodeDecodeError,
        binascii.Error,
        # botocore's parsers, and the code of the caller that takes the answer apart, raise these three for
        # valid JSON of another shape.
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise MalformedError(
            f"AWS's answer to {action} is not valid ({type(error).__name__}: {error})",
            where=where,
            todo="run the command again; if a proxy changes answers of AWS, bypass it",
        ) from error
    except ValueError as error:  # botocore raises it for an endpoint without https://
        raise InvalidInputError(
            f"{action} cannot be sent ({error})", where=where, todo="correct AWS_ENDPOINT_URL or the profile"
        ) from error


def read(action: str, what: str, region: str, ask: Callable[[], _T]) -> _T:
    """Call `ask` with translated errors; if AWS's answer is not valid, ask again twice.

    For calls that are safe to repeat, with the code that takes their answers apart.
    """
    for pause in (*_PAUSES, None):
        try:
            with translate_errors(action, what, region):
                return ask()
        except MalformedError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def _raise_translated(error: boto.ClientError, action: str, where: str) -> NoReturn:
    """Raise the NodelayerError for an error of AWS."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = str(error.response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    raise _translated(error_code(error), status, message, action, where) from error


def _translated(code: str, status: int, message: str, action: str, where: str) -> NodelayerError:  # noqa: C901, PLR0911, PLR0912 - a table of cases
    if code in _THROTTLED:
        return UnreachableError(
            f"AWS throttled {action} repeatedly", where=where, todo="try again in some minutes"
        )
    if code in _CLOCK or (code in _SIGNATURE and ("expired" in message or "not yet current" in message)):
        return MachineError(
            f"AWS rejected {action}, because the clock of this computer is wrong ({message})",
            where=where,
            todo="set the clock",
        )
    if code in _SIGNATURE:
        return RefusedError(
            f"AWS does not accept the signature of {action}", where=where, todo="check the secret access key"
        )
    if code in _EXPIRED:
        return ExpiredError(
            "the AWS credentials have expired",
            where=where,
            todo="sign in again, for example with `aws sso login`, and run the command again",
        )
    if code in _NOT_ENABLED:
        return NotEnabledError(
            "the region does not accept these credentials",
            where=where,
            todo="enable the region for the account or leave it out; if it is enabled, check the credentials",
        )
    if found := _staging_error(code, message, action, where):
        return found
    if code in DENIED or (code == "403" and status == 403):  # noqa: PLR2004 - forbidden
        return _denied(message, action, where)
    if code in NOT_FOUND:
        return MissingError(
            f"{action} failed: the resource does not exist", where=where, todo="check its name and the region"
        )
    if code == "CodeStorageExceededException":
        return RefusedError(
            "the account's code storage in this region is full",
            where=where,
            todo=f"delete old layer versions with {PROGRAM} prune, or ask AWS for a higher quota",
        )
    if status >= _SERVER_ERROR:
        return UnreachableError(
            f"AWS answered {action} with HTTP status {status} ({code})", where=where, todo="try again later"
        )
    if code in _OVERLAPPING:
        return UnreachableError(
            f"another process changes the same resource as {action} ({message})",
            where=where,
            todo="run the command again when it has ended",
        )
    if "CompatibleArchitectures are not supported" in message:
        return ArchitecturesError(
            "the region does not support layers for this architecture yet", where=where, todo="leave it out"
        )
    if action == "lambda:CreateFunction" and code == "InvalidParameterValueException" and "untime" in message:
        return RuntimeRefusedError(
            f"Lambda creates no function for this runtime ({message})", where=where, todo="update nodelayer"
        )
    todo = _TODO.get(code, "correct what AWS names, and run the command again")
    return RefusedError(f"AWS rejected {action}: {code}: {message}", where=where, todo=todo)


def _staging_error(code: str, message: str, action: str, where: str) -> NodelayerError | None:
    """Return the error for a staging bucket that cannot be used; Lambda quotes S3's code in its message."""
    quoted = _BY_S3.search(message)
    code = quoted[1] if quoted else code
    bucket = "the staging bucket nodelayer-<account>-<region>"
    if code in _OTHER_REGION:
        return RefusedError(
            f"{bucket} lies in another region ({message})",
            where=where,
            todo="delete that bucket, and run the command again: nodelayer creates it in this region",
        )
    if code == "NoSuchBucket":
        return MissingError(
            f"{bucket} does not exist ({action})",
            where=where,
            todo="run the command again to create it, or deploy cloudformation/staging-bucket.yaml there",
        )
    if quoted and code == "NoSuchKey":
        return NotFoundError(
            f"the zip is no longer in {bucket}", where=where, todo="run the command again, which uploads it"
        )
    return None


def _denied(message: str, action: str, where: str) -> RefusedError:
    """Return the error for a call that a policy denies. Most messages of AWS say which kind of policy."""
    found = _REASON.search(message)
    policy = found["policy"] if found else "identity-based policy"
    todo = _POLICIES.get(policy, f"change the {policy}, or ask its owner")
    why = ""
    if found and "explicit deny" in found[0]:
        why = f" ({found[0]})"
        if policy == "identity-based policy":
            todo = "remove the deny from the role's policies"
    elif found and policy != "identity-based policy":
        why = f" ({found[0]})"
    return RefusedError(f"not allowed: {_missing_action(message) or action}{why}", where=where, todo=todo)


def _missing_action(message: str) -> str:
    """Return the action that AWS's message says is missing, if any: one call may need several actions."""
    if found := _MISSING_ACTION.search(message):
        return found[1]
    return f"s3:GetObject of {found[1]}" if (found := _UNREADABLE.search(f"{message} ")) else ""


def error_code(error: boto.ClientError) -> str:
    """Return the code of an error of AWS, such as `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", ""))
