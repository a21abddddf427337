"""Batch normalisation in one fused TensorFlow operation.

Keras 3 composes batch normalisation of several elementary operations, each of which reads or
writes the whole activation. For images TensorFlow has one fused kernel with a fused gradient.
The layer here takes it wherever it computes the same function, and otherwise leaves the call to
Keras: masks, other axes and ranks, batch renormalisation, synchronised statistics, other backends.

The layer has the configuration and the weights of ``keras.layers.BatchNormalization``, and it is
saved under that name, so that a saved model loads in plain Keras without this package. Such a
loaded model holds Keras' own layer; ``ban_tf.layers.fuse`` brings the fused one back.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

# cuDNN refuses anything smaller.
SMALLEST_EPSILON = 1.001e-5

FUSED_DTYPES = ("float32", "bfloat16", "float16")


class BatchNormalization(keras.layers.BatchNormalization):
    """Drop-in for ``keras.layers.BatchNormalization``, fused for images with channels last."""

    # Keras writes this module and the class's name into saved models.
    __module__ = "keras.layers"

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise each channel, in training by the batch's statistics.

        Args:
            inputs: Activations, [batch, height, width, channels] for the fused operation, else
                of any shape that Keras' layer takes.
            training: Whether to use, and to record, the batch's mean and variance. A layer
                that is not trainable always uses the moving statistics, as Keras' does.
            mask: Left to Keras' layer.

        Returns:
            The normalised activations, of the shape of ``inputs``, in the compute dtype.
        """
        if mask is not None or not self._can_fuse(inputs):
            return super().call(inputs, training=training, mask=mask)
        use_batch_statistics = bool(training and self.trainable)
        channels = inputs.shape[-1]
        moving_mean = tf.cast(self.moving_mean, tf.float32)
        moving_variance = tf.cast(self.moving_variance, tf.float32)
        no_statistics = tf.zeros([0], tf.float32)
        outputs = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32) if self.scale else tf.ones([channels]),
            offset=tf.cast(self.beta, tf.float32) if self.center else tf.zeros([channels]),
            mean=no_statistics if use_batch_statistics else moving_mean,
            variance=no_statistics if use_batch_statistics else moving_variance,
            epsilon=self.epsilon,
            is_training=use_batch_statistics,
        )
        if use_batch_statistics:
            variance = _biased(outputs.batch_variance, inputs)
            self._move(self.moving_mean, moving_mean, outputs.batch_mean)
            self._move(self.moving_variance, moving_variance, variance)
        return outputs.y

    def _can_fuse(self, inputs: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and tf.is_tensor(inputs)
            and not isinstance(inputs, (tf.SparseTensor, tf.RaggedTensor))
            and inputs.shape.rank == 4
            and self.axis in (-1, 3)
            and not self.renorm
            and not self.synchronized
            and self.epsilon >= SMALLEST_EPSILON
            and self.compute_dtype in FUSED_DTYPES
            and inputs.dtype == self.compute_dtype
        )

    def _move(self, variable: keras.Variable, moving: tf.Tensor, batch: tf.Tensor) -> None:
        variable.assign(moving * self.momentum + batch * (1.0 - self.momentum))


def _biased(variance: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """Undo the operation's Bessel correction: Keras records the biased variance."""
    shape = tf.shape(inputs, out_type=tf.int64)
    count = tf.maximum(shape[0] * shape[1] * shape[2], 1)
    # A single value has no correction: the operation divides by at least one.
    factor = tf.cast(tf.maximum(count - 1, 1), tf.float32) / tf.cast(count, tf.float32)
    return variance * factor
