"""How the students of a run come by what their teachers say: asked in each step, or recorded.

Recording costs one pass over the data for each view, and saves one pass in each epoch; it is the
same computation done earlier, so that there is nothing to gain where every epoch of a single
generation sees a view of its own. It pays

1. where views return: without augmentation, or with fewer `--teacher_views` than epochs;
2. where one teacher has several pupils: `--teacher=first`, or further runs.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from rich import progress as rich_progress

from ban_tf import datasets
from ban_tf.config.idle import needs_online
from ban_tf.config.options import Options
from ban_tf.datasets import pipeline
from ban_tf.distillation import recording
from ban_tf.distillation.teachers import OnlineTeacher
from ban_tf.distribution.workers import Workers
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds

BATCH = 500  # as many as an evaluation reads at once
_LARGEST_SHARE = 0.5  # of the free disk that may be taken unasked
_SAMPLED_IMAGES = 1024


def _pays(options: Options, data: datasets.ImageData) -> bool:
    returning = _views(options, data) < options.epochs
    shared = options.teacher == "first" and options.generations > 1
    if needs_online(options) or not options.generations or not (returning or shared):
        return False
    nearest = options.recordings_directory.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    needed = _form(options, data, _views(options, data)).bytes * (
        1 if options.teacher == "first" else options.generations
    )
    return needed <= _LARGEST_SHARE * shutil.disk_usage(nearest).free


def _augmented(options: Options, data: datasets.ImageData) -> bool:
    return data.augment if options.augment == "auto" else options.augment == "yes"


def _views(options: Options, data: datasets.ImageData) -> int:
    """How many views of the training data the students of a teacher see, if it is recorded."""
    if not _augmented(options, data):
        return 1
    return options.teacher_views or options.epochs


def _form(options: Options, data: datasets.ImageData, views: int) -> recording.Form:
    return recording.Form(views, len(data.train.labels), data.num_classes, options.teacher_top)


class TeacherSignal:
    """The batches of each generation, with what its teacher says of them where that is recorded.

    What is decided for a run is kept in its directory: a restart keeps to it, whatever the disk
    has to say by then, and however many epochs later generations are given.

    Args:
        options: What was asked for.
        data: What is learnt from.
        directory: Of the run.
        workers: Those that train together, and share what is recorded.

    Attributes:
        recorded: Whether teachers are recorded.
    """

    def __init__(
        self,
        options: Options,
        data: datasets.ImageData,
        directory: RunDirectory,
        workers: Workers | None = None,
    ):
        self._workers = workers or Workers()
        self.options = options
        self.data = data
        decided = directory.metadata.get("teacher_signal")
        if decided is None:
            recorded = options.teacher_signal == "recorded"
            if options.teacher_signal == "auto":
                recorded = _pays(options, data)
            decided = {"recorded": recorded, "views": _views(options, data)}
            directory.commit(metadata={"teacher_signal": decided})
        self.recorded = decided["recorded"]
        # One that is asked needs no views to be counted, and has as many as there are epochs.
        self._views = decided["views"] if self.recorded else options.teacher_views

    def training_batches(
        self,
        generation: int,
        epoch: int,
        step: int,
        teacher: OnlineTeacher | None = None,
        blend: Callable[..., tf.data.Dataset] | None = None,
    ) -> Any:
        """Returns a generation's batches from some point on; see `Lineage.fit`.

        Args:
            generation: Its number.
            epoch: The epoch to start with.
            step: The step of that epoch to start with.
            teacher: Whom to record; None where labels teach, or the teacher is asked.
            blend: What is made of batches that are whole, if anything; it returns some parts of
                each, as `pipeline.training_batches` does.
        """
        options, data = self.options, self.data
        taught = self._taught_by(generation)
        recorded = None
        if teacher is not None:
            recorded = self._workers.chief_first(lambda: self._record(generation, teacher))
        batches = functools.partial(
            pipeline.training_batches,
            data,
            batch_size=options.batch_size,
            epochs=2**31,  # as many as are asked for: a generation keeps those it was begun with
            seed=seeds.derive_seed(options.seed, "data", generation),
            view_seed=self._view_seed(generation),
            views=None if taught is None else self._views,
            teacher_logits=None if recorded is None else recorded.logits,
            augment=_augmented(options, data),
            first_epoch=epoch,
            first_step=step,
        )
        if blend is None:
            return self._workers.shared_out(batches)
        return self._workers.shared_out(lambda **share: blend(batches(), **share))

    def validation_batches(
        self, generation: int, teacher: OnlineTeacher | None = None
    ) -> tf.data.Dataset:
        """Returns the validation data for a generation; arguments as above."""
        data = self.data
        recorded = None
        if teacher is not None:
            recorded = self._workers.chief_first(
                lambda: self._record_validation(generation, teacher)
            )
        return pipeline.evaluation_batches(
            data.validation,
            data,
            BATCH,
            teacher_logits=recorded and functools.partial(recorded.logits, tf.constant(0)),
        )

    def _taught_by(self, generation: int) -> str | None:
        """A name for a generation's teacher that is the same for all who share it."""
        if generation == 0 or self.options.objective == "labels":
            return None
        return "first" if self.options.teacher == "first" else f"before {generation}"

    def _view_seed(self, generation: int) -> int:
        options = self.options
        seed = options.seed if options.augmentation_seed is None else options.augmentation_seed
        # Pupils of one teacher see the same views of the data, so that one recording serves all.
        return seeds.derive_seed(seed, "views", self._taught_by(generation) or generation)

    def _record(self, generation: int, teacher: OnlineTeacher) -> recording.Recording:
        options, data = self.options, self.data
        seed = self._view_seed(generation)
        assert self._views is not None  # counted where teachers are recorded
        form = _form(options, data, self._views)
        augment = _augmented(options, data)
        seen = [seed, pipeline.VIEW_FORMAT] if augment else []
        name = recording.digest(teacher.models, *_facts(data, data.train), form.top, seen)
        folder = options.recordings_directory / name
        return _recorded(
            folder,
            form,
            lambda view, first: pipeline.view_batches(
                data, batch_size=BATCH, view_seed=seed, view=view, augment=augment, first=first
            ),
            teacher,
            "" if options.progress == "none" else f"the teacher of generation {generation}",
            bar=options.progress == "auto",
        )

    def _record_validation(self, generation: int, teacher: OnlineTeacher) -> recording.Recording:
        options, data = self.options, self.data
        form = recording.Form(1, len(data.validation.labels), data.num_classes, options.teacher_top)
        name = recording.digest(teacher.models, *_facts(data, data.validation), form.top)
        return _recorded(
            options.recordings_directory / name,
            form,
            lambda view, first: (
                pipeline.evaluation_batches(data.validation, data, BATCH)
                .map(lambda images, labels: images)
                .unbatch()
                .skip(first)
                .batch(BATCH)
            ),
            teacher,
        )


