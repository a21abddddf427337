"""Creates fresh models, from a function or by copying a model layer by layer."""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras

from ban_tf.compat import preparation
from ban_tf.compat.same_network import SameNetwork
from ban_tf.errors import InputError
from ban_tf.system import shown, user_code


def copy_layer(
    layer: keras.Layer, kind: type | None = None, config: dict[str, Any] | None = None
) -> keras.Layer:
    """Returns a layer of the same configuration with its own weights.

    Adapted state (a vocabulary, a mean) is not in the configuration and is copied, also into nested
    layers: a layer that two models share can be saved, but not loaded.

    Args:
        layer: A layer or operation.
        kind: The class of the copy; by default that of the layer.
        config: The configuration of the copy; by default that of the layer.
    """
    made: Any = kind or type(layer)
    copy = made.from_config(config or layer.get_config())
    copy.name = layer.name  # Keras's automatic configuration has no automatic names
    if isinstance(layer, keras.Layer) and any(map(_is_adapted, layer._flatten_layers())):
        if layer.built:
            copy.build_from_config(layer.get_build_config() or {})
        for source, target in zip(layer._flatten_layers(), copy._flatten_layers(), strict=True):
            if _is_adapted(source):
                _copy_adapted(source, target)
    return copy


def _is_adapted(layer: keras.Layer) -> bool:
    return hasattr(layer, "adapt")


def _copy_adapted(source: keras.Layer, target: keras.Layer) -> None:
    """Copies the adapted state of a preprocessing layer, in the form in which Keras saves it."""
    if source.built:
        variables: dict[str, Any] = {}
        source.save_own_variables(variables)
        if variables:
            target.load_own_variables(variables)
    if hasattr(source, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            source.save_assets(folder)
            if any(pathlib.Path(folder).iterdir()):
                target.load_assets(folder)


def cannot_rebuild(model: keras.Model) -> str:
    """Returns the error message for a model that cannot be copied layer by layer."""
    return (
        "model must be a Functional or Sequential model whose layers can be rebuilt from their "
        f"configuration. Received: {model.name!r} of type {type(model).__name__}"
    )


@contextlib.contextmanager
def rebuilding(model: keras.Model) -> Iterator[None]:
    """Names the model where Keras cannot rebuild it from its configuration within the block.

    Raises:
        InputError: It cannot; the message has the reason that Keras gives.
    """
    try:
        yield
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"{cannot_rebuild(model)} ({shown.first_line(error)})") from error


