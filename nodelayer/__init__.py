"""Any Node.js version as an AWS Lambda layer."""

from nodelayer.manifest.model import arn_for
from nodelayer.version import __version__

__all__ = ["__version__", "arn_for"]
