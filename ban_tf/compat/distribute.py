"""Replicas that train in step with each other, and what they know of the global batch.

A global batch is one batch, however many replicas share it: each holds some consecutive examples
of it, in the order of the replicas, and maybe none. Under other Keras backends, and without a
strategy, there is one replica, and everything here is the identity.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras

# Replicas are traced in threads of their own.
_step = threading.local()


class Share(NamedTuple):
    """A replica's examples among those of the global batch; int32 scalars.

    Attributes:
        first: How many examples the replicas before this one hold.
        size: How many this one holds.
        total: How many all of them hold.
    """

    first: Any
    size: Any
    total: Any


def replica_count() -> int:
    """Returns how many replicas train in step with each other."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def current_scope() -> Callable[[], Any]:
    """Returns a function that enters the strategy, if any, in whose scope it is asked for."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext
    import tensorflow as tf

    return tf.distribute.get_strategy().scope if tf.distribute.has_strategy() else _no_scope


def _no_scope() -> Any:
    return contextlib.nullcontext()


def in_replica() -> bool:
    """Tells whether this is the computation of one replica of several."""
    if replica_count() == 1:
        return False
    import tensorflow as tf

    return not tf.distribute.in_cross_replica_context()


def sum_over_replicas(values: Any) -> Any:
    """Returns the sum of a tensor, or of each of a list of them, over all replicas.

    Where there is one replica, and in a symbolic build, before any replica runs, that is the
    tensor itself.
    """
    if not in_replica():
        return values
    import tensorflow as tf

    # A tensor that was put on no device would have nowhere to be summed.
    placed = tf.nest.map_structure(tf.identity, values)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)


def on_replicas(strategy: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that runs on all replicas, for what comes out equal on all of them.

    Args:
        strategy: A `tf.distribute.Strategy`.
        function: What each replica does; it returns tensors.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)
    def run(*arguments: Any) -> Any:
        return strategy.run(function, args=arguments)

    def run_and_take_one(*arguments: Any) -> Any:
        local = strategy.experimental_local_results
        return keras.tree.map_structure(lambda each: local(each)[0], run(*arguments))

    return run_and_take_one


@contextlib.contextmanager
def sharing(size: Any) -> Iterator[None]:
    """Lets `share` know, within one step, what the replicas were asked for once.

    Args:
        size: How many examples this replica has.
    """
    _step.share = _share(size)
    try:
        yield
    finally:
        _step.share = None


def share(size: Any) -> Share:
    """Returns which examples of the global batch this replica has.

    Args:
        size: How many it has; what `sharing` was given is taken instead.
    """
    return known_share() or _share(size)


def known_share() -> Share | None:
    """Returns what `share` was told for this step, if anything."""
    return getattr(_step, "share", None)


def part_of_mean(mean: Any, size: Any) -> Any:
    """Returns what a replica has part in the mean over the global batch.

    Args:
        mean: Of its own examples, a float scalar; no number where it has none.
        size: How many examples it has.
    """
    if not in_replica():
        return mean
    mine = share(size)
    parts = keras.ops.cast(mine.size, mean.dtype) / keras.ops.cast(mine.total, mean.dtype)
    return keras.ops.where(mine.size > 0, mean * parts, keras.ops.zeros_like(mean))


def _share(size: Any) -> Share:
    if not in_replica():
        return Share(0, size, size)
    import tensorflow as tf

    place = tf.distribute.get_replica_context().replica_id_in_sync_group
    size = tf.cast(size, tf.int32)
    sizes = sum_over_replicas(tf.one_hot(place, replica_count(), dtype=tf.int32) * size)
    return Share(tf.math.cumsum(sizes, exclusive=True)[place], size, tf.reduce_sum(sizes))
