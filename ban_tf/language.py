"""One run of the command line on text: language models that learn from language models.

What differs from images: networks keep their state from batch to batch, teacher and student in
step; the learning rate falls when validation perplexity no longer does; and what is reported is
perplexity (Furlanello et al., 2018, section 4.3).
"""

from __future__ import annotations

import sys
import time
from typing import Any

import keras
from absl import logging

from ban_tf import architectures, language_report, lineage, objectives, optimizers
from ban_tf.datasets import text, text_batches
from ban_tf.language_training import Perplexity, PlateauSchedule, StateReset
from ban_tf.objectives import names as objective_names
from ban_tf.options import Options
from ban_tf.report import progress, tensorboard
from ban_tf.rundir import RunDirectory


def run(options: Options) -> dict[str, Any]:
    """Trains the generations that the run lacks, evaluates all, and shows the table.

    Returns:
        The run's summary; see `language_report`.

    Raises:
        ValueError: The data, the architecture or the directory cannot be used.
    """
    started = time.perf_counter()
    keras.config.set_dtype_policy(options.precision)
    if options.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    data = text.load(options.dataset)
    sizes = (options.batch_size, options.unroll)
    steps = text_batches.training_steps(data.train, *sizes)

    def build(batch_size: int | None = options.batch_size) -> keras.Model:
        return architectures.build_language_model(
            options.arch, data.vocabulary, batch_size, **options.architecture_settings()
        )

    _warn_of_missing_labels(options)
    with RunDirectory(options.directory) as directory:
        family = lineage.Lineage(
            build,
            generations=options.gens,
            objective=options.objective,
            directory=directory,
            teacher=options.teacher,
            label_weight=options.label_weight,
            temperature=options.temperature,
            keep=options.checkpoint,
            seed=options.seed,
            settings=options.settings(),
        )
        directory.commit({"run.cfg": options.flagfile().encode()})
        _announce(options, data, build(), directory)
        family.fit(
            text_batches.training_batches(data.train, *sizes),
            epochs=options.epochs,
            shuffle=False,
            validation_data=text_batches.evaluation_batches(data.validation, *sizes),
            compile={
                "optimizer": lambda: _optimizer(options, steps),
                "loss": objectives.LabelCrossEntropy(label_smoothing=options.label_smoothing),
                "weighted_metrics": [Perplexity()],
            },
            callbacks=lambda generation, rows: _callbacks(options, directory, generation, rows),
            examples_per_epoch=steps * options.batch_size * options.unroll,
        )
        result = language_report.report(options, family, data, directory, build)
    language_report.show(result)
    seconds = time.perf_counter() - started
    print(f"\nIn {seconds:.0f} s. The models and the report are in {directory.path}.")
    return result


def _optimizer(options: Options, steps: int) -> keras.optimizers.Optimizer:
    # "plateau" is a constant rate that `PlateauSchedule` lowers.
    kind = "constant" if options.schedule == "plateau" else options.schedule
    schedule = optimizers.Schedule(
        kind,
        options.learning_rate,
        steps=options.epochs * steps,
        warmup_steps=round(options.warmup_epochs * steps),
    )
    return optimizers.make_optimizer(
        options.optimizer,
        schedule,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
    )


def _callbacks(
    options: Options, directory: RunDirectory, generation: int, rows: list[dict]
) -> list[keras.callbacks.Callback]:
    verbosity = {"auto": 1, "lines": 2, "none": 0}[options.progress]
    callbacks = [
        StateReset(),
        tensorboard.TensorBoardScalars(directory.path / "tensorboard", generation, rows),
        progress.Progress(
            generation,
            options.gens,
            options.epochs,
            first_epoch=len(rows),
            verbosity=verbosity,
            shown=("loss", "perplexity", "val_perplexity"),
        ),
    ]
    if options.schedule == "plateau":
        callbacks.append(PlateauSchedule(options.plateau_factor, options.plateau_threshold, rows))
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


def _announce(
    options: Options, data: text.TextData, model: keras.Model, directory: RunDirectory
) -> None:
    print(
        f"{options.arch} ({model.count_params():,} parameters) on {data.name}: "
        f"{len(data.train):,} training, {len(data.validation):,} validation, {len(data.test):,} "
        f"test words, {len(data.vocabulary):,} different ones; generation 0 and {options.gens} "
        f"born again by {options.objective}, {options.epochs} epochs each, {options.precision}; "
        f"kept in {directory.path}."
    )
    sys.stdout.flush()
