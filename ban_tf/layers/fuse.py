"""Replace Keras' batch normalisation by the fused layer in a model that already exists.

The model is cloned with nested models, its weights are copied, and its trainable flags are set
from the outside in. The fused layer decides call by call whether the fused operation applies, so
every plain ``BatchNormalization`` is replaced; subclasses of it are somebody's own and stay.
Batch normalisation inside a wrapper or a custom layer is out of reach and stays Keras' too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from ban_tf.layers.batch_normalization import BatchNormalization


def fuse(model: keras.Model) -> keras.Model:
    """Clone a model with fused batch normalisation in place of Keras' own.

    Args:
        model: A Sequential or Functional model, such as one of ``keras.applications``.

    Returns:
        A new model of the same function with copies of the weights. Its optimiser's state, if
        the model was compiled, is not carried over.

    Raises:
        ValueError: If the model, or a model nested in it, is subclassed, so that its layers
            cannot be replaced.
    """
    for part in _models(model):
        _check(part)
    fused = keras.models.clone_model(model, clone_function=_clone, recursive=True)
    fused.set_weights(model.get_weights())
    for original, part in zip(_parts(model), _parts(fused), strict=True):
        part.trainable = original.trainable
    return fused


def _clone(layer: Any) -> Any:
    is_stock = type(layer) is keras.layers.BatchNormalization
    return (BatchNormalization if is_stock else type(layer)).from_config(layer.get_config())


def _parts(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The model and its layers, outer before inner: setting a flag sets those inside."""
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _parts(layer)
        else:
            yield layer


def _models(model: keras.Model) -> Iterator[keras.Model]:
    return (part for part in _parts(model) if isinstance(part, keras.Model))


def _check(model: keras.Model) -> None:
    # Keras has no public name for the class of Functional models.
    functional = type(keras.Model(inputs=(x := keras.Input((1,))), outputs=x))
    if not isinstance(model, (keras.Sequential, functional)):
        raise ValueError(
            f"fuse was given {type(model).__name__}, a subclassed model; it should be a "
            "Sequential or Functional model, with only such models nested in it."
        )
