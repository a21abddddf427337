"""One run of the command line on text: language models that learn from language models.

What differs from images: networks keep their state from batch to batch, teacher and student in
step; the learning rate falls when validation perplexity no longer does; and what is reported is
perplexity (Furlanello et al., 2018, section 4.3).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from ban_tf import architectures, objectives
from ban_tf.compat import distribute
from ban_tf.config.options import Options
from ban_tf.datasets import content, text, text_batches
from ban_tf.distribution import strategies
from ban_tf.distribution.workers import Workers
from ban_tf.lineage import lineage
from ban_tf.objectives import names as objective_names
from ban_tf.report import analysis_report, profiling, progress, tensorboard
from ban_tf.runs.rundir import RunDirectory, open_shared
from ban_tf.tasks import (
    announcements,
    language_report,
    language_scores,
    lineage_options,
    saturation,
)
from ban_tf.tasks.language_training import LanguageAnalysis, Perplexity, PlateauSchedule, StateReset

# Words of the training text that an analysis looks at.
_ANALYSED = 20_000


def run(options: Options) -> dict[str, Any]:
    """Trains the generations that the run lacks, evaluates all, and shows the table.

    Returns:
        The run's summary; see `language_report`.

    Raises:
        InputError: The data, the architecture or the directory cannot be used.
    """
    started = time.perf_counter()
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    workers = strategies.start(
        options.strategy,
        virtual_devices=options.virtual_devices,
        worker_timeout=options.worker_timeout,
        batch_size=options.batch_size,
        evenly=True,  # rows of text belong to a replica each
        jit=options.jit == "yes",
    )
    data = workers.chief_first(lambda: text.load(options.dataset))
    sizes = (options.batch_size, options.unroll)
    steps = text_batches.training_steps(data.train, *sizes)

    build = functools.partial(_build, options, data, options.arch)
    student_build = functools.partial(_build, options, data, options.architectures[-1])
    code = lineage_options.own_code(options)
    if workers.chief:
        _warn_of_missing_labels(options)
    with open_shared(options.directory, workers) as directory, strategies.together(workers):
        teacher_precision = lineage_options.set_precision(options, directory, workers)
        family = lineage.Lineage(
            build,
            **lineage_options.arguments(options, steps),
            teacher_precision=teacher_precision,
            directory=directory,
            student_build=student_build if options.student_arch else None,
            share_ends=bool(options.share_ends),
            stop=_stop(options, data, workers),
            workers=workers,
            settings={**options.settings(), **code, **_identity(data)},
            defaults={**Options().settings(), **code, **_identity(data)},
        )
        directory.commit({"run.cfg": options.flagfile().encode()})
        if workers.chief:
            on = strategies.describe(workers)
            announcements.begin(options, build(), _in_words(data), directory, on)
        family.fit(
            functools.partial(_batches, data, sizes, workers),
            epochs=options.epochs,
            steps_per_epoch=steps,
            shuffle=False,
            validation_data=workers.shared_out(
                text_batches.evaluation_batches, data.validation, *sizes
            ),
            compile=lambda epochs: {
                "optimizer": lineage_options.make_optimizer(options, epochs, steps),
                "loss": objectives.LabelCrossEntropy(label_smoothing=options.label_smoothing),
                "weighted_metrics": [Perplexity()],
            },
            callbacks=functools.partial(_callbacks, options, data, directory, workers),
            examples_per_epoch=steps * options.batch_size * options.unroll,
            verbose=0,  # the callbacks show the progress
            checkpoint_steps=options.checkpoint_steps,
        )
        if not workers.chief:
            workers.leave()
            return {}
        result = language_report.report(
            options,
            family,
            data,
            directory,
            lambda number: _build(options, data, options.architectures[-1 if number else 0], None),
        )
        workers.leave()
    announcements.end(result, directory, started)
    return result


def _build(
    options: Options, data: text.TextData, name: str, batch_size: int | None = 0
) -> keras.Model:
    """Builds a network that keeps its state, or with `batch_size=None` one that does not.

    In the scope of a strategy it keeps the state of one replica's rows, otherwise of all.
    """
    batch_size = options.batch_size // distribute.replica_count() if batch_size == 0 else batch_size
    return architectures.build_language_model(
        name, data.vocabulary, batch_size, **options.architecture_settings()
    )


def _identity(data: text.TextData) -> dict[str, Any]:
    """Returns what a text is known by, wherever it is kept."""
    train, different = len(data.train) + len(data.validation), len(data.vocabulary)
    words = f"{train} to train with and {len(data.test)} to test with, {different} different ones"
    known_by = content.of_tokens(data.vocabulary, (data.train, data.validation, data.test))
    return {"words": words, "data": f"content of hash {known_by}"}


def _batches(
    data: text.TextData,
    sizes: tuple[int, int],
    workers: Workers,
    generation: int,
    epoch: int,
    step: int,
) -> Any:
    """The text again and again, from a step of any epoch on."""
    return workers.shared_out(text_batches.training_batches, data.train, *sizes, first_step=step)


def _stop(
    options: Options, data: text.TextData, workers: Workers
) -> Callable[[lineage.Lineage], bool] | None:
    """What ends a run by itself, if anything does."""
    if options.gens != "auto":
        return None
    return workers.chief_decides(functools.partial(_saturated, options, data))


def _saturated(options: Options, data: text.TextData, family: lineage.Lineage) -> bool:
    """Tells whether the newest generation is no better than the one before it."""
    number = family.generations[-1].number
    before, now = language_scores.score(
        [family.model(number - 1), family.model(number)],
        [[0], [1]],
        (options.batch_size, options.unroll),
        data.validation,
    )
    improved = saturation.likelihood_improved(now["log_probability"], before["log_probability"])
    return saturation.ends(improved, number)


def _callbacks(
    options: Options,
    data: text.TextData,
    directory: RunDirectory,
    workers: Workers,
    generation: int,
    rows: list[dict],
) -> list[keras.callbacks.Callback]:
    callbacks = [StateReset()]
    if options.schedule == "plateau":
        callbacks.append(PlateauSchedule(options.plateau_factor, options.plateau_threshold, rows))
    if not workers.chief:
        return callbacks
    verbosity = {"auto": 1, "lines": 2, "none": 0}[options.progress]
    logs = directory.path / "tensorboard"
    callbacks += [
        tensorboard.TensorBoardScalars(logs, generation, rows),
        progress.Progress(
            generation,
            options.generations,
            options.epochs,
            first_epoch=len(rows),
            verbosity=verbosity,
            shown=("loss", "perplexity", "val_perplexity"),
        ),
    ]
    if options.analyse and generation:
        some = data.train[: _ANALYSED + 1]
        streams = options.batch_size // workers.replicas  # the model keeps the state of as many
        batches = text_batches.training_batches(some, streams, options.unroll)
        places = analysis_report.places(directory, generation)
        callbacks.append(LanguageAnalysis(batches, **places))
    if options.profile:
        callbacks.append(profiling.Profile(logs, generation))
    return callbacks


def _warn_of_missing_labels(options: Options) -> None:
    name, label_weight = objective_names.parse(options.objective)
    weight = label_weight if options.label_weight is None else options.label_weight
    if weight == 0 and name not in ("cwtm", "importance") and options.gens:
        logging.warning(
            "--objective=%s leaves the labels out: on text only %s+labels was found to help, since "
            "a language model is far from knowing its training text by heart (Furlanello et al., "
            "2018, section 4.3).",
            options.objective,
            name,
        )


def _in_words(data: text.TextData) -> str:
    return (
        f"{data.name}: {len(data.train):,} training, {len(data.validation):,} validation, "
        f"{len(data.test):,} test words, {len(data.vocabulary):,} different ones"
    )
