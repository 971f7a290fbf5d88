"""The staging bucket of a region, for zips that are too big for a direct upload."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from nodelayer.aws.errors import NOT_FOUND, MissingError, error_code

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from nodelayer.aws.clients import RegionClients


class StagingBuckets:
    """The staging buckets of one account in one region."""

    def __init__(self, clients: "RegionClients") -> None:
        self._clients = clients
        self._client: S3Client = clients.client("s3")

    def make(self, bucket: str) -> None:
        """Create a private, encrypted bucket whose objects expire after a day, unless it exists.

        The lifecycle rule is set last: if a bucket lacks it, its creation was interrupted, and is completed.

        Raises:
            RefusedError: The name belongs to another account.
        """
        owner = {"Bucket": bucket, "ExpectedBucketOwner": self._clients.account_id}
        try:
            self._clients.read(
                "s3:GetLifecycleConfiguration",
                bucket,
                lambda: self._client.get_bucket_lifecycle_configuration(**owner)["Rules"],
            )
        except MissingError:
            pass
        else:
            return
        location = {} if self._clients.region == "us-east-1" else {"LocationConstraint": self._clients.region}
        with self._clients.translate_errors("s3:CreateBucket", bucket):
            try:
                self._client.create_bucket(
                    Bucket=bucket,
                    ObjectOwnership="BucketOwnerEnforced",
                    **({"CreateBucketConfiguration": location} if location else {}),  # type: ignore[arg-type]
                )
            except ClientError as error:
                if error_code(error) != "BucketAlreadyOwnedByYou":
                    raise
        with self._clients.translate_errors("s3:PutBucketPublicAccessBlock", bucket):
            self._client.put_public_access_block(
                **owner,  # type: ignore[arg-type]
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
        with self._clients.translate_errors("s3:PutEncryptionConfiguration", bucket):
            self._client.put_bucket_encryption(
                **owner,  # type: ignore[arg-type]
                ServerSideEncryptionConfiguration={
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
            )
        with self._clients.translate_errors("s3:PutLifecycleConfiguration", bucket):
            self._client.put_bucket_lifecycle_configuration(
                **owner,  # type: ignore[arg-type]
                LifecycleConfiguration={
                    "Rules": [
                        {
                            "ID": "expire-after-a-day",
                            "Status": "Enabled",
                            "Filter": {"Prefix": ""},
                            "Expiration": {"Days": 1},
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                        }
                    ]
                },
            )

    def upload(self, path: Path, bucket: str, key: str, progress: Callable[[float], None]) -> None:
        """Upload a file to a bucket of this account, in parts with checksums, unless it is there already.

        `progress` gets the share that was sent, from 0 to 1, from several threads.
        """
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - only large zips need it

        size, sent = path.stat().st_size, 0

        def count(more: int) -> None:
            nonlocal sent
            sent += more
            progress(sent / size)

        def uploaded() -> bool:
            try:
                head = self._client.head_object(
                    Bucket=bucket, Key=key, ExpectedBucketOwner=self._clients.account_id
                )
            except ClientError as error:
                if error_code(error) not in NOT_FOUND | {"403"}:
                    raise
                return False
            return head["ContentLength"] == size

        if self._clients.read("s3:GetObject", f"{bucket}/{key}", uploaded):
            return
        with self._clients.translate_errors("s3:PutObject", f"{bucket}/{key}"):
            self._client.upload_file(
                str(path),
                bucket,
                key,
                ExtraArgs={
                    "ChecksumAlgorithm": "SHA256",
                    "ServerSideEncryption": "AES256",
                    "ExpectedBucketOwner": self._clients.account_id,
                },
                Callback=count,
                Config=TransferConfig(max_concurrency=2, max_io_queue=4),
            )
