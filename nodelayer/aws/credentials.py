"""The user's AWS credentials as environment variables, for a function that runs on this machine."""

import os

from botocore.exceptions import BotoCoreError

from nodelayer.aws.account import open_session
from nodelayer.errors import RefusedError


def variables(profile: str | None) -> dict[str, str]:
    """Return the variables with the credentials, the region and the endpoints of a profile.

    Raises:
        NodelayerError: There are no credentials, or the profile does not exist.
    """
    session = open_session(profile)
    try:
        found = session.get_credentials()
        keys = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise RefusedError(
            f"the AWS credentials cannot be used ({error})", todo="correct --profile"
        ) from error
    if keys is None:
        raise RefusedError("there are no AWS credentials", todo="sign in to AWS, or name a --profile")
    region = session.region_name
    return {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL")},
        "AWS_ACCESS_KEY_ID": str(keys.access_key),
        "AWS_SECRET_ACCESS_KEY": str(keys.secret_key),
        **({"AWS_SESSION_TOKEN": keys.token} if keys.token else {}),
        **({"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}),
    }
