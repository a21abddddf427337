"""When the state of a training is written, and how the newest whole one is found again.

A checkpoint is written at the end of each epoch, every so many steps if asked for, and when a
signal asks the process to stop. The last two are kept, and the best weights that they speak of.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile

import keras
import numpy as np
from absl import logging

from ban_tf import checkpoints, interruption
from ban_tf.history import DivergenceError, Record, Recorder, to_csv
from ban_tf.rundir import CorruptFileError, RunDirectory


class Checkpointer(keras.callbacks.Callback):
    """Writes checkpoints. Place it last, after all that it has to save.

    Args:
        recorder: Whose record goes into the checkpoints.
        directory: Where they go.
        folder: The generation's folder in `directory`.
        requests: Whether a signal has come.
        within_epochs: Whether training can go on from within an epoch.
        every_steps: How often to save within an epoch, or None.
        metrics: The metric variables of the epoch that is gone on with.
    """

    def __init__(
        self,
        recorder: Recorder,
        directory: RunDirectory,
        folder: str,
        requests: interruption.Requests,
        *,
        within_epochs: bool = False,
        every_steps: int | None = None,
        metrics: list[np.ndarray] | None = None,
    ):
        super().__init__()
        self._recorder = recorder
        self._directory = directory
        self._folder = folder
        self._requests = requests
        self._within_epochs = within_epochs
        self._every = every_steps
        self._metrics = metrics
        self._saved_step = recorder.record.step

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Goes on with the metrics of an epoch that was interrupted."""
        if self._metrics:
            checkpoints.restore_metrics(self.model, self._metrics)
            self._metrics = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves if it is time to, or if a signal has come."""
        step = self._recorder.record.step
        due = self._every and step // self._every > self._saved_step // self._every
        if self._within_epochs and (due or self._requests):
            self._save_within_epoch(unvalidated=step == self._steps)
        if self._requests:
            self._stop()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Takes down the epoch's numbers before validation counts anew."""
        self._logs = self._results()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Saves if a signal has come: the steps are done, only validation is lost."""
        if self._requests:
            if self._within_epochs:
                self._save_within_epoch(unvalidated=True, logs=self._logs)
            self._stop()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the epoch."""
        self._recorder.record.stopped = bool(self.model.stop_training)
        self._save(checkpoints.capture(self.model), [])
        if self._requests:
            self._stop()

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
        notes = {**record.notes(), "metrics": len(metrics)}
        name = f"{folder}/checkpoint-{record.epochs:06d}-{record.step:08d}.npz"
        files = {name: checkpoints.pack([*state, *metrics], notes)}
        best = f"{folder}/best-{record.best['epoch']:06d}.npz" if record.best else None
        if best and best not in directory.names():
            files[best] = checkpoints.pack(record.best_weights)
        # Two checkpoints stay, and the best weights that either of them speaks of.
        kept = [each for each in directory.names(f"{folder}/checkpoint-") if each < name]
        old = kept[:-1] + [each for each in directory.names(f"{folder}/checkpoint-") if each > name]
        if best in files:
            old += directory.names(f"{folder}/best-")[:-1]
        directory.commit(files, remove=old)
        self._saved_step = record.step
        if not record.step:
            directory.write_uncounted(f"{folder}/history.csv", to_csv(record.history))
            directory.write_uncounted(f"{folder}/timings.csv", to_csv(record.timings))

    def _stop(self) -> None:
        record = self._recorder.record
        place = f"{self._folder.replace('-', ' ')}, epoch {record.epochs}"
        if record.step and self._within_epochs:
            place += f" and {record.step} steps of the next"
        raise interruption.Interrupted(self._requests.signal_number, f"up to {place}")


def restore(
    model: keras.Model, directory: RunDirectory, folder: str
) -> tuple[Record, list[np.ndarray]] | None:
    """Puts the model in the state of the newest checkpoint that is whole.

    Returns:
        The record, and the metric variables of the epoch under way; None if there is no
        checkpoint.
    """
    for name in reversed(directory.names(f"{folder}/checkpoint-")):
        try:
            state, notes = checkpoints.unpack(directory.read(name))
            measured = notes.pop("metrics")
            names = {field.name for field in dataclasses.fields(Record)}
            record = Record(**{key: value for key, value in notes.items() if key in names})
            if record.best:
                best = f"{folder}/best-{int(record.best['epoch']):06d}.npz"
                record.best_weights, _ = checkpoints.unpack(directory.read(best))
        except (CorruptFileError, KeyError, json.JSONDecodeError, zipfile.BadZipFile) as error:
            logging.warning("%s Going on from the checkpoint before it.", error)
            continue
        metrics = state[len(state) - measured :]
        checkpoints.restore(model, state[: len(state) - measured])
        return record, metrics
    return None