def with_new_weights(model: keras.Model, argument: str = "build") -> keras.Model:
    """Returns a copy of a Functional or Sequential model with fresh weights.

    Args:
        model: The model.
        argument: The name of the argument, for messages.

    Raises:
        InputError: A layer cannot be rebuilt from its configuration.
    """
    try:
        if preparation.of(model) is not None:
            return _prepared_alike(model)
        return keras.models.clone_model(model, clone_function=copy_layer, recursive=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(
            f"`{argument}` {model.name!r} cannot be cloned layer by layer "
            f"({shown.first_line(error)}); give a function that returns a fresh model instead."
        ) from error


def _prepared_alike(model: keras.Model) -> keras.Model:
    # `clone_model` would only return its graph. A preprocessor has no trainable weights.
    copy = copy_layer(model)
    copy.preprocessor = model.preprocessor
    return copy


def with_same_weights(model: keras.Model) -> keras.Model:
    """Returns a copy of a Functional or Sequential model with the same weight values.

    Layers that several nested models share are duplicated: Keras cannot load a saved shared layer.

    Args:
        model: A built model.

    Raises:
        InputError: A layer cannot be rebuilt from its configuration, or the class of the model
            computes something else than its graph.
    """
    with rebuilding(model):
        copy = _copy_model(model)
    _copy_weights(model, copy)
    return copy


def has_weights(model: keras.Model) -> bool:
    """Returns whether the weights of a model exist.

    Keras takes a subclassed model for built once its `build` was called, also where that is the
    method of `keras.Model`, which builds no layer.
    """
    unbuilt = not model.weights and any(not layer.built for layer in model.layers)
    return model.built and not unbuilt


def with_graph(model: keras.Model) -> keras.Model:
    """Returns a Functional model around a subclassed one; others unchanged.

    It takes inputs of the shape that the model was built with, and has the model as its only layer.

    Args:
        model: A model.

    Raises:
        InputError: The model was never called on one argument, so that its inputs are not known.
    """
    if getattr(model, "outputs", None) or isinstance(model, keras.Sequential):
        return model
    built_with = (model.get_build_config() or {}) if model.built else {}
    if not model.weights or set(built_with) != {"input_shape"}:
        raise InputError(
            f"the inputs of {model.name!r} of type {type(model).__name__} are not known; call it "
            "once on data, as its only argument"
        )
    inputs = _inputs_of_shape(built_with["input_shape"])
    return keras.Model(inputs, model(inputs, training=False), name=model.name)


def _inputs_of_shape(shape: Any, name: str | None = None) -> Any:
    """Returns inputs for a shape, or a dictionary or list of shapes."""
    if isinstance(shape, dict):
        return {key: _inputs_of_shape(inner, str(key)) for key, inner in shape.items()}
    if any(isinstance(inner, (dict, list, tuple)) for inner in shape):
        return [_inputs_of_shape(inner) for inner in shape]
    return keras.Input(tuple(shape)[1:], name=name)


def _copy_model(model: keras.Model) -> keras.Model:
    """Copies a model by its graph, or by its class where the graph has no copy that can be saved.

    Not all layers of KerasHub can be loaded as parts of a saved graph: some build from tuples
    alone, where a file has lists.
    """
    own = _has_own_config(model)
    try:
        copy = _copy_graph(model)
    except (ValueError, TypeError, NotImplementedError):
        by_class = _copy_by_class(model) if own else None
        if by_class is None:
            raise
        return by_class
    if not own or _can_be_loaded(copy):
        return copy
    by_class = _copy_by_class(model)
    return copy if by_class is None else by_class


def _can_be_loaded(model: keras.Model) -> bool:
    """Returns whether a saved model can be loaded again where its classes are known."""
    known = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    try:
        saved = json.dumps(keras.saving.serialize_keras_object(model))
        with keras.saving.custom_object_scope(known):
            keras.saving.deserialize_keras_object(json.loads(saved), safe_mode=False)
    except Exception:  # of any class: layers run code of their own
        return False
    return True


def _copy_by_class(model: keras.Model) -> keras.Model | None:
    try:
        copy = copy_layer(model)
    except (ValueError, TypeError, NotImplementedError):
        return None
    if [weight.shape for weight in copy.weights] != [weight.shape for weight in model.weights]:
        return None
    if preparation.of(copy) is not None:
        copy.preprocessor = None  # its input is already prepared
    return copy


def _copy_graph(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(
        model,
        clone_function=lambda layer: _copy_model(layer) if _has_graph(layer) else copy_layer(layer),
    )
    if type(copy).call is not type(model).call or "call" in vars(model):
        raise InputError(f"the `call` of {type(model).__name__} {model.name!r} would be lost")
    return copy


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    if _has_own_config(source) and type(target) is type(source):
        target.set_weights(source.get_weights())
        return
    for inner, copied in zip(source.layers, target.layers, strict=True):
        if _has_graph(inner):
            _copy_weights(inner, copied)
        else:
            copied.set_weights(inner.get_weights())


def _has_own_config(model: keras.Model) -> bool:
    """Returns whether a model is rebuilt by its class (as in KerasHub) and not by its graph."""
    return not type(model).get_config.__module__.startswith("keras.")


def _has_graph(layer: Any) -> bool:
    return isinstance(layer, keras.Sequential | keras.Function)


def as_model_factory(
    build: Callable[[], keras.Model] | keras.Model, argument: str = "build"
) -> Callable[[], keras.Model]:
    """Returns a function that creates a fresh model.

    Args:
        build: A function that returns a fresh model, or a model to be cloned with new weights.
        argument: The name of the argument, for messages.

    Raises:
        InputError: It is neither, or (when called) the model cannot be cloned, has no weights, was
            already returned before, or differs from the first in more than its weights.
    """
    fresh, same = build, SameNetwork(argument)
    known: weakref.WeakSet[keras.Model] = weakref.WeakSet()
    if isinstance(build, keras.Model):
        if not isinstance(build, keras.Sequential) and getattr(build, "inputs", None) is None:
            raise InputError(
                f"`{argument}` is a subclassed model, which Keras cannot clone; give a function "
                "that returns a fresh model instead."
            )
        fresh = functools.partial(with_new_weights, build, argument)
    elif not callable(build):
        raise InputError(
            f"`{argument}` must be a Keras model or a function that returns one. Received: "
            f"{build!r}"
        )
    elif not user_code.takes(build, 0):
        raise InputError(
            f"`{argument}` must be a function that takes no arguments. Received: {build!r}"
        )

    def built() -> keras.Model:
        model = fresh()
        if not isinstance(model, keras.Model) or not has_weights(model):
            raise InputError(
                f"`{argument}` must return a Keras model whose weights exist; start it with "
                f"keras.Input, or call it once on data. Received: {model!r}"
            )
        if model in known:
            raise InputError(
                f"`{argument}` returned the model {model.name!r} twice; it must create a new one."
            )
        known.add(model)
        same.check(model)
        return model

    return built
