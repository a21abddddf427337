"""Writes checkpoints of a training, and restores the newest valid one.

A checkpoint is written at the end of each epoch, optionally every few steps, and when a signal
stops the process. With `keep="best"` each contains the best weights so far, so that it depends
on no other file. The last two are kept.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from absl import logging

from ban_tf.compat import fingerprint
from ban_tf.errors import CorruptFileError, DivergenceError, InputError, RunDirectoryError
from ban_tf.runs import schemas
from ban_tf.runs.history import HistoryCallback, TrainingState
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import json_schema, signals
from ban_tf.system.csv_tables import to_csv
from ban_tf.training import checkpoints


class Restored(NamedTuple):
    """The content of a checkpoint.

    Attributes:
        record: The progress and history of the training.
        state: The variables that training changes.
        metrics: The state of the metrics in an unfinished epoch.
    """

    record: TrainingState
    state: list[np.ndarray]
    metrics: list[np.ndarray]


class Checkpointer(keras.callbacks.Callback):
    """Writes checkpoints. Must be the last callback, so that it saves the effects of all others.

    Args:
        recorder: Its record is saved in the checkpoints.
        directory: The run directory.
        folder: The generation's folder in `directory`.
        requests: Whether a signal was received.
        within_epochs: Whether training can resume within an epoch.
        every_steps: Steps between checkpoints within an epoch, or None.
        epochs: Epochs of the whole training, or None if unknown.
        others: The callbacks before this one.
        restored: The checkpoint being resumed, if any.

    Raises:
        InputError: Another callback stores weights that no checkpoint contains.
    """

    def __init__(
        self,
        recorder: HistoryCallback,
        directory: RunDirectory,
        folder: str,
        requests: signals.StopRequest,
        *,
        within_epochs: bool = False,
        every_steps: int | None = None,
        epochs: int | None = None,
        others: Sequence[keras.callbacks.Callback] = (),
        restored: Restored | None = None,
    ):
        super().__init__()
        self._recorder = recorder
        self._directory = directory
        self._folder = folder
        self._requests = requests
        self._within_epochs = within_epochs
        self._every = every_steps
        self._epochs = epochs
        self._saved_weights = ""
        self._swaps = [
            other for other in others if isinstance(other, keras.callbacks.SwapEMAWeights)
        ]
        if any(callback.swap_on_epoch for callback in self._swaps):
            raise InputError(
                "`callbacks` has SwapEMAWeights(swap_on_epoch=True), which leaves the average in "
                "the model when an epoch is saved, so that the run could not be resumed; use "
                "swap_on_epoch=False (validation still uses the average)."
            )
        self._restored = restored
        self._saved_step = recorder.record.step

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Restores the mid-epoch state after all other callbacks ran `on_epoch_begin`."""
        if self._restored is not None and self._recorder.record.step:
            checkpoints.restore(self.model, self._restored.state)
            if self._restored.metrics:
                checkpoints.restore_metrics(self.model, self._restored.metrics)
        self._restored = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves if a checkpoint is due, or if a signal was received."""
        step = self._recorder.record.step
        due = self._every and step // self._every > self._saved_step // self._every
        stopping = self._must_stop()  # once per step, as on all workers
        if self._within_epochs and (due or stopping):
            self._save_within_epoch(unvalidated=step == self._steps)
        if stopping:
            self._stop()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Saves the training metrics before validation resets them."""
        self._logs = self._recorder.record.unvalidated or self._results()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves if a signal was received: the steps are done, only validation is repeated."""
        if self._must_stop():
            if self._within_epochs:
                self._swap_back()
                self._save_within_epoch(unvalidated=True, logs=self._logs)
            self._stop()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the epoch."""
        self._must_stop()  # callbacks of the chief alone may have ended the training
        self._recorder.record.stopped = bool(self.model.stop_training)
        self._save(checkpoints.capture(self.model), [])
        self._saved_weights = self._weights()
        if self._must_stop():
            self._stop()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Saves the final weights of `fit` if they are not those of the last epoch.

        The optimizer's average may replace them, or a callback may restore those of a better epoch;
        a process that dies before the generation is written would lose that.
        """
        record = self._recorder.record
        last = record.stopped or record.epochs == self._epochs
        if last and not record.step and self._weights() != self._saved_weights:
            record.ended = True
            self._save(checkpoints.capture(self.model), [])

    def _weights(self) -> str:
        return fingerprint.of_weights(self.model.student.get_weights())

    def _swap_back(self) -> None:
        """Undoes a callback's swap of weights for validation."""
        for callback in self._swaps:
            callback.on_test_end()

    @property
    def _steps(self) -> int | None:
        """Returns the steps of the whole epoch, including those before this process resumed it."""
        steps = self.params.get("steps")
        return None if steps is None else steps + self._recorder.first_step

    def _results(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}

    def _save_within_epoch(self, unvalidated: bool, logs: dict[str, float] | None = None) -> None:
        record = self._recorder.record
        seconds, record.seconds = record.seconds, self._recorder.seconds()
        if unvalidated:
            record.unvalidated = logs or self._results()
        metrics = [] if unvalidated else checkpoints.capture_metrics(self.model)
        self._save(checkpoints.capture(self.model), metrics)
        record.seconds, record.unvalidated = seconds, None

    def _save(self, state: list[np.ndarray], metrics: list[np.ndarray]) -> None:
        directory, folder, record = self._directory, self._folder, self._recorder.record
        if not all(np.isfinite(array).all() for array in state if array.dtype.kind == "f"):
            raise DivergenceError(
                f"A weight became NaN or infinite in epoch {record.epochs + 1}, step {record.step}."
            )
        self._saved_step = record.step
        if not directory.writes:
            return
        best = record.best_weights or []
        notes = {**record.notes(), "metrics": len(metrics), "best_weights": len(best)}
        name = f"{folder}/checkpoint-{record.epochs:06d}-{record.step:08d}.npz"
        saved = directory.names(f"{folder}/checkpoint-")
        before = [other for other in saved if other < name]
        after = [other for other in saved if other > name]
        content = checkpoints.pack([*state, *metrics, *best], notes)
        directory.commit({name: content}, remove=before[:-1] + after)
        if not record.step:
            directory.write_untracked(f"{folder}/history.csv", to_csv(record.history))
            directory.write_untracked(f"{folder}/timings.csv", to_csv(record.timings))

    def _must_stop(self) -> bool:
        """Returns whether a worker received a signal; ends `fit` on all if callbacks of one do."""
        self.model.stop_training = self._requests.share(bool(self.model.stop_training))
        return bool(self._requests)

    def _stop(self) -> None:
        record = self._recorder.record
        position = f"{self._folder.replace('-', ' ')}, epoch {record.epochs}"
        if record.step and self._within_epochs:
            position += f" and {record.step} steps of the next"
        number = self._requests.signal_number
        assert number is not None
        raise signals.Interrupted(number, f"up to {position}")


