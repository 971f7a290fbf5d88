"""A published layer version, fetched back and held against the CodeSha256 that Lambda says it has."""

from pathlib import Path

import requests

from nodelayer.aws.account import Account, Content
from nodelayer.errors import NotFoundError, NotVerifiedError, UnreachableError, machine_error
from nodelayer.layer.record import file_sha256
from nodelayer.util.http import Web

_CHUNK = 1 << 20


def by_arn(account: Account, region: str, arn: str, path: Path) -> Content:
    """The zip of anyone's layer version that this account may read, into `path`.

    Raises NotFoundError where there is none for this account, NotVerifiedError where other bytes come.
    """
    content = account.region(region).content_by_arn(arn)
    if content is None:
        raise NotFoundError(
            "there is no such layer version, or this account may not use it",
            where=arn,
            todo="mend the ARN, or have its owner permit it (--public, --organization-id)",
        )
    download(content, path)
    return content


def download(content: Content, path: Path) -> None:
    """What a layer version holds, into `path`.

    Raises UnreachableError, NotVerifiedError, or MachineError where it cannot be written.
    """
    try:
        _stream(content, path)
    except requests.RequestException as error:
        raise UnreachableError(
            "the connection broke during the download", where=content.arn, todo="run it again"
        ) from error
    except OSError as error:
        raise machine_error(error, path, "TMPDIR") from error
    if file_sha256(path) != content.code_sha256:
        raise NotVerifiedError(
            "what came is not what Lambda says it has", where=content.arn, todo="run it again"
        )


def _stream(content: Content, path: Path) -> None:
    with (
        Web(todo="run it again") as web,
        web.stream(content.location, {}) as response,
        path.open("wb") as stream,
    ):
        done = 0
        for chunk in response.iter_content(_CHUNK):
            done += len(chunk)
            if done > content.size:
                raise NotVerifiedError(
                    f"more comes than the {content.size} bytes Lambda says it has", where=content.arn
                )
            stream.write(chunk)
