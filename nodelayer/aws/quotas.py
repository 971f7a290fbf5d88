"""Lambda's quotas: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""

DIRECT_UPLOAD = 50 * 1024 * 1024
"""Bytes of a zip that Lambda takes directly; a larger one goes through S3."""
UNZIPPED = 250 * 1024 * 1024
"""Bytes that function and layers may have together, unpacked."""
DESCRIPTION = 256
"""Characters of a layer version's description."""
LAYER_NAME = 140
"""Characters of a layer's name."""
COMPATIBLE_RUNTIMES = 15
"""Entries of a layer version's compatible runtimes."""
REQUESTS_A_SECOND = 15
"""Control-plane requests that Lambda takes, of one account in one region."""
