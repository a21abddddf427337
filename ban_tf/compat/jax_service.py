"""JAX's coordination service, through which processes find each other, in a process of its own.

`jax.distributed.initialize` runs it in the first of the processes that train. When that one dies,
JAX aborts all others at once, without a word of ours. Here the service outlives the process that
started it by the time that others need to notice and to end.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

from ban_tf.errors import WorkerError
from ban_tf.system import ports, signals

OUTLIVES = 60.0  # seconds
_READY = "ready"
# A service that is no longer referenced would lose its input, and end.
_started: list[subprocess.Popen[str]] = []


def start(count: int) -> int:
    """Starts the service for a number of processes; returns its port.

    Raises:
        WorkerError: It did not start.
    """
    (port,) = ports.free_ports(1, host="")
    process = subprocess.Popen(
        [sys.executable, "-m", "ban_tf.compat.jax_service", str(port), str(count)],
        stdin=subprocess.PIPE,  # which ends with this process
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != _READY:
        raise WorkerError(f"JAX's coordination service did not start at port {port}; try again.")
    _started.append(process)
    return port


def library() -> Any:
    """Returns the module of jaxlib that has the service and its clients."""
    from jax._src import distributed

    # Earlier versions of JAX call it otherwise.
    return getattr(distributed, "_jax" if hasattr(distributed, "_jax") else "xla_extension")


def main(port: str, count: str) -> None:
    """Serves until the process that started this one has ended, and a while longer."""
    for number in signals.handled():  # all processes get them, and the others save first
        signal.signal(number, signal.SIG_IGN)
    service = library().get_distributed_runtime_service(f"[::]:{port}", int(count))
    print(_READY, flush=True)
    sys.stdin.read()
    time.sleep(OUTLIVES)
    service.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
