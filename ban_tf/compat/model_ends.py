"""Finds the last activation of a model from its Keras graph, without running it.

The walk starts at an output and goes back through layers that only move or copy values, including
nested models, until it finds one that computes. It tracks the position of the output's last axis: a
softmax over that axis gives a distribution over classes, one over another axis does not.

`None` means that the graph does not show the end, as in a subclass of `keras.Model` or a custom
layer; see `traced_ends` for these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from ban_tf.compat import keras_private

LINEAR, SOFTMAX, SIGMOID = "linear", "softmax", "sigmoid"
# Neither logits nor probabilities over the last axis, such as a softmax over another one.
OTHER = "other"

_SIGMOIDS = ("sigmoid", "hard_sigmoid", "sparse_sigmoid")
_SOFTMAXES = ("softmax", "sparsemax")
_IDENTITIES = (
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
    keras.layers.Masking,
)
_RESHAPES = (keras.layers.Reshape, keras.layers.Flatten)
# Layers that select, repeat or average whole positions, which preserves distributions.
_BY_POSITION = (
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling3D,
)
_GLOBAL_MEANS = (
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
)
_MERGES = (
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.Maximum,
    keras.layers.Minimum,
)
# Layers whose activation is not their last operation, or that have none.
_LINEAR_LAYERS = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.Embedding,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.MultiHeadAttention,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
)
_RESHAPING_OPERATIONS = ("Reshape", "Squeeze", "ExpandDims", "Flatten", "Ravel")


def visible_end(tensor: Any, axis: int | None = -1) -> str | None:
    """Returns the last activation of a symbolic tensor.

    Args:
        tensor: A `KerasTensor` `[batch, ..., units]` of a Functional model's graph.
        axis: The axis that is the last one of the output, counted from the end; None if there is
            none, since axes were merged.

    Returns:
        "linear", "softmax" or "sigmoid"; "other" for anything else; None if the graph
        does not show it.
    """
    operation, inputs, index = keras_private.origin(tensor)
    if isinstance(operation, keras.layers.InputLayer):
        return None
    inner = getattr(operation, "outputs", None) if isinstance(operation, keras.Model) else None
    if inner:
        return visible_end(inner[index], axis)
    if _reshapes(operation):
        # Several reshapes in a row are one, such as a Flatten before a Reshape.
        while _reshapes(keras_private.origin(inputs[0]).operation):
            inputs = keras_private.origin(inputs[0]).inputs
    moved = _moved(operation, inputs, tensor, axis)
    if moved is not _COMPUTES:
        return visible_end(inputs[0], moved)
    if isinstance(operation, keras.layers.Average):
        # The mean of probabilities is a probability, as in an exported ensemble.
        return common([visible_end(tensor, axis) for tensor in inputs])
    if isinstance(operation, keras.layers.Concatenate):
        return _of_concatenation(operation, inputs, axis)
    if isinstance(operation, _MERGES):
        found = common([visible_end(tensor, axis) for tensor in inputs])
        return found if found in (LINEAR, None) else OTHER
    if type(operation).__name__ == "Log" and not isinstance(operation, keras.layers.Layer):
        # Log-probabilities are logits: their softmax gives the probabilities.
        return LINEAR if visible_end(inputs[0], axis) == SOFTMAX else None
    return layer_end(operation, axis, len(tensor.shape))


def layer_end(layer: Any, axis: int | None = -1, rank: int | None = None) -> str | None:
    """Returns the last activation of a layer; None if unknown.

    Args:
        layer: A Keras layer or operation.
        axis: See `visible_end`.
        rank: Axes of the layer's output, if known.
    """
    if isinstance(layer, keras.layers.TimeDistributed):
        inner = layer.layer
        if isinstance(inner, keras.Model):
            tensors = getattr(inner, "outputs", None)
            return visible_end(tensors[0], axis) if tensors else None
        return layer_end(inner, axis, None if rank is None else rank - 1)
    if isinstance(layer, _LINEAR_LAYERS):
        return LINEAR
    name = type(layer).__name__
    if isinstance(layer, keras.layers.Softmax) or name == "Softmax":
        return _softmax_over(layer.axis, axis, rank)
    if not isinstance(layer, keras.layers.Layer):  # keras.ops in a Functional model
        return {"Sigmoid": SIGMOID, "LogSoftmax": LINEAR}.get(name)
    if not hasattr(layer, "activation"):
        return None
    return activation_end(layer.activation, axis)


def activation_end(activation: Callable[..., Any] | None, axis: int | None = -1) -> str | None:
    """Returns the name of an activation function; None for a custom function."""
    if activation is None:
        return LINEAR
    name = getattr(activation, "__name__", "")
    if getattr(keras.activations, name, None) is not activation:
        return None
    if name in _SIGMOIDS:
        return SIGMOID
    if name in _SOFTMAXES:
        return SOFTMAX if axis == -1 else OTHER
    return LINEAR


def common(ends: Sequence[str | None]) -> str | None:
    """Returns the common end of all inputs of a mean; "other" if they differ."""
    found = set(ends)
    if None in found or not found:
        return None
    return found.pop() if len(found) == 1 else OTHER


def axis_before_reshape(
    before: Sequence[int | None], after: Sequence[int | None], axis: int | None
) -> int | None:
    """Returns the position of an axis before a reshape, counted from the end; None if it is lost.

    An axis survives if its length and the number of values behind each entry are unchanged.

    Args:
        before: Shape before, with None for unknown sizes.
        after: Shape after.
        axis: The axis of `after`, counted from the end.
    """
    if axis is None:
        return None
    size, behind = after[axis], _product(after[len(after) + axis + 1 :])
    if size is None or behind is None:
        return axis if list(before[axis:]) == list(after[axis:]) else None
    for candidate in range(-1, -len(before) - 1, -1):
        numbers = _product(before[len(before) + candidate + 1 :])
        if numbers is None or before[candidate] is None:
            return None
        if numbers == behind and before[candidate] == size:
            return candidate
    return None


def _product(sizes: Sequence[int | None]) -> int | None:
    """Returns the product of sizes; None if one of them is unknown."""
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


_COMPUTES = object()


def _moved(operation: Any, inputs: Sequence[Any], output: Any, axis: int | None) -> Any:
    """Returns the axis in the input of a layer that moves values; `_COMPUTES` for other layers."""
    name = type(operation).__name__
    rank = len(output.shape)
    if isinstance(operation, _IDENTITIES) or name in ("Cast", "StopGradient", "Identity"):
        return axis
    if isinstance(operation, keras.layers.Activation):
        linear = operation.activation is keras.activations.linear
        return axis if linear else _COMPUTES
    if _reshapes(operation):
        return axis_before_reshape(inputs[0].shape, output.shape, axis)
    if isinstance(operation, keras.layers.Permute):
        return None if axis is None else (0, *operation.dims)[axis] - rank
    if name == "Transpose":
        axes = operation.axes or tuple(reversed(range(rank)))
        return None if axis is None else axes[axis] % rank - rank
    if isinstance(operation, _BY_POSITION):
        return axis
    if isinstance(operation, keras.layers.UpSampling2D):
        return axis if operation.interpolation in ("nearest", "bilinear") else _COMPUTES
    if isinstance(operation, keras.layers.RepeatVector):
        return axis if axis == -1 else None
    if isinstance(operation, _GLOBAL_MEANS) and not operation.keepdims:
        channels_last = operation.data_format == "channels_last"
        return axis if axis is None or channels_last else axis - (len(inputs[0].shape) - rank)
    return _COMPUTES


def _reshapes(operation: Any) -> bool:
    return isinstance(operation, _RESHAPES) or type(operation).__name__ in _RESHAPING_OPERATIONS


def _of_concatenation(layer: Any, inputs: Sequence[Any], axis: int | None) -> str | None:
    found = common([visible_end(tensor, axis) for tensor in inputs])
    rank = len(inputs[0].shape)
    # Several concatenated distributions are not a distribution.
    if found == SOFTMAX and axis is not None and layer.axis % rank - rank == axis:
        return OTHER
    return found


def _softmax_over(axes: Any, axis: int | None, rank: int | None) -> str | None:
    axes = axes if isinstance(axes, (list, tuple)) else [axes]
    if axis is None or len(axes) != 1 or axes[0] is None:
        return OTHER
    if axes[0] >= 0 and rank is None:
        return None
    over = axes[0] if axes[0] < 0 else axes[0] - rank
    return SOFTMAX if over == axis else OTHER
