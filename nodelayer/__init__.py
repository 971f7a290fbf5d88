"""Any Node.js version as an AWS Lambda layer."""

from importlib.metadata import version

__version__ = version("nodelayer")
