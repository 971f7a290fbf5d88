"""Lambda's quotas: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""

DIRECT_UPLOAD = 50 * 1024 * 1024
"""Largest zip for a direct upload, in bytes; a larger one goes through S3."""
UNZIPPED = 250 * 1024 * 1024
"""Largest total size of a function and its layers, unzipped, in bytes."""
DESCRIPTION = 256
"""Longest description of a layer version, in characters."""
LAYER_NAME = 140
"""Longest name of a layer, in characters."""
COMPATIBLE_RUNTIMES = 15
"""Most compatible runtimes of a layer version."""
REQUESTS_A_SECOND = 15
"""Most control-plane requests per second, for one account in one region."""
