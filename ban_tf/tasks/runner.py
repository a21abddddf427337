"""Runs the command line's options: trains, evaluates and reports the generations of a task."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import keras

from ban_tf.compat import fingerprint
from ban_tf.config import registry
from ban_tf.config.options import Options
from ban_tf.distribution import strategies
from ban_tf.lineage.lineage import Lineage
from ban_tf.report import analysis_report, progress, tensorboard
from ban_tf.runs import generations
from ban_tf.runs.rundir import RunDirectory, open_shared
from ban_tf.system import devices, flag_names
from ban_tf.tasks import (
    console,
    final_student,
    lineage_options,
    other_backends,
    own_callbacks,
    results,
    saturation,
)
from ban_tf.tasks.run import Run
from ban_tf.tasks.task import Task
from ban_tf.training import precision


@flag_names.kept()
@precision.put_back()
def run(options: Options, nested: bool = False) -> dict[str, Any]:
    """Trains the generations that are missing, evaluates all, and prints the table.

    Args:
        options: The options of the run.
        nested: Whether this run is part of another one, such as that of a final student.

    Returns:
        The run's summary; see `metrics.summary`.

    Raises:
        InputError: The data, the architecture or the directory cannot be used.
        DivergenceError: A loss became NaN or infinite.
    """
    started = time.perf_counter()
    other_backends.check(options)
    if options.deterministic:
        devices.make_deterministic()
    prepared = prepare(options)
    task, workers = prepared.task, prepared.task.workers
    with (
        open_shared(options.directory, workers) as directory,
        strategies.abort_on_peer_failure(workers),
    ):
        lineage = _lineage(prepared, directory)
        directory.commit(_files(task))
        if workers.chief:
            on = strategies.describe(workers)
            model = task.build(options.arch)
            console.begin(options, model, task.describe(), task.remarks(), directory, on)
        _fit(prepared, lineage, directory)
        result = results.report(task, lineage, directory) if workers.chief else {}
        if options.final_student:
            workers.barrier()  # wait for the ensemble, its teacher, to be written
            last = lineage.generations[-1].number
            inner = functools.partial(run, nested=True)
            result = final_student.add(options, last, result, directory, inner, task.final_row)
        if nested:
            workers.barrier()
        else:
            workers.shutdown()
    if not workers.chief:
        return {}
    console.end(result, directory, started, options.report, nested)
    return result


def _files(task: Task) -> dict[str, bytes]:
    """Returns what a run stores before it trains, with a given generation 0."""
    found = {"run.cfg": task.options.flagfile().encode(), **task.files()}
    if task.given is not None:
        saved = task.as_saved(task.given)
        found["generation-0/model.keras"] = generations.model_bytes(saved)
    return found


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is known of a run before its directory is opened.

    Attributes:
        task: The task, with its data.
        steps: The steps of an epoch.
        speed: Arguments of `compile` that only affect speed.
        first_model: The pretrained generation 0, if any.
        first_teacher: The teacher of generation 0 and what identifies it, if any.
        code: Fingerprints of custom functions.
        own_callbacks: Returns the callbacks of `--callbacks`.
    """

    task: Task
    steps: int
    speed: dict[str, Any]
    first_model: keras.Model | None
    first_teacher: tuple[Any, str] | None
    code: dict[str, str]
    own_callbacks: own_callbacks.Callbacks


@flag_names.kept()
def prepare(options: Options) -> Prepared:
    """Loads the data and checks it and custom code against the options; nothing is written.

    Args:
        options: The options of the run.

    Raises:
        InputError: The devices, the data, a teacher or custom code cannot be used.
    """
    declaration = registry.of(options.dataset)
    workers = strategies.start(
        options.strategy,
        virtual_devices=options.virtual_devices,
        worker_timeout=options.worker_timeout,
        batch_size=options.batch_size,
        evenly=declaration.equal_shares,
        jit=options.jit == "yes",
        threads=options.threads,
    )
    task = declaration.load()(options, workers)
    further = own_callbacks.load(options.callbacks)
    workers.run_on_chief_first(task.load)
    steps = task.steps_per_epoch()
    speed = lineage_options.speed(task, steps)
    first_model, first_teacher = task.first_model(), task.first_teacher()
    code = lineage_options.own_code(options)
    lineage_options.check_objective(task)
    lineage_options.check_ensemble(task, first_model)
    return Prepared(task, steps, speed, first_model, first_teacher, code, further)


