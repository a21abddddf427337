"""Per-epoch history of a training, and its best weights so far."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import keras
import numpy as np

from ban_tf.compat import fingerprint
from ban_tf.errors import DivergenceError, InputError

Rows = list[dict[str, float]]
MONITOR = "val_accuracy"


@dataclasses.dataclass
class TrainingState:
    """Progress and history of a training.

    Attributes:
        epochs: Completed epochs.
        step: Completed steps of the current epoch.
        steps: Steps of the last completed epoch.
        seconds: Time that earlier processes spent on the current epoch.
        history: One row per completed epoch.
        timings: Seconds and throughput per completed epoch; they differ between runs.
        best: The best epoch, if the best weights are restored at the end.
        stopped: Whether a callback ended the training early.
        retried: Whether it diverged and was resumed at a lower learning rate.
        unvalidated: Logs of an epoch that still has to be validated.
        measured: For a hash of weights, the last epoch that measured them.
        ended: Whether `fit` has ended, which may change the weights once more.
        best_weights: The weights of the best epoch.
    """

    epochs: int = 0
    step: int = 0
    steps: int | None = None
    seconds: float = 0.0
    history: Rows = dataclasses.field(default_factory=list)
    timings: Rows = dataclasses.field(default_factory=list)
    best: dict[str, Any] | None = None
    stopped: bool = False
    retried: bool = False
    unvalidated: dict[str, float] | None = None
    measured: dict[str, int] = dataclasses.field(default_factory=dict)
    ended: bool = False
    best_weights: list[np.ndarray] | None = None

    def notes(self) -> dict[str, Any]:
        """Returns the fields that JSON can hold."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "best_weights"
        }


class HistoryCallback(keras.callbacks.Callback):
    """Updates the `TrainingState` of a training, and stops it if it diverges.

    Place it before callbacks that read the logs: it adds the learning rate and, if the number
    of examples is known, the throughput.

    Args:
        record: The state to update.
        keep: "best" stores the weights of the best epoch by validation.
        monitor: The accuracy by which an epoch is the best.
        examples_per_epoch: For the throughput.
        exact: Whether an epoch must run all of its steps, rather than at least one.

    Attributes:
        first_step: Steps of the current epoch that were done when this process resumed it.
    """

    def __init__(
        self,
        record: TrainingState,
        keep: str,
        examples_per_epoch: int | None,
        exact: bool = False,
        monitor: str = MONITOR,
    ):
        super().__init__()
        self._monitor = monitor
        self.record = record
        self._keep = keep
        self._examples = examples_per_epoch
        self._exact = exact
        self.first_step = record.step
        self._last_loss: float | None = None
        self._trained: float | None = None
        self._validated: list[np.ndarray] | None = None

    def seconds(self) -> float:
        """Seconds spent on the current epoch."""
        return self.record.seconds + time.perf_counter() - self._started

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._started, self._trained = time.perf_counter(), None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts the step and checks its loss."""
        # Keras counts all steps of an execution, also where fewer were left of the epoch.
        step = self.first_step + min(batch + 1, self.params.get("steps") or batch + 1)
        self._check(logs or {}, step)
        self.record.step = step

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Records how long the steps took, without validation."""
        self._trained = self.seconds()

    def on_test_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Records which weights are validated, after other callbacks swapped theirs in."""
        if self._validated is None:
            self._validated = self.model.student.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the epoch's row."""
        logs = {} if logs is None else logs
        record, seconds = self.record, self.seconds()
        self._check_steps()
        self._check(logs, record.step)
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        timing = {"epoch": epoch + 1, "seconds": seconds}
        if self._examples:
            timing["examples_per_second"] = self._examples / (self._trained or seconds)
            logs["examples_per_second"] = timing["examples_per_second"]
        record.history.append(row)
        record.timings.append(timing)
        record.epochs, record.step, record.steps, record.seconds = epoch + 1, 0, record.step, 0.0
        record.unvalidated = None
        self.first_step = 0
        weights, self._validated = self._validated or self.model.student.get_weights(), None
        record.measured[fingerprint.of_weights(weights)] = epoch + 1
        if self._keep == "best" and best_row(record.history, self._monitor) is row:
            record.best, record.best_weights = {"epoch": row["epoch"]}, weights

    def _check_steps(self) -> None:
        """Checks that the data lasted for the epoch; Keras only warns.

        An epoch without steps has a loss of 0, and would count as trained.
        """
        record, wanted = self.record, self.params.get("steps")
        wanted = None if wanted is None else self.first_step + wanted
        if record.step and (not self._exact or self.model.stop_training):
            return
        if record.step >= (wanted or 1):
            return
        of = f" of its {wanted}" if wanted else ""
        raise InputError(
            f"`x` ran out of data in epoch {record.epochs + 1}, after {record.step}{of} steps; "
            "give data that lasts for all epochs: a function (generation, epoch, step) that "
            "returns the data of an epoch, a tf.data.Dataset with .repeat(), or no "
            "`steps_per_epoch`."
        )

    def _check(self, logs: dict, step: int) -> None:
        loss = logs.get("loss")
        if loss is None:
            return
        loss = float(loss)
        if not math.isfinite(loss):
            before = "" if self._last_loss is None else f"; before it was {self._last_loss:.4g}"
            raise DivergenceError(
                f"The loss became {loss} in epoch {self.record.epochs + 1}, step {step}{before}."
            )
        self._last_loss = loss


def best_row(history: Rows, monitor: str = MONITOR) -> dict[str, float]:
    """Returns the row of the best epoch by validation; the first one of ties.

    Args:
        history: One row per epoch.
        monitor: The accuracy that counts first, where it was measured.
    """
    return max(history, key=lambda row: _score(row, monitor))


def _score(row: dict[str, float], monitor: str) -> list[float]:
    """Higher is better, compared entry by entry."""
    loss = row.get("val_label_loss", row.get("val_loss", row.get("loss", 0.0)))
    validated = any(name.startswith("val_") for name in row)
    return [validated, row.get(monitor, 0.0), -loss]
