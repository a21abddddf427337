"""Folds batch normalization into the layers before it, for inference.

In a frozen network, batch normalization is a constant scale and shift per channel. If the result of
a convolution or dense layer is only used by a batch normalization, the scale is folded into its
kernel and the shift into its bias, and the normalization is removed:

    gamma (k x + b - mean) / deviation + beta  =  (s k) x + (s (b - mean) + beta),
    s = gamma / deviation, deviation = sqrt(variance + epsilon).

A teacher is such a network: `BornAgainModel(student, teacher=fold(teacher))`. The gain depends
on how many normalizations directly follow a convolution (all in ResNet or MobileNet, one of two in
a wide ResNet, where the other follows a sum); `python -m benchmarks.fold` measures it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from ban_tf.compat import keras_private
from ban_tf.compat.copies import cannot_rebuild, copy_layer, rebuilding
from ban_tf.errors import InputError
from ban_tf.layers.batch_normalization import BatchNormalization
from ban_tf.layers.convolution import Conv2D

# The weight that scales a layer's result per channel, and how many of its last axes are channels.
_KERNELS = {
    keras.layers.Dense: ("kernel", 1),
    keras.layers.Conv1D: ("kernel", 1),
    keras.layers.Conv2D: ("kernel", 1),
    keras.layers.Conv3D: ("kernel", 1),
    keras.layers.DepthwiseConv1D: ("kernel", 2),
    keras.layers.DepthwiseConv2D: ("kernel", 2),
    keras.layers.SeparableConv1D: ("pointwise_kernel", 1),
    keras.layers.SeparableConv2D: ("pointwise_kernel", 1),
}
# Layers with inputs that half precision cannot represent: token ids, pixels from 0 to 255.
_EXACT = (keras.layers.Embedding, keras.layers.Rescaling)


def fold(model: keras.Model, precision: str | None = None) -> keras.Model:
    """Returns a copy of a model for inference, with batch normalization folded into other layers.

    Other normalizations stay, as fused ones. Layer names are unchanged; folded normalizations are
    removed.

    Args:
        model: A built Functional or Sequential model.
        precision: The dtype policy of the copy, such as "mixed_bfloat16". The last layers keep
            theirs, and so do embeddings, layers inside wrappers, and layers whose policy is not
            that of the model. By default all layers keep theirs.

    Returns:
        A Functional model with outputs equal to those of `model(x, training=False)`, up to
        rounding. None of its weights are trainable.

    Raises:
        InputError: It is no model, has no weights yet, or cannot be rebuilt layer by layer, as a
            subclassed model cannot.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"model must be a Keras model. Received: {model!r}")
    if not model.built:
        raise InputError(
            f"model must be built before it is folded. Received: {model.name!r}, unbuilt"
        )
    if precision:
        _check_precision(precision)
    if getattr(model, "inputs", None) is None:
        raise InputError(f"{cannot_rebuild(model)} (it is a subclassed model)")
    with rebuilding(model):
        folded = _structure(model, precision, model.dtype_policy.name)
    if type(model) not in (keras.Sequential, type(folded)):
        lost = f"what {type(model).__name__} does besides running its graph would be lost"
        raise InputError(f"{cannot_rebuild(model)} ({lost})")
    copy_folded(model, folded)
    folded.trainable = False
    return folded


def _check_precision(precision: str) -> None:
    try:
        keras.dtype_policies.get(precision)
    except ValueError as error:
        raise InputError(
            f"precision must be a dtype policy such as 'mixed_bfloat16'. Received: {precision!r}"
        ) from error


def copy_folded(model: keras.Model, folded: keras.Model) -> None:
    """Updates the result of `fold` to the present weights of the model."""
    normalizations = dict(_pairs(model))
    for layer in folded.layers:
        if not layer.weights:  # includes inputs, which Keras renames
            continue
        source = model.get_layer(layer.name)
        if isinstance(source, keras.Model):
            copy_folded(source, layer)
        elif source.name in normalizations:
            _fold_into(layer, source, normalizations[source.name])
        else:
            layer.set_weights(source.get_weights())


def _structure(model: keras.Model, precision: str | None, policy: str) -> keras.Model:
    graph = _graph(model)
    folding = dict(_pairs(model))
    gone = {normalization.name for normalization in folding.values()}
    last = {id(keras_private.origin(tensor).operation) for tensor in graph.outputs}

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return _structure(layer, precision, policy)
        if not isinstance(layer, keras.Layer):
            return copy_layer(layer)
        config = layer.get_config()
        if layer.name in folding:
            config["use_bias"] = True
        pinned = layer.dtype_policy.name != policy or isinstance(layer, _EXACT)
        if precision and not pinned and id(layer) not in last:
            config["dtype"] = precision
        kind = type(layer)
        if kind is keras.layers.BatchNormalization:
            kind = BatchNormalization
        return copy_layer(layer, kind, config)

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        return arguments[0] if layer.name in gone else layer(*arguments, **options)

    return keras.models.clone_model(graph, clone_function=clone, call_function=call)


def _graph(model: keras.Model) -> keras.Model:
    """Returns a model as a Functional one."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return model


def _pairs(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """Yields the name of each layer into which a normalization can be folded, and the latter."""
    graph = _graph(model)
    # Ignores calls of layers outside this graph.
    nodes = keras_private.all_calls(graph)
    calls = Counter(id(node.operation) for node in nodes)
    readers = defaultdict(list)
    for node in nodes:
        for tensor in node.input_tensors:
            readers[id(tensor)].append(node)
    for tensor in graph.outputs:
        readers[id(tensor)].append(None)
    for node in nodes:
        layer, tensor = node.operation, node.output_tensors[0]
        following = readers[id(tensor)]
        if calls[id(layer)] == 1 and _kernel(layer) and len(following) == 1 and following[0]:
            after, result = following[0].operation, following[0].output_tensors[0]
            if (
                isinstance(after, keras.layers.BatchNormalization)
                and calls[id(after)] == 1
                and None not in readers[id(result)]  # outputs have their layers' names
                and after.axis in (-1, len(tensor.shape) - 1)
            ):
                yield layer.name, after


def _kernel(layer: Any) -> tuple[str, int] | None:
    """Returns the entry of `_KERNELS` for a layer without an activation."""
    if getattr(layer, "activation", None) is not keras.activations.linear:
        return None
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    kind = keras.layers.Conv2D if type(layer) is Conv2D else type(layer)
    return _KERNELS.get(kind)


def _fold_into(layer: keras.Layer, source: keras.Layer, after: keras.Layer) -> None:
    scale = 1.0 / np.sqrt(np.asarray(after.moving_variance, np.float64) + after.epsilon)
    if after.scale:
        scale = scale * np.asarray(after.gamma, np.float64)
    bias = -np.asarray(after.moving_mean, np.float64) * scale
    if source.use_bias:
        bias = bias + np.asarray(source.bias, np.float64) * scale
    if after.center:
        bias = bias + np.asarray(after.beta, np.float64)
    known = _kernel(source)
    assert known is not None
    name, axes = known
    # The source may lack the bias.
    for own, theirs in zip(layer.weights, source.weights, strict=False):
        own.assign(theirs)
    kernel = np.asarray(getattr(source, name), np.float64)
    getattr(layer, name).assign(kernel * scale.reshape(kernel.shape[-axes:]))
    layer.bias.assign(bias)
