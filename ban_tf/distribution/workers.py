"""The processes that train one model together, usually one per machine.

`TF_CONFIG` (or Slurm) gives each process its index; `tf.distribute.MultiWorkerMirroredStrategy`
keeps their weights equal, or JAX, see `jax_workers`. Worker 0 is the chief: only it writes the run
directory, which must be on a shared file system. Other workers read files only after the chief has
written them, and after every generation all compare a hash of their weights.

Without such a strategy there is one worker, the chief.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.compat import distribute, keras_distribution
from ban_tf.errors import WorkerError
from ban_tf.system.signals import StopRequest


class Workers:
    """The workers of a strategy.

    Args:
        strategy: A `tf.distribute.Strategy`, or None for one device.

    Attributes:
        strategy: The strategy.
        index: The index of this process.
        count: The number of workers.
        monitor: Checks that the other workers are alive, if set; has `close`.
    """

    def __init__(self, strategy: Any = None):
        self.strategy = strategy
        resolver: Any = getattr(strategy, "cluster_resolver", None)
        tasks = resolver.cluster_spec().as_dict() if resolver else {}
        self.count = max(1, sum(len(tasks.get(job, ())) for job in ("chief", "worker")))
        self.index = 0
        if self.count > 1:
            before = len(tasks.get("chief", ())) if resolver.task_type == "worker" else 0
            self.index = before + resolver.task_id
        self.monitor: Any = None
        self._sum: Callable[[Any], Any] | None = None

    @property
    def chief(self) -> bool:
        """Whether this worker writes the files."""
        return self.index == 0

    @property
    def replicas(self) -> int:
        """The total number of replicas."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    def describe(self) -> str:
        """Returns a description of the devices; empty for one device."""
        if self.strategy is None:
            return ""
        name = type(self.strategy).__name__
        if self.count == 1:
            return f"{self.replicas} replica(s) of {name}"
        return f"{self.replicas} replicas on {self.count} workers of {name}"

    def reports_other(self, error: Exception) -> bool:
        """Returns whether an error may come from the end of another worker."""
        if self.count == 1:
            return False
        import tensorflow as tf

        return isinstance(error, tf.errors.OpError)

    def scope(self) -> Any:
        """Returns the context in which models are built."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def all_gather(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """All-gathers int32 values across workers.

        Args:
            numbers: int32, the same number on each worker.

        Returns:
            int32 `[workers, numbers]`.
        """
        own = np.asarray(numbers, np.int32)
        if self.count == 1:
            return own[None]
        if self._sum is None:
            self._sum = distribute.on_replicas(self.strategy, distribute.sum_over_replicas)
        table = np.zeros((self.count, len(own)), np.int32)
        table[self.index] = own
        summed = self._sum(keras.ops.convert_to_tensor(table))
        return summed.numpy() // (self.replicas // self.count)

    def run_on_chief_first(self, work: Callable[[], Any]) -> Any:
        """Runs a function that writes files, on the chief before the other workers.

        Raises:
            WorkerError: It failed on the chief, which reports the reason.
        """
        result, error = None, None
        if self.chief:
            try:
                result = work()
            except Exception as raised:
                error = raised
        failed = self.all_gather([error is not None])[0, 0]
        if error is not None:
            raise error
        if failed:
            raise WorkerError("the chief, worker 0, has stopped; see its messages.")
        return result if self.chief else work()

    def broadcast(self, function: Callable[..., bool]) -> Callable[..., bool]:
        """Returns a function that returns the chief's result on all workers, despite rounding."""
        return lambda *arguments: bool(self.all_gather([bool(function(*arguments))])[0, 0])

    def check_equal(self, weights: list[np.ndarray], what: str) -> None:
        """Checks that all workers have the same weights, bit by bit.

        Raises:
            WorkerError: They do not.
        """
        if self.count == 1:
            return
        content = hashlib.sha256()
        for array in weights:
            content.update(np.ascontiguousarray(array).tobytes())
        digests = self.all_gather(np.frombuffer(content.digest(), np.int32))
        others = [index for index, digest in enumerate(digests) if (digest != digests[0]).any()]
        if others:
            raise WorkerError(
                f"{what} has other weights on worker {', '.join(map(str, others))} than on the "
                "chief, so that they no longer train one model; it was not saved. Start all "
                "workers again, on machines of one kind."
            )

    def barrier(self) -> None:
        """Waits until all workers have called this."""
        self.all_gather([0])

    def shutdown(self) -> None:
        """Waits until all workers are done; from here on, each may end."""
        self.barrier()
        if self.monitor is not None:
            self.monitor.close()

    def distribute_dataset(
        self, batches: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Returns a dataset for `fit`, of which each worker only creates its replicas' part.

        Args:
            batches: Returns a `tf.data.Dataset`. With several workers it also gets `num_shards`
                (how many replicas share each batch) and `shard_range` (which of these shards to
                yield, one after the other).
            *arguments: For `batches`.
            **options: For `batches`.
        """
        if self.count == 1:
            return batches(*arguments, **options)
        local = self.replicas // self.count
        shard_range = range(self.index * local, (self.index + 1) * local)
        distributed = self.strategy.distribute_datasets_from_function(
            lambda context: batches(
                *arguments, **options, num_shards=self.replicas, shard_range=shard_range
            )
        )
        return keras_distribution.as_data(distributed)

    def validation_dataset(
        self, batches: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Returns a dataset for validation; arguments as for `distribute_dataset`."""
        return self.distribute_dataset(batches, *arguments, **options)

    def requests(self, own: StopRequest) -> StopRequest:
        """Returns a stop request that is shared across workers."""
        return own if self.count == 1 else _SharedRequests(self, own)


class _SharedRequests(StopRequest):
    """A stop request that is shared across workers; all must do so at the same steps."""

    def __init__(self, workers: Workers, own: StopRequest):
        self._workers = workers
        self._own = own
        # The signal that any worker had received when all last checked.
        self.signal_number: int | None = None

    def share(self, ending: bool) -> bool:
        """Shares it, and whether a callback of any worker ends the training; as in the base."""
        found = self._workers.all_gather([self._own.signal_number or 0, ending])
        signal_number, any_ends = found.max(axis=0)
        self.signal_number = int(signal_number) or None
        return bool(any_ends)


def current() -> Workers:
    """Returns the workers of the strategy in whose scope this is called."""
    if keras.backend.backend() != "tensorflow":
        return Workers()
    import tensorflow as tf

    return Workers(tf.distribute.get_strategy() if tf.distribute.has_strategy() else None)
