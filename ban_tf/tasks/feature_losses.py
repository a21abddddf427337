"""The losses between layers of the first teacher and of its student, by flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from ban_tf.config.options import Options
from ban_tf.distillation import activations, features
from ban_tf.errors import InputError
from ban_tf.objectives import feature_names
from ban_tf.system import seeds


def of_options(
    options: Options, first_model: keras.Model | None, build: Callable[[str], keras.Model]
) -> list[tuple[Any, float]] | None:
    """Returns the `distillation_losses` of `Lineage`.

    Args:
        options: The options of the run.
        first_model: The model of generation 0, if it is given.
        build: Builds a network by its name.

    Returns:
        None if no flag asks for one.

    Raises:
        InputError: A layer does not exist, or cannot be compared.
    """
    if not (options.activation_weight or options.feature_weight):
        return None
    networks = first_model or build(options.arch), build(options.architectures[-1])
    found: list[tuple[Any, float]] = []
    if options.activation_weight:
        found += activations.activation_losses(*networks, options.activation_weight)
    if options.feature_weight:
        try:
            found += features.losses(
                *networks,
                options.feature_loss,
                weight=options.feature_weight,
                layers=feature_names.parse_layers(options.feature_layers),
                seed=seeds.derive_seed(options.seed, "projections"),
            )
        except InputError as error:
            raise InputError(f"--feature_layers={options.feature_layers}: {error}") from error
    return found
