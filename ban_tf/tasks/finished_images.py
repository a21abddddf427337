"""What a finished run on images is used for: evaluation, prediction and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.runs import reading
from ban_tf.tasks import image_inference, served_images
from ban_tf.tasks.task import Predictions, ServedData, Task


class FinishedImages(Task):
    """The commands for finished runs on images; see `Task`."""

    @classmethod
    def evaluate(
        cls, run: reading.RunReader, dataset: str, data_dir: str | None = None
    ) -> dict[str, Any]:
        """Evaluates a run on the test split of another dataset with the same classes."""
        return image_inference.evaluate(run, dataset, data_dir)

    @classmethod
    def predict(
        cls, run: reading.RunReader, files: Sequence[str], which: str, top: int | None
    ) -> Predictions:
        """Predicts the classes of image files; the table has the `top` most likely ones, or all."""
        return image_inference.predict(run, files, which, top)

    @classmethod
    def probabilities(cls, run: reading.RunReader, inputs: Any, which: str) -> np.ndarray:
        """Predicts the classes of images; see `image_inference.probabilities`."""
        return image_inference.probabilities(run, inputs, which)

    @classmethod
    def served(
        cls, run: reading.RunReader, which: str, preprocessing: bool, to: str
    ) -> tuple[keras.Model, dict[str, Any]]:
        """Returns a model, with its classes and the normalization of its images."""
        return image_inference.served(run, which, preprocessing, to)

    @classmethod
    def served_data(
        cls,
        run: reading.RunReader,
        preprocessing: bool,
        dataset: str | None = None,
        data_dir: str | None = None,
    ) -> ServedData:
        """Returns the images of a run; see `served_images.load`."""
        return served_images.load(run, preprocessing, dataset, data_dir)
