"""Batch normalization in one fused TensorFlow operation.

Keras builds batch normalization from separate operations: moments, a reciprocal root, a
product, a sum, and for half precision a float32 copy of the whole input. TensorFlow has one
operation for all of it, forward and backward, which reads half precision and computes its
statistics in float32. `BatchNormalization` uses that operation where it is equivalent, and the
stock computation otherwise:

1. the fused operation applies to inputs `[batch, ..., channels]` of rank 3 to 5, normalized
   over the last axis, in float32, bfloat16 or float16, on the TensorFlow backend;
2. the stock computation remains for masks, renormalization, statistics synchronized between
   replicas, other axes (TensorFlow has no such kernel on CPUs), float64, an epsilon below
   what GPUs accept, and rank 2, where it is faster.

On CPUs the operation is oneDNN's, which in half precision takes five to ten times as long if the
number of channels is not a multiple of 16 (as in a DenseNet with growth 12). Then the channels are
padded with zeros, and the padding is removed from the result. In float32 that gains nothing.

Weights, configuration and saved files are those of the stock layer; see `stand_in`.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from ban_tf.compat import keras_private
from ban_tf.layers.stand_in import StandIn, stands_in_for

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

FUSED_DTYPES = ("float32", "bfloat16", "float16")
FUSED_RANKS = (3, 4, 5)
# cuDNN does not support a smaller epsilon; 1.001e-5 is what TensorFlow and keras.applications use.
SMALLEST_FUSED_EPSILON = 1.001e-5
CPU_VECTOR = 16


@stands_in_for(keras.layers.BatchNormalization)
class BatchNormalization(keras.layers.BatchNormalization, metaclass=StandIn):
    """`keras.layers.BatchNormalization`, fused where possible.

    The arguments, weights, outputs, gradients and moving statistics are the stock layer's.

    Call arguments:
        inputs: `[batch, ..., channels]` (any rank and axis that the stock layer takes).
        training: Whether to normalize by the batch statistics and to update the moving
            ones, unless `trainable` is off.
        mask: Which positions count; uses the stock computation.

    Returns:
        The normalized inputs, same shape, in the layer's compute dtype.

    References:
        Ioffe and Szegedy, 2015, "Batch Normalization", arXiv 1502.03167.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes `inputs`; see the class."""
        if mask is not None or not self._can_fuse(inputs):
            return super().call(inputs, training=training, mask=mask)
        if training and self.trainable:
            outputs, mean, variance = self._normalize(inputs)
            self._update_moving(self.moving_mean, mean)
            self._update_moving(self.moving_variance, variance)
        else:
            outputs, _, _ = self._normalize(inputs, self.moving_mean, self.moving_variance)
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the stock layer's configuration, also after `synchronize`."""
        config = super().get_config()
        return {**config, "synchronized": getattr(self, "_as_given", config["synchronized"])}

    def _can_fuse(self, inputs: Any) -> bool:
        rank = len(inputs.shape)
        return (
            keras.backend.backend() == "tensorflow"
            and rank in FUSED_RANKS
            and self.axis in (-1, rank - 1)
            and keras.backend.standardize_dtype(inputs.dtype) in FUSED_DTYPES
            and self.epsilon >= SMALLEST_FUSED_EPSILON
            and not self.synchronized
            and not getattr(self, "renorm", False)  # only since Keras 3.13
        )

    def _normalize(self, inputs: Any, mean: Any = None, variance: Any = None) -> tuple:
        """Runs the fused operation.

        Args:
            inputs: `[batch, ..., channels]`.
            mean: `[channels]`, or None to normalize by the statistics of `inputs`.
            variance: `[channels]`, or None.

        Returns:
            The normalized inputs, and the mean and (biased) variance `[channels]` in float32
            that they were normalized by.
        """
        channels = inputs.shape[-1]
        training = mean is None
        scale = ops.cast(self.gamma, "float32") if self.scale else tf.ones([channels])
        offset = ops.cast(self.beta, "float32") if self.center else tf.zeros([channels])
        flat = inputs if len(inputs.shape) == 4 else _as_images(inputs)
        filler = -channels % _vector(keras.backend.standardize_dtype(inputs.dtype))
        flat, scale, offset = (_fill(tensor, filler) for tensor in (flat, scale, offset))
        fused = tf.raw_ops.FusedBatchNormV3(
            x=flat,
            scale=scale,
            offset=offset,
            mean=tf.zeros([0]) if training else _fill(ops.cast(mean, "float32"), filler),
            variance=tf.zeros([0]) if training else _fill(ops.cast(variance, "float32"), filler),
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,  # only the statistics of this batch
            is_training=training,
        )
        outputs, mean, variance = (
            _first(tensor, channels) if filler else tensor
            for tensor in (fused.y, fused.batch_mean, fused.batch_variance)
        )
        if len(inputs.shape) != 4:
            outputs = tf.reshape(outputs, tf.shape(inputs))
        outputs.set_shape(inputs.shape)
        if not training:
            return outputs, mean, variance
        # The operation returns the unbiased variance, n / (n - 1) times the one used for
        # normalization; Keras stores the latter. A single value has no unbiased variance.
        count = tf.cast(tf.size(inputs, out_type=tf.int64) // channels, "float32")
        biased = tf.math.multiply_no_nan(variance, (count - 1.0) / count)
        return outputs, mean, biased

    def _update_moving(self, moving: keras.Variable, batch: Any) -> None:
        previous = ops.cast(moving, "float32")
        moving.assign(previous * self.momentum + batch * (1.0 - self.momentum))


def synchronize(model: keras.Model) -> None:
    """Makes a model normalize by the whole batch of all replicas in training.

    That is a matter of how it is trained, and not saved with the model.
    """
    for layer in [model, *keras_private.layers_in(model)]:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._as_given = layer.synchronized
            layer.synchronized = True


@functools.cache
def _vector(dtype: str) -> int:
    """Returns what the number of channels should be a multiple of."""
    half_on_cpu = dtype != "float32" and not tf.config.list_physical_devices("GPU")
    return CPU_VECTOR if half_on_cpu else 1


def _fill(values: Any, filler: int) -> Any:
    """Appends zeros to the last axis."""
    if not filler:
        return values
    return tf.pad(values, [*[[0, 0]] * (len(values.shape) - 1), [0, filler]])


def _first(values: Any, count: int) -> Any:
    """Returns the first entries along the last axis."""
    # The gradient of an indexed `values[..., :count]` took 20 times as long on CPUs.
    lead = len(values.shape) - 1
    return tf.slice(values, [0] * (lead + 1), [-1] * lead + [count])


def _as_images(inputs: Any) -> Any:
    """Reshapes `[batch, ..., channels]` to the rank 4 that the operation takes."""
    shape = tf.shape(inputs)
    # Not -1: it cannot be inferred for the empty batch that a replica may be given.
    return tf.reshape(inputs, [shape[0], tf.reduce_prod(shape[1:-1]), 1, inputs.shape[-1]])
