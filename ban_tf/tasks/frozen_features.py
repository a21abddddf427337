"""The features of a frozen backbone, computed once for all generations.

A backbone that is frozen for the whole run gives an image the same features in every epoch of every
generation. They are recorded for each view of the data, as the outputs of a teacher are (see
`distillation.recording`): in a folder that is named after everything that they depend on, so that
all runs which would compute the same share them. The lineage then trains heads on features; what is
saved is the whole network.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from ban_tf import datasets
from ban_tf.architectures import backbones
from ban_tf.compat import compiled, copies
from ban_tf.config.options import Options
from ban_tf.datasets import pipeline
from ban_tf.distillation import recording
from ban_tf.distribution.workers import Workers
from ban_tf.runs import eval_batches
from ban_tf.system import seeds
from ban_tf.tasks import image_recordings, teacher_passes

# Flags that need the images, or other networks than a head on one backbone.
_NEED_IMAGES = (
    *("mixup", "cutmix", "unlabelled", "activation_weight", "feature_weight", "analyse"),
    *("share_ends", "student_arch", "teacher_from"),
)


def pays(options: Options, data: datasets.ImageData) -> bool:
    """Returns whether features may be computed once for all generations.

    So it is if the backbone is frozen for the whole run, and views of the data return: without
    augmentation, or with `--teacher_views`. See `backbones.is_fixed` for the network.
    """
    frozen = backbones.frozen_epochs(options.freeze) == float("inf")
    returning = not image_recordings.augmented(options, data) or options.teacher_views is not None
    plain = options.teacher_precision == "same" and options.teacher_signal != "recorded"
    needed = any(getattr(options, name) for name in _NEED_IMAGES) or options.fresh == "all"
    return frozen and returning and plain and not needed


class FrozenFeatures:
    """The data of a run with the features of a frozen backbone in place of images.

    Its batches take the place of those of a `TeacherSignal`.

    Args:
        options: The options of the run.
        data: The data, in the pixels that the network takes.
        network: A network of the run; its backbone is that of all generations.
        workers: The workers of this training, which share the recordings.
    """

    def __init__(
        self,
        options: Options,
        data: datasets.ImageData,
        network: keras.Model,
        workers: Workers,
    ):
        self._options, self._data, self._workers = options, data, workers
        self._views = (image_recordings.augmented(options, data) and options.teacher_views) or 1
        self._name = network.name
        self._body, self._head = backbones.split(network)
        self._compute = compiled.inference(
            lambda images: self._body(images, training=False), [self._body]
        )

    def head(self) -> keras.Model:
        """Builds a fresh head, a model from features `[batch, units]`."""
        return copies.with_new_weights(self._head)

    def whole(self, head: keras.Model) -> keras.Model:
        """Returns the network of a head, from images; it has the layers of the head."""
        return keras.Model(self._body.inputs, head(self._body.outputs[0]), name=self._name)

    def training_batches(
        self,
        generation: int,
        epoch: int,
        step: int,
        teacher: Any,
        blend: Any,
        finish: Callable[[Any], Any],
    ) -> Any:
        """Returns a generation's batches of features; see `TeacherSignal.training_batches`.

        Args:
            generation: Its number.
            epoch: The first epoch.
            step: The first step of that epoch.
            teacher: Not used: teachers are run with their students.
            blend: Not used: features are not mixed.
            finish: Transforms the batches of each replica, for example adds sample weights.
        """
        options, data = self._options, self._data
        recorded = self._recorded(data.train, self._views)
        batches = functools.partial(
            pipeline.training_batches,
            data,
            batch_size=options.batch_size,
            epochs=2**31,  # unlimited: a generation keeps its recorded number
            seed=seeds.derive_seed(options.seed, "data", generation),
            views=self._views,
            augment="none",  # as recorded
            first_epoch=epoch,
            first_step=step,
            features=recorded.logits,
        )
        return self._workers.distribute_dataset(lambda **share: finish(batches(**share)))

    def validation_batches(self, generation: int) -> Any:
        """Returns the features of the validation data, which are the same for all generations."""
        return self.evaluation_batches(self._data.validation)

    def evaluation_batches(self, split: datasets.Split) -> Any:
        """Returns the features of all examples of a split in order, with their labels."""
        recorded = self._recorded(split, 1)
        features = functools.partial(recorded.logits, 0)
        return pipeline.evaluation_batches(
            split, self._data, eval_batches.LARGEST, features=features
        )

    def _recorded(self, split: datasets.Split, views: int) -> recording.Recording:
        return self._workers.run_on_chief_first(lambda: self._record(split, views))

    @functools.cache  # noqa: B019 - one for each split, as long as the run
    def _record(self, split: datasets.Split, views: int) -> recording.Recording:
        options, data = self._options, self._data
        augment = image_recordings.augmentation(options, data) if split is data.train else "none"
        units = int(self._body.output_shape[-1])
        form = recording.Form(views, len(split.labels), units, precision="float32")
        seed = seeds.derive_seed(options.view_seed, "views", "features")
        seen = [] if augment == "none" else [seed, pipeline.VIEW_FORMAT, augment]
        policy = keras.config.dtype_policy().name
        facts = image_recordings.facts(data, split)
        name = recording.digest([self._body], *facts, "features", policy, seen)
        folder = options.recordings_directory / name
        batch = eval_batches.size_for(
            lambda: [self._body], data.input_shape, options.eval_batch_size
        )

        def batches(view: int, first: int) -> Any:
            if split is data.train:
                return pipeline.view_batches(
                    data, batch_size=batch, view_seed=seed, view=view, augment=augment, first=first
                )
            return pipeline.image_batches(split, data, batch, first)

        what = "Computing the features of the frozen backbone once" if split is data.train else ""
        return teacher_passes.record(folder, form, batches, self._compute, what, options.progress)
