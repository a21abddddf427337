"""BANE: the mean of the generations (Furlanello et al., 2018, section 3.2), a Keras model.

It is built of stock Keras layers alone, so that the one file it is saved in loads without
this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ban_tf.compat import copies, loss_kinds, outputs, preparation
from ban_tf.compat.loss_kinds import CATEGORICAL, KINDS, VALUES
from ban_tf.compat.output_evidence import collect
from ban_tf.compat.output_kinds import ACTIVATIONS, LINEAR, Meaning, check_declared, resolve
from ban_tf.distillation.prepared_model import PreparedModel
from ban_tf.errors import InputError
from ban_tf.metrics.ensembles import AVERAGES


def ensemble(
    members: Sequence[keras.Model],
    average: str = "probabilities",
    name: str = "ensemble",
    *,
    output_kind: str | Mapping[str, str] | None = None,
    activation: str | Mapping[str, str] | None = None,
    loss: Any = None,
) -> keras.Model:
    """Returns one model that averages several.

    Args:
        members: Built models with the same inputs and outputs. A subclassed one must have been
            called on its only argument, and be rebuilt from its configuration; the ensemble then
            loads where its class is registered.
        average: "probabilities" averages the members' predicted distributions, as the paper
            does, unit by unit for binary outputs; "logits" averages their logits (a geometric
            mean of the distributions). Of values, the mean is taken either way.
        name: The name of the model.
        output_kind: What the outputs mean: "categorical", "binary" or "values", or a dictionary
            of these by output name, as the first member has them. None for what the members'
            compiled losses and their ends say; see `output_kinds`.
        activation: "linear", "softmax" or "sigmoid" where detecting what members apply last would
            err, or a dictionary of these by output name.
        loss: What the members were trained with, if they are not compiled.

    Returns:
        A Functional model with the members' inputs, which are read once, by all, and outputs
        `[batch, ..., units]`: probabilities, or logits where logits are averaged, or values.

    Raises:
        InputError: There are no members, they do not fit together, `average` is unknown, or what
            an output means is not known.
    """
    members = _with_graphs(members)
    _check(members, average)
    check_declared("output_kind", output_kind, KINDS, outputs.output_names(members[0]))
    check_declared("activation", activation, ACTIVATIONS, outputs.output_names(members[0]))
    names = list(outputs.symbolic(members[0]))
    own_names = [_matched(member, members[0]) for member in members]
    meanings = [
        _meanings(member, dict(zip(own, names, strict=True)), output_kind, activation, loss)
        for member, own in zip(members, own_names, strict=True)
    ]
    first = members[0]
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(
            tensor.shape[1:],
            dtype=tensor.dtype,
            name="inputs" if len(first.inputs) == 1 else tensor.name,
        ),
        _inputs_of(first),
    )
    given: dict[str, list[Any]] = {output: [] for output in names}
    structure = None
    for index, member in enumerate(members):
        # Members are copies: Keras asks for unique names, and the originals keep theirs.
        try:
            copy = copies.with_same_weights(member)
        except InputError as error:
            raise InputError(f"`members` holds a model that cannot be copied: {error}.") from error
        copy.name = f"member_{index}"
        raw = copy(inputs)
        structure = raw if structure is None else structure
        by_name = outputs.named(raw, outputs.output_names(member))
        for output, own in zip(names, own_names[index], strict=True):
            suffix = f"{index}" if len(given) == 1 else f"{output}_{index}"
            form = _averaged_form(by_name[own], meanings[index][own], average, suffix)
            given[output].append(form)
    means = {
        output: _mean(tensors, "mean" if len(given) == 1 else output)
        for output, tensors in given.items()
    }
    joint = outputs.structured_like(structure, means)
    if preparation.of(first) is None:
        return keras.Model(inputs, joint, name=name)
    model = PreparedModel(inputs, joint, name=name)
    model.preprocessor = first.preprocessor
    return model


def _with_graphs(members: Sequence[keras.Model]) -> list[keras.Model]:
    """Returns members that have inputs and outputs, also those that are subclassed models."""
    try:
        return [
            copies.with_graph(model) if isinstance(model, keras.Model) else model
            for model in members
        ]
    except InputError as error:
        raise InputError(
            f"`members` must be built Functional or Sequential models, or others that were called: "
            f"{error}."
        ) from error


def _check(members: Sequence[keras.Model], average: str) -> None:
    if not members:
        raise InputError("`members` is empty; an ensemble needs at least one model.")
    if average not in AVERAGES:
        raise InputError(f"`average` must be one of {', '.join(AVERAGES)}. Received: {average!r}")
    if any(not getattr(model, "outputs", None) for model in members):
        raise InputError("`members` must be built Functional or Sequential models.")
    if not all(preparation.same(members[0], model) for model in members):
        raise InputError("`members` prepare their inputs differently; they must do it alike.")
    shapes = set()
    for model in members:
        by_name = outputs.symbolic(model)
        if len(by_name) != len(outputs.symbolic(members[0])):
            raise InputError("`members` have different numbers of outputs.")
        shapes.add(str([tuple(by_name[own].shape) for own in _matched(model, members[0])]))
    if len(shapes) > 1:
        raise InputError(f"`members` have outputs of different shapes: {sorted(shapes)}.")


def _matched(member: keras.Model, first: keras.Model) -> list[str]:
    """Returns the names of a member's outputs in the order of those of the first one.

    Outputs that the user named, or that are in a dictionary, belong together by name; others by
    their order, since Keras counts layers on from model to model.
    """
    wanted, own = (list(outputs.symbolic(model)) for model in (first, member))
    counted = outputs.counted_names(first, member)
    found = outputs.aligned({name: name for name in own}, wanted, counted)
    return [found[name] for name in wanted] if set(found) == set(wanted) else own


def _meanings(
    member: keras.Model, names: Mapping[str, str], output_kind: Any, activation: Any, loss: Any
) -> dict[str, Meaning]:
    """Returns what a member's outputs mean, by its own names for them.

    Args:
        member: The model.
        names: The first member's names, in which the arguments are given, by its own.
        output_kind: See `ensemble`.
        activation: See `ensemble`.
        loss: See `ensemble`.
    """

    def renamed(given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {own: given.get(name) for own, name in names.items()}

    if loss is None:
        loss = getattr(member, "loss", None)
    else:
        loss = renamed(loss_kinds.by_output(loss, list(names.values())))
    found = collect(
        member,
        "member",
        loss=loss,
        output_kind=renamed(output_kind),
        activation=renamed(activation),
        called=(_inputs_of(member), outputs.symbolic(member)),
    )
    # No label loss trains members: linear ends alone do not say what they mean.
    return {own: resolve(evidence._replace(compiled=True)) for own, evidence in found.items()}


def _inputs_of(model: keras.Model) -> Any:
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _averaged_form(tensor: Any, meaning: Meaning, average: str, suffix: str) -> Any:
    """Returns what is averaged of a member's output."""
    if meaning.kind == VALUES:
        return tensor
    if average == "logits":
        if meaning.activation != LINEAR:
            raise InputError("`average` is 'logits', but a member's outputs are probabilities.")
        return tensor
    if meaning.activation != LINEAR:
        return tensor
    last = "softmax" if meaning.kind == CATEGORICAL else "sigmoid"
    return keras.layers.Activation(last, dtype="float32", name=f"probabilities_{suffix}")(tensor)


def _mean(tensors: Sequence[Any], name: str) -> Any:
    if len(tensors) == 1:
        return tensors[0]
    return keras.layers.Average(dtype="float32", name=name)(tensors)
