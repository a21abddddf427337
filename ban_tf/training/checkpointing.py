"""When the state of a training is written, and how the newest whole one is found again.

A checkpoint is written at the end of each epoch, every so many steps if asked for, and when a
signal asks the process to stop. Each holds the best weights so far, too, where these are kept, so
that none depends on any other file. The last two stay.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from absl import logging

from ban_tf.compat import fingerprint
from ban_tf.errors import CorruptFileError, DivergenceError, InputError
from ban_tf.runs.history import HistoryCallback, TrainingState
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import signals
from ban_tf.system.csv_tables import to_csv
from ban_tf.training import checkpoints


class Restored(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        record: How far the training was.
        state: The variables that training moves.
        metrics: What the metrics of an epoch under way had counted.
    """

    record: TrainingState
    state: list[np.ndarray]
    metrics: list[np.ndarray]


class Checkpointer(keras.callbacks.Callback):
    """Writes checkpoints. Place it last, after all that it has to save.

    Args:
        recorder: Whose record goes into the checkpoints.
        directory: Where they go.
        folder: The generation's folder in `directory`.
        requests: Whether a signal has come.
        within_epochs: Whether training can go on from within an epoch.
        every_steps: How often to save within an epoch, or None.
        epochs: Epochs of the whole training, or None if that is not known.
        others: The callbacks before this one.
        restored: The checkpoint that is gone on with, if any.

    Raises:
        InputError: One of the other callbacks keeps weights where no checkpoint finds them.
    """

    def __init__(
        self,
        recorder: HistoryCallback,
        directory: RunDirectory,
        folder: str,
        requests: signals.Requests,
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
        self._swaps = [each for each in others if isinstance(each, keras.callbacks.SwapEMAWeights)]
        if any(callback.swap_on_epoch for callback in self._swaps):
            raise InputError(
                "`callbacks` has SwapEMAWeights(swap_on_epoch=True), which leaves the average in "
                "the model when an epoch is saved, so that the run could not be resumed; use "
                "swap_on_epoch=False (validation uses the average just the same)."
            )
        self._restored = restored
        self._saved_step = recorder.record.step

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Goes on with an epoch under way, whatever others do where epochs begin."""
        if self._restored is not None and self._recorder.record.step:
            checkpoints.restore(self.model, self._restored.state)
            if self._restored.metrics:
                checkpoints.restore_metrics(self.model, self._restored.metrics)
        self._restored = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves if it is time to, or if a signal has come."""
        step = self._recorder.record.step
        due = self._every and step // self._every > self._saved_step // self._every
        asked = bool(self._requests)  # once a step, as all workers do
        if self._within_epochs and (due or asked):
            self._save_within_epoch(unvalidated=step == self._steps)
        if asked:
            self._stop()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Takes down the epoch's numbers before validation counts anew."""
        self._logs = self._recorder.record.unvalidated or self._results()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves if a signal has come: the steps are done, only validation is lost."""
        if self._requests:
            if self._within_epochs:
                self._swap_back()
                self._save_within_epoch(unvalidated=True, logs=self._logs)
            self._stop()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the epoch."""
        self._recorder.record.stopped = bool(self.model.stop_training)
        self._save(checkpoints.capture(self.model), [])
        self._saved_weights = self._weights()
        if self._requests:
            self._stop()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Saves the weights that `fit` ends with if they are not those of the last epoch.

        The optimizer's average takes their place, or a callback brings back a better epoch's: a
        process that dies before the generation is written would forget which.
        """
        record = self._recorder.record
        last = record.stopped or record.epochs == self._epochs
        if last and not record.step and self._weights() != self._saved_weights:
            record.ended = True
            self._save(checkpoints.capture(self.model), [])

    def _weights(self) -> str:
        return fingerprint.of_weights(self.model.student.get_weights())

    def _swap_back(self) -> None:
        """Takes back the exchange of weights that a callback made for validation alone."""
        for callback in self._swaps:
            callback.on_test_end()

    @property
    def _steps(self) -> int | None:
        """Steps of the whole epoch, counted on from where this training started in it."""
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
        if not all(np.isfinite(each).all() for each in state if each.dtype.kind == "f"):
            raise DivergenceError(
                f"A weight stopped being finite in epoch {record.epochs + 1}, step {record.step}."
            )
        self._saved_step = record.step
        if not directory.writes:
            return
        best = record.best_weights or []
        notes = {**record.notes(), "metrics": len(metrics), "best_weights": len(best)}
        name = f"{folder}/checkpoint-{record.epochs:06d}-{record.step:08d}.npz"
        before = [each for each in directory.names(f"{folder}/checkpoint-") if each < name]
        after = [each for each in directory.names(f"{folder}/checkpoint-") if each > name]
        content = checkpoints.pack([*state, *metrics, *best], notes)
        directory.commit({name: content}, remove=before[:-1] + after)
        if not record.step:
            directory.write_untracked(f"{folder}/history.csv", to_csv(record.history))
            directory.write_untracked(f"{folder}/timings.csv", to_csv(record.timings))

    def _stop(self) -> None:
        record = self._recorder.record
        place = f"{self._folder.replace('-', ' ')}, epoch {record.epochs}"
        if record.step and self._within_epochs:
            place += f" and {record.step} steps of the next"
        number = self._requests.signal_number
        assert number is not None
        raise signals.Interrupted(number, f"up to {place}")


def restore(model: keras.Model, directory: RunDirectory, folder: str) -> Restored | None:
    """Puts the model in the state of the newest checkpoint that is whole.

    Returns:
        What it holds; None if there is no checkpoint.

    Raises:
        InputError: It belongs to another model or another optimizer.
    """
    for name in reversed(directory.names(f"{folder}/checkpoint-")):
        try:
            restored = _unpack(directory.read(name))
        except (CorruptFileError, KeyError, ValueError, zipfile.BadZipFile) as error:
            logging.warning("%s Going on from what was saved before it.", error)
            continue
        checkpoints.restore(model, restored.state)
        return restored
    return None


def _unpack(content: bytes) -> Restored:
    arrays, notes = checkpoints.unpack(content)
    metrics, best = notes.pop("metrics"), notes.pop("best_weights", 0)
    names = {field.name for field in dataclasses.fields(TrainingState)}
    record = TrainingState(**{key: value for key, value in notes.items() if key in names})
    state = len(arrays) - metrics - best
    if record.best:
        if not best:
            raise KeyError("The best weights are missing.")
        record.best_weights = arrays[state + metrics :]
    return Restored(record, arrays[:state], arrays[state : state + metrics])
