"""Images with several labels each, or none: `multilabel:digits`, and tables of images.

Images are read, augmented and shown to networks as in image classification. The outputs are
independent: each label has its own probability, label loss, teacher and threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from ban_tf import datasets
from ban_tf.datasets import class_weights, thumbnails
from ban_tf.distillation import teacher_names
from ban_tf.errors import InputError
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import labels as label_metrics
from ban_tf.report import examples
from ban_tf.runs import label_files, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import (
    chance,
    image_scores,
    kept_predictions,
    label_inference,
    lent_models,
    saturation,
)
from ban_tf.tasks.image_classification import ImageClassification


class MultiLabelImages(ImageClassification):
    """Networks that find the labels of images; see `Task`."""

    finished = label_inference
    kind = "multi_label"
    output_kind = "binary"
    validation_metric = "hamming_loss"
    _losses: dict[tuple[int, ...], float]  # Hamming losses of the validation images
    _odds: list[np.ndarray]
    _thresholds: dict[tuple[int, ...], np.ndarray]

    def load(self) -> None:
        """Loads the images."""
        super().load()
        if not self.data.multi_label:
            raise InputError(
                f"--dataset={self.options.dataset} has one class for each image; multi-label data "
                "has a column labels, or one column of zeros and ones for each label."
            )

    def remarks(self) -> list[str]:
        """Returns the number of training examples of each label."""
        train = self.data.train.labels
        counts = class_weights.listed(train.sum(axis=0), self.data.class_names)
        return [f"Training examples by label: {counts}; {train.sum(axis=1).mean():.2f} of each."]

    def compile_arguments(self) -> dict[str, Any]:
        """Returns the binary cross-entropy of each label, and the share of right labels."""
        end = self.end
        if end == "softmax":
            raise InputError(
                f"--arch={self.options.arch} ends in a softmax, by which labels exclude each "
                "other; end it in logits or in a sigmoid."
            )
        logits = end == "linear"
        loss = keras.losses.BinaryCrossentropy(
            from_logits=logits, label_smoothing=self.options.label_smoothing
        )
        accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0 if logits else 0.5)
        return {"loss": loss, "weighted_metrics": [accuracy]}

    def first_teacher(self) -> tuple[Any, str] | None:
        """Returns several models of `--teacher_from`, which teach generation 0.

        Raises:
            InputError: It is a recording or of another runtime, whose outputs are of classes that
                exclude each other.
        """
        given = self.options.teacher_from or ""
        source = teacher_names.parse(given)[0]
        if source.is_recording or source.is_of_other_runtime:
            raise InputError(
                f"--teacher_from={given} must be a .keras file, or several, for images with "
                "several labels; recordings and other runtimes are for images of one class each."
            )
        return super().first_teacher()

    def _monitored(self) -> dict[str, Any]:
        expected = chance.of_label_accuracy(self.data.validation.labels)
        return {"chance": expected, "monitor": self.options.monitor}

    # Evaluation.

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether the validation labels are right more often, by a 95 % interval."""
        number, validation = lineage.generations[-1].number, self.data.validation
        now, before = (
            image_scores.log_odds(
                lent_models.of_generation(lineage, index),
                validation,
                self.data,
                **self._evaluated(),
            )
            for index in (number, number - 1)
        )
        return saturation.labels_improved(now, before, validation.labels)

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Chooses thresholds on the validation images, and evaluates on the test images.

        Log-odds of both are stored with the models, and the thresholds with the run.
        """
        validation, test = self.data.validation, self.data.test
        average = self.options.ensemble_average
        self._odds = self._log_odds(lineage, directory, test, "predictions")
        known = (
            self._log_odds(lineage, directory, validation, "validation")
            if len(validation.labels)
            else [np.empty((0, self.data.num_classes)) for _ in self._odds]
        )
        means = {
            tuple(members): label_metrics.mean_probabilities(
                [known[member] for member in members], average
            )
            for members in groups
        }
        self._thresholds = {
            members: label_metrics.best_thresholds(mean, validation.labels)
            for members, mean in means.items()
        }
        self._losses = {
            members: float(np.mean((mean >= self._thresholds[members]) != validation.labels))
            for members, mean in means.items()
            if len(mean)
        }
        directory.commit(label_files.thresholds_file(self._thresholds))
        probabilities = [
            label_metrics.mean_probabilities([self._odds[member] for member in members], average)
            for members in groups
        ]
        return label_metrics.rows(probabilities, test.labels, list(self._thresholds.values()))

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the Hamming losses of the validation images, as `rows` has measured them."""
        return [self._losses[tuple(group)] for group in groups] if self._losses else None

    def _log_odds(
        self, lineage: Lineage, directory: RunDirectory, split: datasets.Split, kept_as: str
    ) -> list[np.ndarray]:
        """Returns each generation's log-odds on a split; they are stored."""
        return kept_predictions.of_generations(
            lineage,
            directory,
            (len(split.labels), self.data.num_classes),
            lambda model: image_scores.log_odds(model, split, self.data, **self._evaluated()),
            read=label_files.log_odds,
            kept_as=kept_as,
        )

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores the labels, the names of files, and thumbnails of the images that reports show."""
        test, last = self.data.test, len(self._odds) - 1
        shown = examples.confident_label_mistakes(
            self._odds[last], test.labels, self._thresholds[(last,)]
        )
        chosen = np.unique([index for index, _ in shown]).astype(np.int64)
        images = thumbnails.shrink(np.asarray(test.images[chosen]))
        kept = reading.Test(np.asarray(test.labels), chosen, images, test.files)
        directory.commit(kept.to_files())

    def figures(self) -> Mapping[str, Mapping[int, Figure]]:
        """Returns no figures for TensorBoard."""
        return {}
