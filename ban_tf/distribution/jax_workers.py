"""Workers that train one model under JAX, each with the same number of devices.

One program computes on the devices of all, which own their part of each batch of a training. Other
batches, such as those of validation, are computed by each worker as a whole. What the chief does
alone, it does with models of its own, and with copies of the weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ban_tf.compat import jax_devices, jax_processes
from ban_tf.distribution.workers import Workers
from ban_tf.system import seeds


class JaxWorkers(Workers):
    """The workers of a cluster under JAX.

    Args:
        index: The index of this process.
        devices: The number of devices of each process.
        messages: Exchanges bytes with the others.
        monitor: As the attribute of `Workers`.
    """

    def __init__(
        self, index: int, devices: Sequence[int], messages: jax_processes.Messages, monitor: Any
    ):
        super().__init__()
        self.index, self.count, self.monitor = index, len(devices), monitor
        self._devices, self._messages = sum(devices), messages

    def describe(self) -> str:
        """Returns a description of the devices."""
        return f"{self._devices} devices of JAX on {self.count} workers"

    def reports_other(self, error: Exception) -> bool:
        """Returns whether an error may come from the end of another worker."""
        from jax.errors import JaxRuntimeError

        # Some ways into a program raise `ValueError`, with the same text.
        return isinstance(error, JaxRuntimeError) or any(
            name in str(error) for name in ("Gloo", "NCCL")
        )

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Builds models inside the block that all workers train, with the same initial weights."""
        self.barrier()  # JAX waits for others a limited time
        # Also where initial weights are replaced.
        with seeds.seeded(0), jax_devices.of_processes():
            yield

    def all_gather(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """All-gathers int32 values across workers; as in `Workers`."""
        found = self._messages.gather(np.asarray(numbers, np.int32).tobytes())
        return np.stack([np.frombuffer(content, np.int32) for content in found])

    def run_on_chief_first(self, work: Callable[[], Any]) -> Any:
        """Runs a function that writes files, on the chief before the other workers."""
        with jax_devices.of_this_process():
            return super().run_on_chief_first(work)

    def distribute_dataset(
        self, batches: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Returns this worker's part of each batch, consecutive rows; as in `Workers`."""
        own = range(self.index, self.index + 1)
        return batches(*arguments, **options, num_shards=self.count, shard_range=own)

    def validation_dataset(
        self, batches: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Returns whole batches, which each worker computes."""
        return batches(*arguments, **options)
