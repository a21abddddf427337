"""One run of the command line: data, architecture and lineage wired together, then reported."""

from __future__ import annotations

import functools
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ban_tf import (
    architectures,
    datasets,
    lineage,
    objectives,
    optimizers,
    outputs,
    results,
    seeds,
    teachers,
)
from ban_tf.datasets import pipeline
from ban_tf.options import Options
from ban_tf.report import progress, reading, table, tensorboard
from ban_tf.rundir import RunDirectory


def run(options: Options) -> dict[str, Any]:
    """Trains the generations that the run lacks, evaluates all, and shows the table.

    Returns:
        The run's summary; see `report.summary`.

    Raises:
        ValueError: The data, the architecture or the directory cannot be used.
        training.DivergenceError: A loss stopped being finite.
    """
    started = time.perf_counter()
    keras.config.set_dtype_policy(options.precision)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    data = datasets.load(
        options.dataset,
        data_dir=options.data_dir,
        validation_fraction=options.validation_fraction,
        train_examples=options.train_examples,
        seed=options.seed,
    )
    steps = pipeline.steps_per_epoch(data, options.batch_size)
    build = functools.partial(_build, options, data)
    first_model = _first_model(options, data)
    with RunDirectory(options.directory) as directory:
        family = lineage.Lineage(
            build,
            generations=options.gens,
            objective=options.objective,
            directory=directory,
            teacher=options.teacher,
            first_model=first_model,
            label_weight=options.label_weight,
            temperature=options.temperature,
            keep=options.checkpoint,
            chance=_chance(data.validation.labels),
            on_divergence=options.on_divergence,
            seed=options.seed,
            settings=options.settings(),
        )
        facts = results.data_facts(data).to_json()
        directory.commit({"run.cfg": options.flagfile().encode(), reading.DATA: facts})
        _announce(options, data, build(), directory)
        family.fit(
            functools.partial(_batches, options, data),
            epochs=options.epochs,
            steps_per_epoch=steps,
            shuffle=False,  # the batches are shuffled already
            validation_data=_validation(data),
            compile=lambda epochs: {
                "optimizer": _optimizer(options, epochs, steps),
                "loss": _label_loss(options, build()),
                "weighted_metrics": ["accuracy"],
            },
            callbacks=functools.partial(_callbacks, options, directory),
            examples_per_epoch=steps * options.batch_size,
            checkpoint_steps=options.checkpoint_steps,
        )
        result = results.report(options, family, data, directory, build)
    table.show(result)
    seconds = time.perf_counter() - started
    print(f"\nIn {seconds:.0f} s. The models and the report are in {directory.path}:")
    print("  generation-*/model.keras, ensemble.keras, report.html, summary.md, summary.json")
    print(f"Look at the curves:  tensorboard --logdir {directory.path / 'tensorboard'}")
    print(f"One more generation: the same command with --gens={options.gens + 1}")
    return result


def _build(options: Options, data: datasets.ImageData) -> keras.Model:
    settings = options.architecture_settings()
    return architectures.build(options.arch, data.input_shape, data.num_classes, **settings)


def _first_model(options: Options, data: datasets.ImageData) -> keras.Model | None:
    if not options.teacher_from:
        return None
    model = teachers.load_model(options.teacher_from)
    classes = model.output_shape[-1]
    if classes != data.num_classes:
        raise ValueError(
            f"--teacher_from={options.teacher_from} tells {classes} classes apart, but "
            f"--dataset={options.dataset} has {data.num_classes}."
        )
    if tuple(model.input_shape[1:]) != tuple(data.input_shape):
        raise ValueError(
            f"--teacher_from={options.teacher_from} takes inputs of shape "
            f"{model.input_shape[1:]}, but --dataset={options.dataset} has {data.input_shape}."
        )
    return model


def _label_loss(options: Options, model: keras.Model) -> keras.losses.Loss:
    activation = next(iter(outputs.final_activations(model).values()), "linear")
    return objectives.LabelCrossEntropy(
        from_logits=activation == "linear", label_smoothing=options.label_smoothing
    )


def _optimizer(options: Options, epochs: int, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    schedule = optimizers.Schedule(
        options.schedule,
        options.learning_rate,
        steps=epochs * steps_per_epoch,
        warmup_steps=round(options.warmup_epochs * steps_per_epoch),
    )
    return optimizers.make_optimizer(
        options.optimizer,
        schedule,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
    )


def _batches(
    options: Options, data: datasets.ImageData, generation: int, epoch: int, step: int
) -> tf.data.Dataset:
    augment = data.augment if options.augment == "auto" else options.augment == "yes"
    return pipeline.training_batches(
        data,
        batch_size=options.batch_size,
        epochs=2**31,  # as many as are asked for: a generation may keep those it was begun with
        seed=seeds.derive_seed(options.seed, "data", generation),
        augment=augment,
        first_epoch=epoch,
        first_step=step,
    )


def _chance(labels: np.ndarray) -> float | None:
    """The accuracy that guessing the commonest class stays under in 95 of 100 cases."""
    if not len(labels):
        return None
    share = np.bincount(labels).max() / len(labels)
    return float(share + 1.645 * np.sqrt(share * (1.0 - share) / len(labels)))


def _validation(data: datasets.ImageData) -> tf.data.Dataset | None:
    if not len(data.validation.labels):
        return None
    return pipeline.evaluation_batches(data.validation, data, results.EVALUATION_BATCH)


def _callbacks(
    options: Options, directory: RunDirectory, generation: int, rows: list[dict]
) -> list[keras.callbacks.Callback]:
    verbosity = {"auto": 1, "lines": 2, "none": 0}[options.progress]
    logs = directory.path / "tensorboard"
    profile = [tensorboard.profile(logs, generation)] if options.profile else []
    return [
        *profile,
        tensorboard.TensorBoardScalars(logs, generation, rows),
        progress.Progress(
            generation, options.gens, options.epochs, first_epoch=len(rows), verbosity=verbosity
        ),
    ]


def _announce(
    options: Options, data: datasets.ImageData, model: keras.Model, directory: RunDirectory
) -> None:
    print(
        f"{options.arch} ({model.count_params():,} parameters) on {data.name}: "
        f"{len(data.train.labels):,} training, {len(data.validation.labels):,} validation, "
        f"{len(data.test.labels):,} test examples; generation 0 and {options.gens} born again by "
        f"{options.objective}, {options.epochs} epochs each, {options.precision}; "
        f"kept in {directory.path}."
    )
    sys.stdout.flush()
