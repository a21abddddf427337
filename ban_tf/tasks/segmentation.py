"""Segmentation: the class of each pixel, of folders of images and masks, or of drawn shapes.

A teacher teaches each pixel its distribution over classes. Pixels without a class have no label;
they learn from the teacher by objectives that read no labels, unless `--skip_void` is given.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ban_tf import datasets, objectives
from ban_tf.datasets import masks, pipeline, segmentation
from ban_tf.distillation import teacher_names
from ban_tf.errors import InputError
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import segmentation as metrics
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import (
    chance,
    data_facts,
    image_networks,
    segmentation_inference,
    segmentation_kept,
    segmentation_scores,
    teacher_signal,
)
from ban_tf.tasks.image_task import ImageTask
from ban_tf.training.pixel_metrics import MeanIoU, PixelAccuracy


class Segmentation(ImageTask):
    """Networks that classify the pixels of images; see `Task`."""

    finished = segmentation_inference
    kind = "segmentation"
    validation_metric = "mean_iou"
    predicts_masks = True
    shown = ("loss", "accuracy", "val_accuracy", "val_mean_iou")
    analyzed = 50
    signal: teacher_signal.TeacherSignal
    _scores: dict[str, segmentation_scores.Scores]  # of what the report shows, by name

    def load(self) -> None:
        """Reads images and masks."""
        options = self.options
        data = segmentation.load(
            options.dataset,
            data_dir=options.data_dir,
            void_label=None if options.void_label < 0 else options.void_label,
            validation_fraction=options.validation_fraction,
            train_examples=options.train_examples,
            seed=options.seed,
            image_size=options.image_height_and_width,
            resize=options.resize,
            test_fraction=options.test_fraction,
            show_progress=options.progress == "auto",
        )
        self.networks = image_networks.ImageNetworks(self, data, per_pixel=True)
        self.data = self.networks.data
        if options.class_weight:
            train = self.data.train.labels
            self.weigh(train[train != masks.VOID])

    def open(self, directory: RunDirectory) -> None:
        """Checks that a resumed run has the same pixels, and decides how teachers teach."""
        self.networks.check_resumed(directory)
        self.open_signal(directory, self._batch_size(1))

    def describe(self) -> str:
        """Returns the name of the dataset, its numbers of images and their size."""
        height, width, _ = self.data.input_shape
        counted = data_facts.describe(self.data.name, self.labels, "images")
        return f"{counted} of {height}x{width} pixels"

    def remarks(self) -> list[str]:
        """Returns the share of each class in the training pixels, and the size of recordings."""
        counts = np.bincount(self.data.train.labels.ravel(), minlength=masks.VOID + 1)
        shares = counts / counts.sum()
        named = [
            f"{name} {100 * share:.1f} %"
            for name, share in zip(self.data.class_names, shares, strict=False)
        ]
        found = [f"Training pixels: {', '.join([*named, f'none {100 * shares[-1]:.1f} %'])}."]
        if self.recorded:
            found.append(self.signal.describe_space())
        return found

    def _batches(self, split: datasets.Split, models: int) -> Any:
        """Returns images and labels of a split in order, for so many models at once."""
        return pipeline.evaluation_batches(split, self.data, self._batch_size(models))

    def _batch_size(self, models: int) -> int:
        """Returns how many images fit into memory, for so many models at once."""
        return segmentation_scores.batch_size(
            lambda: [self.build(network) for network in self.options.architectures],
            self.data.input_shape,
            self.data.num_classes,
            models,
            self.options.eval_batch_size,
        )

    def first_model(self) -> keras.Model | None:
        """Returns the model of `--teacher_from`, made to take the pixels of the run.

        Raises:
            InputError: It does not classify the pixels of these images, or has other classes.
        """
        path = self.options.teacher_from
        if not path:
            return None
        if not teacher_names.is_first_model(vars(self.options)):
            raise InputError(
                f"--teacher_from={path} must be one .keras file, of a network for masks: neither "
                "recordings nor several models teach pixels."
            )
        model = self.networks.given(path)
        wanted = (*self.data.input_shape[:2], self.data.num_classes)
        if model.output_shape[1:] != wanted:
            raise InputError(
                f"--teacher_from={path} must return {wanted} for each image, the classes of its "
                f"pixels; it returns {model.output_shape[1:]}."
            )
        self.given = model
        return model

    def lineage_arguments(self, first_model: keras.Model | None) -> dict[str, Any]:
        """Returns the mean IoU of chance, and whether pixels without a class are taught."""
        labels = self.data.validation.labels
        return {
            "chance": chance.of_mean_iou(labels[labels != masks.VOID]),
            "monitor": "val_mean_iou",
            "distill_void": not self.options.skip_void,
        }

    def compile_arguments(self) -> dict[str, Any]:
        """Returns cross-entropy, pixel accuracy and mean IoU."""
        loss = objectives.LabelCrossEntropy(
            from_logits=self.end == "linear", label_smoothing=self.options.label_smoothing
        )
        return {
            "loss": loss,
            "weighted_metrics": [PixelAccuracy(), MeanIoU(self.data.num_classes)],
        }

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether the validation mean IoU rose by more than its 95 % interval."""
        number = lineage.generations[-1].number
        models = [lineage.model(number - 1), lineage.model(number)]
        batches = self._batches(self.data.validation, 2)
        before, now = segmentation_scores.score(models, [[0], [1]], batches)
        return metrics.change(now.counts, before.counts)["low"] > 0

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the validation mean IoU of generations and of their averages."""
        split = self.data.validation
        if not (split.labels != masks.VOID).any():
            return None
        models = [lineage.model(generation.number) for generation in lineage.generations]
        average = self.options.ensemble_average
        scores = segmentation_scores.score(
            models, groups, self._batches(split, len(models)), average
        )
        return [metrics.mean_iou(score.counts) for score in scores]

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Evaluates the test images; each generation's predicted masks are stored."""
        models = [lineage.model(generation.number) for generation in lineage.generations]
        last = len(models) - 1
        named = {f"generation {number}": number for number in range(len(models))}
        if last > 1:
            named[f"ensemble 1-{last}"] = groups.index(list(range(1, last + 1)))
        scores = segmentation_scores.score(
            models,
            groups,
            self._batches(self.data.test, len(models)),
            self.options.ensemble_average,
            set(named.values()),
        )
        self._scores = {name: scores[index] for name, index in named.items()}
        segmentation_kept.write_masks(directory, scores[: len(models)])
        return segmentation_scores.rows(scores)

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores what is measured of each test image, and pictures of some of them."""
        segmentation_kept.write(directory, self._scores, self.data.test, self.data.class_names)
