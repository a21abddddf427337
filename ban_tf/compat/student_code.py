"""Finds and calls methods of `keras.Model` that a student's class overrides.

Keras trains the `BornAgainModel` around a student. The former is compiled, and has the optimizer,
the losses and the metrics. A student's own `compute_loss` or `compute_metrics` needs them as its
own attributes, for `super().compute_loss(...)`. Inside `lend` it has them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from ban_tf.errors import InputError

# A custom step computes its own loss and metrics, so that a teacher cannot be added; the same holds
# for functions that create steps. A custom `fit` would have to replace ours.
_REFUSED = (
    *("train_step", "test_step"),
    *("make_train_function", "make_test_function", "make_predict_function"),
)
_REFUSED_WITHOUT_PREPROCESSOR = (
    *("train_on_batch", "test_on_batch", "predict_on_batch"),
    *("fit", "evaluate"),
)

# What `compile` makes.
_PUBLIC = ("compiled", "optimizer", "loss")
_PRIVATE = ("_compile_loss", "_compile_metrics", "_loss_tracker")
_COMPILED = _PUBLIC + _PRIVATE


def overrides(student: keras.Model, name: str) -> bool:
    """Returns whether a student overrides a method or property of `keras.Model`.

    Args:
        student: Any Keras model.
        name: The name of a member of `keras.Model`.
    """
    return name in vars(student) or getattr(type(student), name) is not getattr(keras.Model, name)


def check_steps(student: keras.Model) -> None:
    """Checks that a student does not override Keras's steps and loops.

    Raises:
        InputError: It has its own step or loop, which would not be called.
    """
    refused: tuple[str, ...] = _REFUSED
    if not hasattr(
        student, "preprocess_samples"
    ):  # KerasHub's tasks only prepare data there, see `preparation`
        refused += _REFUSED_WITHOUT_PREPROCESSOR
    own = [name for name in refused if overrides(student, name)]
    if own:
        raise InputError(
            f"`student` {type(student).__name__} has its own {' and '.join(own)}, which cannot be "
            "combined with a teacher and would not be called; put its loss into `compute_loss` "
            "and its metrics into `compute_metrics`, which are."
        )


def check_replicas(student: keras.Model) -> None:
    """Checks that a student's loss can be computed on several replicas.

    Raises:
        InputError: The student has its own `compute_loss`.
    """
    if overrides(student, "compute_loss"):
        raise InputError(
            f"`student` {type(student).__name__} has its own compute_loss, and it is unknown "
            "how to combine the losses of several replicas; use one replica."
        )


@contextlib.contextmanager
def lend(
    trained: keras.Model, student: keras.Model, compiled_metrics: bool = True
) -> Iterator[None]:
    """Gives a student the compiled attributes of the model around it, inside the block.

    Blocks may be nested or interleaved, since replicas are traced in alternating threads.

    Args:
        trained: The model that Keras trains.
        student: The model inside it.
        compiled_metrics: Whether the compiled metrics are among it.
    """
    held, loan = vars(student), vars(trained).setdefault("_loan", {"blocks": 0, "before": {}})
    if not loan["blocks"]:
        loan["before"] = {name: held[name] for name in _COMPILED if name in held}
    loan["blocks"] += 1
    # Not by assignment, which Keras would track.
    held.update({name: getattr(trained, name, None) for name in _PUBLIC})  # some come by `compile`
    held.update({name: getattr(trained, name) for name in _PRIVATE})
    if not compiled_metrics:
        held["_compile_metrics"] = None
    try:
        yield
    finally:
        loan["blocks"] -= 1
        if not loan["blocks"]:
            for name in _COMPILED:
                held.pop(name, None)
            held.update(loan.pop("before"))


class _Losses(list):
    """The losses that Keras collects from layers, and whether they were read."""

    read = False

    def __bool__(self) -> bool:
        # Keras's `losses` tests whether there is such a list.
        self.read = True
        return True


def compute_loss(
    student: keras.Model, losses: list[Any], *arguments: Any, training: bool
) -> tuple[Any, bool]:
    """Calls a student's own `compute_loss`.

    Args:
        student: The model, inside `lend`.
        losses: Its regularization losses, and others that layers added in this pass.
        *arguments: Inputs, labels, outputs and sample weights.
        training: Whether the loss is for training.

    Returns:
        The loss, and whether it read `losses` and therefore includes them.
    """
    watched = _Losses(losses)
    before = vars(student)["_losses_override"]
    vars(student)["_losses_override"] = watched
    try:
        loss = student._compute_loss(*arguments, training=training)
    finally:
        vars(student)["_losses_override"] = before
    return loss, watched.read


def predict_step(trained: keras.Model, student: keras.Model, *state_and_data: Any) -> Any:
    """Calls a student's own `predict_step`.

    Args:
        trained: The model whose `predict` is called.
        student: The model inside it.
        *state_and_data: The batch; before it, on JAX, the trainable and other variables of
            `trained`, which include those of the student.
    """
    if len(state_and_data) == 1:
        return student.predict_step(*state_and_data)
    (trainable, others), data = state_and_data
    known = dict(zip(map(id, trained.trainable_variables), trainable, strict=True))
    keys = [id(variable) for variable in trained.non_trainable_variables]
    known.update(zip(keys, others, strict=True))
    own = student.non_trainable_variables
    state = (
        [known[id(variable)] for variable in student.trainable_variables],
        [known[id(variable)] for variable in own],
    )
    outputs, moved = student.predict_step(state, data)
    known.update(zip(map(id, own), moved, strict=True))
    return outputs, [known[key] for key in keys]
