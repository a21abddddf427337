"""What a compiled loss implies about its output."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras.src.losses.losses import LossFunctionWrapper

from ban_tf.compat import keras_private

CATEGORICAL, BINARY, VALUES = "categorical", "binary", "values"
KINDS = (CATEGORICAL, BINARY, VALUES)


class LossMeaning(NamedTuple):
    """The implications of a loss for its output.

    Attributes:
        name: The loss, for messages.
        kind: "categorical", "binary" or "values"; None for a custom loss, and for one
            that fits several kinds.
        from_logits: Whether it takes logits (True) or probabilities (False); None if
            unknown.
        axis: The axis of the classes.
        void: The label that it ignores (`ignore_class`), or None.
        signed: Whether -1 among its labels means no, as for a hinge loss.
    """

    name: str
    kind: str | None = None
    from_logits: bool | None = None
    axis: int = -1
    void: int | None = None
    signed: bool = False


# By the names of Keras's functions, on which its classes are built. Dice and Tversky, which fit
# one label for each position as well as several, are not among them.
_KINDS = {
    "categorical_crossentropy": CATEGORICAL,
    "sparse_categorical_crossentropy": CATEGORICAL,
    "categorical_focal_crossentropy": CATEGORICAL,
    "categorical_generalized_cross_entropy": CATEGORICAL,
    "categorical_hinge": CATEGORICAL,
    "kl_divergence": CATEGORICAL,
    "ctc": CATEGORICAL,
    "binary_crossentropy": BINARY,
    "binary_focal_crossentropy": BINARY,
    "hinge": BINARY,
    "squared_hinge": BINARY,
    "mean_squared_error": VALUES,
    "mean_absolute_error": VALUES,
    "mean_absolute_percentage_error": VALUES,
    "mean_squared_logarithmic_error": VALUES,
    "huber": VALUES,
    "log_cosh": VALUES,
    "poisson": VALUES,
    "cosine_similarity": VALUES,
    "circle": VALUES,
}
_SIGNED = ("hinge", "squared_hinge")
# Losses without an argument `from_logits`.
_FROM_LOGITS = {
    "kl_divergence": False,
    "categorical_generalized_cross_entropy": False,
    "ctc": True,
}


def by_output(loss: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """Returns the losses of each output, assigned as in Keras.

    Args:
        loss: The `loss` of `compile`: one loss for all, or a list or dictionary of them.
        names: The names of the model's outputs.

    Returns:
        The losses of every output, possibly an empty list.
    """
    if _is_dictionary(loss):
        if len(names) == len(loss) == 1:  # Keras may have another name for the only output
            loss = dict(zip(names, loss.values(), strict=True))
        return {name: _flat(_at(loss, name)) for name in names}
    if isinstance(loss, (list, tuple)) and any("/" in name for name in names):
        entries = {f"output_{index}": entry for index, entry in enumerate(loss)}
        return {name: _flat(_at(entries, name)) for name in names}
    if isinstance(loss, (list, tuple)) and any(_is_dictionary(entry) for entry in loss):
        # Losses of all outputs together, and of some of them.
        parts = [by_output(entry, names) for entry in loss]
        return {name: [one for found in parts for one in found[name]] for name in names}
    if isinstance(loss, (list, tuple)) and len(loss) == len(names):
        return {name: _flat(entry) for name, entry in zip(names, loss, strict=True)}
    return {name: _flat(loss) for name in names}


def meaning(loss: Any, units: int | None = None) -> LossMeaning:
    """Returns what a loss implies about its output.

    Args:
        loss: A name, a function, a `keras.losses.Loss`, or the configuration of one.
        units: Entries of the output's last axis, by which Keras interprets "crossentropy".
    """
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        loss = "binary_crossentropy" if units == 1 else "categorical_crossentropy"
    loss = resolved(loss)
    name = getattr(loss, "name", None) if isinstance(loss, keras.losses.Loss) else None
    function, options = _unwrapped(loss)
    void = _void(loss, options)
    declared = getattr(loss, "output_kind", None)
    if declared in KINDS:
        from_logits = getattr(loss, "from_logits", None)
        return LossMeaning(name or type(loss).__name__, declared, from_logits, void=void)
    key = getattr(function, "__name__", "")
    name = name or key or type(loss).__name__
    if not _is_of_keras(function) or key not in _KINDS:
        return LossMeaning(name, void=void)
    defaults = inspect.signature(function).parameters
    if "from_logits" in defaults:
        from_logits = bool(options.get("from_logits", defaults["from_logits"].default))
    else:
        from_logits = _FROM_LOGITS.get(key)
    axis = options.get("axis", -1) if _KINDS[key] == CATEGORICAL else -1
    return LossMeaning(name, _KINDS[key], from_logits, axis, void, key in _SIGNED)


def resolved(loss: Any) -> Any:
    """Returns the loss object or function for a name, a configuration or a class."""
    by_description = isinstance(loss, (str, Mapping)) or inspect.isclass(loss)
    return keras.losses.get(loss) if by_description else loss


def _void(loss: Any, options: Mapping[str, Any]) -> int | None:
    """Returns the label that a loss, or one that it wraps, ignores."""
    found = getattr(loss, "ignore_class", None)
    found = options.get("ignore_class") if found is None else found
    if found is not None or not isinstance(loss, keras.losses.Loss):
        return found
    inner = {
        _void(inner, _unwrapped(inner)[1])
        for inner in vars(loss).values()
        if inner is not loss and (isinstance(inner, keras.losses.Loss) or callable(inner))
    } - {None}
    return inner.pop() if len(inner) == 1 else None


def _unwrapped(loss: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the function that a loss finally calls, and its arguments."""
    options: dict[str, Any] = {}
    while True:
        if isinstance(loss, functools.partial):
            loss, options = loss.func, {**loss.keywords, **options}
        elif isinstance(loss, keras.losses.Loss) and hasattr(loss, "fn"):
            given = loss._fn_kwargs if isinstance(loss, LossFunctionWrapper) else {}
            loss, options = loss.fn, {**given, **options}
        elif isinstance(getattr(loss, "__self__", None), keras.losses.Loss):
            loss = loss.__self__  # its `call`, or another method of it
        else:
            return loss, options


def _is_of_keras(function: Any) -> bool:
    return keras_private.is_of_keras(function, "losses")


def _is_dictionary(loss: Any) -> bool:
    """Returns whether a loss is a dictionary of losses, and no configuration of one."""
    return isinstance(loss, Mapping) and not {"class_name", "config"} <= loss.keys()


def _at(loss: Any, path: str) -> Any:
    """Returns the entry of nested losses for an output with a path such as `p/0`."""
    if isinstance(loss, Mapping):
        if path in loss:
            return loss[path]
        name, _, rest = path.partition("/")
        return _at(loss[name], rest) if rest and name in loss else None
    index, _, rest = path.partition("/")
    if isinstance(loss, (list, tuple)) and index and not index.isdigit():
        return [_at(entry, path) for entry in loss]
    if isinstance(loss, (list, tuple)) and index.isdigit() and int(index) < len(loss):
        return _at(loss[int(index)], rest)
    return loss


def _flat(losses: Any) -> list[Any]:
    if losses is None:
        return []
    if isinstance(losses, (list, tuple)):
        return [found for entry in losses for found in _flat(entry)]
    return [losses]
