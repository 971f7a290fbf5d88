"""What a request to AWS asks for, read from its head alone, and how each service words a refusal.

Signature: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html. Paths: the service models
of botocore. Refusals: the error shapes there, and "Common errors" of each service's API reference.
"""

import json
import re
import uuid
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_HEADER_SCOPE = re.compile(r"Credential=([^/,\s]*)/\d{8}/(?:([^/,\s]+)/)?([^/,\s]+)/aws4_request")
_LAYER = "/2018-10-31/layers"
_LAMBDA = [
    ("GET", rf"{_LAYER}\?.*find=LayerVersion.*", "GetLayerVersionByArn"),
    ("GET", rf"{_LAYER}", "ListLayers"),
    ("POST", rf"{_LAYER}/[^/?]+/versions", "PublishLayerVersion"),
    ("GET", rf"{_LAYER}/[^/?]+/versions", "ListLayerVersions"),
    ("GET", rf"{_LAYER}/[^/?]+/versions/\d+", "GetLayerVersion"),
    ("DELETE", rf"{_LAYER}/[^/?]+/versions/\d+", "DeleteLayerVersion"),
    ("POST", rf"{_LAYER}/[^/?]+/versions/\d+/policy", "AddLayerVersionPermission"),
    ("GET", rf"{_LAYER}/[^/?]+/versions/\d+/policy", "GetLayerVersionPolicy"),
    ("DELETE", rf"{_LAYER}/[^/?]+/versions/\d+/policy/[^/?]+", "RemoveLayerVersionPermission"),
    ("GET", r"/2016-08-19/account-settings", "GetAccountSettings"),
    ("POST", r"/2015-03-31/functions", "CreateFunction"),
    ("GET", r"/2015-03-31/functions", "ListFunctions"),
    ("GET", r"/2015-03-31/functions/[^/?]+", "GetFunction"),
    ("GET", r"/2015-03-31/functions/[^/?]+/configuration", "GetFunctionConfiguration"),
    ("PUT", r"/2015-03-31/functions/[^/?]+/configuration", "UpdateFunctionConfiguration"),
    ("DELETE", r"/2015-03-31/functions/[^/?]+", "DeleteFunction"),
    (
        "POST",
        r"/2021-11-15/functions/[^/?]+/response-streaming-invocations",
        "InvokeWithResponseStream",
    ),
    ("POST", r"/2015-03-31/functions/[^/?]+/invocations", "Invoke"),
]
_LAMBDA = [(method, re.compile(rf"{path}/?(?:\?.*)?"), name) for method, path, name in _LAMBDA]

_SUBRESOURCES = {
    "encryption": "BucketEncryption",
    "lifecycle": "BucketLifecycleConfiguration",
    "policy": "BucketPolicy",
    "publicAccessBlock": "PublicAccessBlock",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "ownershipControls": "BucketOwnershipControls",
    "acl": "BucketAcl",
    "location": "BucketLocation",
}
_LAYER_PATH = re.compile(rf"{_LAYER}/([^/?]+)/versions(?:/(\d+))?")
_FUNCTION_PATH = re.compile(r"/\d{4}-\d\d-\d\d/functions(?:/([^/?]+))?")
_QUERY_SERVICES = {"sts", "iam", "cloudformation"}
_REGISTRY_HOST = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.")
_REGISTRY_PATH = re.compile(r"/v2/(.+)/(blobs|manifests)/.*")
_JSON_SERVICES = {"ssm", "dynamodb", "ecr", "logs"}


_IAM_S3 = {
    "AbortMultipartUpload": ("AbortMultipartUpload",),
    "CompleteMultipartUpload": ("PutObject",),
    # with x-amz-object-ownership, which nodelayer always sends
    "CreateBucket": ("CreateBucket", "PutBucketOwnershipControls"),
    "CreateMultipartUpload": ("PutObject",),
    "GetObject": ("GetObject",),
    "GetBucketLifecycleConfiguration": ("GetLifecycleConfiguration",),
    "HeadObject": ("GetObject",),
    "PutBucketEncryption": ("PutEncryptionConfiguration",),
    "PutBucketLifecycleConfiguration": ("PutLifecycleConfiguration",),
    "PutObject": ("PutObject",),
    "PutPublicAccessBlock": ("PutBucketPublicAccessBlock",),
    "UploadPart": ("PutObject",),
}


# of the registry's HTTP API; the actions that AWS names for pushing an image and for mounting a layer:
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html, blob-mounting.html
_IAM_REGISTRY = {
    "HEAD blobs": ("ecr:BatchCheckLayerAvailability",),
    "POST blobs": ("ecr:InitiateLayerUpload", "ecr:GetDownloadUrlForLayer"),
    "PUT blobs": ("ecr:UploadLayerPart", "ecr:CompleteLayerUpload"),  # one part, which completes the upload
    "HEAD manifests": ("ecr:BatchGetImage",),
    "GET manifests": ("ecr:BatchGetImage",),
    "PUT manifests": ("ecr:PutImage",),
}


