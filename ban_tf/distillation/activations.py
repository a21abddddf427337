"""Activations of a student drawn to those of its teacher, by Keras's feature distillation.

Furlanello et al., 2018, added an L2 loss between the activations of identical networks, and found
it slightly worse than the objective alone.
"""

from __future__ import annotations

import keras

from ban_tf.errors import InputError


def matching_layers(teacher: keras.Model, student: keras.Model) -> list[tuple[str, str]]:
    """Pairs the last layers of teacher and student at each resolution (for text: of any depth).

    Args:
        teacher: A built Functional or Sequential model.
        student: The same.

    Returns:
        Names of layers (teacher's, student's) whose outputs have the same shape, from the inputs
        on: for a network on images, the end of each of its stages.

    Raises:
        InputError: There is no such pair.
    """
    theirs, ours = _last_by_resolution(teacher), _last_by_resolution(student)
    pairs = [
        (theirs[resolution].name, ours[resolution].name)
        for resolution in ours
        if resolution in theirs
        and theirs[resolution].output.shape[1:] == ours[resolution].output.shape[1:]
    ]
    if not pairs:
        raise InputError(
            "--activation_weight needs activations of one shape in teacher and student; "
            f"{teacher.name} and {student.name} have none; --feature_weight projects others."
        )
    return pairs


def _last_by_resolution(model: keras.Model) -> dict[tuple, keras.Layer]:
    """The last layer that gives each resolution `[height, width]`, leaving out inputs and ends."""
    found = {}
    for layer in model.layers:
        output = getattr(layer, "output", None)
        shape = getattr(output, "shape", ())
        if not isinstance(layer, keras.layers.InputLayer) and len(shape) == 4:
            found[tuple(shape[1:3])] = layer
    return found


def activation_losses(
    teacher: keras.Model, student: keras.Model, weight: float
) -> list[tuple[keras.distillation.DistillationLoss, float]]:
    """Returns `distillation_losses` for a `BornAgainModel`.

    Args:
        teacher: See `matching_layers`.
        student: See `matching_layers`.
        weight: Of the mean squared difference of the activations, averaged over the pairs.

    Raises:
        InputError: See `matching_layers`.
    """
    pairs = matching_layers(teacher, student)
    return [
        (keras.distillation.FeatureDistillation("mse", theirs, ours), weight / len(pairs))
        for theirs, ours in pairs
    ]
