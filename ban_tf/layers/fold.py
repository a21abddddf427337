"""A network for inference alone: batch normalisation becomes part of the layers before it.

A frozen network normalises by numbers that no longer change, which is a product and a sum for each
channel. Where a convolution or dense layer hands its result to nothing but a batch normalisation,
the product goes into its kernel and the sum into its bias, and the normalisation is gone:

    gamma (k x + b - mean) / deviation + beta  =  (s k) x + (s (b - mean) + beta),
    s = gamma / deviation, deviation = sqrt(variance + epsilon).

A teacher is such a network: `BornAgainModel(student, teacher=fold(teacher))`. What it saves depends
on how many of its normalisations follow a convolution at once (all in ResNet or MobileNet, one of
two in a wide ResNet, where the other follows a sum); `python -m benchmarks.fold` measures it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from ban_tf.copies import copy_layer
from ban_tf.layers.batch_normalization import BatchNormalization
from ban_tf.layers.convolution import Conv2D

# What multiplies a layer's result channel by channel: the weight, and how many of its last axes
# count the channels.
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


def fold(model: keras.Model, precision: str | None = None) -> keras.Model:
    """Returns a copy of a model for inference, with batch normalisation folded into other layers.

    Normalisations that follow something else stay, as fused ones. Layer names stay; those of folded
    normalisations are gone.

    Args:
        model: A built Functional or Sequential model.
        precision: A dtype policy that the copy computes in, such as "mixed_bfloat16"; its last
            layers keep theirs. By default all layers keep theirs.

    Returns:
        A Functional model with outputs equal to those of `model(x, training=False)`, to rounding.
        It is not for training: none of its weights are trainable.

    Raises:
        ValueError: The model has no weights yet, or cannot be rebuilt layer by layer, as a
            subclassed model cannot.
    """
    if not model.built:
        raise ValueError(
            f"model must be built before it is folded. Received: {model.name!r}, unbuilt"
        )
    if getattr(model, "inputs", None) is None:
        raise ValueError(_cannot_fold(model))
    try:
        folded = _structure(model, precision)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(_cannot_fold(model)) from error
    if type(model) not in (keras.Sequential, type(folded)):
        # What a subclass does besides running its graph would be lost.
        raise ValueError(_cannot_fold(model))
    copy_folded(model, folded)
    folded.trainable = False
    return folded


def _cannot_fold(model: keras.Model) -> str:
    return (
        "model must be a Functional or Sequential model whose layers can be rebuilt from their "
        f"configuration. Received: {model.name!r} of type {type(model).__name__}"
    )


def copy_folded(model: keras.Model, folded: keras.Model) -> None:
    """Gives what `fold` returned the weights that the model has by now."""
    normalisations = dict(_pairs(model))
    for layer in folded.layers:
        if not layer.weights:  # inputs among them, which Keras names anew
            continue
        source = model.get_layer(layer.name)
        if isinstance(source, keras.Model):
            copy_folded(source, layer)
        elif source.name in normalisations:
            _fold_into(layer, source, normalisations[source.name])
        else:
            layer.set_weights(source.get_weights())


def _structure(model: keras.Model, precision: str | None) -> keras.Model:
    folding = dict(_pairs(model))
    gone = {each.name for each in folding.values()}
    last = {id(each._keras_history.operation) for each in model.outputs}

    def clone(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, keras.Model):
            return _structure(layer, precision)
        config = layer.get_config()
        if layer.name in folding:
            config["use_bias"] = True
        if precision and id(layer) not in last:
            config["dtype"] = precision
        kind = type(layer)
        if kind is keras.layers.BatchNormalization:
            kind = BatchNormalization
        return copy_layer(layer) if hasattr(layer, "adapt") else kind.from_config(config)

    def call(layer: keras.Layer, *arguments: Any, **options: Any) -> Any:
        return arguments[0] if layer.name in gone else layer(*arguments, **options)

    graph = model
    if isinstance(model, keras.Sequential):
        graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.models.clone_model(graph, clone_function=clone, call_function=call)


def _pairs(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """Yields the name of each layer that can take in a normalisation, and that normalisation."""
    outputs = {id(each) for each in model.outputs}
    inside = {id(layer) for layer in model.layers}
    for layer in model.layers:
        if _kernel(layer) is None or id(layer.output) in outputs:
            continue
        after = layer._outbound_nodes[0].operation
        if (
            id(after) in inside
            and isinstance(after, keras.layers.BatchNormalization)
            and len(after._inbound_nodes) == 1
            and id(after.output) not in outputs  # which go by their layers' names
            and after.axis in (-1, len(layer.output.shape) - 1)
        ):
            yield layer.name, after


def _kernel(layer: keras.Layer) -> tuple[str, int] | None:
    """What `_KERNELS` says of a layer whose result is linear and goes to one place."""
    if not len(layer._inbound_nodes) == len(layer._outbound_nodes) == 1:
        return None
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
    name, axes = _kernel(source)
    for own, theirs in zip(layer.weights, source.weights, strict=False):  # maybe but for the bias
        own.assign(theirs)
    kernel = np.asarray(getattr(source, name), np.float64)
    getattr(layer, name).assign(kernel * scale.reshape(kernel.shape[-axes:]))
    layer.bias.assign(bias)
