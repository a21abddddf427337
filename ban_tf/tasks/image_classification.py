"""Image classification: `digits`, TFDS datasets and folders of images."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from ban_tf import datasets
from ban_tf.architectures import backbones
from ban_tf.datasets import class_weights, pipeline, thumbnails
from ban_tf.distillation import teacher_names
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import summary
from ban_tf.report import examples
from ban_tf.runs import eval_batches, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds
from ban_tf.tasks import (
    class_scores,
    feature_losses,
    first_teachers,
    frozen_features,
    image_inference,
    image_networks,
    image_scores,
    kept_predictions,
    leakage,
)
from ban_tf.tasks.given_recording import GivenRecording
from ban_tf.tasks.image_task import ImageTask
from ban_tf.tasks.other_runtimes import OtherRuntime
from ban_tf.tasks.unlabelled_images import UnlabelledImages
from ban_tf.training import freezing

SKIPPED = "skipped_files.txt"  # of a run with --skip_bad_files


class ImageClassification(ImageTask):
    """Networks that classify images; see `Task`."""

    finished = image_inference
    analyzed = 1000
    _predictions: list[np.ndarray]
    features: frozen_features.FrozenFeatures | None = None  # in place of images
    # The teacher of generation 0, if it is recorded, or will be when the directory is open.
    _recording: GivenRecording | OtherRuntime | None = None

    def load(self) -> None:
        """Loads the images."""
        options = self.options
        self.data = datasets.load(
            options.dataset,
            data_dir=options.data_dir,
            validation_fraction=options.validation_fraction,
            train_examples=options.train_examples,
            seed=options.seed,
            image_size=options.image_height_and_width,
            resize=options.resize,
            cache=options.cache,
            skip_bad_files=options.skip_bad_files,
            test_fraction=options.test_fraction,
            show_progress=options.progress == "auto",
            target=options.target,
        )
        self.networks = image_networks.ImageNetworks(self, self.data)
        self.data = self.networks.data
        self.shown = class_scores.shown(options, self.shown)
        self._unlabelled = UnlabelledImages(options, self.data) if options.unlabelled else None
        self.weigh(self.data.train.labels)

    def open(self, directory: RunDirectory) -> None:
        """Decides whether the outputs of teachers, or of a frozen backbone, are recorded."""
        self.networks.check_resumed(directory)
        if frozen_features.pays(self.options, self.data):
            with seeds.seeded(seeds.derive_seed(self.options.seed, "weights", "backbone")):
                network = self.build(self.options.arch)
            if backbones.is_fixed(network):
                self.signal = self.features = frozen_features.FrozenFeatures(
                    self.options, self.data, network, self.workers
                )
                return
        given = self._recording
        if isinstance(given, OtherRuntime):
            self._recording = given = self.workers.run_on_chief_first(given.record)
        self.open_signal(
            directory, self._eval_batch_size(), self._unlabelled, self.output_kind, given
        )

    def _eval_batch_size(self) -> int:
        return eval_batches.size_for(
            lambda: [self.build(network) for network in self.options.architectures],
            self.data.input_shape,
            self.options.eval_batch_size,
        )

    def remarks(self) -> list[str]:
        """Returns the number of training examples of each class, and of unlabelled ones."""
        found = [class_weights.describe(self.data.train.labels, self.data.class_names)]
        if self._unlabelled is not None:
            found += self._unlabelled.remarks()
        return found

    def identity(self) -> Mapping[str, Any]:
        """Returns what identifies the images, and those without labels."""
        found = {**super().identity()}
        if self._unlabelled is not None:
            found["unlabelled"] = self._unlabelled.identity()
        return found

    def files(self) -> Mapping[str, bytes]:
        """Returns the classes and the normalization of the images, and the files left out."""
        found = {**super().files()}
        if self.workers.chief:  # only it writes, and the comparison takes seconds
            found |= leakage.files(self.data)
        if self.options.skip_bad_files:
            lines = [f"{sentence}\n" for sentence in self.data.skipped]
            found[SKIPPED] = "".join(lines).encode()
        return found

    def steps_per_epoch(self) -> int:
        """Returns the number of full batches in an epoch, with unlabelled images."""
        steps = super().steps_per_epoch()  # of labeled images alone there must be a batch, too
        return steps if self._unlabelled is None else self._unlabelled.steps_per_epoch()

    def _blend(self, generation: int, epoch: int, step: int) -> Callable[..., Any] | None:
        """Returns what mixes the images of a batch, with --mixup or --cutmix."""
        if not self.options.mixed:
            return None
        return functools.partial(
            pipeline.mixing().mixed_batches,
            num_classes=self.data.num_classes,
            mixup_alpha=self.options.mixup,
            cutmix_alpha=self.options.cutmix,
            seed=seeds.derive_seed(self.options.seed, "mixup", generation),
            first_step=epoch * self.steps_per_epoch() + step,
        )

    def validation_batches(self) -> Any:
        """Returns the validation images or features in order; None if there are none."""
        batches = super().validation_batches()
        if batches is None or self.recorded or not self.options.mixed:
            return batches
        # As in training: Keras uses the same kind of accuracy for both.
        return pipeline.with_distributions(batches, self.data.num_classes)

    def build_first(self) -> keras.Model:
        """Builds the network that generation 0 trains: a head on features, or all."""
        return self.build(self.options.arch) if self.features is None else self.features.head()

    def as_saved(self, model: keras.Model) -> keras.Model:
        """Returns a head together with its backbone, or the model itself."""
        return model if self.features is None else self.features.whole(model)

    def ensemble_member(self, lineage: Lineage, number: int) -> keras.Model:
        """Returns a generation as a member of the saved ensemble, from images."""
        return self.as_saved(lineage.model(number))

    def build_student(self) -> keras.Model:
        """Builds a network of a born-again generation: with `--fresh=all`, of random weights."""
        return self.networks.build(
            self.options.architectures[-1], random=self.options.fresh == "all"
        )

    def callbacks(self, generation: int, rows: list[dict]) -> list[keras.callbacks.Callback]:
        """Returns what trains the backbone from an epoch on, with `--freeze=until:EPOCH`."""
        epochs = backbones.frozen_epochs(self.options.freeze)
        random = generation > 0 and self.options.fresh == "all"
        if random or epochs in (0, math.inf):
            return []
        return [freezing.FreezeUntil(int(epochs))]

    def first_model(self) -> keras.Model | None:
        """Returns the model of `--teacher_from`, made to take the pixels of the run."""
        if not teacher_names.is_first_model(vars(self.options)):
            return None
        self.given = self.networks.given(self.options.teacher_from or "")
        return self.given

    def first_teacher(self) -> tuple[Any, str] | None:
        """Returns `--teacher_from` where it teaches generation 0."""
        teacher, self._recording = first_teachers.given(self.options, self.networks)
        return teacher

    def lineage_arguments(self, first_model: keras.Model | None) -> dict[str, Any]:
        """Returns what is monitored, its value by chance, and the feature losses."""
        return {
            **self._monitored(),
            "distillation_losses": feature_losses.of_options(self.options, first_model, self.build),
        }

    def _monitored(self) -> dict[str, Any]:
        """Returns what of validation a generation is compared by, and its value by chance."""
        return class_scores.lineage_arguments(self.options, self.data.validation.labels)

    def compile_arguments(self) -> dict[str, Any]:
        """Returns cross-entropy and accuracy."""
        from_logits = self.end == "linear"
        return class_scores.compile_arguments(self.options, self.data.num_classes, from_logits)

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether the validation error fell by more than its 95 % interval."""
        labels, monitor = self.data.validation.labels, self.options.monitor
        return class_scores.improved(lineage, self._validated, labels, monitor)

    def _log_probabilities(self, model: keras.Model, split: datasets.Split) -> np.ndarray:
        return image_scores.log_probabilities(model, split, self.data, **self._evaluated())

    def _validated(self, model: keras.Model) -> Any:
        """Returns what `improved` and `validation_scores` measure a model by."""
        return self._log_probabilities(model, self.data.validation)

    def _evaluated(self) -> dict[str, Any]:
        features = self.features and self.features.evaluation_batches
        return {"batches": features, "batch_size": self.options.eval_batch_size}

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Evaluates the predictions on the test images, which are stored with the models."""
        test = self.data.test
        self._predictions = kept_predictions.of_generations(
            lineage,
            directory,
            (len(test.labels), self.data.num_classes),
            lambda model: self._log_probabilities(model, test),
        )
        return summary.rows(
            self._predictions, groups, self.data.test.labels, self.options.ensemble_average
        )

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the errors on the validation images."""
        labels, average = self.data.validation.labels, self.options.ensemble_average
        return class_scores.validation_scores(lineage, groups, self._validated, labels, average)

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores the labels, the names of files, and thumbnails of the images that reports show."""
        test = self.data.test
        labels = np.asarray(test.labels)
        shown = examples.select_examples(self._predictions, labels)
        images = thumbnails.shrink(np.asarray(test.images[shown]))
        kept = reading.Test(labels, shown, images, test.files)
        directory.commit(kept.to_files())

    def figures(self) -> Mapping[str, Mapping[int, Figure]]:
        """Returns the reliability diagram and the confusion matrix of each generation."""
        labels = np.asarray(self.data.test.labels)
        return class_scores.figures(self._predictions, labels, self.data.class_names)
