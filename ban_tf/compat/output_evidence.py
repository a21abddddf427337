"""Collects the evidence about a model's outputs for `output_kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ban_tf.compat import keras_private, loss_kinds, outputs
from ban_tf.compat.output_kinds import DoubtError, Evidence, Meaning, declared, kind_of, resolve
from ban_tf.compat.traced_ends import ends_of


def collect(
    model: keras.Model,
    role: str,
    *,
    loss: Any = None,
    output_kind: Any = None,
    activation: Any = None,
    called: tuple[Any, Mapping[str, Any]] | None = None,
) -> dict[str, Evidence]:
    """Returns the evidence about each output of a model.

    Args:
        model: Any Keras model.
        role: "student" or "teacher".
        loss: The compiled loss, or None.
        output_kind: An argument: a kind, or kinds by output.
        activation: An argument: an activation, or activations by output.
        called: The inputs and outputs of a call, by name. Without them only the model's graph is
            used, which a subclass does not have.
    """
    visible = outputs.visible_ends(model)
    tensors: Mapping[str, Any]
    if called is None:
        tensors, ends = outputs.symbolic(model), visible
    else:
        inputs, tensors = called
        ends = ends_of(model, visible, tensors, inputs)
    losses = loss_kinds.by_output(loss, list(tensors))
    compiled = any(losses.values())
    found = {}
    for name, tensor in tensors.items():
        units = 1 if len(tensor.shape) == 1 else tensor.shape[-1]
        found[name] = Evidence(
            name=name,
            role=role,
            kind=declared(output_kind, name),
            activation=declared(activation, name),
            losses=[loss_kinds.meaning(loss, units) for loss in losses[name]],
            compiled=compiled,
            end=ends.get(name),
            kept=keras_private.kept_logits(tensor) is not None,
            units=units,
        )
    return found


def known(evidence: Evidence) -> Meaning | None:
    """Returns the meaning of an output before its model is called; None if a call may show more.

    Raises:
        InputError: The evidence is contradictory, or a call will not resolve the doubt.
    """
    try:
        return resolve(evidence)
    except DoubtError:
        if evidence.end is not None:
            raise
        return None


def kind_if_known(evidence: Evidence) -> str | None:
    """Returns the kind of an output; None if it is in doubt or contradictory."""
    try:
        return kind_of(evidence)
    except ValueError:
        return None
