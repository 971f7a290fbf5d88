"""The version of nodelayer itself."""

from importlib.metadata import version

__version__ = version("nodelayer")