def _facts(data: datasets.ImageData, split: datasets.Split) -> list[Any]:
    """What tells the inputs of a split from others; of many images, evenly spaced ones."""
    step = max(1, len(split.labels) // _SAMPLED_IMAGES)
    return [split.labels, np.asarray(split.images[::step]), data.mean, data.std]


def _recorded(
    folder: Any,
    form: recording.Form,
    batches: Callable[[int, int], Any],
    teacher: OnlineTeacher,
    whose: str = "",
    bar: bool = False,
) -> recording.Recording:
    ask = _asking(teacher)
    rows = form.views * form.examples
    if whose:
        print(
            f"Recording {whose}: {form.views} view(s) of {form.examples:,} examples, "
            f"{recording.in_words(form.bytes)} in {folder}."
        )
    with _bar(rows, shown=bool(whose) and bar) as advance:
        return recording.record(folder, form, batches, ask, advance)


@functools.lru_cache(maxsize=2)
def _asking(teacher: OnlineTeacher) -> Callable[[tf.Tensor], np.ndarray]:
    """One traced function for all generations that a teacher's models stand for."""
    # The last batch is smaller: one graph serves it, too.
    asked = tf.function(
        lambda images: next(iter(teacher.logits(images).values())), reduce_retracing=True
    )
    return lambda images: asked(images).numpy()


@contextmanager
def _bar(rows: int, shown: bool) -> Iterator[Callable[[int], None]]:
    with rich_progress.Progress(
        "  recording",
        rich_progress.BarColumn(),
        rich_progress.TaskProgressColumn(),
        rich_progress.TimeRemainingColumn(),
        transient=True,
        disable=not shown,
    ) as bars:
        # Without a terminal there is nothing to redraw; the line before it has said enough.
        task = bars.add_task("recording", total=rows, visible=bars.console.is_terminal)
        yield lambda count: bars.advance(task, count)
