"""Free ports, and the error if the loopback interface is down."""

import subprocess
import sys

import pytest

from nodelayer.emulation.loopback import free_ports

UNSHARE = ["unshare", "--user", "--map-root-user", "--net"]


def test_free_ports_returns_different_ports():
    assert len(set(free_ports(3))) == 3


def test_a_machine_without_loopback_fails_at_once():
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a network namespace: run it outside of an unprivileged container")
    code = "from nodelayer.emulation.loopback import free_ports; free_ports(2)"
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert "this machine cannot connect to its loopback address" in done.stderr
    assert "ip link set lo up" in done.stderr
