"""Online or precomputed teacher logits for each generation; see `image_recordings`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from ban_tf import datasets
from ban_tf.config.options import Options
from ban_tf.datasets import pipeline, policies
from ban_tf.distillation import recording
from ban_tf.distillation.teachers import OnlineTeacher
from ban_tf.distribution.workers import Workers
from ban_tf.runs import eval_batches
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds
from ban_tf.tasks import image_recordings, recording_choice, teacher_passes
from ban_tf.tasks.given_recording import GivenRecording
from ban_tf.tasks.unlabelled_images import UnlabelledImages


class TeacherSignal:
    """The batches of each generation, with its teacher's logits if they are recorded.

    The decision for a run is stored in its directory, so that a resumed run keeps it even if the
    free disk space or the number of epochs has changed, or `--augment=auto` means something else.

    Args:
        options: The options of the run.
        data: The data.
        directory: The run directory.
        workers: The workers of this training, which share the recordings.
        eval_batch_size: Images in a batch of validation, and at most of recording.
        unlabelled: Images without labels for born-again generations, whose teachers are then
            recorded.
        kind: The kind of the outputs, such as "binary", of which the logits of yes are recorded.
        given: The recording that teaches generation 0, if one does.

    Attributes:
        recorded: Whether teachers are recorded.
    """

    def __init__(
        self,
        options: Options,
        data: datasets.ImageData,
        directory: RunDirectory,
        workers: Workers | None = None,
        eval_batch_size: int = eval_batches.LARGEST,
        unlabelled: UnlabelledImages | None = None,
        kind: str = "categorical",
        given: GivenRecording | None = None,
    ):
        self._given = given
        self._kind = kind
        self._eval_batch_size = eval_batch_size
        self._workers = workers or Workers()
        self._directory = directory
        self._unlabelled = unlabelled
        self.options = options
        self.data = data
        decided = directory.metadata.get("teacher_signal")
        if decided is None:
            recorded = options.teacher_signal == "recorded" or unlabelled is not None
            masks = image_recordings.has_masks(data)
            # Outputs of every pixel are large: they are recorded on request alone.
            if not recorded and options.teacher_signal == "auto" and not masks:
                recorded = image_recordings.pays(options, data)
            augment = image_recordings.augmentation(options, data)
            count = image_recordings.views(options, augment)
            if recorded:
                forms = image_recordings.forms(options, data, count)  # refuses a bad --teacher_top
                if masks:
                    recording_choice.check_space(options, *forms)
            decided = {
                "recorded": recorded,
                "views": count,
                "augmentation": augment,
            }
            directory.commit(metadata={"teacher_signal": decided})
        self.recorded = decided["recorded"]
        # Older runs knew crops and flips alone.
        former = policies.resolve(options.augment, data.augment, (1, 1))
        self._augment = decided.get("augmentation", former)
        # An online teacher has one view per epoch.
        self._views = decided["views"] if self.recorded else options.teacher_views

    def describe_space(self) -> str:
        """Returns a sentence about the size of the recordings."""
        count = self._views or self.options.epochs
        return recording_choice.describe_space(
            self.options, *image_recordings.forms(self.options, self.data, count)
        )

    def training_batches(
        self,
        generation: int,
        epoch: int,
        step: int,
        teacher: OnlineTeacher | None = None,
        blend: Callable[..., Any] | None = None,
        finish: Callable[[Any], Any] = lambda batches: batches,
    ) -> Any:
        """Returns a generation's batches from a step on; see `Lineage.fit`.

        Args:
            generation: Its number.
            epoch: The first epoch.
            step: The first step of that epoch.
            teacher: The teacher to record; None for labels only, or for an online teacher.
            blend: Transforms whole batches, if given; it returns some parts of each, as
                `pipeline.training_batches` does.
            finish: Transforms the batches last.
        """
        options, data = self.options, self.data
        taught = self._taught_by(generation)
        given = self._given if generation == 0 else None
        recorded: GivenRecording | recording.Recording | None = given
        if self._unlabelled is not None:
            position = epoch * self._unlabelled.steps_per_epoch() + step
            if teacher is not None:
                data = self._with_unlabelled(generation, teacher)
            epoch, step = divmod(position, pipeline.steps_per_epoch(data, options.batch_size))
        if teacher is not None:
            recorded = self._workers.run_on_chief_first(
                lambda: self._record(generation, data, teacher)
            )
        batches = functools.partial(
            pipeline.training_batches,
            data,
            batch_size=options.batch_size,
            epochs=2**31,  # unlimited: a generation keeps its recorded number
            seed=seeds.derive_seed(options.seed, "data", generation),
            view_seed=self._view_seed(generation),
            views=given.views if given else None if taught is None else self._views,
            teacher_logits=None if recorded is None else recorded.logits,
            augment=self._augment,
            first_epoch=epoch,
            first_step=step,
        )

        def made(**share: Any) -> Any:
            return finish(batches(**share) if blend is None else blend(batches(), **share))

        return self._workers.distribute_dataset(made)

    def _with_unlabelled(self, generation: int, teacher: OnlineTeacher) -> datasets.ImageData:
        """Returns the data of a born-again generation, with the unlabelled images chosen for it."""
        assert self._unlabelled is not None
        return self._unlabelled.joined(
            generation,
            self._directory,
            lambda images: _probabilities(
                teacher, images, self.data, self._recording_batch(teacher)
            ),
        )

    def validation_batches(self, generation: int, teacher: OnlineTeacher | None = None) -> Any:
        """Returns the validation data for a generation; arguments as above."""
        data = self.data
        recorded = None
        if teacher is not None:
            recorded = self._workers.run_on_chief_first(
                lambda: self._record_validation(generation, teacher)
            )
        return pipeline.evaluation_batches(
            data.validation,
            data,
            self._eval_batch_size,
            teacher_logits=recorded and functools.partial(recorded.logits, 0),
        )

    def _taught_by(self, generation: int) -> str | None:
        """Returns a name for a generation's teacher that all its students share."""
        if generation == 0 or self.options.objective == "labels":
            return None
        return "first" if self.options.teacher == "first" else f"before {generation}"

    def _view_seed(self, generation: int) -> int:
        # Students of one teacher see the same views of the data, so that one recording serves all.
        place = self._taught_by(generation) or generation
        if image_recordings.has_masks(self.data) and self.options.teacher != "first":
            place = generation  # as runs on masks have drawn them since before they could record
        return seeds.derive_seed(self.options.view_seed, "views", place)

    def _record(
        self, generation: int, data: datasets.ImageData, teacher: OnlineTeacher
    ) -> recording.Recording:
        options = self.options
        seed = self._view_seed(generation)
        assert self._views is not None  # counted where teachers are recorded
        form = image_recordings.form(options, data, self._views, data.train)
        augment = self._augment
        seen: list[Any] = [] if augment == "none" else [seed, pipeline.VIEW_FORMAT]
        if augment not in ("none", "crop"):
            seen.append(augment)
        name = recording.digest(
            teacher.models, *image_recordings.facts(data, data.train), form.top, seen
        )
        folder = options.recordings_directory / name
        batch = self._recording_batch(teacher)
        return teacher_passes.record(
            folder,
            form,
            lambda view, first: pipeline.view_batches(
                data, batch_size=batch, view_seed=seed, view=view, augment=augment, first=first
            ),
            teacher_passes.predictor(teacher, self._kind),
            f"Recording the teacher of generation {generation}",
            progress=options.progress,
        )

    def _recording_batch(self, teacher: OnlineTeacher) -> int:
        given, shape = self.options.eval_batch_size, self.data.input_shape
        fitting = eval_batches.size_for(lambda: teacher.models, shape, given)
        return min(self._eval_batch_size, fitting)

    def _record_validation(self, generation: int, teacher: OnlineTeacher) -> recording.Recording:
        options, data = self.options, self.data
        form = image_recordings.form(options, data, 1, data.validation)
        name = recording.digest(
            teacher.models, *image_recordings.facts(data, data.validation), form.top
        )
        batch = self._recording_batch(teacher)
        return teacher_passes.record(
            options.recordings_directory / name,
            form,
            lambda view, first: pipeline.image_batches(data.validation, data, batch, first),
            teacher_passes.predictor(teacher, self._kind),
        )


def _probabilities(
    teacher: OnlineTeacher, images: datasets.Split, data: datasets.ImageData, batch: int
) -> np.ndarray:
    """Returns a teacher's probabilities for images without augmentation, `[images, classes]`."""
    predict = teacher_passes.predictor(teacher, "categorical")
    batches = pipeline.evaluation_batches(images, data, batch)
    logits = np.concatenate([predict(batch) for batch, _ in batches])
    return special.softmax(logits.astype(np.float64), axis=-1)
