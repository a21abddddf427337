"""Joins the processes that train one model under JAX, and carries messages between them.

Both need private names of JAX. Messages go through its coordination service, see `jax_service`.
Unlike a program on all devices, they can be waited for as long as the chief takes, and signals
arrive meanwhile.
"""

from __future__ import annotations

import atexit
from typing import Any

from ban_tf.compat import jax_service
from ban_tf.errors import InputError

_LOOK = 500  # milliseconds of waiting after which Python handles signals
_LATE = "DEADLINE_EXCEEDED"


def join(address: str, index: int, count: int, timeout: float) -> Messages:
    """Joins the processes; JAX then has the devices of all.

    Args:
        address: "host:port" of the coordination service.
        index: The index of this process.
        count: The number of processes.
        timeout: Seconds to wait for the others.

    Raises:
        InputError: JAX has already started in this process.
    """
    import jax
    from jax._src import distributed, xla_bridge

    if xla_bridge.backends_are_initialized():
        raise InputError(
            "JAX has already started in this process, so that it cannot be joined with the other "
            "workers; do not compute in a module that is imported for the command line."
        )
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Not by `initialize`, which starts the service, takes SIGTERM from us, and has each process
    # wait for all others at its end, even after an error.
    client = jax_service.library().get_distributed_runtime_client(
        address, index, init_timeout=int(timeout), shutdown_on_destruction=False
    )
    client.connect()
    state = distributed.global_state
    state.coordinator_address, state.process_id, state.num_processes = address, index, count
    state.client = client
    atexit.register(setattr, state, "client", None)  # else JAX waits for all others
    return Messages(client, index, count)


class Messages:
    """Exchanges bytes between all processes.

    Args:
        client: JAX's client of the coordination service.
        index: The index of this process.
        count: The number of processes.
    """

    def __init__(self, client: Any, index: int, count: int):
        self._client, self._index, self._count = client, index, count
        self._sent = 0

    def gather(self, content: bytes) -> list[bytes]:
        """Returns what each process has passed, in their order; waits until all have."""
        number, self._sent = self._sent, self._sent + 1
        self._client.key_value_set_bytes(_key(number, self._index), content)
        found = [self._receive(_key(number, index)) for index in range(self._count)]
        if number:  # all have read the former messages, or they would not have sent these
            self._client.key_value_delete(_key(number - 1, self._index))
        return found

    def _receive(self, key: str) -> bytes:
        from jax.errors import JaxRuntimeError

        while True:
            try:
                return self._client.blocking_key_value_get_bytes(key, _LOOK)
            except JaxRuntimeError as error:
                if not str(error).startswith(_LATE):
                    raise


def _key(number: int, index: int) -> str:
    return f"ban_tf/{number}/{index}"