_IAM_LAMBDA = {
    "CreateFunction": ("lambda:CreateFunction", "lambda:TagResource", "iam:PassRole"),  # nodelayer sends tags
    "Invoke": ("lambda:InvokeFunction",),
    "InvokeWithResponseStream": ("lambda:InvokeFunction",),
}


def iam_actions(service, operation):
    """What IAM asks of who calls an operation; of S3 only those that are written down here.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html and
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html.
    """
    if (service, operation) == ("sts", "GetCallerIdentity"):
        return ()  # allowed to everyone, even where a policy denies it
    if service == "ecr" and " " in operation:
        return _IAM_REGISTRY.get(operation, ())
    if operation in _IAM_LAMBDA:
        return _IAM_LAMBDA[operation]
    service = service.removesuffix("-core")
    names = _IAM_S3[operation] if service == "s3" else (operation.removesuffix("ByArn"),)
    return tuple(f"{service}:{name}" for name in names)


@dataclass(frozen=True)
class Asked:
    """Who asks which service of which region for what; empty where the request does not say.

    `resources`: what it is about, as an ARN ends, or a whole ARN where the request names one.
    """

    method: str
    region: str
    service: str
    operation: str
    account: str
    size: int
    resources: tuple[str, ...] = ()


def asked(method, target, headers, body=b""):
    """`headers` have lower-case names; `body` is needed where it says what is asked for."""
    account, region, service = scope(target, headers)
    if found := _REGISTRY_HOST.match(headers.get("host", "")):
        account, region, service = *found.groups(), "ecr"
    size = int(headers.get("content-length") or 0)
    operation = _operation(method, target, headers, service, body)
    return Asked(method, region, service, operation, account, size, _resources(method, target, service, body))


def tells_in_body(headers):
    """Whether it takes the body to know what is asked for; such bodies are small."""
    return is_form(headers) or "x-amz-target" in headers


def is_form(headers):
    return headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def scope(target, headers):
    """The credential scope: of the Authorization header, or of a presigned URL."""
    signed = headers.get("authorization", "")
    if not signed:
        for value in parse_qs(urlsplit(target).query).get("X-Amz-Credential", []):
            signed = f"Credential={value}"
    found = _HEADER_SCOPE.search(unquote(signed))
    if found is None:
        return "", "", ""
    account, region, service = found.groups()
    return account, region or headers.get("x-amz-region-set", ""), service


def _resources(method, target, service, body):
    parts = urlsplit(target)
    if service == "lambda":
        if named := parse_qs(parts.query).get("Arn"):
            return (named[0],)
        if named := _FUNCTION_PATH.match(parts.path):
            # The name of a new function is in the body, which is not read.
            return (f"function:{named[1] or 'nodelayer-canary-new'}",) if method != "GET" or named[1] else ()
        found = _LAYER_PATH.match(parts.path)
        return (":".join(["layer", *filter(None, found.groups())]),) if found else ()
    if service == "s3":
        return (unquote(parts.path).strip("/"),)
    if service in _BY_NAME:
        return _BY_NAME[service](parts.path, body)
    return ("account",) if service == "account" else ()


def _parameters(_path, body):
    asked_for = json.loads(body)
    names = asked_for.get("Names", [asked_for.get("Name", "")])
    return tuple(f"parameter/{name.lstrip('/')}" for name in names)


def _repositories(path, body):
    if found := _REGISTRY_PATH.fullmatch(path):
        return (f"repository/{found[1]}",)
    asked_for = json.loads(body or "{}")
    if asked_for.keys() <= {"nextToken", "maxResults", "registryIds"}:
        return ("repository/*",)
    names = asked_for.get("repositoryNames", [asked_for.get("repositoryName")])
    return tuple(f"repository/{name}" for name in names)


_BY_NAME = {"ecr": _repositories, "ssm": _parameters}


def _operation(method, target, headers, service, form):
    parts = urlsplit(target)
    if "x-amz-target" in headers:
        return headers["x-amz-target"].rpartition(".")[2]
    if is_form(headers):
        return parse_qs(form.decode(errors="replace")).get("Action", [""])[0]
    if service == "ecr":
        found = _REGISTRY_PATH.fullmatch(parts.path)
        return f"{method} {found[2] if found else parts.path}"
    if service == "account":
        return parts.path[1:2].upper() + parts.path[2:]
    if service == "s3":
        bucket, _, key = parts.path.lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        return _of_object(method, query, headers) if key else _of_bucket(method, query, bucket)
    named = (name for verb, path, name in _LAMBDA if verb == method and path.fullmatch(target))
    return next(named, f"{method} {parts.path}")


def _of_object(method, query, headers):
    if "uploadId" in query:
        return {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}.get(
            method, "ListParts"
        )
    if "uploads" in query:
        return "CreateMultipartUpload"
    return "CopyObject" if "x-amz-copy-source" in headers else f"{method.capitalize()}Object"


def _of_bucket(method, query, bucket):
    if not bucket:
        return "ListBuckets"
    verb = method.capitalize()
    for name, called in _SUBRESOURCES.items():
        if name in query:
            return f"{verb}{called}"
    if "delete" in query:
        return "DeleteObjects"
    return {"PUT": "CreateBucket", "GET": "ListObjectsV2"}.get(method, f"{verb}Bucket")


