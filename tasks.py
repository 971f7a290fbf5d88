"""Invoke's entry point in a checkout: the commands of nodelayer.cli in one namespace."""

import sys

from invoke.main import program

sys.dont_write_bytecode = bool(
    sys.flags.dont_write_bytecode
)  # Invoke sets it to True, which would compile every module at each start

from nodelayer.cli.program import NodelayerProgram, checkout  # noqa: E402

namespace = checkout()
# Invoke has no hook for the order of --list and for the message of a usage error.
program.__class__ = NodelayerProgram
