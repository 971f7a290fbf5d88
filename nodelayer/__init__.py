"""Any Node.js version as an AWS Lambda layer."""

from typing import TYPE_CHECKING

from nodelayer.version import __version__

if TYPE_CHECKING:
    from nodelayer.manifest.lookup import arn_for

__all__ = ["__version__", "arn_for"]


def __getattr__(name: str) -> object:
    """Import `arn_for` when it is used, so that `import nodelayer` stays fast."""
    if name == "arn_for":
        from nodelayer.manifest.lookup import arn_for  # noqa: PLC0415

        return arn_for
    raise AttributeError(f"module 'nodelayer' has no attribute {name!r}")
