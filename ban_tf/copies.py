"""Fresh models: from a function, or as copies of a model, layer by layer."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable

import keras


def copy_layer(layer: keras.Layer) -> keras.Layer:
    """Returns a layer of the same configuration with weights of its own.

    What was adapted to data (a vocabulary, a mean) is not in the configuration, and training
    never changes it: such a layer is shared, which is safe.
    """
    if hasattr(layer, "adapt"):
        return layer
    return type(layer).from_config(layer.get_config())


def first_line(error: Exception) -> str:
    """Returns the first line of what an error says, or what it is if it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else repr(error)


def cannot_rebuild(model: keras.Model) -> str:
    """Returns the sentence about a model that is to be copied layer by layer, and cannot."""
    return (
        "model must be a Functional or Sequential model whose layers can be rebuilt from their "
        f"configuration. Received: {model.name!r} of type {type(model).__name__}"
    )


def with_new_weights(model: keras.Model, argument: str = "build") -> keras.Model:
    """Returns a copy of a Functional or Sequential model, initialised anew.

    Args:
        model: The model.
        argument: Where it was given, for messages.

    Raises:
        ValueError: A layer of it cannot be made again from its configuration.
    """
    try:
        return keras.models.clone_model(model, clone_function=copy_layer, recursive=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"`{argument}` {model.name!r} cannot be cloned layer by layer ({first_line(error)}); "
            "give a function that returns a fresh model instead."
        ) from error


def builder(
    build: Callable[[], keras.Model] | keras.Model, argument: str = "build"
) -> Callable[[], keras.Model]:
    """Returns a function that makes a fresh model.

    Args:
        build: A function that returns a fresh model, or a model to be cloned with new weights.
        argument: Where it was given, for messages.

    Raises:
        ValueError: It is neither, or (when called) the model cannot be cloned, has no weights, or
            is the one that was returned before.
    """
    fresh, known = build, weakref.WeakSet()
    if isinstance(build, keras.Model):
        if not isinstance(build, keras.Sequential) and getattr(build, "inputs", None) is None:
            raise ValueError(
                f"`{argument}` is a subclassed model, which Keras cannot clone; give a function "
                "that returns a fresh model instead."
            )
        fresh = functools.partial(with_new_weights, build, argument)
    elif not callable(build):
        raise ValueError(
            f"`{argument}` must be a Keras model or a function that returns one. Received: "
            f"{build!r}"
        )

    def built() -> keras.Model:
        model = fresh()
        if not isinstance(model, keras.Model) or not model.built:
            raise ValueError(
                f"`{argument}` must return a Keras model whose weights exist; begin it with "
                f"keras.Input, or call it once on data. Received: {model!r}"
            )
        if model in known:
            raise ValueError(
                f"`{argument}` returned the model {model.name!r} twice; it must make a new one."
            )
        known.add(model)
        return model

    return built
