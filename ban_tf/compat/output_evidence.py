"""Gathers what is known of a model's outputs, for `output_kinds` to decide by."""

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
    """Returns what is known of each output of a model.

    Args:
        model: Any Keras model.
        role: "student" or "teacher".
        loss: What it was compiled with, or None.
        output_kind: An argument: a kind, or kinds by output.
        activation: An argument: an activation, or activations by output.
        called: The inputs that it was called with, and the outputs that came, by name. Without
            them only what the model's graph shows is known: of a subclass, nothing.
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
            losses=[loss_kinds.meaning(each, units) for each in losses[name]],
            compiled=compiled,
            end=ends.get(name),
            kept=keras_private.kept_logits(tensor) is not None,
            units=units,
        )
    return found


def known(evidence: Evidence) -> Meaning | None:
    """Returns what an output means, before its model is called; None if a call may show more.

    Raises:
        InputError: What is known contradicts itself, or a call will leave it in doubt, too.
    """
    try:
        return resolve(evidence)
    except DoubtError:
        if evidence.end is not None:
            raise
        return None


def kind_if_known(evidence: Evidence) -> str | None:
    """Returns the kind of an output, or None if it is in doubt or contradicts itself."""
    try:
        return kind_of(evidence)
    except ValueError:
        return None
