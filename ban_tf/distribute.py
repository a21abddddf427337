"""`tf.distribute` strategies, and sums over their replicas.

Under other Keras backends there is one replica, and everything here is the identity.
"""

from __future__ import annotations

from typing import Any

import keras


def replica_count() -> int:
    """Returns how many replicas train in step with each other."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(value: Any) -> Any:
    """Returns the sum of a tensor over all replicas; the tensor itself where there is one."""
    if replica_count() == 1:
        return value
    import tensorflow as tf

    if tf.distribute.in_cross_replica_context():
        return value  # a symbolic build, before any replica runs
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
