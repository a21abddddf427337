"""One generation's training: `fit`, recorded so that it can be gone on with.

After each epoch a checkpoint of the whole state is written (the last two are kept, and the best
so far), with the history up to it. `train` starts from the newest checkpoint that is whole; what
was trained after it is trained again, with the same draws.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from absl import logging

from ban_tf import checkpoints
from ban_tf.rundir import CorruptFileError, RunDirectory

KEEP = ("last", "best")

# What differs between two runs of the same seed stands apart from what may not.
TIMINGS = ("seconds", "examples_per_second")


class DivergenceError(RuntimeError):
    """The loss stopped being a finite number."""


class Outcome(NamedTuple):
    """What one training left: the kept weights, a row of numbers an epoch, and the time taken."""

    weights: list[np.ndarray]
    history: list[dict[str, float]]
    timings: list[dict[str, float]]


class Progressed(NamedTuple):
    """How far a training is: epochs done, their rows, and the best weights so far."""

    epochs: int
    history: list[dict[str, float]]
    timings: list[dict[str, float]]
    best: dict[str, Any] | None  # {"epoch": ..., "score": [...]}
    best_weights: list[np.ndarray] | None


_NOTHING = Progressed(0, [], [], None, None)


def train(
    model: keras.Model,
    batches: Callable[[int], Any],
    *,
    epochs: int,
    keep: str = "last",
    examples_per_epoch: int | None = None,
    directory: RunDirectory | None = None,
    folder: str = "",
    callbacks: Callable[[list[dict]], Sequence[keras.callbacks.Callback]] | None = None,
    **fit: Any,
) -> Outcome:
    """Trains a compiled model, from its newest checkpoint if it has one.

    Args:
        model: The compiled, built model in its initial state.
        batches: Given the first epoch to train, returns what `fit` takes as `x`.
        epochs: Epochs in all.
        keep: "last" keeps the last epoch's weights, "best" those of the best epoch by
            validation: highest accuracy, then lowest loss.
        examples_per_epoch: For the throughput, if known.
        directory: Where checkpoints go; None for none.
        folder: The generation's folder in `directory`.
        callbacks: Given the rows so far, returns further callbacks.
        **fit: Further arguments for `model.fit`.

    Raises:
        DivergenceError: The loss became NaN or infinite; the checkpoints are as they were.
        RunDirectoryError: A checkpoint could not be written.
    """
    model.optimizer.build(model.trainable_variables)
    done = _restore(model, directory, folder) if directory else _NOTHING
    recorder = _Recorder(done, keep, examples_per_epoch, directory, folder)
    if done.epochs < epochs:
        model.fit(
            batches(done.epochs),
            epochs=epochs,
            initial_epoch=done.epochs,
            callbacks=[recorder, *(callbacks(done.history) if callbacks else ())],
            verbose=0,
            **fit,
        )
    weights = recorder.best_weights if keep == "best" else model.student.get_weights()
    return Outcome(weights, recorder.history, recorder.timings)


def to_csv(rows: Sequence[dict[str, float]]) -> bytes:
    """Returns rows as CSV, with a column for every name that occurs in any of them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


class _Recorder(keras.callbacks.Callback):
    """Writes down each epoch: its numbers, the best weights, a checkpoint."""

    def __init__(
        self,
        done: Progressed,
        keep: str,
        examples_per_epoch: int | None,
        directory: RunDirectory | None,
        folder: str,
    ):
        super().__init__()
        self.history, self.timings = list(done.history), list(done.timings)
        self.best, self.best_weights = done.best, done.best_weights
        self._keep = keep
        self._examples = examples_per_epoch
        self._directory = directory
        self._folder = folder

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = {} if logs is None else logs
        now = time.perf_counter()
        training_seconds = getattr(self, "_trained", now) - self._started
        if not math.isfinite(logs.get("loss", 0.0)):
            last = self.history[-1]["loss"] if self.history else None
            raise DivergenceError(
                f"The loss became {logs['loss']} in epoch {epoch + 1}"
                + (f"; it was {last:.4g} in the epoch before." if last is not None else ".")
                + " A lower learning rate or gradient clipping usually helps."
            )
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        timing = {"epoch": epoch + 1, "seconds": now - self._started}
        if self._examples:
            timing["examples_per_second"] = self._examples / training_seconds
            logs["examples_per_second"] = timing["examples_per_second"]
        self.history.append(row)
        self.timings.append(timing)
        improved = self._keep == "best" and self._consider(row)
        if self._directory is not None:
            self._save(epoch + 1, improved)

    def _consider(self, row: dict[str, float]) -> bool:
        score = _score(row)
        if self.best is not None and score <= self.best["score"]:
            return False
        self.best = {"epoch": row["epoch"], "score": score}
        self.best_weights = self.model.student.get_weights()
        return True

    def _save(self, epoch: int, improved: bool) -> None:
        directory, folder = self._directory, self._folder
        notes = {
            "epochs": epoch,
            "history": self.history,
            "timings": self.timings,
            "best": self.best,
        }
        files = {
            f"{folder}/checkpoint-{epoch:06d}.npz": checkpoints.pack(
                checkpoints.capture(self.model), notes
            )
        }
        if improved:
            files[f"{folder}/best-{epoch:06d}.npz"] = checkpoints.pack(self.best_weights)
        # Two checkpoints stay, and the best weights that either of them speaks of.
        old = directory.names(f"{folder}/checkpoint-")[:-1]
        old += directory.names(f"{folder}/best-")[:-1] if improved else []
        directory.commit(files, remove=old)
        directory.write_uncounted(f"{folder}/history.csv", to_csv(self.history))
        directory.write_uncounted(f"{folder}/timings.csv", to_csv(self.timings))


def _score(row: dict[str, float]) -> list[float]:
    """What is better has the higher score; compared entry by entry."""
    loss = row.get("val_label_loss", row.get("val_loss", row.get("loss", 0.0)))
    return [row.get("val_accuracy", 0.0), -loss]


def _restore(model: keras.Model, directory: RunDirectory, folder: str) -> Progressed:
    """Puts the model in the state of the newest checkpoint that is whole."""
    for name in reversed(directory.names(f"{folder}/checkpoint-")):
        try:
            state, notes = checkpoints.unpack(directory.read(name))
            best_weights = None
            if notes["best"]:
                best = f"{folder}/best-{int(notes['best']['epoch']):06d}.npz"
                best_weights, _ = checkpoints.unpack(directory.read(best))
        except (CorruptFileError, KeyError, json.JSONDecodeError) as error:
            logging.warning("%s Going on from the checkpoint before it.", error)
            continue
        checkpoints.restore(model, state)
        return Progressed(
            notes["epochs"], notes["history"], notes["timings"], notes["best"], best_weights
        )
    return _NOTHING
