"""What tasks on images have in common: their pixels and batches, teachers, weights of classes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.compat import keras_distribution
from ban_tf.datasets import class_weights, pipeline
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import data_facts, frozen_features, image_networks, teacher_signal
from ban_tf.tasks.task import Task


class ImageTask(Task):
    """A task on images; a subclass loads them, and measures its models.

    Attributes:
        data: The images and their labels, in the pixels of the run.
        networks: Builds the networks.
        signal: The batches, with teachers that are recorded or run; perhaps of features of images.
        analyzed: How many training images `--analyse` looks at.
    """

    data: datasets.ImageData
    networks: image_networks.ImageNetworks
    signal: teacher_signal.TeacherSignal | frozen_features.FrozenFeatures
    analyzed: int
    _class_weights: np.ndarray | None = None

    @property
    def labels(self) -> list[np.ndarray]:
        """The labels of the training, validation and test images."""
        return [part.labels for part in (self.data.train, self.data.validation, self.data.test)]

    def weigh(self, labels: np.ndarray) -> None:
        """Weighs classes by `--class_weight`, if it is given; called after loading.

        Args:
            labels: The classes of the training images, or of their pixels, integers of any shape.
        """
        given = self.options.class_weight
        if given:
            self._class_weights = class_weights.weights(given, labels, self.data.class_names)

    def open_signal(self, directory: RunDirectory, eval_batch_size: int, *further: Any) -> None:
        """Decides whether the outputs of teachers are recorded; called by `open`.

        Args:
            directory: The run directory.
            eval_batch_size: Images in a batch of evaluation.
            *further: Further arguments of `TeacherSignal`.
        """
        signal = self.workers.run_on_chief_first(
            lambda: teacher_signal.TeacherSignal(
                self.options, self.data, directory, self.workers, eval_batch_size, *further
            )
        )
        self.signal, self.recorded = signal, signal.recorded

    def describe(self) -> str:
        """Returns the name of the dataset and its numbers of images."""
        return data_facts.describe(self.data.name, self.labels, "examples")

    def identity(self) -> Mapping[str, Any]:
        """Returns the numbers of images, what their content depends on, and class weights."""
        data = self.data
        return {
            **data_facts.identity(data.content, self.labels, data.class_names),
            # Among these, older runs are known by the content alone.
            "resize": self.options.resize,
            **class_weights.identity(self.options.class_weight, self._class_weights),
        }

    def files(self) -> Mapping[str, bytes]:
        """Returns the classes and the normalization of the images."""
        return {reading.DATA: reading.DataFacts.of(self.data, self.options.resize).to_json()}

    def steps_per_epoch(self) -> int:
        """Returns the number of full batches in an epoch."""
        return pipeline.steps_per_epoch(self.data, self.options.batch_size)

    def training_batches(self, generation: int, epoch: int, step: int, *teacher: Any) -> Any:
        """Returns shuffled, augmented and possibly mixed images, and their labels."""
        batches = self.signal.training_batches(
            generation,
            epoch,
            step,
            teacher[0] if teacher else None,
            self._blend(generation, epoch, step),
            self._weighted,
        )
        return keras_distribution.as_data(batches)

    def _blend(self, generation: int, epoch: int, step: int) -> Callable[..., Any] | None:
        """Returns what mixes the images of a batch, if anything does."""
        return None

    def _weighted(self, batches: Any) -> Any:
        return class_weights.weighted(batches, self._class_weights)

    def validation_batches(self) -> Any:
        """Returns the validation images in order; None if there are none."""
        if not len(self.data.validation.labels):
            return None
        batches = self.signal.validation_batches
        return batches if self.recorded else batches(0)

    def analyzed_batches(self) -> Any:
        """Returns the first training images, without augmentation."""
        count = min(self.analyzed, len(self.data.train.labels))
        some = self.data.train.select(np.arange(count))
        size = min(self.options.batch_size, self.analyzed)
        return pipeline.evaluation_batches(some, self.data, size)

    def build(self, network: str) -> keras.Model:
        """Builds a network from images of the run's pixels to logits, of each image or pixel."""
        return self.networks.build(network)

    @functools.cached_property
    def end(self) -> str:
        """The last activation of the networks that are trained, which are checked."""
        student = self.options.student_arch
        return self.networks.end([self.build_first(), *([self.build(student)] if student else [])])
