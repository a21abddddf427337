"""What can be said about models and data before training: one sentence for each mistake.

Arrays are looked at as a whole; of a `keras.utils.PyDataset`, the first batch. A
`tf.data.Dataset` or a generator is not drawn from, since that would change what training sees;
labels out of range in it are noticed by the step.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from ban_tf import outputs, shared_weights, teachers
from ban_tf.errors import InputError
from ban_tf.loss_kinds import BINARY, CATEGORICAL
from ban_tf.objectives import label_forms


def check_student(student: Any) -> None:
    """Checks that there is a model to train.

    Raises:
        InputError: It is no Keras model.
    """
    if not isinstance(student, keras.Model):
        raise InputError(f"`student` must be a Keras model. Received: {student!r}")


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
        classes = {CATEGORICAL: units, BINARY: 2}.get(kinds.get(name))
        if found is None or classes is None:
            continue
        counted = None not in positions and batch_size is not None
        reason = found.why_idle(classes, math.prod(positions) * batch_size if counted else None)
        if reason:
            raise InputError(f"`objective` {found!r} cannot teach the output {name!r}: {reason}.")


def largest_batch(x: Any, batch_size: int | None) -> int | None:
    """Returns how many examples the batches of `fit` have, the last one apart.

    Args:
        x: As for `fit`.
        batch_size: As for `fit`.

    Returns:
        None where `x` holds no arrays.
    """
    flat = keras.tree.flatten(x)
    if not flat or not _is_array(flat[0]):
        return None
    return min(batch_size or 32, len(flat[0]))


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
            "outputs to distil by giving `objective` as a dictionary."
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
    structure = getattr(model, "_outputs_struct", model.outputs)
    shapes = {name: tuple(each.shape) for name, each in outputs.named(structure, names).items()}
    return shapes if all(shapes.values()) else None


def check_data(model: Any, x: Any, y: Any, sample_weight: Any = None) -> None:
    """Checks what `fit` and `evaluate` are given, as far as it is there to be looked at.

    Args:
        model: The `BornAgainModel`.
        x: As for `fit`.
        y: As for `fit`.
        sample_weight: As for `fit`.

    Raises:
        InputError: Data holds NaN, labels are out of range, or outputs that were declared to be
            probabilities are none.
    """
    if isinstance(x, keras.utils.PyDataset):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(x[0])
    for name, values in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        for each in keras.tree.flatten(values):
            if _is_array(each) and _has_nan(each):
                raise InputError(f"`{name}` holds NaN (not a number); remove or replace it.")
    if teachers.is_recorded(y):
        y = y["labels"]
    _check_labels(model, y)


@contextlib.contextmanager
def labels_in_range() -> Iterator[None]:
    """Says in a sentence what TensorFlow notices in data that could not be looked at before.

    Raises:
        InputError: A label was out of range.
    """
    try:
        yield
    except Exception as error:
        sentence = label_forms.sentence_of(str(error))
        if sentence is not None:
            raise InputError(sentence.replace("`labels`", "`y`")) from error
        found = re.search(r"label value of (-?\d+) .*?valid range of \[0, (\d+)\)", str(error))
        if found is None:
            raise
        label, classes = found.groups()
        raise InputError(
            f"`y` holds the label {label}, but the model has {classes} classes: labels must be "
            f"from 0 to {int(classes) - 1}."
        ) from error


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


def _is_array(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.size > 0


def _has_nan(values: np.ndarray) -> bool:
    return np.issubdtype(values.dtype, np.floating) and bool(np.isnan(np.min(values)))


def _check_labels(model: Any, y: Any) -> None:
    shapes = output_shapes(model.student)
    if y is None or shapes is None or getattr(model.loss, "ignore_class", None) is not None:
        return
    kinds = model.known_kinds()
    for name, labels in outputs.named(y, list(shapes)).items():
        shape = shapes.get(name)
        if shape is None or not _is_array(labels) or not np.issubdtype(labels.dtype, np.number):
            continue
        classes, rank = shape[-1], len(labels.shape)
        units = kinds.get(name) == BINARY and model.loss is None
        if units and (labels.min() < 0 or labels.max() > 1):
            raise InputError(
                f"`y` holds labels from {labels.min():g} to {labels.max():g}, but output {name!r} "
                "answers yes or no: labels must be from 0 to 1. A regression needs its loss in "
                "`compile`."
            )
        index = rank == len(shape) - 1 or (rank == len(shape) and labels.shape[-1] == 1)
        if kinds.get(name) != CATEGORICAL or not index or classes is None:
            continue
        low, high = labels.min(), labels.max()
        if low < 0 or high >= classes:
            raise InputError(
                f"`y` holds labels from {low:g} to {high:g}, but output {name!r} has {classes} "
                f"classes: labels must be from 0 to {classes - 1}."
            )
