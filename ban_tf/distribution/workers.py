"""Processes that train one model together, usually one on each machine.

`TF_CONFIG` (or Slurm) tells each its place; `tf.distribute.MultiWorkerMirroredStrategy` keeps
their weights alike. Worker 0 is the chief: it alone writes the run directory, which all of them
see (a file system that they share). What follows from files is read by the others only when the
chief has written it, and after every generation all compare a hash of their weights.

Without such a strategy there is one worker, and it is the chief.
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
        strategy: As given.
        index: Which one this process is.
        count: How many there are.
        watch: What looks whether the others are still there, if anything does; has `close`.
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
        self.watch: Any = None
        self._sum: Callable[[Any], Any] | None = None

    @property
    def chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.index == 0

    @property
    def replicas(self) -> int:
        """How many replicas all of them have."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    def scope(self) -> Any:
        """Returns the context in which models are built."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def exchange(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Tells all workers some numbers, and waits until each has told its own.

        Args:
            numbers: int32, as many on each worker.

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

    def chief_first(self, work: Callable[[], Any]) -> Any:
        """Does something that leaves files, on the chief before all others.

        Raises:
            WorkerError: The chief could not do it; it says why itself.
        """
        result, error = None, None
        if self.chief:
            try:
                result = work()
            except Exception as raised:
                error = raised
        failed = self.exchange([error is not None])[0, 0]
        if error is not None:
            raise error
        if failed:
            raise WorkerError("the chief, worker 0, has stopped; see what it says.")
        return result if self.chief else work()

    def chief_decides(self, ask: Callable[..., bool]) -> Callable[..., bool]:
        """Returns a function whose answer is the chief's, whatever rounding says elsewhere."""
        return lambda *arguments: bool(self.exchange([bool(ask(*arguments))])[0, 0])

    def check_equal(self, weights: list[np.ndarray], what: str) -> None:
        """Makes sure that all workers hold the same weights, bit by bit.

        Raises:
            WorkerError: They do not.
        """
        if self.count == 1:
            return
        content = hashlib.sha256()
        for array in weights:
            content.update(np.ascontiguousarray(array).tobytes())
        told = self.exchange(np.frombuffer(content.digest(), np.int32))
        others = [index for index, digest in enumerate(told) if (digest != told[0]).any()]
        if others:
            raise WorkerError(
                f"{what} has other weights on worker {', '.join(map(str, others))} than on the "
                "chief, so that they no longer train one model; nothing of it was kept. Start all "
                "workers anew, on machines of one kind."
            )

    def meet(self) -> None:
        """Waits until all others are here as well."""
        self.exchange([0])

    def leave(self) -> None:
        """Waits until all others are done as well; from here on, each may go."""
        self.meet()
        if self.watch is not None:
            self.watch.close()

    def shared_out(self, batches: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Returns a data set for `fit`, of which each worker makes its own replicas' part alone.

        Args:
            batches: Makes a `tf.data.Dataset`; given, besides the arguments, `parts` (how many
                replicas share each batch) and `mine` (a range: which of these parts to yield,
                one after the other), where there are several workers.
            *arguments: For `batches`.
            **options: For `batches`.
        """
        if self.count == 1:
            return batches(*arguments, **options)
        each = self.replicas // self.count
        mine = range(self.index * each, (self.index + 1) * each)
        distributed = self.strategy.distribute_datasets_from_function(
            lambda context: batches(*arguments, **options, parts=self.replicas, mine=mine)
        )
        return keras_distribution.as_data(distributed)

    def requests(self, own: StopRequest) -> StopRequest:
        """Returns signals that count as come once they have come to any worker."""
        return own if self.count == 1 else _SharedRequests(self, own)


class _SharedRequests(StopRequest):
    """Asked by all workers at the same moments; who was not told learns of it then."""

    def __init__(self, workers: Workers, own: StopRequest):
        self._workers = workers
        self._own = own
        # Which signal has come to any of them, as of the last time that all were asked.
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        if self.signal_number is None:
            numbers = self._workers.exchange([self._own.signal_number or 0])
            self.signal_number = int(numbers.max()) or None
        return self.signal_number is not None


def current() -> Workers:
    """Returns the workers of the strategy in whose scope this is called."""
    if keras.backend.backend() != "tensorflow":
        return Workers()
    import tensorflow as tf

    return Workers(tf.distribute.get_strategy() if tf.distribute.has_strategy() else None)
