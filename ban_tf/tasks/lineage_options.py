"""Converts the options of a run into arguments of `Lineage`, for any task."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf import architectures, objectives
from ban_tf.architectures import backbones
from ban_tf.compat import compiled, fingerprint, outputs
from ban_tf.compat.loss_kinds import BINARY, VALUES
from ban_tf.config.options import Options
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import devices, seeds, user_code
from ban_tf.tasks.task import Task
from ban_tf.training import optimizers, precision


def arguments(options: Options, steps_per_epoch: int) -> dict[str, Any]:
    """Returns the arguments of `Lineage` that only depend on the options.

    Args:
        options: The options of the run.
        steps_per_epoch: Batches in an epoch.
    """
    return {
        "generations": options.generations,
        "objective": _objective(options, steps_per_epoch),
        "teacher": options.teacher,
        "label_weight": _label_weight(options),
        "temperature": options.temperature,
        "keep": options.checkpoint,
        "on_divergence": options.on_divergence,
        "seed": options.seed,
    }


def own_code(options: Options) -> dict[str, str]:
    """Returns fingerprints of custom functions and of the file of --weights.

    A run is only resumed with the same ones.

    Args:
        options: The options; objective and architectures may be `package.module:function`.
    """
    names = {name: getattr(options, name) or "" for name in ("objective", "arch", "student_arch")}
    file = backbones.file_of(options.weights)
    weights = {} if file is None else {"weights": f"a file of hash {backbones.digest(file)[:16]}"}
    return weights | {
        f"code of --{name}": fingerprint.of_code(
            user_code.load(value.partition("+")[0], f"--{name}={value}")
        )[:16]
        for name, value in names.items()
        if ":" in value and not architectures.is_pretrained(value)
    }


def check_objective(task: Task) -> None:
    """Calls a custom objective once, with the labels of two examples and random logits.

    Raises:
        InputError: It does not return one loss per sample, or none that the student can minimize.
            Errors of the function itself are not caught.
    """
    options = task.options
    base, _ = objectives.parse(options.objective)
    if ":" not in base:
        return
    objective = objectives.get(base)
    labels = next(iter(task.analyzed_batches()))[1][:2]
    classes = task.build(options.architectures[-1]).output_shape[-1]
    # A label that is independent of others is a choice between no and yes.
    shape = (*labels.shape, 2 if task.output_kind == BINARY else classes)
    if options.mixed:
        labels = ops.one_hot(labels, shape[-1])
    teacher, student = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    losses, gradient = compiled.losses_and_gradient(
        lambda logits: objective.losses(labels, teacher, logits), student
    )
    if tuple(losses.shape) != shape[:-1]:
        raise InputError(
            f"--objective={options.objective} must return one loss per sample, of shape "
            f"{shape[:-1]} for logits of shape {shape}; it returned {tuple(losses.shape)}."
        )
    if gradient is None:
        raise InputError(
            f"--objective={options.objective} must be a differentiable function of the student's "
            "logits; it has no gradient."
        )


def check_ensemble(task: Task, first_model: keras.Model | None) -> None:
    """Checks that the members of the ensemble end in logits, if `--ensemble_average` is logits.

    The ensemble is made when all generations are trained, which is too late.

    Args:
        task: The task, with its data.
        first_model: The pretrained generation 0, if any.

    Raises:
        InputError: They end in probabilities.
    """
    options = task.options
    if options.ensemble_average != "logits" or task.output_kind == VALUES:
        return
    # Without born-again generations, generation 0 is the only member.
    network = options.architectures[-1] if options.generations else options.arch
    if first_model is not None and not options.generations:
        member, model = f"--teacher_from={options.teacher_from}", first_model
    elif ":" in network:
        member = f"--{task.flag_of(network)}={network}"
        with seeds.seeded(0):  # does not advance the random state
            model = task.build(network)
    else:
        return  # the networks of the package end in logits
    end = outputs.first_activation(model)
    if end != "linear":
        raise InputError(
            f"--ensemble_average=logits needs networks that end in logits, and {member} ends in a "
            f"{end}; end it in logits, or use --ensemble_average=probabilities."
        )


def set_precision(options: Options, directory: RunDirectory, workers: Workers) -> str | None:
    """Sets Keras's dtype policy, and returns that of the teachers if it differs."""
    policy = workers.run_on_chief_first(lambda: precision.for_run(options.precision, directory))
    keras.config.set_dtype_policy(policy)
    return workers.run_on_chief_first(
        lambda: precision.for_teachers(options.teacher_precision, directory)
    )


def _objective(options: Options, steps_per_epoch: int) -> Any:
    """Returns the objective of the born-again generations, or its name."""
    if not options.tighten_epochs:
        return options.objective
    base, _ = objectives.parse(options.objective)
    changes = {} if options.temperature is None else {"temperature": options.temperature}
    steps = max(1, round(options.tighten_epochs * steps_per_epoch))
    return objectives.Progressive(objectives.get(base, **changes), steps)


def _label_weight(options: Options) -> float | None:
    """Returns the weight of the label term; None for that of the objective's name."""
    if options.label_weight is None and options.tighten_epochs:
        return objectives.parse(options.objective)[1]
    return options.label_weight


def make_optimizer(
    options: Options, epochs: int, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """Returns the optimizer with its schedule."""
    # "plateau" is a constant rate that a callback lowers.
    schedule = optimizers.Schedule(
        "constant" if options.schedule == "plateau" else options.schedule,
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
        by_variable=options.backbone_learning_rate is not None,
    )


def speed(task: Task, steps: int) -> dict[str, Any]:
    """Returns the arguments of `compile` that only affect speed, if the task supports them."""
    options, supports = task.options, task.declaration.supports
    found: dict[str, Any] = {}
    if "jit" in supports:
        found["jit_compile"] = {"auto": "auto", "yes": True, "no": False}[options.jit]
    if "steps_per_execution" in supports:
        found["steps_per_execution"] = steps_per_execution(options.steps_per_execution, steps)
    return found


def steps_per_execution(wanted: int | None, steps: int) -> int:
    """Returns `steps_per_execution`, a divisor of an epoch's steps.

    Args:
        wanted: The value of the flag; None chooses.
        steps: The steps of an epoch.

    Raises:
        InputError: It is no divisor.
    """
    if wanted is None:
        # On CPUs, eight at a time took 1.2 to 1.3 times as long (`benchmarks.execution`). GPUs wait
        # for Python between small steps; ten at a time is what Keras's users report to be enough
        # (not measured by us).
        most = 10 if devices.accelerators() else 1
        return max(count for count in range(1, most + 1) if steps % count == 0)
    if steps % wanted:
        # Keras would continue the last execution of an epoch into the next one.
        raise InputError(
            f"--steps_per_execution={wanted} must divide the {steps} steps of an epoch."
        )
    return wanted
