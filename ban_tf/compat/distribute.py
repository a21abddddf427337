"""Replicas of synchronous training, and their examples in the global batch.

A global batch is divided among replicas: each has some consecutive examples of it, in the order
of the replicas, possibly none. Under other Keras backends, and without a strategy, there is one
replica, and everything here is the identity.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras

# Each replica is traced in its own thread.
_step = threading.local()


class ReplicaSlice(NamedTuple):
    """A replica's examples among those of the global batch; int32 scalars.

    Attributes:
        first: The number of examples of the replicas before this one.
        size: The number of examples of this one.
        total: The number of examples of all replicas.
    """

    first: Any
    size: Any
    total: Any


def replica_count() -> int:
    """Returns the number of replicas."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def is_of_strategy(variable: keras.Variable) -> bool:
    """Returns whether a variable can be trained under the present strategy, if there is one."""
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return True
    return tf.distribute.get_strategy().extended.variable_created_in_scope(variable.value)


def in_replica() -> bool:
    """Returns whether this is the computation of one replica of several."""
    if replica_count() == 1:
        return False
    import tensorflow as tf

    return not tf.distribute.in_cross_replica_context()


def sum_over_replicas(values: Any) -> Any:
    """Returns the sum of a tensor, or of each in a list, over all replicas.

    With one replica, and in a symbolic build before any replica runs, that is the tensor
    itself.
    """
    if not in_replica():
        return values
    import tensorflow as tf

    # A tensor without a device could not be summed.
    placed = tf.nest.map_structure(tf.identity, values)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)


def on_replicas(strategy: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that runs on all replicas and returns one of their equal results.

    Args:
        strategy: A `tf.distribute.Strategy`.
        function: The function of each replica; it returns tensors.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)
    def run(*arguments: Any) -> Any:
        return strategy.run(function, args=arguments)

    def run_and_take_one(*arguments: Any) -> Any:
        local = strategy.experimental_local_results
        return keras.tree.map_structure(lambda value: local(value)[0], run(*arguments))

    return run_and_take_one


@contextlib.contextmanager
def sharing(size: Any) -> Iterator[None]:
    """Caches the per-replica batch sizes for the duration of one step.

    Args:
        size: The number of examples of this replica.
    """
    _step.share = _share(size)
    try:
        yield
    finally:
        _step.share = None


def share(size: Any) -> ReplicaSlice:
    """Returns this replica's slice of the global batch.

    Args:
        size: Its number of examples; within `sharing` the cached slice is returned instead.
    """
    return known_share() or _share(size)


def known_share() -> ReplicaSlice | None:
    """Returns the cached slice of this step, if any."""
    return getattr(_step, "share", None)


def scale_to_global_mean(mean: Any, size: Any) -> Any:
    """Scales a replica's mean to its contribution to the global mean.

    Args:
        mean: The mean over its examples, a float scalar; NaN if it has none.
        size: Its number of examples.
    """
    if not in_replica():
        return mean
    mine = share(size)
    parts = keras.ops.cast(mine.size, mean.dtype) / keras.ops.cast(mine.total, mean.dtype)
    return keras.ops.where(mine.size > 0, mean * parts, keras.ops.zeros_like(mean))


def _share(size: Any) -> ReplicaSlice:
    if not in_replica():
        return ReplicaSlice(0, size, size)
    import tensorflow as tf

    index = tf.distribute.get_replica_context().replica_id_in_sync_group
    size = tf.cast(size, tf.int32)
    sizes = sum_over_replicas(tf.one_hot(index, replica_count(), dtype=tf.int32) * size)
    return ReplicaSlice(tf.math.cumsum(sizes, exclusive=True)[index], size, tf.reduce_sum(sizes))
