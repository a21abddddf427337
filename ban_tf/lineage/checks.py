"""Checks the arguments and the networks of a `Lineage` before anything is trained.

Plain arguments come first, since they cost nothing. Then two throwaway networks are built, as
teacher and student of the first born-again generation, so that incompatible networks raise an
error here rather than after generation 0 has been trained.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from ban_tf.compat import shared_weights, student_code
from ban_tf.distillation import sharing
from ban_tf.distillation.student import BornAgainModel
from ban_tf.distillation.teachers import RecordedTeacher
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.lineage import fit_checks
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds, shown, user_code
from ban_tf.system.arguments import check_count, check_flag, is_number
from ban_tf.training import array_epochs, epoch_data, training
from ban_tf.training.trainer import prepare_teachers

TEACHERS = ("previous", "ensemble", "first")
# Arguments of `keras.Model.fit` that a lineage sets itself.
_SET_BY_LINEAGE = ("initial_epoch",)


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Checks the plain arguments of `Lineage`.

    Args:
        arguments: By name; those of `BornAgainModel` under "student".

    Raises:
        InputError: One has the wrong type, is out of range, or is unknown.
    """
    given = arguments["student"]
    own = inspect.signature(BornAgainModel.__init__).parameters
    taken = [name for name in own if name not in ("self", "student", "teacher", "kwargs")]
    known = [*(name for name in arguments if name != "student"), *taken, "name", "dtype"]
    _check_names("Lineage", given, known)
    check_count("generations", arguments["generations"], least=0)
    check_count("seed", arguments["seed"], least=0)
    _check_choice("teacher", arguments["teacher"], TEACHERS)
    _check_choice("keep", arguments["keep"], training.KEEP)
    _check_choice("on_divergence", arguments["on_divergence"], training.ON_DIVERGENCE)
    for name in ("share_ends", "recorded"):
        check_flag(name, arguments[name])
    _check_chance(arguments["chance"])
    _check_directory(arguments["directory"])
    for name, kinds, wanted in (
        ("first_model", keras.Model, "a trained Keras model"),
        ("monitor", str, "the name of a metric of validation, such as 'val_accuracy'"),
        ("teacher_precision", str, "the name of a dtype policy, such as 'mixed_bfloat16'"),
        ("settings", Mapping, "a dictionary"),
        ("defaults", Mapping, "a dictionary"),
        ("workers", Workers, "what `ban_tf.distribution.workers.current()` returns"),
    ):
        value = arguments[name]
        if value is not None and not isinstance(value, kinds):
            raise InputError(f"`{name}` must be {wanted}, or None. Received: {value!r}")
    as_saved = arguments["as_saved"]
    if as_saved is not None and not callable(as_saved):
        raise InputError(
            f"`as_saved` must be a function of a model that returns one, or None. Received: "
            f"{as_saved!r}"
        )
    stop = arguments["stop"]
    if stop is not None and not callable(stop):
        raise InputError(
            f"`stop` must be a function of the lineage that returns a bool, or None. Received: "
            f"{stop!r}"
        )
    _check_combinations(arguments)


def _check_combinations(arguments: Mapping[str, Any]) -> None:
    if arguments["on_divergence"] == "retry" and arguments["directory"] is None:
        raise InputError(
            "`on_divergence` is 'retry', which resumes from a checkpoint; give a `directory`."
        )
    precision = arguments["teacher_precision"]
    if precision and arguments["student"].get("distillation_losses"):
        raise InputError(
            f"`teacher_precision` is {precision!r}, for which teachers are rebuilt, but "
            "`distillation_losses` read their layers; leave out one of the two."
        )
    first = arguments["first_model"]
    if first is not None and not first.built:
        raise InputError(
            f"`first_model` {first.name!r} has no weights yet; train it or load its weights first."
        )


def _check_chance(chance: Any) -> None:
    if chance is None:
        return
    if not is_number(chance) or not 0 <= float(chance) <= 1:
        raise InputError(
            f"`chance` must be an accuracy from 0 to 1, or None for no check. Received: {chance!r}"
        )


def _check_directory(directory: Any) -> None:
    if directory is not None and not isinstance(directory, (str, os.PathLike, RunDirectory)):
        raise InputError(
            f"`directory` must be a path, or None to keep the run in memory. Received: "
            f"{directory!r}"
        )
    if directory == "":
        raise InputError("`directory` is empty; give a path, or None to keep the run in memory.")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"`{name}` must be one of {choices}. Received: {value!r}")


