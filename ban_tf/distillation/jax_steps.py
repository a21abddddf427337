"""What a compiled JAX step is given beside its batch, and returns: weights of the teacher, states.

A step that only refers to a teacher holds its weights as constants, and has to be compiled again
whenever they may have changed. As arguments they may change, and the program is smaller. The states
of recurrent layers, also of a teacher, go in and out with the variables of the trained model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from ban_tf.compat import recurrent_states
from ban_tf.distillation import teachers


class Batch(NamedTuple):
    """A batch, and the values of the teacher's variables.

    Attributes:
        data: What the data gave: inputs, labels, weights.
        values: One array for each of `teacher_variables`.
    """

    data: Any
    values: list[Any]


def teacher_variables(teacher: Any, student: keras.Model) -> list[Any]:
    """Returns the variables of all models of a teacher, without those that the student shares."""
    own = {id(variable) for variable in student.variables}
    models = [model for part in teachers.parts_of(teacher) for model in getattr(part, "models", [])]
    found = {id(variable): variable for model in models for variable in model.variables}
    return [variable for key, variable in found.items() if key not in own]


def given_values(
    model: keras.Model, variables: Sequence[Any], batch: Any, *state: Any
) -> tuple[Any, contextlib.AbstractContextManager[Any]]:
    """Returns the data of a batch, and a scope in which variables have the values of the step.

    Args:
        model: The model that is trained.
        variables: As `teacher_variables` returned them.
        batch: A `Batch`, or the data alone.
        *state: What JAX passes to a step before the batch: the values of the model's trainable
            variables, of its other variables, and further ones.
    """
    if not isinstance(batch, Batch):
        return batch, contextlib.nullcontext()
    (trainable, others, *_), *_ = state
    pairs = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, others, strict=True),
        *zip(variables, batch.values, strict=True),
    ]
    return batch.data, keras.StatelessScope(state_mapping=pairs)


def with_states(model: keras.Model, held: Any, state: Sequence[Any]) -> list[Any]:
    """Returns what JAX passes to a step, with the states that a teacher has left behind.

    Args:
        model: The model that is trained.
        held: The scope of `given_values`, in which the teacher was called.
        state: As for `given_values`.
    """
    carried = {id(variable) for variable in recurrent_states.variables(model)}
    if not carried or not isinstance(held, keras.StatelessScope):
        return list(state)
    (trainable, others, *further), *rest = state
    others = [
        held.get_current_value(variable) if id(variable) in carried else value
        for variable, value in zip(model.non_trainable_variables, others, strict=True)
    ]
    return [(trainable, others, *further), *rest]
