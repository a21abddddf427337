"""Which layers of a teacher and of a student are compared."""

from __future__ import annotations

import difflib
from typing import Any

import keras

from ban_tf.compat import keras_private
from ban_tf.errors import InputError


def automatic(teacher: keras.Model, student: keras.Model) -> list[tuple[str, str]]:
    """Pairs the ends of the stages of two networks.

    A stage is all layers of one resolution (for tokens: of one number of tokens). Stages of the
    same resolution are paired; if there are none, the last with the last, and so on. Networks
    without stages are compared before their last layer.

    Args:
        teacher: A Functional or built Sequential model.
        student: The same.

    Returns:
        Pairs of the names of a teacher's and a student's layer, from the inputs on.

    Raises:
        InputError: One of them has no such layer.
    """
    theirs, ours = stage_ends(teacher, "teacher"), stage_ends(student, "student")
    same = [positions for positions in ours if positions in theirs]
    if same:
        return [(theirs[positions], ours[positions]) for positions in same]
    if theirs and ours:
        return list(zip(reversed(theirs.values()), reversed(ours.values()), strict=False))[::-1]
    return [(_before_last(teacher, "teacher"), _before_last(student, "student"))]


def stage_ends(model: keras.Model, role: str) -> dict[tuple[int | None, ...], str]:
    """Returns the last layer of each stage by its resolution, from the inputs on.

    Resolutions at which no layer has weights, such as that of a padding, are no stages; nor are
    the maps of a network that ends in tokens, such as those that its patches are made of.

    Args:
        model: A Functional or built Sequential model.
        role: "teacher" or "student", for messages.
    """
    weighted: set[tuple[int | None, ...]] = set()
    ends: dict[tuple[int | None, ...], str] = {}
    for layer, shape in _outputs(model, role):
        if len(shape) not in (3, 4):
            continue
        ends.pop(shape[1:-1], None)  # so that the order is that of the ends
        ends[shape[1:-1]] = layer.name
        if layer.weights:
            weighted.add(shape[1:-1])
    kinds = [len(positions) for positions in ends if positions in weighted]
    return {
        positions: name
        for positions, name in ends.items()
        if positions in weighted and len(positions) == kinds[-1]
    }


def index(model: keras.Model, name: str) -> int:
    """Returns the index of a layer, which is the same each time that a network is built."""
    return [layer.name for layer in model.layers].index(name)


def named(model: keras.Model, layer: str | int, role: str) -> str:
    """Returns the name of a layer.

    Args:
        model: A Functional or built Sequential model.
        layer: Its name, or its index among the model's layers.
        role: "teacher" or "student", for messages.

    Raises:
        InputError: There is no such layer.
    """
    known, name = [one.name for one in _layers(model, role)], str(layer)
    if isinstance(layer, int):
        if not -len(known) <= layer < len(known):
            raise InputError(
                f"The {role} {model.name!r} has {len(known)} layers, and none {layer}."
            )
        return known[layer]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the last is {known[-1]}."
        raise InputError(f"The {role} {model.name!r} has no layer {name!r}; {hint}")
    return name


def output_of(model: keras.Model, layer: str | int, role: str) -> Any:
    """Returns the symbolic output of a layer; see `named`.

    Raises:
        InputError: There is no such layer, it is used more than once or has several outputs.
    """
    name = named(model, layer, role)
    try:
        output = model.get_layer(name).output
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"The layer {name!r} of the {role} is used several times; choose another one."
        ) from error
    if not isinstance(output, keras.KerasTensor):
        raise InputError(f"The layer {name!r} of the {role} has several outputs; choose another.")
    return output


def check_pairs(pairs: Any) -> list[tuple[Any, Any]]:
    """Checks pairs of layers.

    Raises:
        InputError: They are none, or empty.
    """
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise InputError(f"`layers` must be 'auto' or pairs of names. Received: {pairs!r}")
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise InputError(
                f"`layers` must have pairs (teacher's layer, student's layer). Received: {pair!r}"
            )
    return [(theirs, ours) for theirs, ours in pairs]


def _layers(model: keras.Model, role: str) -> list[keras.Layer]:
    inside = isinstance(model, keras.Sequential) or keras_private.is_functional(model)
    if not inside or not model.inputs:
        raise InputError(
            f"Features need a {role} that is a Functional or a built Sequential model. Received: "
            f"{type(model).__name__}"
        )
    return list(model.layers)


def _outputs(model: keras.Model, role: str) -> list[tuple[keras.Layer, tuple[int | None, ...]]]:
    """Returns the layers with one output, in their order, and its shape; no inputs."""
    found = []
    for layer in _layers(model, role):
        try:
            output = layer.output
        except (ValueError, AttributeError):  # it is used several times
            continue
        if isinstance(output, keras.KerasTensor) and not isinstance(layer, keras.layers.InputLayer):
            found.append((layer, tuple(output.shape)))
    return found


def _before_last(model: keras.Model, role: str) -> str:
    """Returns the last layer before the last one with weights, whose features it takes."""
    found = _outputs(model, role)
    ends = [index for index, (layer, _) in enumerate(found) if layer.weights]
    # Before the only layer with weights, a wrapped model for example, there are only inputs.
    before = found[: ends[-1]] if len(ends) > 1 else []
    if not before:
        raise InputError(
            f"The {role} {model.name!r} has no layer before its last one whose features could be "
            "compared; name layers, or leave out feature losses."
        )
    return before[-1][0].name
