"""The last activation of a model, read from its Keras graph without running it.

The walk starts at an output and goes back through layers that only move or copy numbers, nested
models included, until it meets one that computes. All the way it keeps track of where the
output's last axis is: a softmax over that axis gives a distribution over classes, one over
another axis does not.

`None` means that the graph does not show the end, as in a subclass of `keras.Model` or in a layer
of the user's own; see `traced_ends` for these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from ban_tf.compat import keras_private

LINEAR, SOFTMAX, SIGMOID = "linear", "softmax", "sigmoid"
# Seen, and neither logits nor probabilities over the last axis, such as a softmax over another one.
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
# Choose, repeat or average whole positions, which leaves distributions distributions.
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
# Have an activation of their own that is not the last thing they do, or none at all.
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
    """Returns what was applied last to get a symbolic tensor.

    Args:
        tensor: A `KerasTensor` `[batch, ..., units]` of a Functional model's graph.
        axis: Which of its axes is the last one of the output, counted from the end; None if none
            is, since axes were merged.

    Returns:
        "linear", "softmax" or "sigmoid"; "other" for what is none of them; None if the graph does
        not show it.
    """
    operation, inputs, index = keras_private.origin(tensor)
    if isinstance(operation, keras.layers.InputLayer):
        return None
    inner = getattr(operation, "outputs", None) if isinstance(operation, keras.Model) else None
    if inner:
        return visible_end(inner[index], axis)
    moved = _moved(operation, inputs, tensor, axis)
    if moved is not _COMPUTES:
        return visible_end(inputs[0], moved)
    if isinstance(operation, keras.layers.Average):
        # The mean of probabilities is a probability, as in an exported ensemble.
        return common([visible_end(each, axis) for each in inputs])
    if isinstance(operation, keras.layers.Concatenate):
        return _of_concatenation(operation, inputs, axis)
    if isinstance(operation, _MERGES):
        found = common([visible_end(each, axis) for each in inputs])
        return found if found in (LINEAR, None) else OTHER
    if type(operation).__name__ == "Log" and not isinstance(operation, keras.layers.Layer):
        # Log-probabilities are logits: their softmax gives the probabilities.
        return LINEAR if visible_end(inputs[0], axis) == SOFTMAX else None
    return layer_end(operation, axis, len(tensor.shape))


def layer_end(layer: Any, axis: int | None = -1, rank: int | None = None) -> str | None:
    """Returns what a layer applies last; None if that cannot be seen.

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
    """Returns what an activation function makes of numbers; None for a function of the user's."""
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
    """Returns the end that all inputs of a mean share; "other" if they differ."""
    found = set(ends)
    if None in found or not found:
        return None
    return found.pop() if len(found) == 1 else OTHER


def axis_before_reshape(
    before: Sequence[int | None], after: Sequence[int | None], axis: int | None
) -> int | None:
    """Returns where an axis was before a reshape, counted from the end; None if nowhere.

    An axis survives if it has as many entries and as many numbers lie behind each of them.

    Args:
        before: Shape before, with None for what is not known.
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
    """Where the axis is in the input of a layer that moves numbers; `_COMPUTES` if it does not."""
    name = type(operation).__name__
    rank = len(output.shape)
    if isinstance(operation, _IDENTITIES) or name in ("Cast", "StopGradient", "Identity"):
        return axis
    if isinstance(operation, keras.layers.Activation):
        linear = operation.activation is keras.activations.linear
        return axis if linear else _COMPUTES
    if isinstance(operation, _RESHAPES) or name in _RESHAPING_OPERATIONS:
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


def _of_concatenation(layer: Any, inputs: Sequence[Any], axis: int | None) -> str | None:
    found = common([visible_end(each, axis) for each in inputs])
    rank = len(inputs[0].shape)
    # Several distributions in one axis are not one.
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
