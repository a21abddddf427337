"""A task of your own: classification of the rows of a CSV file, from outside of the package.

The last column is the class, all others are numbers. After `pip install ./examples/custom_task`,
whose entry point names `TASK`, `python -m ban_tf.main --dataset=rows:PATH.csv` trains it:
generations, ensembles, resuming, seeds and reports are those of any other run.
"""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ban_tf import objectives
from ban_tf.errors import InputError
from ban_tf.metrics import summary
from ban_tf.system import seeds
from ban_tf.tasks import Declaration, Task, saturation

PREFIX = "rows:"


class TableClassification(Task):
    """Networks that classify rows of numbers; every fifth row is for validation, or for the test.

    Attributes:
        parts: "train", "validation" and "test": float32 `[rows, columns]` and int32 `[rows]`.
    """

    def load(self) -> None:
        """Reads the file."""
        path = pathlib.Path(self.options.dataset.removeprefix(PREFIX))
        table = np.genfromtxt(path, delimiter=",", dtype=str)
        self.content = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        self.classes, labels = np.unique(table[:, -1], return_inverse=True)
        columns, labels = table[:, :-1].astype("float32"), labels.astype("int32")
        turn = np.arange(len(labels)) % 5
        chosen = {"train": turn < 3, "validation": turn == 3, "test": turn == 4}
        mean, std = columns[turn < 3].mean(axis=0), columns[turn < 3].std(axis=0)
        self.parts = {
            name: ((columns[rows] - mean) / std, labels[rows]) for name, rows in chosen.items()
        }

    def describe(self) -> str:
        """Returns the name of the file and its numbers of rows."""
        counts = ", ".join(f"{len(rows)} {name}" for name, (_, rows) in self.parts.items())
        return f"{self.options.dataset}: {counts} rows"

    def identity(self) -> dict[str, Any]:
        """Returns a hash of the file."""
        return {"data": f"content of hash {self.content}"}

    def steps_per_epoch(self) -> int:
        """Returns the number of full batches in an epoch."""
        steps = len(self.parts["train"][1]) // self.options.batch_size
        if not steps:
            raise InputError(f"--batch_size={self.options.batch_size} is more than there are rows.")
        return steps

    def training_batches(self, generation: int, epoch: int, step: int, *teacher: Any) -> Any:
        """Returns the batches of an epoch, shuffled by generation and epoch."""
        rows, labels = self.parts["train"]
        seed = seeds.derive_seed(self.options.seed, "data", generation, epoch)
        order = np.random.default_rng(seed).permutation(len(labels))
        data = tf.data.Dataset.from_tensor_slices((rows[order], labels[order]))
        return data.batch(self.options.batch_size, drop_remainder=True).skip(step)

    def validation_batches(self) -> Any:
        """Returns the rows for validation."""
        return tf.data.Dataset.from_tensor_slices(self.parts["validation"]).batch(100)

    def analyzed_batches(self) -> Any:
        """Returns the training rows in the order of the file."""
        return tf.data.Dataset.from_tensor_slices(self.parts["train"]).batch(100)

    def build(self, network: str) -> keras.Model:
        """Builds a network of one hidden layer."""
        return keras.Sequential(
            [
                keras.Input((self.parts["train"][0].shape[1],)),
                keras.layers.Dense(32 if network == "dense" else 128, activation="relu"),
                keras.layers.Dropout(self.settings_of(network).get("dropout", 0.0)),
                keras.layers.Dense(len(self.classes), name="logits"),
            ]
        )

    def compile_arguments(self) -> dict[str, Any]:
        """Returns cross-entropy and accuracy."""
        loss = objectives.LabelCrossEntropy(label_smoothing=self.options.label_smoothing)
        return {"loss": loss, "weighted_metrics": ["accuracy"]}

    def _log_probabilities(self, model: keras.Model, part: str) -> np.ndarray:
        logits = model.predict(self.parts[part][0], verbose=0).astype("float64")
        return np.asarray(tf.nn.log_softmax(logits))

    def improved(self, lineage: Any) -> bool:
        """Returns whether the validation error fell by more than its 95 % interval."""
        number = lineage.generations[-1].number
        now, before = (
            self._log_probabilities(lineage.model(index), "validation")
            for index in (number, number - 1)
        )
        return saturation.error_improved(now, before, self.parts["validation"][1])

    def rows(self, lineage: Any, groups: list[list[int]], directory: Any) -> list[dict[str, Any]]:
        """Evaluates generations and ensembles on the test rows."""
        predictions = [
            self._log_probabilities(lineage.model(generation.number), "test")
            for generation in lineage.generations
        ]
        labels = self.parts["test"][1]
        return summary.rows(predictions, groups, labels, self.options.ensemble_average)


def check(name: str) -> None:
    """Checks the name of a data set before anything is imported or trained.

    Raises:
        InputError: There is no such file.
    """
    if not pathlib.Path(name.removeprefix(PREFIX)).is_file():
        raise InputError(f"--dataset={name} names no file; give {PREFIX}PATH.csv.")


TASK = Declaration(
    name="table_classification",
    data="tables",
    prefix="rows",
    implementation=TableClassification,
    defaults={"arch": "dense", "batch_size": 16},
    networks={"dense": ("dropout",), "wide": ("dropout",)},
    check_dataset=check,
)
