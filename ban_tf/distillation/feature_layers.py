"""Which layers of a teacher and of a student are compared.

A layer of a model inside of a model is named by both, as in `backbone/block_3`, or by its name
alone if no other layer has it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import keras

from ban_tf.compat import keras_private, nested_graphs
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
    for name, layer, shape in _outputs(model, role):
        if len(shape) not in (3, 4):
            continue
        ends.pop(shape[1:-1], None)  # so that the order is that of the ends
        ends[shape[1:-1]] = name
        if layer.weights:
            weighted.add(shape[1:-1])
    kinds = [len(positions) for positions in ends if positions in weighted]
    return {
        positions: name
        for positions, name in ends.items()
        if positions in weighted and len(positions) == kinds[-1]
    }


def index(model: keras.Model, name: str) -> int | tuple[int, ...]:
    """Returns the index of a layer, which is the same each time that a network is built.

    Returns:
        That in `model.layers`; of a layer of a nested model, the index of that and the one in it.
    """
    place = next(place for place, known in _names(model).items() if known == name)
    return place if len(place) > 1 else place[0]


def named(model: keras.Model, layer: str | int | tuple[int, ...], role: str) -> str:
    """Returns the name of a layer, which is `MODEL/LAYER` in a nested model.

    Args:
        model: A Functional or built Sequential model.
        layer: Its name, or its index as `index` returns it.
        role: "teacher" or "student", for messages.

    Raises:
        InputError: There is no such layer, or several.
    """
    _check_graph(model, role)
    names = _names(model)
    if not isinstance(layer, str):
        return _name_at(model, names, layer, role)
    if layer in names.values():
        return layer
    found = [name for name in names.values() if name.endswith(f"/{layer}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"The {role} {model.name!r} has several layers {layer!r}; name one of "
            f"{', '.join(found)}."
        )
    close = difflib.get_close_matches(layer, names.values(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"the last is {model.layers[-1].name}."
    raise InputError(f"The {role} {model.name!r} has no layer {layer!r}; {hint}")


def _name_at(
    model: keras.Model, names: dict[tuple[int, ...], str], layer: int | tuple[int, ...], role: str
) -> str:
    first, *further = layer if isinstance(layer, (tuple, list)) else (layer,)
    count = len(model.layers)
    place = (first + count if first < 0 else first, *further)
    if place not in names:
        raise InputError(f"The {role} {model.name!r} has {count} layers, and none {layer}.")
    return names[place]


def output_of(model: keras.Model, layer: str | int | tuple[int, ...], role: str) -> Any:
    """Returns the symbolic output of a layer; see `named`.

    Raises:
        InputError: There is no such layer, it is used more than once or has several outputs.
    """
    name = named(model, layer, role)
    output = outputs_of(model, [name], role)[2][name]
    if not isinstance(output, keras.KerasTensor):
        raise InputError(f"The layer {name!r} of the {role} has several outputs; choose another.")
    return output


def outputs_of(
    model: keras.Model, names: Sequence[str], role: str
) -> tuple[Any, Any, dict[str, Any]]:
    """Returns inputs and outputs of a model, and the outputs of some layers, all symbolic.

    Args:
        model: A Functional or built Sequential model.
        names: Names of layers.
        role: "teacher" or "student", for messages.

    Raises:
        InputError: A layer is not in the model, or is used more than once.
    """
    full = {name: named(model, name, role) for name in names}
    if any("/" in name for name in full.values()):
        graph, known = nested_graphs.flat(model), _names(model)
        features = {known[place]: output for place, output in graph.features.items()}
        inputs, outputs = graph.inputs, graph.outputs
    else:
        features = {name: _own_output(model.get_layer(name)) for name in full.values()}
        first = isinstance(model, keras.Sequential)
        inputs = model.inputs[0] if first else model.input
        outputs = model.outputs[0] if first else model.output
    for name in full.values():
        if features.get(name) is None:
            raise InputError(
                f"The layer {name!r} of the {role} is used several times; choose another one."
            )
    return inputs, outputs, {name: features[own] for name, own in full.items()}


def is_layer(value: Any) -> bool:
    """Returns whether a value is a name or an index of a layer."""
    indices = value if isinstance(value, (tuple, list)) else [value]
    numbers = all(isinstance(one, int) and not isinstance(one, bool) for one in indices)
    return isinstance(value, str) or (numbers and len(indices) > 0)


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


def _check_graph(model: keras.Model, role: str) -> None:
    inside = isinstance(model, keras.Sequential) or keras_private.is_functional(model)
    if not inside or not model.inputs:
        raise InputError(
            f"Features need a {role} that is a Functional or a built Sequential model. Received: "
            f"{type(model).__name__}"
        )


def _names(model: keras.Model) -> dict[tuple[int, ...], str]:
    """Returns the names of all layers by their places, those of nested models included."""
    found = nested_graphs.places(model)
    return {
        place: "/".join(found[place[:depth]].name for depth in range(1, len(place) + 1))
        for place in found
    }


def _own_output(layer: keras.Layer) -> Any:
    try:
        return layer.output
    except (ValueError, AttributeError):
        return None


def _outputs(
    model: keras.Model, role: str
) -> list[tuple[str, keras.Layer, tuple[int | None, ...]]]:
    """Returns names, layers with one output, in their order, and its shape; no inputs."""
    _check_graph(model, role)
    layers, names = nested_graphs.places(model), _names(model)
    nested = [place for place, layer in layers.items() if nested_graphs.has_graph(layer)]
    features = nested_graphs.flat(model).features if nested else {}
    found = []
    for place, layer in layers.items():
        output = features.get(place) if nested else _own_output(layer)
        is_input = isinstance(layer, keras.layers.InputLayer)
        if isinstance(output, keras.KerasTensor) and not is_input and place not in nested:
            found.append((names[place], layer, tuple(output.shape)))
    return found


def _before_last(model: keras.Model, role: str) -> str:
    """Returns the last layer before the last one with weights, whose features it takes."""
    found = _outputs(model, role)
    ends = [index for index, (_, layer, _) in enumerate(found) if layer.weights]
    # Before the only layer with weights there are only inputs.
    before = found[: ends[-1]] if len(ends) > 1 else []
    if not before:
        raise InputError(
            f"The {role} {model.name!r} has no layer before its last one whose features could be "
            "compared; name layers, or leave out feature losses."
        )
    return before[-1][0]
