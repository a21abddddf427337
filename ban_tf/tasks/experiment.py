"""One run of the command line: data, architecture and lineage wired together, then reported."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ban_tf import architectures, datasets, objectives
from ban_tf.compat import fingerprint, keras_distribution, outputs, preparation
from ban_tf.config.options import Options
from ban_tf.datasets import mixup, pipeline
from ban_tf.distillation import activations, analysis, teachers
from ban_tf.distribution import strategies
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.layers import batch_normalization
from ban_tf.lineage import lineage
from ban_tf.report import analysis_report, profiling, progress, tensorboard
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory, open_shared
from ban_tf.system import seeds
from ban_tf.tasks import (
    announcements,
    final_student,
    lineage_options,
    results,
    saturation,
    teacher_signal,
)

# Training examples, as they are without augmentation, that an analysis looks at.
_ANALYSED = 1000


def run(options: Options, within: bool = False) -> dict[str, Any]:
    """Trains the generations that the run lacks, evaluates all, and shows the table.

    Args:
        options: What was asked for.
        within: Whether another run goes on when this one is done.

    Returns:
        The run's summary; see `report.summary`.

    Raises:
        InputError: The data, the architecture or the directory cannot be used.
        training.DivergenceError: A loss stopped being finite.
    """
    started = time.perf_counter()
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    workers = strategies.start(
        options.strategy,
        virtual_devices=options.virtual_devices,
        worker_timeout=options.worker_timeout,
        batch_size=options.batch_size,
        evenly=False,
        jit=options.jit == "yes",
    )
    data = workers.chief_first(lambda: _load(options))
    steps = pipeline.steps_per_epoch(data, options.batch_size)
    steps_per_execution = _steps_per_execution(options, steps)
    build = functools.partial(_build, options, data, options.arch)
    student_build = build
    if options.student_arch:
        student_build = functools.partial(_build, options, data, options.student_arch)
    first_model = _first_model(options, data)
    code = lineage_options.own_code(options)
    with open_shared(options.directory, workers) as directory, strategies.together(workers):
        teacher_precision = lineage_options.set_precision(options, directory, workers)
        signal = workers.chief_first(
            lambda: teacher_signal.TeacherSignal(options, data, directory, workers)
        )
        family = lineage.Lineage(
            build,
            **lineage_options.arguments(options, steps),
            teacher_precision=teacher_precision,
            directory=directory,
            first_model=first_model,
            chance=_chance(data.validation.labels),
            student_build=student_build,
            share_ends=options.share_ends or architectures.shares_ends(options.architectures[-1]),
            distillation_losses=_activation_losses(options, first_model or build(), student_build),
            stop=_stop(options, data, workers),
            workers=workers,
            recorded=signal.recorded,
            settings={**options.settings(), **code, **_identity(data, first_model)},
            defaults={**Options().settings(), **code, **_identity(data, None)},
        )
        facts = results.data_facts(data).to_json()
        directory.commit({"run.cfg": options.flagfile().encode(), reading.DATA: facts})
        if workers.chief:
            on = strategies.describe(workers)
            announcements.begin(options, build(), _in_words(data), directory, on)
        family.fit(
            functools.partial(_batches, options, signal),
            epochs=options.epochs,
            steps_per_epoch=steps,
            shuffle=False,  # the batches are shuffled already
            validation_data=_validation(options, signal),
            compile=lambda epochs: {
                "optimizer": lineage_options.make_optimizer(options, epochs, steps),
                "loss": _label_loss(options, build(), student_build()),
                "weighted_metrics": ["accuracy"],
                "jit_compile": {"auto": "auto", "yes": True, "no": False}[options.jit],
                "steps_per_execution": steps_per_execution,
            },
            callbacks=functools.partial(_callbacks, options, data, directory)
            if workers.chief
            else None,
            examples_per_epoch=steps * options.batch_size,
            verbose=0,  # the callbacks show the progress
            checkpoint_steps=options.checkpoint_steps,
        )
        result = results.report(options, family, data, directory) if workers.chief else {}
        if options.final_student:
            workers.meet()  # its teacher is written
            last = family.generations[-1].number
            inner = functools.partial(run, within=True)
            result = final_student.add(options, last, result, directory, inner)
        if within:
            workers.meet()
        else:
            workers.leave()
    if not workers.chief:
        return {}
    announcements.end(result, directory, started)
    return result


def _identity(data: datasets.ImageData, first_model: Any) -> dict[str, Any]:
    """Returns what a data set and a given teacher are known by, wherever they are kept."""
    train, test = len(data.train.labels) + len(data.validation.labels), len(data.test.labels)
    teacher = first_model and f"weights of hash {fingerprint.of_weights(first_model.get_weights())}"
    return {
        "examples": f"{train} to train with and {test} to test with, of {data.num_classes} classes",
        "data": f"content of hash {data.content}",
        "teacher_from": teacher,
    }


def _in_words(data: datasets.ImageData) -> str:
    return (
        f"{data.name}: {len(data.train.labels):,} training, {len(data.validation.labels):,} "
        f"validation, {len(data.test.labels):,} test examples"
    )


def _load(options: Options) -> datasets.ImageData:
    return datasets.load(
        options.dataset,
        data_dir=options.data_dir,
        validation_fraction=options.validation_fraction,
        train_examples=options.train_examples,
        seed=options.seed,
        cache=options.cache,
    )


def _stop(
    options: Options, data: datasets.ImageData, workers: Workers
) -> Callable[[lineage.Lineage], bool] | None:
    """What ends a run by itself, if anything does."""
    if options.gens != "auto":
        return None
    return workers.chief_decides(functools.partial(_saturated, data))


def _build(options: Options, data: datasets.ImageData, name: str) -> keras.Model:
    known = architectures.settings(name)
    settings = {
        setting: value
        for setting, value in options.architecture_settings().items()
        if setting in known
    }
    model = architectures.build(name, data.input_shape, data.num_classes, **settings)
    if options.sync_batch_norm:
        batch_normalization.synchronise(model)
    return model


def _activation_losses(
    options: Options, teacher: keras.Model, student_build: Callable[[], keras.Model]
) -> list | None:
    if not options.activation_weight:
        return None
    return activations.activation_losses(teacher, student_build(), options.activation_weight)


def _saturated(data: datasets.ImageData, family: lineage.Lineage) -> bool:
    """Tells whether the newest generation is no better than the one before it."""
    number = family.generations[-1].number
    now, before = (
        results.log_probabilities(family.model(each), data.validation, data)
        for each in (number, number - 1)
    )
    improved = saturation.error_improved(now, before, data.validation.labels)
    return saturation.ends(improved, number)


def _first_model(options: Options, data: datasets.ImageData) -> keras.Model | None:
    if not options.teacher_from:
        return None
    model = teachers.load_model(options.teacher_from)
    if preparation.of(model) is not None:
        raise InputError(
            f"--teacher_from={options.teacher_from} prepares its own input with its preprocessor, "
            "but images are normalized here; set its `preprocessor` to None and save it again if "
            "it takes normalized images, or use `ban_tf.Lineage`."
        )
    count = len(getattr(model, "outputs", None) or ())
    if count != 1:
        raise InputError(
            f"--teacher_from={options.teacher_from} must be a Functional or Sequential model with "
            f"one output; it has {count or 'none that can be seen'}."
        )
    classes = model.output_shape[-1]
    if classes != data.num_classes:
        raise InputError(
            f"--teacher_from={options.teacher_from} tells {classes} classes apart, but "
            f"--dataset={options.dataset} has {data.num_classes}."
        )
    if tuple(model.input_shape[1:]) != tuple(data.input_shape):
        raise InputError(
            f"--teacher_from={options.teacher_from} takes inputs of shape "
            f"{model.input_shape[1:]}, but --dataset={options.dataset} has {data.input_shape}."
        )
    return model


def _label_loss(options: Options, *models: keras.Model) -> keras.losses.Loss:
    found = {next(iter(outputs.final_activations(each).values()), "linear") for each in models}
    if len(found) > 1:
        raise InputError(
            f"--student_arch={options.student_arch} and --arch={options.arch} must both end in "
            "logits or both in probabilities."
        )
    activation = found.pop()
    return objectives.LabelCrossEntropy(
        from_logits=activation == "linear", label_smoothing=options.label_smoothing
    )


def _batches(
    options: Options,
    signal: teacher_signal.TeacherSignal,
    generation: int,
    epoch: int,
    step: int,
    *teacher: Any,
) -> Any:
    blend = None
    if options.mixup:
        blend = functools.partial(
            mixup.mixed_batches,
            num_classes=signal.data.num_classes,
            alpha=options.mixup,
            seed=seeds.derive_seed(options.seed, "mixup", generation),
            first_step=epoch * pipeline.steps_per_epoch(signal.data, options.batch_size) + step,
        )
    batches = signal.training_batches(generation, epoch, step, *teacher, blend=blend)
    return keras_distribution.as_data(batches)


def _chance(labels: np.ndarray) -> float | None:
    """The accuracy that guessing the commonest class stays under in 95 of 100 cases."""
    if not len(labels):
        return None
    share = np.bincount(labels).max() / len(labels)
    return float(share + 1.645 * np.sqrt(share * (1.0 - share) / len(labels)))


def _validation(options: Options, signal: teacher_signal.TeacherSignal) -> Any:
    data = signal.data
    if not len(data.validation.labels):
        return None
    if signal.recorded:
        return signal.validation_batches
    batches = signal.validation_batches(0)
    if not options.mixup:
        return batches
    # Labels as distributions, as in training: Keras takes one kind of accuracy for both.
    return batches.map(lambda images, labels: (images, tf.one_hot(labels, data.num_classes)))


def _steps_per_execution(options: Options, steps: int) -> int:
    """How many steps TensorFlow takes before Python hears of it; a divisor of an epoch's steps."""
    wanted = options.steps_per_execution
    if wanted is None:
        # On CPUs, eight at a time took 1.2 to 1.3 times as long (`benchmarks.execution`). GPUs wait
        # for Python between small steps; ten at a time is what Keras's users report to be enough
        # (not measured by us).
        most = 10 if tf.config.list_physical_devices("GPU") else 1
        return max(count for count in range(1, most + 1) if steps % count == 0)
    if steps % wanted:
        # Keras would run the last execution of an epoch into the next one.
        raise InputError(
            f"--steps_per_execution={wanted} must divide the {steps} steps of an epoch."
        )
    return wanted


def _callbacks(
    options: Options,
    data: datasets.ImageData,
    directory: RunDirectory,
    generation: int,
    rows: list[dict],
) -> list[keras.callbacks.Callback]:
    verbosity = {"auto": 1, "lines": 2, "none": 0}[options.progress]
    analyses = []
    if options.analyse and generation:
        some = data.train.select(np.arange(min(_ANALYSED, len(data.train.labels))))
        batches = pipeline.evaluation_batches(some, data, min(options.batch_size, _ANALYSED))
        analyses = [analysis.Analysis(batches, **analysis_report.places(directory, generation))]
    logs = directory.path / "tensorboard"
    profile = [profiling.Profile(logs, generation)] if options.profile else []
    return [
        *analyses,
        *profile,
        tensorboard.TensorBoardScalars(logs, generation, rows),
        progress.Progress(
            generation,
            options.generations,
            options.epochs,
            first_epoch=len(rows),
            verbosity=verbosity,
        ),
    ]