def restore(model: keras.Model, directory: RunDirectory, folder: str) -> Restored | None:
    """Restores the model from the newest valid checkpoint.

    Returns:
        The content of the checkpoint; None if there is none.

    Raises:
        InputError: It belongs to another model or optimizer.
    """
    for name in reversed(directory.names(f"{folder}/checkpoint-")):
        try:
            restored = _unpack(directory.read(name), directory.path / name)
        except CorruptFileError as error:
            logging.warning("%s Resuming from the checkpoint before it.", error)
            continue
        try:
            checkpoints.restore(model, restored.state)
        except InputError as error:
            raise RunDirectoryError(f"{directory.path / name}: {error}") from error
        return restored
    return None


def _unpack(content: bytes, name: pathlib.Path) -> Restored:
    arrays, notes = checkpoints.unpack(content, name)
    json_schema.check(notes, schemas.NOTES, f"{name}: its notes")
    metrics, best = notes.pop("metrics"), notes.pop("best_weights", 0)
    if metrics + best > len(arrays) or (notes.get("best") and not best):
        raise CorruptFileError(f"{name} lacks arrays: the best weights or metrics are missing.")
    names = {field.name for field in dataclasses.fields(TrainingState)}
    record = TrainingState(**{key: value for key, value in notes.items() if key in names})
    state = len(arrays) - metrics - best
    if not all(np.isfinite(array).all() for array in arrays[:state] if array.dtype.kind == "f"):
        raise CorruptFileError(f"{name} has a weight that is NaN or infinite.")
    if record.best:
        record.best_weights = arrays[state + metrics :]
    return Restored(record, arrays[:state], arrays[state : state + metrics])
