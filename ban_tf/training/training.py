"""Trains one generation, resuming from its latest checkpoint.

The newest valid checkpoint is restored; without one, training starts from the model's weights. An
interrupted epoch is finished first, by its own `fit`; then `fit` runs the remaining epochs. A
diverged training may resume once from its last checkpoint at a lower learning rate.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from ban_tf.compat import jax_devices, keras_private
from ban_tf.distribution.workers import Workers
from ban_tf.errors import DivergenceError, InputError
from ban_tf.runs import kept
from ban_tf.runs.history import MONITOR, HistoryCallback, Rows, TrainingState
from ban_tf.runs.kept import Outcome
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import signals
from ban_tf.training import array_epochs, checkpointing, checkpoints, epoch_data, optimizers

KEEP = ("last", "best")
ON_DIVERGENCE = ("stop", "retry")
RETRY_FACTOR = 0.1

Callbacks = Callable[[Rows], Sequence[keras.callbacks.Callback]]


def callbacks_for(callbacks: Any, number: int) -> Callbacks:
    """Returns the callbacks of one generation.

    Args:
        callbacks: None, a list, or a function of a generation's number, or of its number and the
            rows so far, that returns a list.
        number: The generation's number.
    """
    if not callable(callbacks):
        return lambda rows: callbacks or ()
    alone = len(inspect.signature(callbacks).parameters) == 1
    return lambda rows: _listed(callbacks(number) if alone else callbacks(number, rows), number)


def _listed(found: Any, number: int) -> Sequence[keras.callbacks.Callback]:
    """Returns what a function returned, if that are callbacks."""
    if not isinstance(found, (list, tuple)) or not all(
        isinstance(callback, keras.callbacks.Callback) for callback in found
    ):
        raise InputError(
            f"`callbacks` must return a list of Keras callbacks, [] for none; for generation "
            f"{number} it returned {found!r}."
        )
    return found


def train(
    model: keras.Model,
    batches: Callable[[int, int], Any],
    *,
    epochs: int,
    keep: str = "last",
    monitor: str = MONITOR,
    examples_per_epoch: int | None = None,
    directory: RunDirectory | None = None,
    folder: str = "",
    callbacks: Callbacks | None = None,
    by_epoch: bool = False,
    checkpoint_steps: int | None = None,
    on_divergence: str = "stop",
    workers: Workers | None = None,
    **fit: Any,
) -> Outcome:
    """Trains a compiled model, from its newest checkpoint if it has one.

    Args:
        model: The compiled, built model in its initial state.
        batches: Returns the `x` of `fit`, given the completed epochs and the completed steps of
            the next one.
        by_epoch: Whether `batches` is called in each epoch, unless it returns an infinite stream.
        epochs: Total epochs.
        keep: "last" keeps the last epoch's weights, "best" those of the best epoch by
            validation: highest accuracy, then lowest loss.
        monitor: The accuracy by which an epoch is the best.
        examples_per_epoch: For the throughput, if known.
        directory: Directory of the checkpoints; None for none.
        folder: The generation's folder in `directory`.
        callbacks: Returns further callbacks, given the rows so far.
        checkpoint_steps: Steps between checkpoints within an epoch, or None.
        on_divergence: "stop", or "retry" once from the last checkpoint at a tenth of the
            learning rate; needs `directory`.
        workers: The workers of this training.
        **fit: Further arguments for `model.fit`.

    Raises:
        DivergenceError: The loss became NaN or infinite; the checkpoints are unchanged.
        signals.Interrupted: A signal was received; everything is saved.
        SaveError: A checkpoint could not be written; earlier ones are unchanged.
    """
    if not model.optimizer.built:  # a LossScaleOptimizer would add variables each time
        model.optimizer.build(model.trainable_variables)
    if directory is not None:
        return _train_with_checkpoints(
            model,
            batches,
            directory,
            epochs=epochs,
            keep=keep,
            monitor=monitor,
            examples_per_epoch=examples_per_epoch,
            folder=folder,
            callbacks=callbacks,
            by_epoch=by_epoch,
            checkpoint_steps=checkpoint_steps,
            on_divergence=on_divergence,
            workers=workers,
            **fit,
        )
    recorder = HistoryCallback(TrainingState(), keep, examples_per_epoch, by_epoch, monitor)
    others = list(callbacks([])) if callbacks else []
    _fit(model, batches, [recorder, *others], epochs=epochs, by_epoch=by_epoch, **fit)
    return kept.outcome(model, recorder.record, keep, fit)


def _train_with_checkpoints(
    model: keras.Model,
    batches: Callable[[int, int], Any],
    directory: RunDirectory,
    *,
    epochs: int,
    keep: str,
    monitor: str,
    examples_per_epoch: int | None,
    folder: str,
    callbacks: Callbacks | None,
    by_epoch: bool,
    checkpoint_steps: int | None,
    on_divergence: str,
    workers: Workers | None,
    **fit: Any,
) -> Outcome:
    """Trains as `train` does, with the checkpoints in `directory`."""
    directory.remove_untracked((f"{folder}/checkpoint-",))
    initial = checkpoints.capture(model) if on_divergence == "retry" else None
    within_epochs = by_epoch and fit.get("steps_per_epoch") is not None
    retried = False
    while True:
        restored = checkpointing.restore(model, directory, folder)
        record = restored.record if restored else TrainingState()
        if retried and not record.retried:
            restored = _slowed(model, restored, initial)
            record.retried = True
        if record.epochs >= epochs or record.stopped:
            if not record.ended:
                # As `fit` does at its end: replaces the weights by their average.
                model.optimizer.finalize_variable_values(model.trainable_variables)
            return kept.outcome(model, record, keep, fit)
        recorder = HistoryCallback(record, keep, examples_per_epoch, by_epoch, monitor)
        others = list(callbacks(record.history)) if callbacks else []
        try:
            with signals.defer_signals() as own_requests:
                requests = workers.requests(own_requests) if workers else own_requests
                checkpointer = checkpointing.Checkpointer(
                    recorder,
                    directory,
                    folder,
                    requests,
                    within_epochs=within_epochs,
                    every_steps=checkpoint_steps,
                    epochs=epochs,
                    others=others,
                    restored=restored,
                )
                restored = None  # drop our reference so that the arrays can be freed
                own = [recorder, *others, checkpointer]
                _fit(model, batches, own, epochs=epochs, by_epoch=by_epoch, **fit)
        except DivergenceError as error:
            if on_divergence == "stop" or record.retried:
                raise DivergenceError(_advice(error, record, directory, folder)) from error
            logging.warning(
                "%s Resuming from the last checkpoint at a tenth of the learning rate.", error
            )
            retried = True


def _slowed(
    model: keras.Model, restored: checkpointing.Restored | None, initial: list[np.ndarray] | None
) -> checkpointing.Restored | None:
    """Lowers the learning rate, in the restored checkpoint, too; without one, starts again."""
    if restored is None:
        assert initial is not None
        checkpoints.restore(model, initial)
    optimizers.lower_learning_rate(model.optimizer, RETRY_FACTOR)
    return restored and restored._replace(state=checkpoints.capture(model))


def _fit(
    model: keras.Model,
    batches: Callable[[int, int], Any],
    callbacks: list[keras.callbacks.Callback],
    *,
    epochs: int,
    by_epoch: bool,
    **fit: Any,
) -> None:
    """Runs the rest of an unfinished epoch, or all remaining epochs.

    Args:
        model: The compiled model.
        batches: As for `train`.
        callbacks: The recorder first, the checkpointer last.
        epochs: Total epochs.
        by_epoch: As for `train`.
        **fit: Further arguments for `model.fit`.
    """
    record = callbacks[0].record
    try:
        if record.unvalidated:
            _validate(model, callbacks, record, epochs, fit)
            return
        steps = fit.get("steps_per_epoch")
        batches = array_epochs.ending(batches, steps, model.steps_per_execution)
        if record.step:
            epochs = record.epochs + 1
            fit["steps_per_epoch"] -= record.step
        x = batches(record.epochs, record.step)
        _check_execution(x, steps, fit.get("steps_per_epoch"), model.steps_per_execution)
        if by_epoch and not epoch_data.is_stream(x, fit.get("steps_per_epoch")):
            x = epoch_data.EpochData(
                batches,
                lambda: (record.epochs, record.step),
                fit,
                steps=fit.pop("steps_per_epoch", None),
                before=record.steps,
                first=x,
                prepare=model.prepared,
                strategy=getattr(model, "distribute_strategy", None),
            )
        if record.step:
            _build_metrics(model, x)
        model.fit(
            x,
            epochs=epochs,
            initial_epoch=record.epochs,
            callbacks=callbacks,
            **{"verbose": 0, **fit},
        )
    except BaseException:
        for callback in callbacks:
            getattr(callback, "close", lambda: None)()  # removes progress bars
        raise


def _check_execution(x: Any, steps: int | None, left: int | None, at_once: int) -> None:
    """Checks that executions of several steps end with each epoch of an endless stream.

    Keras reads further batches in the last execution of an epoch, also where none are left of it.

    Raises:
        InputError: They do not, so that the number of steps at once would change the result.
    """
    if steps and left and epoch_data.is_endless(x) and (steps % at_once or left % at_once):
        interrupted = f", of which {left} are left" if left < steps else ""
        raise InputError(
            f"`steps_per_execution` of {at_once} must divide the `steps_per_epoch` of an endless "
            f"stream. Received: {steps}{interrupted}"
        )


def _build_metrics(model: keras.Model, x: Any) -> None:
    """Creates the compiled metrics, as Keras does at the first batch, so that they can be set."""
    if model.build_for(x):
        return
    batch = epoch_data.first_batch(x)
    with jax_devices.sharing(True, model):
        model.test_on_batch(*keras.utils.unpack_x_y_sample_weight(batch))


def _validate(
    model: keras.Model,
    every: list[keras.callbacks.Callback],
    record: TrainingState,
    epochs: int,
    fit: dict[str, Any],
) -> None:
    """Runs the validation that an interruption cut off."""
    logs = dict(record.unvalidated or {})
    group = keras.callbacks.CallbackList(every, model=model, verbose=0)
    group.on_train_begin()
    group.on_epoch_begin(record.epochs)
    if keras_private.validates(model, record.epochs, fit.get("validation_freq", 1)):
        logs.update(kept.validate(model, fit, callbacks=group))
    group.on_epoch_end(record.epochs, logs)
    if record.epochs == epochs or model.stop_training:
        model.optimizer.finalize_variable_values(model.trainable_variables)  # as `fit` does
    group.on_train_end(logs)


def _advice(
    error: DivergenceError, record: TrainingState, directory: RunDirectory, folder: str
) -> str:
    names = directory.names(f"{folder}/checkpoint-")
    again = " again, at a tenth of the learning rate" if record.retried else ""
    good = f" The last good checkpoint is {directory.path / names[-1]}." if names else ""
    return (
        f"{error} That was in {folder.replace('-', ' ')}{again}.{good} A lower learning rate, "
        "clipping the gradient's norm, or a warmup usually helps."
    )
