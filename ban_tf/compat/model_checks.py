"""Checks of models before training, with one sentence per mistake.

For data, see `data_checks`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import keras

from ban_tf.compat import copies, keras_private, outputs, preparation, shared_weights
from ban_tf.compat.loss_kinds import BINARY, CATEGORICAL
from ban_tf.errors import InputError


def check_student(student: Any) -> None:
    """Checks that there is a model to train.

    Raises:
        InputError: It is not a Keras model.
    """
    if not isinstance(student, keras.Model):
        raise InputError(f"`student` must be a Keras model. Received: {student!r}")


def check_objective(objective: Any, student: keras.Model) -> None:
    """Checks that the outputs named by an objective exist.

    Raises:
        InputError: An output does not exist.
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
    """Checks that an objective has a gradient for each output, as far as its kind is known.

    Args:
        objective: An `Objective`, or a dictionary of these by output.
        kinds: The kinds of outputs by name; None if unknown.
        shapes: Their shapes `(batch, ..., units)`.
        batch_size: Examples in a batch; None if unknown.

    Raises:
        InputError: The gradient is always zero.
    """
    for name, shape in shapes.items():
        # A single value per example may have no axis.
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
    """Checks that teacher and student are compatible, as far as known before training.

    Raises:
        InputError: They are not compatible.
    """
    parts = getattr(teacher, "teachers", [teacher])
    inner = [(part, getattr(part, "teacher", part)) for part in parts]  # of one with other classes
    for part, model in ((part, model) for part, own in inner for model in _models(own)):
        changed = shared_weights.changed_by_training(student, model)
        if changed:
            raise InputError(
                "`teacher` shares weights that training changes with the student "
                f"({', '.join(changed[:3])}), so that it would change during training; freeze "
                "them (layer.trainable = False), or give a copy: keras.models.clone_model(...) "
                "with set_weights(...)."
            )
        if not copies.has_weights(model):
            raise InputError(
                f"`teacher` {model.name!r} has no weights yet; train it or load its weights first."
            )
        _check_images(model, student)
        if not hasattr(part, "teacher"):
            _check_shapes(model, student, objective)


def _check_images(teacher: keras.Model, student: keras.Model) -> None:
    """Checks that a teacher takes images of the student's size, as far as both are known."""
    theirs, ours = _image_shape(teacher), _image_shape(student)
    if theirs is None or ours is None:
        return
    if any(None not in pair and pair[0] != pair[1] for pair in zip(theirs, ours, strict=True)):
        raise InputError(
            f"`teacher` {teacher.name!r} takes images of shape {theirs}, but the student of "
            f"{ours}; give it as ban_tf.adapt_teacher(teacher, {ours}), which resizes them."
        )


def _image_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Returns height, width and channels of a model of one image; None for other models."""
    if preparation.of(model) is not None:
        return None
    try:
        shape = getattr(model, "input_shape", None)
    except ValueError:  # a Sequential model that is not built
        return None
    return shape[1:] if isinstance(shape, tuple) and len(shape) == 4 else None


def _models(teacher: Any) -> list[keras.Model]:
    """Returns the Keras models of a teacher."""
    parts = getattr(teacher, "teachers", None) or getattr(teacher, "teacher", None)
    if parts is None:
        return list(getattr(teacher, "models", []))
    parts = parts if isinstance(parts, list) else [parts]
    return [model for part in parts for model in _models(part)]


def check_teacher_output(name: str, theirs: Mapping[str, Any]) -> None:
    """Checks that the teacher has an output.

    Raises:
        InputError: It does not have this output.
    """
    if name not in theirs:
        raise InputError(
            f"`teacher` has no output {name!r}; it has {', '.join(theirs)}. Name the "
            "outputs to distill by giving `objective` as a dictionary."
        )


def check_classes(theirs: int, ours: int) -> None:
    """Checks that teacher and student have the same number of classes, after any mapping.

    Raises:
        InputError: They do not.
    """
    if theirs != ours:
        raise InputError(
            f"`teacher` has {theirs} classes, but the student has {ours}; map them with "
            "ban_tf.MappedTeacher(teacher, classes), or --teacher_classes on the command line."
        )


def _check_shapes(teacher: keras.Model, student: keras.Model, objective: Any) -> None:
    theirs, ours = output_shapes(teacher), output_shapes(student)
    if theirs is None or ours is None:
        return  # a subclass: the step compares the outputs
    theirs = outputs.aligned(theirs, list(ours), outputs.counted_names(teacher, student))
    wanted = list(objective) if isinstance(objective, Mapping) else list(ours)
    for name in wanted:
        check_teacher_output(name, theirs)
        # One unit is equivalent to two classes.
        check_classes(*(max(2, shape[-1] or 2) for shape in (theirs[name], ours[name])))
        if len(theirs[name]) != len(ours[name]):
            raise InputError(
                f"`teacher` has outputs of shape {theirs[name]}, but the student has "
                f"{ours[name]}; both need the same axes."
            )


def output_shapes(model: keras.Model) -> dict[str, tuple] | None:
    """Returns the shapes of the outputs of a model by name; None if unknown."""
    if not getattr(model, "outputs", None):
        return None
    names = outputs.output_names(model)
    structure = keras_private.output_structure(model)
    structure = model.outputs if structure is None else structure
    shapes = {name: tuple(output.shape) for name, output in outputs.named(structure, names).items()}
    return shapes if all(shapes.values()) else None


def check_lasting(x: Any, fit: Mapping[str, Any]) -> None:
    """Checks that the data can be used for more than one generation.

    Args:
        x: As for `fit`.
        fit: Further arguments of `fit`.

    Raises:
        InputError: It is a finite generator; Keras treats it as infinite if the steps are given.
    """
    validation = fit.get("validation_data")
    data = {"x": (x, "steps_per_epoch"), "validation_data": (validation, "validation_steps")}
    for name, (value, steps) in data.items():
        if inspect.isgenerator(value) and fit.get(steps) is None:
            raise InputError(
                f"`{name}` is a generator, which is exhausted after generation 0; give a "
                f"tf.data.Dataset, a keras.utils.PyDataset, or `{steps}` with an endless one."
            )
