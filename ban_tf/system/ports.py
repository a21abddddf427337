"""Free ports of this machine."""

from __future__ import annotations

import contextlib
import socket


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Returns different ports at which nothing listens.

    Args:
        count: How many.
        host: The address at which they are free; "" for all addresses of this machine.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind((host, 0))
        return [opened.getsockname()[1] for opened in sockets]
