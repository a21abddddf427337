"""Keras layers that are faster than the stock layers, and model transformations."""

from __future__ import annotations

from ban_tf.layers.batch_normalization import BatchNormalization
from ban_tf.layers.convolution import Conv2D
from ban_tf.layers.fold import fold
from ban_tf.layers.fuse import fuse

__all__ = ["BatchNormalization", "Conv2D", "fold", "fuse"]