def _lineage(prepared: Prepared, directory: RunDirectory) -> Lineage:
    task, first_model = prepared.task, prepared.first_model
    options, workers = task.options, task.workers
    teacher_precision = lineage_options.set_precision(options, directory, workers)
    task.open(directory)
    student_build = None
    if options.student_arch or options.fresh == "all":
        student_build = task.build_student
    always_shared = task.declaration.shares_ends(options.architectures[-1])
    known_by = {**prepared.code, **task.identity(), **task.named()}
    teacher = first_model and f"weights of hash {fingerprint.of_weights(first_model.get_weights())}"
    first_teacher, teacher = prepared.first_teacher or (None, teacher)
    return Lineage(
        task.build_first,
        **lineage_options.arguments(options, prepared.steps),
        **task.lineage_arguments(first_model),
        teacher_precision=teacher_precision,
        directory=directory,
        first_model=first_model,
        first_teacher=first_teacher,
        student_build=student_build,
        as_saved=task.as_saved,
        share_ends=options.share_ends or always_shared,
        stop=_stop(task),
        workers=workers,
        recorded=task.recorded,
        settings={**options.settings(), **known_by, "teacher_from": teacher},
        defaults={**Options().settings(), **known_by, "teacher_from": None, "weights": None},
    )


def _fit(prepared: Prepared, lineage: Lineage, directory: RunDirectory) -> None:
    """Trains the generations that are missing."""
    task, steps = prepared.task, prepared.steps
    options = task.options
    lineage.fit(
        task.training_batches,
        epochs=options.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are already shuffled
        validation_data=task.validation_batches(),
        compile=lambda epochs: {
            "optimizer": lineage_options.make_optimizer(options, epochs, steps),
            **task.compile_arguments(),
            **prepared.speed,
        },
        callbacks=functools.partial(_callbacks, prepared, directory),
        examples_per_epoch=steps * task.examples_per_step(),
        verbose=0,  # the callbacks show the progress
        checkpoint_steps=options.checkpoint_steps,
    )


def _stop(task: Task) -> Callable[[Lineage], bool] | None:
    """Returns the early stopping of `--gens=auto`; None with a fixed number of generations."""
    if task.options.gens != "auto":
        return None

    def ends(lineage: Lineage) -> bool:
        return saturation.ends(task.improved(lineage), lineage.generations[-1].number)

    return task.workers.broadcast(ends)


def _callbacks(
    prepared: Prepared, directory: RunDirectory, generation: int, rows: list[dict]
) -> list[keras.callbacks.Callback]:
    """Returns a generation's callbacks; only the chief writes and prints."""
    task = prepared.task
    options, callbacks = task.options, task.callbacks(generation, rows)
    if not task.workers.chief:
        return callbacks
    logs = directory.folder("tensorboard")
    if options.analyse and generation:
        places = analysis_report.places(directory, generation)
        callbacks.append(task.analysis(task.analyzed_batches(), **places))
    if options.profile:
        from ban_tf.report import profiling  # which needs TensorFlow

        callbacks.append(profiling.Profile(logs, generation))
    return [
        *callbacks,
        *prepared.own_callbacks(Run(directory.path), generation),
        tensorboard.TensorBoardScalars(logs, generation, rows),
        progress.Progress(
            generation,
            options.generations,
            # A generation that was begun with other --epochs keeps them.
            generations.epochs_of(directory, generation) or options.epochs,
            first_epoch=len(rows),
            later_epochs=options.epochs,
            verbosity={"auto": 1, "lines": 2, "none": 0}[options.progress],
            shown=task.shown,
        ),
    ]
