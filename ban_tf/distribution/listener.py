"""Keeps the port of a worker open where nothing else does, so that others see that it is alive."""

from __future__ import annotations

import contextlib
import socket
import threading

from ban_tf.errors import ClusterError

_SECONDS = 10.0  # that the text may take


class Listener:
    """Accepts all connections at a port as long as the process lives, and sends each a text.

    Args:
        server: A socket that listens.
        text: What other workers need to know of this one; ASCII.
    """

    def __init__(self, server: socket.socket, text: str = ""):
        self._server, self._text = server, text.encode("ascii")
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # the other one has left already
                connection, _ = self._server.accept()
                with connection:
                    connection.sendall(self._text)


def ask(address: str) -> str:
    """Returns the text of the worker at "host:port".

    Raises:
        ClusterError: It does not answer.
    """
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), _SECONDS) as connection:
            return b"".join(iter(lambda: connection.recv(1024), b"")).decode("ascii")
    except (OSError, UnicodeError) as error:
        raise ClusterError(f"the worker at {address} does not answer ({error}).") from error
