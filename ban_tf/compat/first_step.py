"""Creates the variables of a first step before it.

TensorFlow traces a step twice if the first trace creates variables, and Keras leaves those of the
optimizer and of compiled metrics to it. No model is run and no data is read for this; what cannot
be known without that is left to the first step.
"""

from __future__ import annotations

from typing import Any

import keras

from ban_tf.compat import keras_private


def build_optimizer(model: keras.Model) -> None:
    """Builds the optimizer of a model whose layers are all built."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or optimizer.built:
        return
    if all(layer.built for layer in keras_private.layers_in(model)):
        optimizer.build(model.trainable_variables)


def build_metrics(model: keras.Model, labels: Any, student: keras.Model) -> None:
    """Builds the compiled metrics of a model with one output of known shape.

    Args:
        model: The compiled model.
        labels: The specification of a batch of labels, with `shape` and `dtype`, or anything else.
        student: The model whose outputs are measured; only those of a graph are known.
    """
    metrics, predicted = keras_private.compiled_metrics(model), getattr(student, "outputs", [])
    if metrics is None or metrics.built or len(predicted) != 1:
        return
    batch = [_symbolic(labels), _symbolic(predicted[0])]
    if None not in batch:
        metrics.build(*batch)


def _symbolic(tensor: Any) -> keras.KerasTensor | None:
    """Returns a symbolic tensor; None unless all its dimensions but the batch are known."""
    shape = getattr(tensor, "shape", None)
    if shape is None or getattr(shape, "rank", len(tensor.shape)) in (None, 0):
        return None
    if None in tuple(shape)[1:]:
        return None
    return keras.KerasTensor(tuple(shape), keras.backend.standardize_dtype(tensor.dtype))
