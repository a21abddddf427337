"""What a student's class has of its own in the place of `keras.Model`'s, and how it is called.

Keras trains the `BornAgainModel` around a student. That one is compiled, and has the optimizer, the
losses and the metrics. A student's own `compute_loss` or `compute_metrics` expects them in itself:
its `super().compute_loss(...)` reads them there. Inside `lend` it has them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from ban_tf.errors import InputError

# A step of the student's own says itself what is minimized or measured, so that no teacher can
# have part in it; so does what makes a step of many. A `fit` of its own would have to be called in
# the place of ours.
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
    """Tells whether a student has a method or property of its own instead of `keras.Model`'s.

    Args:
        student: Any Keras model.
        name: The name of a member of `keras.Model`.
    """
    return name in vars(student) or getattr(type(student), name) is not getattr(keras.Model, name)


def check_steps(student: keras.Model) -> None:
    """Checks that a student leaves to Keras how batches are trained, evaluated and predicted.

    Raises:
        InputError: It has a step, or a loop, of its own, which would not be called.
    """
    refused: tuple[str, ...] = _REFUSED
    if not hasattr(
        student, "preprocess_samples"
    ):  # KerasHub's tasks prepare data there, see `preparation`
        refused += _REFUSED_WITHOUT_PREPROCESSOR
    own = [name for name in refused if overrides(student, name)]
    if own:
        raise InputError(
            f"`student` {type(student).__name__} has its own {' and '.join(own)}, which cannot be "
            "combined with a teacher and would not be called; put its loss into `compute_loss` "
            "and its metrics into `compute_metrics`, which are."
        )


def check_replicas(student: keras.Model) -> None:
    """Checks that a student's loss can be shared out among several replicas.

    Raises:
        InputError: The student computes it itself.
    """
    if overrides(student, "compute_loss"):
        raise InputError(
            f"`student` {type(student).__name__} has its own compute_loss, of which it is unknown "
            "how the losses of several replicas make up that of the whole batch; use one replica."
        )


@contextlib.contextmanager
def lend(
    trained: keras.Model, student: keras.Model, compiled_metrics: bool = True
) -> Iterator[None]:
    """Gives a student, inside the block, what the model around it was compiled with.

    Blocks may be nested or, as replicas are traced in threads that take turns, interleaved.

    Args:
        trained: The model that Keras trains.
        student: The model inside it.
        compiled_metrics: Whether the compiled metrics are among it.
    """
    held, loan = vars(student), vars(trained).setdefault("_loan", {"blocks": 0, "before": {}})
    if not loan["blocks"]:
        loan["before"] = {name: held[name] for name in _COMPILED if name in held}
    loan["blocks"] += 1
    # Not by assignment, of which Keras would keep track.
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
    """The losses that Keras collects from layers, and whether anybody looked at them."""

    read = False

    def __bool__(self) -> bool:
        # Keras's `losses` asks whether there is a list in the place of what it would collect.
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
        What it returned, and whether it looked at `losses`, and therefore counts them.
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
        trained: The model that Keras predicts with.
        student: The model inside it.
        *state_and_data: The batch; before it, on JAX, the trainable and other variables of
            `trained`, of which those of the student are some.
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
