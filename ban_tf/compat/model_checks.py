"""What can be said about models before training: one sentence for each mistake.

For data, see `data_checks`.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from ban_tf.compat import keras_private, outputs, shared_weights
from ban_tf.compat.loss_kinds import BINARY, CATEGORICAL
from ban_tf.errors import InputError


def check_student(student: Any) -> None:
    """Checks that there is a model to train.

    Raises:
        InputError: It is no Keras model.
    """
    if not isinstance(student, keras.Model):
        raise InputError(f"`student` must be a Keras model. Received: {student!r}")


def check_flag(name: str, value: Any) -> bool:
    """Returns an argument that is True or False as a bool.

    Raises:
        InputError: It is neither.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"`{name}` must be True or False. Received: {value!r}")
    return bool(value)


def check_count(name: str, value: Any, least: int) -> int:
    """Returns an argument that is an integer of at least `least`; True and 2.0 are none.

    Raises:
        InputError: It is not.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(f"`{name}` must be an integer of at least {least}. Received: {value!r}")
    return int(value)


def check_objective(objective: Any, student: keras.Model) -> None:
    """Checks that an objective for each output names outputs that are there.

    Raises:
        InputError: It names another.
    """
    names = outputs.output_names(student)
    if isinstance(student, keras.Sequential):
        names = ["output_0"]
    if isinstance(objective, Mapping) and names:
        unknown = sorted(set(objective) - set(names))
        if unknown:
            raise InputError(
                f"`objective` names the outputs {', '.join(unknown)}, but the student has "
                f"{', '.join(names)}."
            )


def check_gradients(
    objective: Any,
    kinds: Mapping[str, str | None],
    shapes: Mapping[str, tuple[int | None, ...]],
    batch_size: int | None = None,
) -> None:
    """Checks that an objective has a gradient on each output of which enough is known.

    Args:
        objective: An `Objective`, or a dictionary of these by output.
        kinds: The kinds of outputs, by name; None where it is not known.
        shapes: Their shapes `(batch, ..., units)`.
        batch_size: Examples in a batch; None if it is not known.

    Raises:
        InputError: Whatever the student says, the gradient is zero.
    """
    for name, shape in shapes.items():
        # One number for each example may have no axis of its own.
        _, *positions, units = shape if len(shape) > 1 else (*shape, 1)
        found = objective.get(name) if isinstance(objective, Mapping) else objective
        classes = {CATEGORICAL: units, BINARY: 2}.get(kinds.get(name) or "")
        if found is None or classes is None:
            continue
        sizes = [size for size in (*positions, batch_size) if size is not None]
        counted = len(sizes) == len(positions) + 1
        reason = found.why_idle(classes, math.prod(sizes) if counted else None)
        if reason:
            raise InputError(f"`objective` {found!r} cannot teach the output {name!r}: {reason}.")


def check_teacher(teacher: Any, student: keras.Model, objective: Any) -> None:
    """Compares what is known of both models before any training starts.

    Raises:
        InputError: They do not fit together.
    """
    for model in getattr(teacher, "models", []):
        changed = shared_weights.changed_by_training(student, model)
        if changed:
            raise InputError(
                "`teacher` shares weights with the student that training changes "
                f"({', '.join(changed[:3])}), so that it would change while it teaches; freeze "
                "them (layer.trainable = False), or give a copy: keras.models.clone_model(...) "
                "with set_weights(...)."
            )
        if not model.built:
            raise InputError(
                f"`teacher` {model.name!r} has no weights yet, so that it has nothing to teach; "
                "train it, or load its weights, first."
            )
        _check_shapes(model, student, objective)


def check_opinion(name: str, theirs: Mapping[str, Any]) -> None:
    """Checks that the teacher has something to say on an output.

    Raises:
        InputError: It has other outputs.
    """
    if name not in theirs:
        raise InputError(
            f"`teacher` has no output {name!r} to learn from; it has {', '.join(theirs)}. Name the "
            "outputs to distill by giving `objective` as a dictionary."
        )


def check_classes(theirs: int, ours: int) -> None:
    """Checks that teacher and student know as many classes.

    Raises:
        InputError: They do not.
    """
    if theirs != ours:
        raise InputError(
            f"`teacher` tells {theirs} classes apart where the student has {ours}; both need the "
            "same classes."
        )


def _check_shapes(teacher: keras.Model, student: keras.Model, objective: Any) -> None:
    theirs, ours = output_shapes(teacher), output_shapes(student)
    if theirs is None or ours is None:
        return  # a subclass: the step compares what comes out
    theirs = outputs.aligned(theirs, list(ours))
    wanted = list(objective) if isinstance(objective, Mapping) else list(ours)
    for name in wanted:
        check_opinion(name, theirs)
        # One unit tells two classes apart.
        check_classes(*(max(2, shape[-1] or 2) for shape in (theirs[name], ours[name])))
        if len(theirs[name]) != len(ours[name]):
            raise InputError(
                f"`teacher` has outputs of shape {theirs[name]} where the student has "
                f"{ours[name]}; both need the same axes."
            )


def output_shapes(model: keras.Model) -> dict[str, tuple] | None:
    """Returns the shapes of the outputs of a model by name; None if they are not known."""
    if not getattr(model, "outputs", None):
        return None
    names = outputs.output_names(model)
    structure = keras_private.output_structure(model)
    structure = model.outputs if structure is None else structure
    shapes = {name: tuple(each.shape) for name, each in outputs.named(structure, names).items()}
    return shapes if all(shapes.values()) else None


def check_lasting(x: Any, fit: Mapping[str, Any]) -> None:
    """Checks that data is there for more than one generation.

    Args:
        x: As for `fit`.
        fit: Further arguments of `fit`.

    Raises:
        InputError: It is a generator that is not endless, as Keras tells by the number of steps.
    """
    validation = fit.get("validation_data")
    data = {"x": (x, "steps_per_epoch"), "validation_data": (validation, "validation_steps")}
    for name, (value, steps) in data.items():
        if inspect.isgenerator(value) and fit.get(steps) is None:
            raise InputError(
                f"`{name}` is a generator, of which nothing is left after generation 0; give a "
                f"tf.data.Dataset, a keras.utils.PyDataset, or `{steps}` with an endless one."
            )
