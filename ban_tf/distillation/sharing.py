"""First and last layers that a student has from its teacher, frozen.

The residual students of a DenseNet share both with it (Furlanello et al., 2018, section 4), and
the paper tried the same between identical networks. What is frozen has no gradient, is not
among the optimizer's weights, and so neither decays nor moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from ban_tf.compat import keras_private
from ban_tf.errors import InputError


def ends(model: keras.Model) -> list[int]:
    """Finds the first and the last layer of a model that can be shared.

    Args:
        model: A built Functional or Sequential model.

    Returns:
        Places in `model.layers`: of the first layer that is trained, counted from the start, and of
        the one that the output comes from, counted from the end (-1 is the last). Only one place if
        they are one layer, as with tied embeddings.

    Raises:
        InputError: The model has no layer that is trained.
    """
    first = next((layer for layer in model.layers if layer.trainable_weights), None)
    last = _behind(model.outputs[0])
    if first is None or last is None:
        raise InputError(f"model {model.name!r} has no layers with weights to share.")
    place = model.layers.index(first)
    return [place] if last is first else [place, model.layers.index(last) - len(model.layers)]


def _behind(tensor: keras.KerasTensor) -> keras.layers.Layer | None:
    """The last layer with weights on the way to a tensor."""
    operation, inputs, _ = keras_private.origin(tensor)
    if getattr(operation, "weights", None):
        return operation
    return _behind(inputs[0]) if inputs else None


def freeze_ends(model: keras.Model) -> list[int]:
    """Freezes the first and the last layer, before the model is compiled, and returns `ends`."""
    places = ends(model)
    for place in places:
        model.layers[place].trainable = False
    return places


def copy_ends(student: keras.Model, teacher: keras.Model, places: Sequence[int]) -> None:
    """Gives a student its teacher's weights of the first and the last layer.

    Args:
        student: A built model.
        teacher: A built model whose end layers have the same shapes.
        places: What `freeze_ends` returned for the student.

    Raises:
        InputError: The shapes differ.
    """
    check_ends(student, teacher, places)
    for place in places:
        student.layers[place].set_weights(teacher.layers[place].get_weights())


def check_ends(
    student: keras.Model, teacher: keras.Model, places: Sequence[int] | None = None
) -> None:
    """Makes sure that `copy_ends` can be done, maybe before a teacher is trained.

    Raises:
        InputError: The shapes differ.
    """
    for place in ends(student) if places is None else places:
        own, theirs = student.layers[place], teacher.layers[place]
        shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in (own, theirs)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"the student's layer {own.name!r} is to be its teacher's {theirs.name!r}, but "
                f"their weights have shapes {shapes[0]} and {shapes[1]}; choose a student of this "
                "teacher."
            )
