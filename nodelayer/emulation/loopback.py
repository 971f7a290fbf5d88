"""Free ports of the loopback interface."""

import socket
from contextlib import ExitStack

from nodelayer.errors import MachineError


def free_ports(count: int) -> list[int]:
    """Return free TCP ports of 127.0.0.1.

    Raises:
        MachineError: This machine cannot connect to 127.0.0.1.
    """
    with ExitStack() as stack:
        try:
            listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
            stack.enter_context(socket.create_connection(listeners[0].getsockname(), timeout=5))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise MachineError(
                f"this machine cannot connect to its loopback address ({why})",
                where="127.0.0.1",
                todo="enable the interface: ip link set lo up",
            ) from error
        return [int(listener.getsockname()[1]) for listener in listeners]
