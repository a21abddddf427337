"""Checks the command line's options: bounds and combinations.

All errors that can be found without TensorFlow are raised here, before it is imported.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from ban_tf import architectures
from ban_tf.architectures import backbones
from ban_tf.config import given_teachers, idle, registry
from ban_tf.config.flag import declared
from ban_tf.datasets import csv_list, resizing, unlabelled
from ban_tf.distribution import cluster
from ban_tf.errors import InputError, OptionsError
from ban_tf.objectives import feature_names
from ban_tf.objectives import names as objective_names
from ban_tf.system import flag_names, user_code

_HIGHEST_SEED = 2**31 - 1
_LONGEST_NAME = 255  # bytes of one name, in all common file systems

if TYPE_CHECKING:
    from ban_tf.config.declaration import Declaration
    from ban_tf.config.options import Options


@flag_names.kept()
def check(options: Options, given: Collection[str] | None = None) -> Options:
    """Returns the options with names resolved.

    Args:
        options: The options to check.
        given: The flags that were given; by default those that differ from their defaults.

    Raises:
        OptionsError: A value is invalid, or a given flag has no effect.
    """
    if given is None:
        given = _changed(options)
    if len(options.students) > 1:
        return _check_students(options, given)
    _check_text(options)
    _check_bounds(options)
    if options.warmup_epochs > options.epochs:
        raise OptionsError(
            f"--warmup_epochs is {options.warmup_epochs}, more than --epochs={options.epochs}."
        )
    if options.teacher_views is not None and options.teacher_views > options.epochs:
        raise OptionsError(
            f"--teacher_views is {options.teacher_views}, more than --epochs={options.epochs}: "
            "an epoch sees one view."
        )
    if options.checkpoint == "best" and options.validation_fraction == 0:
        raise OptionsError(
            "--checkpoint=best chooses by validation, but --validation_fraction is 0; "
            "set it, for example to 0.1."
        )
    _check_files(options)
    if options.seed + options.seeds - 1 > _HIGHEST_SEED:
        raise OptionsError(
            f"--seeds={options.seeds} from --seed={options.seed} on passes the highest seed, "
            f"{_HIGHEST_SEED}; choose a lower --seed."
        )
    _check_writable("workdir", options.directory)
    if options.recordings:
        _check_writable("recordings", options.recordings_directory)
    try:
        feature_names.parse_layers(options.feature_layers)
        if options.callbacks is not None:
            user_code.check_name(options.callbacks, f"--callbacks={options.callbacks}")
        if options.image_size is not None:
            resizing.parse(options.image_size)
        task = registry.of(options.dataset)
        objective_names.parse(options.objective, flag=True, values=task.values)
        task.check(options.dataset)
        options = task.complete(options, given)
        options = dataclasses.replace(options, arch=task.resolve(options.arch))
        if options.student_arch:
            with architectures.named("student_arch"):
                student_arch = task.resolve(options.student_arch)
            options = dataclasses.replace(options, student_arch=student_arch)
        options = _without_idle_defaults(options, given, task)
        architectures.check_settings(
            options.architectures, options.architecture_settings(), task.settings
        )
        _check_variants(options)
        _check_task(options)
        cluster.check(options)
        _check_idle(options, given)
        return options
    except InputError as error:
        raise OptionsError(str(error)) from error
    except OSError as error:  # such as a name that is too long, or no permission
        raise OptionsError(
            f"--dataset={options.dataset} cannot be read ({error.strerror})."
        ) from error


def _without_idle_defaults(options: Options, given: Collection[str], task: Declaration) -> Options:
    """Returns options without what a task sets for its own networks, and these do not have."""
    known = set().union(*map(task.settings, options.architectures))
    idle_ones = {*options.architecture_settings()} & {*task.defaults} - {*given} - known
    defaults: dict[str, Any] = {
        field.name: field.default
        for field in dataclasses.fields(options)
        if field.name in idle_ones
    }
    return dataclasses.replace(options, **defaults)


def _check_students(options: Options, given: Collection[str]) -> Options:
    """Checks several students of one teacher, each as if it were the only one."""
    written = f"--student_arch={options.student_arch}"
    for name, value in (("gens", 1), ("final_student", False)):
        if getattr(options, name) != value:
            raise OptionsError(
                f"{written} trains one generation of each student: --{name} must be "
                f"{str(value).lower()}; it is {str(getattr(options, name)).lower()}."
            )
    if registry.of(options.dataset).name != "image_classification":
        raise OptionsError(
            f"{written} compares students by their errors on classified images, which "
            f"--dataset={options.dataset} does not have; choose one student."
        )
    if cluster.several(options):
        raise OptionsError(f"{written} is for one worker; leave out --strategy=multiworker.")
    checked = [
        check(dataclasses.replace(options, student_arch=name.strip()), given)
        for name in options.students
    ]
    names = [one.student_arch or "" for one in checked]
    if len(set(names)) < len(names):
        raise OptionsError(f"{written} names a student twice.")
    return dataclasses.replace(checked[0], student_arch=",".join(names))


def _check_files(options: Options) -> None:
    """Checks that the files exist that flags name."""
    # Unlike that of pathlib, this `isfile` is false for names that are too long.
    given_teachers.check(options)
    if options.dataset.startswith(f"{registry.CSV}:"):  # whose columns say which flags there are
        try:
            csv_list.existing(options.dataset)
        except InputError as error:
            raise OptionsError(str(error)) from error
    file = backbones.file_of(options.weights)
    if file is not None and not os.path.isfile(file):  # noqa: PTH113
        raise OptionsError(
            f"--weights must be imagenet, none or a file; there is no file {options.weights}"
        )
    weights = options.class_weight
    if weights not in (None, "balanced") and not os.path.isfile(weights):  # noqa: PTH113
        raise OptionsError(
            f"--class_weight must be balanced, or name a file that exists; it is {weights}."
        )


def _check_text(options: Options) -> None:
    """Refuses empty values, and those that would be several lines, and so flags, in `run.cfg`."""
    for name, value in dataclasses.asdict(options).items():
        if value == "":
            raise OptionsError(f"--{name} is empty; give it a value, or leave the flag out.")
        if isinstance(value, str) and ("\0" in value or len(f"{value}.".splitlines()) > 1):
            raise OptionsError(
                f"--{name} must be a single line; it is {value.encode('unicode_escape').decode()}."
            )


def _check_bounds(options: Options) -> None:
    """Checks numbers against what is declared; what lies outside is a mistake."""
    for name, flag in declared(type(options)).items():
        value = getattr(options, name)
        if flag.bounds is None or value is None or value == "auto":
            continue
        low, high = flag.bounds
        if not low <= value <= high:
            bounds = f"at least {low}" if high == math.inf else f"between {low} and {high}"
            raise OptionsError(f"--{name} must be {bounds}; it is {value}.")


def _changed(options: Options) -> list[str]:
    fields = dataclasses.fields(options)
    return [field.name for field in fields if getattr(options, field.name) != field.default]


def _check_task(options: Options) -> None:
    """Checks that the task supports the networks, the schedule and the strategy."""
    task = registry.of(options.dataset)
    for flag, name in zip(("arch", "student_arch"), options.architectures, strict=False):
        settings = options.architecture_settings()
        known = {key: settings[key] for key in task.settings(name) & settings.keys()}
        with architectures.named(flag):
            task.check_network(name, options.dataset, **known)
    limited = {
        "schedule=plateau": options.schedule == "plateau",
        "strategy=multiworker": cluster.several(options),
    }
    for value, is_given in limited.items():
        if is_given and value not in task.supports:
            raise OptionsError(
                f"--{value} cannot be used with --dataset={options.dataset}: {task.reason(value)}."
            )


def _check_idle(options: Options, given: Iterable[str]) -> None:
    """Raises an error for given flags without effect.

    Flags in the run's `run.cfg` are accepted: earlier versions wrote all flags.
    """
    found = idle.idle(options, sorted(given))
    if found:
        kept = _lines(options.directory / "run.cfg")
        found = {
            name: need
            for name, need in found.items()
            if idle.written(name, getattr(options, name)) not in kept
        }
    if found:
        reasons = [idle.reason(options, name, need) for name, need in found.items()]
        raise OptionsError(
            f"{'; '.join(reasons)}. Leave {'it' if len(found) == 1 else 'them'} out."
        )


def _lines(file: pathlib.Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _check_variants(options: Options) -> None:
    """Checks combinations of lineage options."""
    always_shared = registry.of(options.dataset).shares_ends(options.architectures[-1])
    if options.share_ends is False and always_shared:
        raise OptionsError(
            f"--share_ends=false cannot be used with {options.architectures[-1]}, which always "
            "uses the first and the last layer of its teacher."
        )
    if options.gens == "auto" and options.validation_fraction == 0:
        raise OptionsError(
            "--gens=auto stops by validation, but --validation_fraction is 0; set it, for "
            "example to 0.1."
        )
    if options.final_student and isinstance(options.gens, int) and options.gens < 2:
        raise OptionsError(
            "--final_student distills an ensemble of born-again generations: --gens must be at "
            f"least 2; it is {options.gens}."
        )
    for name in ("activation_weight", "feature_weight"):
        if getattr(options, name):
            _check_features(options, name)
    epochs = backbones.frozen_epochs(options.freeze)
    if options.epochs <= epochs < math.inf:
        raise OptionsError(
            f"--freeze={options.freeze} is never reached with --epochs={options.epochs}; use "
            "--freeze=backbone to train the head alone."
        )
    online = idle.needs_online(options)
    if options.unlabelled:
        unlabelled.check(options.unlabelled)
        if online or options.teacher_signal == "online":
            raise OptionsError(
                "--unlabelled needs a recorded teacher; leave out "
                f"--{online or 'teacher_signal=online'}."
            )
        if cluster.several(options):
            raise OptionsError("--unlabelled is for one worker; leave out --strategy=multiworker.")
    if options.teacher_signal == "recorded" and online:
        raise OptionsError(
            f"--{online} needs more than the teacher's recorded outputs; use "
            "--teacher_signal=online."
        )
    if options.tighten_epochs and options.objective.split("+")[0] in ("cwtm", "importance"):
        raise OptionsError(
            f"--tighten_epochs anneals from the labels to the teacher, but --objective="
            f"{options.objective} only has labels; choose kd or dkpp."
        )


def _check_features(options: Options, name: str) -> None:
    """Checks that the layers of every teacher can be read."""
    unlike = [flag for flag in ("student_arch", "teacher_from") if getattr(options, flag)]
    if unlike and options.generations > 1:
        raise OptionsError(
            f"--{name} compares teacher and student layer by layer: with --{unlike[0]} "
            f"it needs --gens=1; it is {options.gens}."
        )
    if options.teacher_precision != "same":
        raise OptionsError(
            f"--{name} reads layers of the teacher, which --teacher_precision="
            f"{options.teacher_precision} would rebuild; leave out one of them."
        )


def _check_writable(flag: str, directory: pathlib.Path) -> None:
    """Checks that a folder can be created, or is there and can be written; it is not touched."""
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in directory.parts):
        raise OptionsError(
            f"--{flag}={directory} cannot be created: a name in it is longer than "
            f"{_LONGEST_NAME} bytes; choose another --{flag}."
        )
    nearest = directory.absolute()
    try:
        while not nearest.exists():
            nearest = nearest.parent
    except OSError as error:
        raise OptionsError(
            f"--{flag}={directory} cannot be created ({error.strerror}); choose another --{flag}."
        ) from error
    if not nearest.is_dir():
        raise OptionsError(f"--{flag}={directory} cannot be created: {nearest} is a file.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OptionsError(f"--{flag}={directory} cannot be written: {nearest} is not writable.")
