"""A number of each image: `regression:digits`, and tables of images and numbers.

Images are read and shown to networks as in image classification. Networks learn standardized
numbers; the saved models end in the layer that brings them back to the unit of the data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from ban_tf import datasets
from ban_tf.datasets import tables, thumbnails
from ban_tf.datasets.folder_layout import TEST, TRAIN, VALIDATION
from ban_tf.errors import InputError
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import regression
from ban_tf.report import examples
from ban_tf.runs import number_files
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import image_scores, number_inference, number_scores
from ban_tf.tasks.image_classification import ImageClassification


class ImageRegression(ImageClassification):
    """Networks that predict a number of each image; see `Task`.

    The labels of its data are standardized, float32 `[examples, 1]`.
    """

    finished = number_inference
    kind = "regression"
    output_kind = "values"
    validation_metric = "rmse"
    shown = number_scores.SHOWN
    _target: tables.Target
    _numbers_of: dict[str, np.ndarray]  # of each part, in the unit of the data

    def load(self) -> None:
        """Loads the images, and standardizes their numbers by the training images."""
        super().load()
        parts = (TRAIN, VALIDATION, TEST)
        self._numbers_of = {part: getattr(self.data, part).labels for part in parts}
        self._target = tables.measured(self.data.class_names[0], self._numbers_of[TRAIN])
        self.networks.target = self._target
        standard = {
            part: dataclasses.replace(
                getattr(self.data, part), labels=number_scores.standardized(numbers, self._target)
            )
            for part, numbers in self._numbers_of.items()
        }
        self.data = dataclasses.replace(self.data, **standard)

    def remarks(self) -> list[str]:
        """Returns what is predicted, and how it is spread."""
        train, target = self._numbers_of[TRAIN], self._target
        return [
            f"Predicts {target.name}, a number: {train.min():g} to {train.max():g} in the training "
            f"data, {target.mean:.4g} on average, standard deviation {train.std():.4g}."
        ]

    def as_saved(self, model: keras.Model) -> keras.Model:
        """Returns the network with outputs in the unit of the data."""
        whole = super().as_saved(model)
        numbers = number_scores.in_unit_of(self._target)(whole.outputs[0])
        return keras.Model(whole.inputs[0], numbers, name=whole.name)

    def _monitored(self) -> dict[str, Any]:
        return {}  # epochs are compared by their loss

    def compile_arguments(self) -> dict[str, Any]:
        """Returns the squared error and its root."""
        if (end := self.end) != "linear":
            raise InputError(
                f"--arch={self.options.arch} ends in a {end}, which not all numbers come out of; "
                "end it in a Dense layer without an activation."
            )
        return number_scores.compile_arguments()

    # Evaluation.

    def _numbers(self, model: keras.Model, split: datasets.Split) -> np.ndarray:
        """Returns predicted numbers in the unit of the data, float64 `[examples]`."""
        found = image_scores.values(model, split, self.data, **self._evaluated())
        return number_scores.in_unit(found, self._target)

    def _validated(self, model: keras.Model) -> np.ndarray:
        return self._numbers(model, self.data.validation)

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether the validation RMSE fell by more than its 95 % interval."""
        targets = self._numbers_of[VALIDATION]
        return number_scores.improved(lineage, self._validated, targets, self.options.seed)

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the validation RMSE of generations and of their averages."""
        targets = self._numbers_of[VALIDATION]
        return number_scores.validation_scores(lineage, groups, self._validated, targets)

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Evaluates the predictions for the test images, which are stored with the models."""
        targets = self._numbers_of[TEST]
        self._predictions = number_scores.predictions(
            lineage, directory, len(targets), lambda model: self._numbers(model, self.data.test)
        )
        return regression.rows(self._predictions, groups, targets, self.options.seed)

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores the true numbers, the names of files, and the images of the largest residuals."""
        test, targets, found = self.data.test, self._numbers_of[TEST], self._predictions
        # The ensemble, as in the report; or the last of two generations.
        shown = np.mean(found[1:], axis=0) if len(found) > 1 else found[0]
        chosen = np.array(examples.largest_residuals(shown, targets), np.int64)
        images = thumbnails.shrink(np.asarray(test.images[chosen]))
        kept = number_files.Pictures(chosen, images).to_files()
        directory.commit({**number_files.number_files(targets, test.files), **kept})

    def figures(self) -> Mapping[str, Mapping[int, Figure]]:
        """Returns predictions against the truth."""
        return number_scores.figures(self._predictions, self._numbers_of[TEST])
