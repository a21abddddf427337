"""Metrics and callbacks for training language models.

The recurrent state is carried from batch to batch, teacher and student in step, and reset where
a text starts; perplexity is the metric, and controls the learning rate.
"""

from __future__ import annotations

from typing import Any

import keras
from absl import logging

from ban_tf.config.options import Options
from ban_tf.distillation import analysis
from ban_tf.distillation.student import BornAgainModel
from ban_tf.objectives import names as objective_names
from ban_tf.training import optimizers


@keras.saving.register_keras_serializable("ban_tf")
class Perplexity(keras.metrics.SparseCategoricalCrossentropy):
    """Perplexity: the exponential of the mean cross-entropy per word, from logits."""

    def __init__(self, name: str = "perplexity", dtype: Any = None):
        super().__init__(name=name, dtype=dtype, from_logits=True)

    def result(self) -> Any:
        """Returns the perplexity of all words so far."""
        return keras.ops.exp(super().result())

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"name": self.name, "dtype": self.dtype}


class StateReset(keras.callbacks.Callback):
    """Resets the states of student and teachers where a text starts."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Resets the states for the training text."""
        _reset_all(self.model)

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Resets the states for the validation text."""
        _reset_all(self.model)


def _reset_all(model: keras.Model) -> None:
    members = [model.student] if isinstance(model, BornAgainModel) else [model]
    for member in [*members, *getattr(getattr(model, "teacher", None), "models", [])]:
        reset_states(member)


def reset_states(model: keras.Model) -> None:
    """Resets the states of a model's recurrent layers, also of those of models inside it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            reset_states(layer)
        elif getattr(layer, "stateful", False):
            layer.reset_state()


class LanguageAnalysis(analysis.Analysis):
    """An analysis for which student and teacher read a text from its start."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds a row."""
        _reset_all(self.model)
        super().on_epoch_end(epoch, logs)


class PlateauSchedule(keras.callbacks.Callback):
    """Lowers the learning rate whenever validation perplexity has not fallen enough.

    Each epoch is compared with the one before it. The rate is lowered when the next epoch begins,
    based on the rows, so that a resumed training does the same.

    Args:
        factor: Factor of the learning rate.
        threshold: The required decrease of perplexity.
        rows: The rows of the completed epochs.
    """

    def __init__(self, factor: float, threshold: float, rows: list[dict[str, float]]):
        super().__init__()
        self._factor = factor
        self._threshold = threshold
        self._perplexities = [row["val_perplexity"] for row in rows]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Compares the last two epochs."""
        if len(self._perplexities) < 2:
            return
        before, now = self._perplexities[-2:]
        # NaN perplexity is no improvement either.
        improved = before - now > self._threshold or before - now == self._threshold > 0
        if not improved:
            optimizers.lower_learning_rate(self.model.optimizer, self._factor)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Records the perplexity."""
        assert logs is not None
        self._perplexities.append(logs["val_perplexity"])


def warn_of_missing_labels(options: Options) -> None:
    """Warns about an objective without labels, which has not been found to help on text."""
    name, label_weight = objective_names.parse(options.objective)
    weight = label_weight if options.label_weight is None else options.label_weight
    if weight == 0 and name not in ("cwtm", "importance") and options.gens:
        logging.warning(
            "--objective=%s leaves the labels out: on text only %s+labels has been found to help, "
            "since a language model is far from memorizing its training text (Furlanello et al., "
            "2018, section 4.3).",
            options.objective,
            name,
        )