def _check_names(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else f"; it has {', '.join(known)}."
            raise InputError(f"`{function}` has no argument `{name}`{hint}")


def check_networks(
    build: Callable[[], keras.Model],
    student_build: Callable[[], keras.Model],
    *,
    first_model: keras.Model | None,
    first_teacher: Any,
    generations: int,
    share_ends: bool,
    teacher_precision: str | None,
    recorded: bool,
    **student: Any,
) -> dict[str, keras.Model]:
    """Builds a throwaway teacher and student, and checks that they are compatible.

    Args:
        build: Builds generation 0.
        student_build: Builds the other generations.
        first_model: A pretrained generation 0, if there is one.
        first_teacher: A teacher of generation 0, if there is one.
        generations: The number of born-again generations.
        share_ends: As for `Lineage`.
        teacher_precision: As for `Lineage`.
        recorded: As for `Lineage`.
        **student: Arguments of `BornAgainModel`.

    Returns:
        The networks by the arguments that build them.

    Raises:
        InputError: A network cannot be built or distilled, or two networks share weights
            that training changes.
    """
    with seeds.seeded(0):  # does not advance the user's random state
        teacher = first_model or build()
        if first_model is None:
            student_code.check_steps(teacher)  # generation 0 is trained on labels
        if first_teacher is not None:
            _check_first_teacher(first_teacher, first_model, teacher, student)
        if not generations:
            network = build() if first_model is not None else teacher
            BornAgainModel(network, **student)
            return {"build": network}
        network = student_build()
        networks = {} if first_model else {"build": teacher}
        networks["build" if student_build is build else "student_build"] = network
    changed = shared_weights.changed_by_training(network, teacher)
    if changed:
        raise InputError(
            "`build` returns networks that share weights that training changes "
            f"({', '.join(changed[:3])}), so that generations would not start fresh; freeze them "
            "(layer.trainable = False), or create these layers inside `build`."
        )
    model = BornAgainModel(network, **student)
    if not getattr(model.objective, "needs_teacher", True):
        return networks
    if model.trains_nothing:
        raise InputError(
            "`label_weight` and `teacher_weight` are both 0, so that born-again generations would "
            "not be trained; give one of them, or objective='kd+labels'."
        )
    if share_ends:
        sharing.check_ends(network, teacher)
    prepared = prepare_teachers([teacher], teacher_precision)
    prepare_teachers([network], teacher_precision)  # it becomes the next teacher
    model.teacher = RecordedTeacher() if recorded else prepared
    return networks


def _check_first_teacher(
    first_teacher: Any,
    first_model: keras.Model | None,
    network: keras.Model,
    student: Mapping[str, Any],
) -> None:
    if first_model is not None:
        raise InputError(
            "`first_model` is generation 0, which `first_teacher` would teach; give one of them."
        )
    model = BornAgainModel(network, first_teacher, **student)
    if not getattr(model.objective, "needs_teacher", True):
        raise InputError("`first_teacher` does nothing with an objective for labels alone.")


def check_savable(networks: Mapping[str, keras.Model]) -> None:
    """Checks that Keras can describe the networks in a file, before any is trained.

    Args:
        networks: By the arguments that build them.

    Raises:
        InputError: It cannot, as with a subclass that takes an argument which is no plain value.
    """
    for argument, network in networks.items():
        try:
            network.get_config()
        except NotImplementedError as error:
            raise InputError(
                f"`{argument}` returns {network.name!r} of type {type(network).__name__}, which "
                f"Keras cannot save ({shown.first_line(error)}); give its class a `get_config`, or "
                "leave out `directory`."
            ) from error


def check_fit(
    arguments: Mapping[str, Any], fit: Mapping[str, Any], directory: RunDirectory | None
) -> None:
    """Checks the plain arguments of `Lineage.fit`.

    Args:
        arguments: Its own arguments by name.
        fit: Arguments that it passes on to `keras.Model.fit`.
        directory: The lineage's directory.

    Raises:
        InputError: One has the wrong type, is out of range, or is unknown.
    """
    known = [name for name in inspect.signature(keras.Model.fit).parameters if name != "self"]
    known = [name for name in known if name not in _SET_BY_LINEAGE]
    _check_names("Lineage.fit", fit, dict.fromkeys([*arguments, *known]))
    check_count("epochs", arguments["epochs"], least=1)
    sizes = ("batch_size", "steps_per_epoch", "validation_steps", "validation_batch_size")
    counts = {"examples_per_epoch": arguments["examples_per_epoch"]}
    counts["checkpoint_steps"] = arguments["checkpoint_steps"]
    for name, value in {**counts, **{name: fit.get(name) for name in sizes}}.items():
        if value is not None:
            check_count(name, value, least=1)
    if arguments["checkpoint_steps"] is not None:
        _check_checkpoint_steps(arguments, fit, directory)
    fit_checks.check_options({**fit, "verbose": arguments["verbose"]})
    _check_data(arguments["x"], fit)
    check_compile(arguments["compile"])
    _check_callbacks(arguments["callbacks"])


def _check_checkpoint_steps(
    arguments: Mapping[str, Any], fit: Mapping[str, Any], directory: RunDirectory | None
) -> None:
    x, given = arguments["x"], {**fit, "y": arguments["y"]}
    if callable(x):
        resumes = fit.get("steps_per_epoch") is not None
    else:
        resumes = array_epochs.separate(x, given)[0] is not None
    if directory is None or not resumes:
        raise InputError(
            "`checkpoint_steps` saves within an epoch, for which a lineage needs a `directory`, "
            "and `x` as arrays, or as a function (generation, epoch, step) with `steps_per_epoch`."
        )


def _check_data(x: Any, fit: Mapping[str, Any]) -> None:
    """Checks that there are examples, without reading any."""
    if x is None:
        raise InputError("`x` is None; give the training data, as for `fit`.")
    validation = fit.get("validation_data")
    if isinstance(validation, (tuple, list)):
        validation = validation[0] if validation else []
    for name, data in (("x", x), ("validation_data", validation)):
        if data is not None and not callable(data) and _size(data) == 0:
            raise InputError(f"`{name}` is empty; give at least one example.")
    if fit.get("steps_per_epoch") is None and not callable(x) and epoch_data.is_endless(x):
        raise InputError("`x` is endless; give `steps_per_epoch`.")


def _size(data: Any) -> int | None:
    """Returns the number of examples or batches; None if unknown."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches
    if callable(getattr(data, "cardinality", None)):
        cardinality = int(data.cardinality())
        return cardinality if cardinality >= 0 else None
    if isinstance(data, (list, tuple, dict)) and not data:
        return 0
    leaves = keras.tree.flatten(data)
    sizes = [leaf.shape[0] for leaf in leaves if getattr(leaf, "shape", None)]
    return min([*sizes, *(len(leaf) for leaf in leaves if _is_loader(leaf))], default=None)


def _is_loader(data: Any) -> bool:
    """Whether data other than an array has a length, such as a DataLoader or a grain dataset."""
    return hasattr(data, "__len__") and not hasattr(data, "shape") and not isinstance(data, str)


def check_compile(compile: Any, made: bool = False) -> None:
    """Checks the arguments for `compile`.

    Args:
        compile: As for `Lineage.fit`.
        made: Whether a function returned them, so that they may not be a function themselves.

    Raises:
        InputError: They are not a dictionary, or one is not an argument of `compile`.
    """
    if isinstance(compile, Mapping):
        known = list(inspect.signature(keras.Model.compile).parameters)
        _check_names("compile", compile, known[1:])
        optimizer = compile.get("optimizer", "rmsprop")
        named = isinstance(optimizer, (str, Mapping, keras.optimizers.Optimizer))
        if not named and not callable(optimizer):
            raise InputError(
                "`compile` must have an optimizer, its name, or a function that makes one as "
                f"'optimizer'. Received: {optimizer!r}"
            )
    elif compile is not None and (made or not callable(compile)):
        raise InputError(
            "`compile` must be a dictionary of arguments for `compile`, such as "
            "{'optimizer': 'adam'}, or a function of the epochs that returns one. Received: "
            f"{compile!r}"
        )


def compile_arguments(compile: Any, epochs: int) -> Mapping[str, Any]:
    """Returns the arguments of `compile`, calling the function of the epochs if they are one.

    Raises:
        InputError: The function returned something else than arguments of `compile`.
    """
    arguments = (compile(epochs) if callable(compile) else compile) or {}
    check_compile(arguments, made=True)
    return arguments


def _check_callbacks(callbacks: Any) -> None:
    if callbacks is None:
        return
    if callable(callbacks):
        if not any(user_code.takes(callbacks, count) for count in (1, 2)):
            raise InputError(
                "`callbacks` must be a function of the generation's number, or of this and the "
                f"rows so far. Received: {callbacks!r}"
            )
        return
    listed = isinstance(callbacks, (list, tuple))
    if not listed or not all(isinstance(item, keras.callbacks.Callback) for item in callbacks):
        raise InputError(
            "`callbacks` must be a list of Keras callbacks, or a function of the generation's "
            f"number that returns one. Received: {callbacks!r}"
        )