@dataclass(frozen=True)
class Refusal:
    """An answer that is an error. `more` goes into a JSON body, `headers` into the head."""

    status: int
    error: str
    message: str
    more: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """An answer made up, as JSON."""

    status: int
    document: object


_RATE = "Rate exceeded"
_TOKEN = "The security token included in the request is {}."  # noqa: S105 - a sentence of AWS's
_KINDS = {
    "throttle": {
        "": Refusal(429, "TooManyRequestsException", _RATE, (("Reason", "CallerRateLimitExceeded"),)),
        "account": Refusal(429, "TooManyRequestsException", _RATE),
        "s3": Refusal(503, "SlowDown", "Please reduce your request rate."),
        "sts": Refusal(400, "Throttling", _RATE),
        "ssm": Refusal(400, "ThrottlingException", _RATE),
    },
    "not_enabled": {
        "": Refusal(403, "UnrecognizedClientException", _TOKEN.format("invalid")),
        "s3": Refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist."),
        "sts": Refusal(403, "InvalidClientTokenId", _TOKEN.format("invalid")),
        "ssm": Refusal(400, "UnrecognizedClientException", _TOKEN.format("invalid")),
    },
    "expired": {
        "": Refusal(403, "ExpiredTokenException", _TOKEN.format("expired")),
        "s3": Refusal(400, "ExpiredToken", "The provided token has expired."),
        "sts": Refusal(403, "ExpiredToken", _TOKEN.format("expired")),
        "ssm": Refusal(400, "ExpiredTokenException", _TOKEN.format("expired")),
    },
    "access_denied": {
        "": Refusal(403, "AccessDeniedException", "{user} is not authorized to perform: {action}"),
        "s3": Refusal(403, "AccessDenied", "{user} is not authorized to perform: {action}"),
        "sts": Refusal(403, "AccessDenied", "{user} is not authorized to perform: {action}"),
        "ssm": Refusal(400, "AccessDeniedException", "{user} is not authorized to perform: {action}"),
    },
    "storage_exceeded": {
        "": Refusal(400, "CodeStorageExceededException", "Code storage limit exceeded."),
    },
    "too_large": {
        "": Refusal(
            413,
            "RequestEntityTooLargeException",
            "Request must be smaller than {limit} bytes for the {operation} operation",
        ),
        "s3": Refusal(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"),
    },
    "error_after": {
        "": Refusal(500, "ServiceException", "An error occurred and the request cannot be processed."),
        "account": Refusal(500, "InternalServerException", "An internal error occurred."),
        "s3": Refusal(500, "InternalError", "We encountered an internal error. Please try again."),
        "sts": Refusal(500, "InternalFailure", "An internal error occurred."),
        "ssm": Refusal(500, "InternalServerError", "An error occurred on the server side."),
    },
}


def refusal(kind, request, limit=0):
    """How the service that was asked refuses for this reason."""
    words = _KINDS[kind]
    found = words.get(request.service, words[""])
    message = found.message.format(
        user=f"User: arn:aws:iam::{request.account}:user/nodelayer",
        action=_denied(request),
        operation=request.operation,
        limit=limit,
    )
    return Refusal(found.status, found.error, message, found.more)


def _denied(request):
    """The action that a refusal names."""
    if request.service == "s3" and request.operation not in _IAM_S3:
        return f"s3:{request.operation}"
    return (*iam_actions(request.service, request.operation), f"{request.service}:{request.operation}")[0]


def encode(refused, request):
    """The headers and body of a refusal, in the protocol of the service, or of an answer."""
    identity = str(uuid.uuid4())
    if isinstance(refused, Answer):
        headers = {"Content-Type": "application/json", "x-amzn-RequestId": identity}
        return headers, json.dumps(refused.document).encode()
    if request.service == "s3":
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(refused.error)}</Code><Message>{escape(refused.message)}</Message>"
            f"<RequestId>{identity}</RequestId></Error>"
        ).encode()
        return {"Content-Type": "application/xml", "x-amz-request-id": identity}, body
    if request.service in _QUERY_SERVICES:
        side = "Sender" if refused.status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{side}</Type><Code>{escape(refused.error)}</Code>"
            f"<Message>{escape(refused.message)}</Message></Error><RequestId>{identity}</RequestId>"
            "</ErrorResponse>"
        ).encode()
        return {"Content-Type": "text/xml", "x-amzn-RequestId": identity}, body
    if request.service in _JSON_SERVICES:
        body = json.dumps({"__type": refused.error, "message": refused.message}).encode()
        return {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": identity}, body
    side = "User" if refused.status < 500 else "Service"
    body = json.dumps({**dict(refused.more), "Type": side, "message": refused.message}).encode()
    headers = {
        "Content-Type": "application/json",
        "x-amzn-RequestId": identity,
        "x-amzn-ErrorType": refused.error,
        **dict(refused.headers),
    }
    return headers, body
