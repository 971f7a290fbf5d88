"""Download a published layer version, and verify its CodeSha256."""

from pathlib import Path

import requests

from nodelayer.aws.account import Account
from nodelayer.aws.layers import Content
from nodelayer.errors import NotFoundError, NotVerifiedError, UnreachableError, machine_error
from nodelayer.layer.record import file_sha256
from nodelayer.util.http import Web

_CHUNK = 1 << 20


def by_arn(account: Account, region: str, arn: str, path: Path) -> Content:
    """Download the zip of any layer version that this account may read.

    Raises:
        NotFoundError: The layer version does not exist, or this account may not read it.
        NodelayerError: The download failed, see `download`.
    """
    content = account.region(region).layers.content_by_arn(arn)
    if content is None:
        raise NotFoundError(
            "the layer version does not exist, or this account may not use it",
            where=arn,
            todo="correct the ARN, or ask its owner for access (--public, --organization-id)",
        )
    download(content, path)
    return content


def download(content: Content, path: Path) -> None:
    """Download the zip of a layer version to `path`, and verify it.

    Raises:
        UnreachableError: The connection broke.
        NotVerifiedError: The zip does not match the CodeSha256 of the layer version.
        MachineError: The file cannot be written.
    """
    try:
        _stream(content, path)
    except requests.RequestException as error:
        raise UnreachableError(
            "the connection broke during the download", where=content.arn, todo="run the command again"
        ) from error
    except OSError as error:
        raise machine_error(error, path, "TMPDIR") from error
    if file_sha256(path) != content.code_sha256:
        raise NotVerifiedError(
            "the download does not match the CodeSha256 of the layer version",
            where=content.arn,
            todo="run the command again",
        )


def _stream(content: Content, path: Path) -> None:
    with (
        Web(todo="run the command again") as web,
        web.stream(content.location, {}) as response,
        path.open("wb") as stream,
    ):
        done = 0
        for chunk in response.iter_content(_CHUNK):
            done += len(chunk)
            if done > content.size:
                raise NotVerifiedError(f"the download is larger than {content.size} bytes", where=content.arn)
            stream.write(chunk)
