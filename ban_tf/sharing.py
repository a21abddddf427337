"""First and last layers that a student has from its teacher, frozen.

The residual students of a DenseNet share both with it (Furlanello et al., 2018, section 4), and
the paper tried the same between identical networks. What is frozen has no gradient, is not
among the optimizer's weights, and so neither decays nor moves.
"""

from __future__ import annotations

import keras


def ends(model: keras.Model) -> list[keras.Layer]:
    """Returns the first and the last layer of a model that have weights (maybe one and the same).

    Raises:
        ValueError: The model has no weights.
    """
    layers = [layer for layer in model.layers if layer.weights]
    if not layers:
        raise ValueError(f"model {model.name!r} has no layers with weights to share.")
    return layers[:1] if layers[0] is layers[-1] else [layers[0], layers[-1]]


def freeze_ends(model: keras.Model) -> None:
    """Freezes the first and the last layer; to be called before the model is compiled."""
    for layer in ends(model):
        layer.trainable = False


def copy_ends(student: keras.Model, teacher: keras.Model) -> None:
    """Gives a student its teacher's weights of the first and the last layer.

    Args:
        student: A built model.
        teacher: A built model whose end layers have the same shapes.

    Raises:
        ValueError: The shapes differ.
    """
    for own, theirs in zip(ends(student), ends(teacher), strict=False):
        shapes = [[tuple(each.shape) for each in layer.weights] for layer in (own, theirs)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the student's layer {own.name!r} is to be its teacher's {theirs.name!r}, but "
                f"their weights have shapes {shapes[0]} and {shapes[1]}; choose a student of this "
                "teacher."
            )
        own.set_weights(theirs.get_weights())
